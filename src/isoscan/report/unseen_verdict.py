"""Decide what a model can promise for unknown scanners, from scanners that were left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from isoscan.errors import count
from isoscan.report.unseen_findings import finding, gather_unseen
from isoscan.report.unseen_words import NOTHING, row_of, transfer_of, write_score
from isoscan.report.verdict import LEVELS
from isoscan.report.wording import is_number, percent

_SHOWN = 4

Facts = Mapping[str, Any]


def reach_unseen_verdict(facts: Facts, notes: Iterable[Facts] = ()) -> dict[str, Any]:
    """Weigh what is known: a headline, the findings that matter most, and all of them.

    Parameters
    ----------
    facts : mapping
        From `collect_unseen_facts`, before the verdict is added.
    notes : iterable of mapping
        Warnings of the work: code and sentence.

    Returns
    -------
    dict
        As from `reach_verdict`, and transfer, see `transfer_of`.
    """
    transfer = transfer_of(facts)
    said = [
        *gather_unseen(facts, transfer),
        *(finding("warning", "data", str(note["sentence"])) for note in notes),
    ]
    findings = sorted(said, key=lambda item: LEVELS.index(item["level"]))
    level = findings[0]["level"] if findings else "good"
    return {
        "level": "good" if level == "note" else level,
        "headline": _headline(facts, transfer),
        "transfer": transfer,
        "sentences": _most_telling(findings),
        "findings": findings,
    }


def unseen_numbers(facts: Facts) -> list[dict[str, Any]]:
    """Pick the few numbers that tell what unknown scanners can expect.

    Parameters
    ----------
    facts : mapping
        From `collect_unseen_facts`.

    Returns
    -------
    list of dict
        As from `key_numbers`.
    """
    own, nothing = row_of(facts, facts["row"]), row_of(facts, NOTHING)
    if own is None or nothing is None:
        return []
    numbers = [_change("Shift left, without a scan of the scanner", nothing, own)]
    few = row_of(facts, "3 scans")
    if few is not None:
        numbers.append(_change("Shift left, calibrated with 3 scans", nothing, few))
    kept = write_score("correlation of people", own.get("correlation of people"))
    numbers.append(
        _single("Order of people within scanners", kept, "correlation of before and after")
    )
    if is_number(own.get("coverage")):
        held = write_score("coverage", own["coverage"])
        asked = f"asked for: {percent(facts['training']['interval'])}"
        numbers.append(_single("Corrections inside their intervals", held, asked))
    return numbers


def _change(label: str, nothing: Facts, row: Facts) -> dict[str, Any]:
    before, after = nothing["shift_left"], row["shift_left"]
    most = max(before, after) or 1.0
    return {
        "label": label,
        "note": "mean over scanners, in residual SD",
        "before": write_score("shift_left", before),
        "after": write_score("shift_left", after),
        "share_before": before / most,
        "share_after": after / most,
        "mark": None,
    }


def _single(label: str, text: str, note: str) -> dict[str, Any]:
    empty = dict.fromkeys(("before", "share_before", "share_after", "mark"))
    return {"label": label, "note": note, "after": text, **empty}


def _headline(facts: Facts, transfer: str) -> str:
    applied, calibrated = facts["applied"], facts["training"]["calibrated"]
    if applied is None:
        return {
            "none": "No transfer: scans of unknown scanners are left as they are",
            "not shown": "No transfer shown: unknown scanners may be no better off than before",
            "shown": "Unknown scanners come closer to the known ones",
            "unknown": "Trained, but not checked on scanners left out",
        }[transfer]
    scans = count(applied["names"], "scan")
    if calibrated:
        seen = count(calibrated, "scan")
        return f"{scans} corrected by a model that has seen {seen} of their scanner"
    left = sum(map(bool, applied["abstained"] or ()))
    if not left:
        return f"{scans} of unknown scanners corrected"
    corrected = len(applied["abstained"]) - left
    return f"{scans} of unknown scanners: {corrected} corrected, {left} left nearly as before"


def _most_telling(findings: list[dict[str, str]]) -> list[dict[str, str]]:
    """The most severe, and at least one that is good."""
    telling = [item for item in findings if item["level"] != "note"]
    good = [item for item in telling if item["level"] == "good"][:1]
    worse = [item for item in telling if item["level"] != "good"][: _SHOWN - len(good)]
    rest = [item for item in telling if item["level"] == "good"][: _SHOWN - len(worse)]
    return worse + rest or findings[:_SHOWN]
