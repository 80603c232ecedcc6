"""Say whether site can still be guessed from the measures."""

from __future__ import annotations

from collections.abc import Iterator

from isoscan.description.plain import Facts, percent
from isoscan.evaluation.wording import Finding, say

TOLERATED = 0.05
"""Share of the way from chance to always right that is not worth a warning."""


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
    chance, unseen = found["chance"], found["held_out"]
    final = unseen or after
    seen = f", in {found['left_out_together']} it had not seen" if unseen else ""
    yield say(
        _level(before, final, chance),
        "predictability",
        f"Site was guessed with a balanced accuracy of {_with_interval(before)} before "
        f"harmonization and {_with_interval(final)} after"
        f"{seen}; chance is {percent(chance)}. "
        f"{_meaning(final, chance)}{_in_fitted_scans(after, chance) if unseen else ''}",
    )


def _level(before: Facts, after: Facts, chance: float) -> str:
    if _is_above(after, chance) and _beyond_chance(after, chance) > TOLERATED:
        return "warning"
    return "good" if before["low"] > chance else "note"


def _with_interval(found: Facts) -> str:
    low, high = percent(found["low"]), percent(found["high"])
    return f"{percent(found['balanced_accuracy'])} (95 % interval {low} to {high})"


def _in_fitted_scans(after: Facts, chance: float) -> str:
    if after["high"] >= chance:
        return ""
    return (
        f" In the scans it was fitted to, the accuracy is {percent(after['balanced_accuracy'])}: "
        f"below chance, because the mean of each site was removed over the same scans that are "
        f"guessed."
    )


def _is_above(found: Facts, chance: float) -> bool:
    return bool(found["low"] > chance)


def _beyond_chance(found: Facts, chance: float) -> float:
    """Where the accuracy lies between chance (0) and always right (1)."""
    return float((found["balanced_accuracy"] - chance) / (1 - chance))


def _meaning(after: Facts, chance: float) -> str:
    if _is_above(after, chance):
        little = _beyond_chance(after, chance) <= TOLERATED
        return f"The measures still tell {'a little ' * little}where a scan comes from."
    if after["high"] < chance:
        return (
            "Less than chance means not predictable: the mean of each site was removed over the "
            "same scans that are guessed here, so what is left leans away from it."
        )
    return "A linear classifier no longer finds the site of a scan."
