"""What scanners that were left out, few scans, people and scans tell, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from isoscan.errors import count, name_some
from isoscan.report.brief import in_brief
from isoscan.report.unseen_words import (
    BLIND,
    NOTHING,
    plain_kept,
    row_of,
    write_interval,
    write_score,
)
from isoscan.report.wording import is_number, percent

FEW_SCANNERS = 8
KEPT = 0.9
"""What is kept of people below this share is warned of."""
CLEARLY = 0.95
"""A shift that is smaller than this share of another one is clearly smaller."""
WORSE = 1.1
"""A scanner whose error grows by more is made worse."""

Facts = Mapping[str, Any]
Finding = dict[str, str]


def finding(level: str, source: str, sentence: str) -> Finding:
    """Make a finding as the report lists them.

    Parameters
    ----------
    level : {"problem", "warning", "note", "good"}
        How much it matters.
    source : str
        Where it comes from.
    sentence : str
        What is to be known.

    Returns
    -------
    dict
        Keys level, source, sentence and brief.
    """
    return {"level": level, "source": source, "sentence": sentence, "brief": in_brief(sentence)}


def gather_unseen(facts: Facts, transfer: str) -> Iterator[Finding]:
    """Put everything that facts tell into sentences.

    Parameters
    ----------
    facts : mapping
        From `collect_unseen_facts`.
    transfer : str
        From `transfer_of`.

    Yields
    ------
    dict
        Findings.
    """
    yield from _about_scans(facts)
    if not facts["training"]["calibrated"]:
        yield from _about_transfer(facts, transfer)
        yield from _about_quality(facts)
        yield from _about_few(facts)
        if transfer != "none":
            yield from _about_people(facts)
            yield from _about_intervals(facts)


def _about_transfer(facts: Facts, transfer: str) -> Iterator[Finding]:
    if transfer == "none":
        yield finding(
            "problem",
            "scanners left out",
            "No setting brought scanners that were left out closer to the others, so nothing is "
            "corrected. Calibrate with some scans of the scanner.",
        )
        return
    own, nothing = row_of(facts, facts["row"]), row_of(facts, NOTHING)
    if own is None or nothing is None:
        yield from _about_tuning(facts)
        return
    ratio, interval = percent(own["error_ratio"]), write_interval(own["low"], own["high"])
    scanners = count(own["scanners"], "scanner")
    if transfer == "not shown":
        yield finding(
            "problem",
            "scanners left out",
            f"Of {scanners}, each left out in turn, the error is {ratio} of that without "
            f"correction; with other scanners it might be {interval}. Do not rely on corrections "
            f"without a scan of the scanner: calibrate, or leave scans as they are.",
        )
    else:
        yield finding(
            "good",
            "scanners left out",
            f"Of {scanners}, each left out in turn, the mean shift falls from "
            f"{write_score('shift_left', nothing['shift_left'])} to "
            f"{write_score('shift_left', own['shift_left'])} SD, and the error to {ratio} "
            f"({interval} with other scanners).",
        )
    worse = [one["scanner"] for one in facts["scanners"] if (one["error_ratio"] or 0) > WORSE]
    if worse:
        yield finding(
            "warning",
            "scanners left out",
            f"{len(worse)} of {scanners} would be further off than before: {name_some(worse, 8)}. "
            f"Nothing tells beforehand whether a new scanner is like these.",
        )


def _about_tuning(facts: Facts) -> Iterator[Finding]:
    rows = facts["scanners"]
    if not rows:
        return
    before, after = (sum(row[when] for row in rows) / len(rows) for when in ("before", "after"))
    yield finding(
        "note",
        "training",
        f"While settings were chosen, the mean shift of scanners that were left out fell from "
        f"{before:.2f} to {after:.2f} SD. These scanners also chose the settings, so unknown ones "
        f"may do a little worse.",
    )


def _about_quality(facts: Facts) -> Iterator[Finding]:
    blind, own = row_of(facts, BLIND), row_of(facts, facts["row"])
    if blind is None or own is None:
        return
    helps = own["error_ratio"] < blind["error_ratio"]
    yield finding(
        "note",
        "scanners left out",
        f"Image quality {'helps' if helps else 'does not help here'}: without it the error is "
        f"{percent(blind['error_ratio'])}, with it {percent(own['error_ratio'])}.",
    )


def _about_few(facts: Facts) -> Iterator[Finding]:
    curve = facts["curve"]
    if not curve:
        return
    alone = curve["left"][0]
    points = list(zip(curve["scans"], curve["left"], strict=True))[1:]
    better = [(scans, left) for scans, left in points if left < CLEARLY * alone]
    scans, left = better[0] if better else points[-1]
    sentence = (
        f"{count(scans, 'scan')} of the scanner leave{'s' if scans == 1 else ''} a shift of "
        f"{left:.2f} SD, the model without any {alone:.2f}, no correction {curve['nothing']:.2f}."
    )
    advice = " Calibrate if you have as many." if better else ""
    yield finding("good" if left < curve["nothing"] else "warning", "few scans", sentence + advice)


def _about_people(facts: Facts) -> Iterator[Finding]:
    own = row_of(facts, facts["row"])
    kept = facts["people"]
    if own is not None:
        names = [name for name in own if name.startswith("effect of ") or name.endswith("people")]
        kept = {name: own[name] for name in names}
    known = {name: value for name, value in kept.items() if is_number(value)}
    if not known:
        return
    said = ", ".join(
        f"{plain_kept(name).lower()} {write_score(name, value)}" for name, value in known.items()
    )
    lost = [name for name, value in known.items() if value < KEPT or value > 2 - KEPT]
    if lost:
        changed = ", ".join(plain_kept(name).lower() for name in lost)
        sentence = f"Within scanners, corrections change {changed} by more than 10 %: {said}."
        yield finding("warning", "people", sentence)
    else:
        yield finding("good", "people", f"Within scanners, people keep their differences: {said}.")


def _about_intervals(facts: Facts) -> Iterator[Finding]:
    own, nominal = row_of(facts, facts["row"]), facts["training"]["interval"]
    if own is None or not is_number(own.get("coverage")):
        return
    held, asked = own["coverage"], percent(nominal)
    if held < nominal - 0.05:
        yield finding(
            "warning",
            "intervals",
            f"Intervals of {asked} held {percent(held)} of the corrections of scanners left out: "
            f"read them as narrower than they should be.",
        )
    else:
        yield finding(
            "note", "intervals", f"Intervals of {asked} held {percent(held)} of the corrections."
        )


def _about_scans(facts: Facts) -> Iterator[Finding]:
    applied = facts["applied"]
    if applied is None or not applied["names"]:
        return
    names, scores = applied["names"], applied["score"]
    if applied["outside"] is not None:
        outside = [name for name, inputs in zip(names, applied["outside"], strict=True) if inputs]
        if outside:
            yield finding(
                "warning",
                "scans",
                f"{len(outside)} of {count(names, 'scan')} with inputs outside the range of "
                f"training: {name_some(outside)}.",
            )
    if scores is None:
        return
    left = [name for name, idle in zip(names, applied["abstained"], strict=True) if idle]
    far = [name for name, score in zip(names, scores, strict=True) if score > applied["usual"]]
    if left:
        yield finding(
            "warning",
            "scans",
            f"{len(left)} of {count(names, 'scan')} got less than half of their correction: "
            f"{name_some(left)}. Calibrate with scans of that scanner.",
        )
    elif far:
        yield finding(
            "warning",
            "scans",
            f"{len(far)} of {count(names, 'scan')} {'is' if len(far) == 1 else 'are'} unlike those "
            f"of training: {name_some(far)}.",
        )
    else:
        yield finding("good", "scans", f"All {count(names, 'scan')} are like those of training.")
