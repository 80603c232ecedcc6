"""Say how well the site of scans is guessed, honestly: in scans harmonization has not seen.

A model removes the mean of each site over the scans it was fitted to. If the site of
these same scans is guessed, training and test folds lean away from each other, and the
accuracy falls below chance. The number that counts comes from folds the model was not
fitted to; the other one is a footnote.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isoscan.report.wording import NO_BREAK, is_number, percent

Facts = Mapping[str, Any]


def accuracy_after(predicted: Facts) -> Facts | None:
    """Choose the accuracy after harmonization that a reader can rely on.

    Parameters
    ----------
    predicted : mapping
        Predictability facts of the evaluation.

    Returns
    -------
    mapping or None
        balanced_accuracy, low and high: in unseen scans if known, else in the same scans.
    """
    chosen: Facts | None = predicted.get("held_out") or predicted.get("after")
    return chosen


def footnote(predicted: Facts) -> str:
    """Explain an accuracy below chance in the scans that were fitted.

    Parameters
    ----------
    predicted : mapping
        Predictability facts.

    Returns
    -------
    str
        A sentence; empty if there is nothing to explain.
    """
    if not is_below_chance(predicted):
        return ""
    accuracy = percent(predicted["after"]["balanced_accuracy"]).replace(NO_BREAK, " ")
    return (
        f"In the scans it was fitted to, the accuracy is {accuracy}: below chance, because the "
        f"mean of each site was removed over the same scans that are guessed."
    )


def is_below_chance(predicted: Facts) -> bool:
    """Tell whether the accuracy in the harmonized scans is an artefact of the fit.

    Parameters
    ----------
    predicted : mapping
        Predictability facts.

    Returns
    -------
    bool
        True if the whole interval lies below chance.
    """
    after, chance = predicted.get("after"), predicted.get("chance")
    high = (after or {}).get("high")
    return is_number(chance) and is_number(high) and high < chance
