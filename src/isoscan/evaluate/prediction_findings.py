"""Say whether site can still be guessed from the measures."""

from __future__ import annotations

from collections.abc import Iterator

from isoscan.describe.plain import Facts, percent
from isoscan.evaluate.wording import Finding, say


def about_prediction(facts: Facts) -> Iterator[Finding]:
    """Compare balanced accuracy with chance, before and after.

    Less than chance counts as not predictable, never as better than that.

    Parameters
    ----------
    facts : dict
        Facts of the evaluation.

    Yields
    ------
    dict
        Findings.
    """
    found = facts["predictability"]
    if found["reason"]:
        yield say("note", "predictability-left-out", found["reason"])
    before, after = found["before"], found["after"]
    if before is None or after is None:
        return
    chance = found["chance"]
    yield say(
        _level(before, after, chance),
        "predictability",
        f"Site was guessed with a balanced accuracy of {_with_interval(before)} before and "
        f"{_with_interval(after)} after; chance is {percent(chance)}. {_meaning(after, chance)}",
    )


def _level(before: Facts, after: Facts, chance: float) -> str:
    if after["low"] > chance:
        return "warning"
    return "good" if before["low"] > chance else "note"


def _with_interval(found: Facts) -> str:
    low, high = percent(found["low"]), percent(found["high"])
    return f"{percent(found['balanced_accuracy'])} (95 % interval {low} to {high})"


def _meaning(after: Facts, chance: float) -> str:
    if after["low"] > chance:
        return "The measures still tell where a scan comes from."
    if after["high"] < chance:
        return (
            "Less than chance means not predictable: the mean of each site was removed over the "
            "same scans that are guessed here, so what is left leans away from it."
        )
    return "A linear classifier no longer finds the site of a scan."
