"""Find sites that report in another unit: mm³ here, cm³ there."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.description.plain import Facts, in_words
from isoscan.description.study import Study
from isoscan.errors import count, name_some

LOW, HIGH = 500.0, 2000.0
"""Ratios of medians taken for a factor of 1000; anatomy explains the rest."""


def find_unit_mixups(study: Study) -> list[Facts]:
    """Find features whose median at one site is about 1000 times that of the others.

    The quartiles must agree with the median, so that features that scatter around zero
    are not taken for mix-ups.

    Parameters
    ----------
    study : Study
        The scans.

    Returns
    -------
    list of dict
        site, features (their number), names, ratio and sentence.

    Examples
    --------
    >>> from isoscan.description.study import gather_study
    >>> volumes = np.array([[1500.0], [1400.0], [1450.0], [1480000.0]])
    >>> find_unit_mixups(gather_study(volumes, list("ABCD"), None))[0]["sentence"]
    "Site 'D': the median of feature0 is about 1021 times that of the other sites. ..."
    """
    if len(study.rows_of) < 2 or not study.features:
        return []
    quartiles = _quartiles(study)
    suspects = _spread_out(quartiles[1])
    if not suspects.any():
        return []
    ratios = np.stack([_ratios_to_others(quarter[:, suspects]) for quarter in quartiles])
    names = np.array(study.features, dtype=object)[suspects]
    found = []
    for position, site in enumerate(study.rows_of):
        found += _mixups_at(study, site, names, ratios[:, position])
    if len(study.rows_of) == 2:  # either site may be the odd one: say it once
        found = [item for item in found if item["ratio"] > 1]
    return found


def _quartiles(study: Study) -> NDArray[np.float64]:
    """Quartiles of shape (3, n_sites, n_features)."""
    groups = pd.DataFrame(study.values).groupby(study.sites)
    return np.stack([groups.quantile(share).to_numpy() for share in (0.25, 0.5, 0.75)])


def _spread_out(medians: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Features whose medians differ more than hundredfold between some sites."""
    sizes = np.where(medians == 0, np.nan, np.abs(medians))
    high = np.where(np.isnan(sizes), 0.0, sizes).max(axis=0)
    low = np.where(np.isnan(sizes), np.inf, sizes).min(axis=0)
    return np.asarray(high > 100 * low)


def _ratios_to_others(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ratio of each site's value to the (geometric) median of the other sites' values.

    Leaving one out of a sorted column moves the middle by at most one place, so the
    medians of the others are read from the column sorted once.
    """
    ranks = values.argsort(axis=0).argsort(axis=0)
    ordered = np.sort(values, axis=0)  # NaN last
    others = np.maximum((~np.isnan(values)).sum(axis=0) - 1, 0)
    left, right = np.maximum(others - 1, 0) // 2, others // 2
    columns = np.arange(values.shape[1])
    below = ordered[left + (ranks <= left), columns]
    above = ordered[right + (ranks <= right), columns]
    middle = np.sqrt(np.where(below * above > 0, below * above, np.nan)) * np.sign(below)
    return np.asarray(np.where(others > 0, values / middle, np.nan))


def _mixups_at(
    study: Study, site: str, names: NDArray[np.object_], ratios: NDArray[np.float64]
) -> list[Facts]:
    found = []
    for sign, larger in ((1, True), (-1, False)):
        lower, middle, upper = ratios if larger else 1 / np.where(ratios == 0, np.nan, ratios)
        alike = (lower > LOW / 2) & (upper > LOW / 2) & (lower < 2 * HIGH) & (upper < 2 * HIGH)
        hit = alike & (middle >= LOW) & (middle <= HIGH)
        if hit.any():
            ratio = float(np.median(middle[hit]) ** sign)
            found.append(_facts_of(site, sorted(names[hit]), ratio, len(study.features)))
    return found


def _facts_of(site: str, names: list[str], ratio: float, n_features: int) -> Facts:
    times = f"{in_words(ratio)} times" if ratio > 1 else f"1/{in_words(1 / ratio)} of"
    if len(names) >= 0.5 * n_features and len(names) > 1:
        what = f"the medians of {len(names)} of {count(n_features, 'feature')} are"
        that = "those"
    elif len(names) > 1:
        what, that = f"the medians of {name_some(names)} are", "those"
    else:
        what, that = f"the median of {names[0]} is", "that"
    return {
        "site": site,
        "features": len(names),
        "names": names,
        "ratio": ratio,
        "sentence": f"Site '{site}': {what} about {times} {that} of the other sites. "
        f"Another unit, such as mm³ and cm³? Convert before harmonizing.",
    }
