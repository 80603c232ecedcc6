"""Find single values that no brain has, or that lie far from everything else.

Rows are scans, columns are features. The distance is robust: from the median, in units of
the median absolute deviation scaled to an SD.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.description.plain import Facts, in_words, plain
from isoscan.description.study import Study

FAR = 8.0
"""Robust SDs beyond which a single value is reported."""
SKULL = (0.6, 2.5)
"""Litres between which the intracranial volume of children and adults lies."""

_TOTAL = re.compile(r"^(IntraCranialVol|EstimatedTotalIntraCranialVol|eTIV|ICV|TIV)$", re.I)
_SIZE = re.compile(r"(vol|volume|thickness|area|thickavg|surfavg)$", re.I)


def find_extremes(
    study: Study,
    numeric: Mapping[str, pd.Series[Any]],
    known: Set[tuple[str, str]] = frozenset(),
) -> list[Facts]:
    """Find values far from their site and from all sites, and impossible ones.

    Impossible are negative sizes and intracranial volumes outside 0.6 to 2.5 litres.

    Parameters
    ----------
    study : Study
        The scans.
    numeric : mapping of {str: Series of float}
        Numeric covariates.
    known : set of (str, str)
        Pairs of scan and column, or site and column, that are explained already: codes for
        missing values, other units.

    Returns
    -------
    list of dict
        scan, site, feature, value, typical, robust_z, impossible, sentence; impossible
        values first, then by distance.

    Examples
    --------
    >>> from isoscan.description.study import gather_study
    >>> volumes = pd.DataFrame({"eTIV": [1.4e6, 1.5e6, 1.6e6, 0.2e6, 1.3e6]}, list("abcde"))
    >>> find_extremes(gather_study(volumes, ["A"] * 5, None), {})[0]["sentence"]
    "eTIV of 'd' (A) is 200,000, that is 0.2 l; people have 0.6 to 2.5 l, typical is 1,400,000."
    """
    names = [*study.features, *numeric]
    values = np.column_stack([study.values, *(column.to_numpy() for column in numeric.values())])
    everywhere, within, typical = _distances(values, study.sites)
    skull = _litres(study)
    size = [bool(_SIZE.search(name)) for name in names]
    impossible = (values < 0) & np.array(size, dtype=bool)
    for column, litres in skull.items():
        impossible[:, column] |= (litres < SKULL[0]) | (litres > SKULL[1])
    far = (everywhere > FAR) & (np.isnan(within) | (within > FAR))
    found = []
    for row, column in zip(*np.nonzero(far | impossible), strict=True):
        if known & {(study.scans[row], names[column]), (study.sites[row], names[column])}:
            continue
        facts = {
            "scan": study.scans[row],
            "site": study.sites[row],
            "feature": names[column],
            "value": float(values[row, column]),
            "typical": plain(typical[row, column]),
            "robust_z": plain(everywhere[row, column]),
            "impossible": bool(impossible[row, column]),
        }
        volume = float(skull[column][row]) if column in skull and facts["impossible"] else None
        found.append(facts | {"sentence": _sentence(facts, volume)})
    return sorted(found, key=_severity)


def _severity(item: Facts) -> tuple[bool, float, str, str]:
    return not item["impossible"], -(item["robust_z"] or 0.0), item["scan"], item["feature"]


def _distances(
    values: NDArray[np.float64], sites: NDArray[np.object_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Robust distances from all sites and from the own site, and the own site's median."""
    scale = _symmetric(values)
    everywhere = _robust_z(scale, np.zeros(len(values)), at_least=10)
    within = _robust_z(scale, sites, at_least=5)
    typical = pd.DataFrame(values).groupby(sites).transform("median").to_numpy()
    return everywhere, within, typical


def _symmetric(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take the logarithm of positive features that are less skewed on that scale."""
    positive = np.where(values > 0, values, np.nan)
    logs = np.log(positive)
    prefer = (_skew(logs) < _skew(values)) & (np.isnan(positive) == np.isnan(values)).all(axis=0)
    return np.where(prefer, logs, values)


def _skew(values: NDArray[np.float64]) -> NDArray[np.float64]:
    frame = pd.DataFrame(values)
    low, middle, high = (frame.quantile(share).to_numpy() for share in (0.1, 0.5, 0.9))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.abs(high + low - 2 * middle) / (high - low))


def _robust_z(
    values: NDArray[np.float64], groups: NDArray[Any], at_least: int
) -> NDArray[np.float64]:
    """Distance from the group's median in scaled MADs; NaN in small or tied groups."""
    frame = pd.DataFrame(values)
    deviation = (frame - frame.groupby(groups).transform("median")).abs()
    by_group = deviation.groupby(groups)
    spread = 1.4826 * by_group.transform("median").to_numpy()
    enough = by_group.transform("count").to_numpy() >= at_least
    distance = deviation.to_numpy() / np.where(enough & (spread > 0), spread, np.nan)
    return np.asarray(np.minimum(distance, 1e300))  # the others may hardly vary


def _litres(study: Study) -> dict[int, NDArray[np.float64]]:
    """Intracranial volumes in litres; each site's unit is the one its median makes sense in."""
    found = {}
    for column, name in enumerate(study.features):
        if _TOTAL.match(name):
            volumes = pd.Series(study.values[:, column])
            by_site = volumes.groupby(study.sites).transform("median").map(_litres_per_unit)
            units = by_site.fillna(_litres_per_unit(volumes.median()))
            found[column] = (volumes * units).to_numpy()
    return found


def _litres_per_unit(median: float) -> float:
    """Conversion of mm³, cm³ or litres, whichever makes the median a head; NaN if none does."""
    fitting = [unit for unit in (1e-6, 1e-3, 1.0) if SKULL[0] <= median * unit <= SKULL[1]]
    return fitting[0] if fitting else float("nan")


def _sentence(facts: Facts, litres: float | None) -> str:
    value = (
        f"{facts['feature']} of '{facts['scan']}' ({facts['site']}) is {in_words(facts['value'])}"
    )
    typical = f"typical is {in_words(facts['typical'])}"
    if litres is not None:
        return (
            f"{value}, that is {in_words(litres)} l; people have {SKULL[0]} to {SKULL[1]} l, "
            f"{typical}."
        )
    if facts["impossible"]:
        return f"{value}, but a size cannot be negative; {typical}."
    return f"{value}, {facts['robust_z']:.3g} robust SD away; {typical} at this site."
