"""Did harmonization make values that cannot be, such as negative volumes?"""

from __future__ import annotations

from typing import Any

import numpy as np

from isoscan.errors import count, name_counts
from isoscan.evaluation.sample import Sample

Facts = dict[str, Any]


def bound_facts(before: Sample, after: Sample) -> Facts:
    """Count values beyond bounds that all values kept to before.

    Measures without a negative value are taken to be bounded by 0, those between 0 and 1
    by 1 as well.

    Parameters
    ----------
    before, after : Sample
        The same scans before and after harmonization.

    Returns
    -------
    dict
        Keys below_zero and above_one: number of scans by feature; and scans, how many have
        any.
    """
    lowest, highest = np.fmin.reduce(before.values), np.fmax.reduce(before.values)
    below = (lowest >= 0) & (after.values < 0)
    above = (lowest >= 0) & (highest <= 1) & (after.values > 1)
    return {
        "below_zero": _by_feature(below, before.features),
        "above_one": _by_feature(above, before.features),
        "scans": int((below | above).any(axis=1).sum()),
    }


def _by_feature(wrong: Any, features: list[str]) -> dict[str, int]:
    counts = wrong.sum(axis=0)
    order = np.argsort(-counts, kind="stable")
    return {features[n]: int(counts[n]) for n in order if counts[n]}


def bound_sentence(facts: Facts) -> str | None:
    """Say which features have impossible values, and what to do.

    Parameters
    ----------
    facts : dict
        From `bound_facts`.

    Returns
    -------
    str or None
        None if there is nothing to say.
    """
    parts = [
        f"{count(len(found), 'feature')} {what}, {name_counts(found, 4)}"
        for found, what in (
            (facts["below_zero"], "never negative before now with negative values"),
            (facts["above_one"], "between 0 and 1 before now with values above 1"),
        )
        if found
    ]
    if not parts:
        return None
    return (
        f"Values beyond what was measured in {count(facts['scans'], 'scan')}: {'; '.join(parts)}. "
        f"Shift and scale know no bounds: harmonize such measures on a scale without them (the "
        f"logarithm of a volume, the logit of a share), or leave these values out."
    )
