"""How intensities of a tissue, or of the air, are distributed.

In the weighted summaries every voxel counts by the probability of the tissue; in the eroded
ones only voxels that are almost certainly of the tissue count, without those at its border.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

NORMAL_MAD = 0.6744897501960817
"""Median absolute deviation of a normal distribution whose standard deviation is 1."""

RAYLEIGH = (2 / (4 - np.pi)) ** -0.5
"""What noise of standard deviation 1 becomes where a magnitude image holds no signal."""

_QUANTILES = {"p05": 0.05, "median": 0.5, "p95": 0.95}
_CERTAIN, _FEW = 0.85, 1000
_MOST_COUNTED = 1 << 24

Array = NDArray[Any]
Summary = dict[str, float]


def weighted_summary(values: Array, weights: Array, *, rounded: bool = False) -> Summary:
    """Summarize intensities, each counted by its weight.

    Kurtosis and median absolute deviation are those of voxels whose weight exceeds half of
    the largest.

    Parameters
    ----------
    values : ndarray
        Intensities.
    weights : ndarray
        Probability that a voxel belongs to the tissue; same shape.
    rounded : bool
        Round intensities to whole numbers, weights to 3 decimals and results to 4.

    Returns
    -------
    dict of {str: float}
        mean, stdv, p05, median, p95, k, mad and n (sum of the weights); NaN if the weights
        are all zero.

    Examples
    --------
    >>> weighted_summary(np.array([1.0, 2, 3]), np.array([0.2, 0.8, 0]))["mean"]
    1.8
    """
    total = float(weights.sum(dtype=np.float64))
    if total <= 0:
        return _unknown(total)
    if rounded:
        shares = np.round(weights.astype(np.float32), 3).astype(np.float64)
        distinct, counts = _tally(np.round(values).ravel(), shares.ravel())
    else:
        inside = weights > 0
        distinct, counts = _in_order(values[inside], weights[inside])
    mean = np.average(distinct, weights=counts)
    spread = np.average((distinct - mean) ** 2, weights=counts) ** 0.5
    quantiles = weighted_quantiles(distinct, counts, [*_QUANTILES.values()])
    found = {"mean": float(mean), "stdv": float(spread)}
    found |= dict(zip(_QUANTILES, quantiles, strict=True))
    core = values[weights > 0.5 * weights.max()]
    found |= {"k": kurtosis(core), "mad": deviation(core, found["median"])}
    if rounded:
        found = {name: round(value, 4) for name, value in found.items()}
    return found | {"n": total}


def weighted_quantiles(values: Array, weights: Array, probabilities: list[float]) -> list[float]:
    """Find quantiles of values that do not count alike.

    Parameters
    ----------
    values : ndarray of shape (n,)
        In ascending order.
    weights : ndarray of shape (n,)
        How much each counts.
    probabilities : list of float
        Shares of the total weight.

    Returns
    -------
    list of float
        The first value with as much weight up to it; where the weight is hit exactly, the
        mean of that value and the next.
    """
    up_to = np.cumsum(weights)
    wanted = np.array(probabilities) * up_to[-1]
    place = np.minimum(np.searchsorted(up_to, wanted), len(values) - 1)
    exact = (np.abs(wanted - up_to[place]) < 1e-10) & (place < len(values) - 1)
    after = np.where(exact, place + 1, place)
    return [float(value) for value in (values[place] + values[after]) / 2]


def _in_order(values: Array, weights: Array) -> tuple[Array, Array]:
    """Values in ascending order, each with its weight."""
    order = np.argsort(values)
    return values[order].astype(np.float64), weights[order].astype(np.float64)


def _tally(values: Array, weights: Array) -> tuple[Array, Array]:
    """Distinct whole numbers, not negative, and the weight of each."""
    if values.max() > _MOST_COUNTED:
        distinct, number = np.unique(values, return_inverse=True)
        return distinct.astype(np.float64), np.bincount(number, weights)
    whole = values.astype(np.intp)
    present = np.flatnonzero(np.bincount(whole))
    return present.astype(np.float64), np.bincount(whole, weights)[present]


def eroded_summary(values: Array, weights: Array, *, erode: bool) -> Summary:
    """Summarize intensities of voxels that almost certainly belong to a tissue.

    Parameters
    ----------
    values : ndarray of shape (x, y, z)
        Intensities.
    weights : ndarray of shape (x, y, z)
        Probability of the tissue; above 0.85 a voxel counts.
    erode : bool
        Leave out voxels with a neighbour (of 18) that does not count.

    Returns
    -------
    dict of {str: float}
        mean, stdv, p05, median, p95, k, mad and n (number of voxels); NaN without voxels.
    """
    from scipy.ndimage import binary_erosion, generate_binary_structure

    inside = weights > _CERTAIN
    if erode:
        inside = binary_erosion(inside, generate_binary_structure(3, 2))
    core = values[inside].astype(np.float64)
    if not core.size:
        return _unknown(0.0)
    percentiles = np.percentile(core, [5, 50, 95])
    found = dict(zip(_QUANTILES, map(float, percentiles), strict=True))
    found |= {"mean": float(core.mean()), "stdv": float(core.std()), "k": kurtosis(core)}
    return found | {"mad": deviation(core, found["median"]), "n": float(core.size)}


def background_of_old(air: Summary, tissues: list[Summary]) -> Summary:
    """Give a background to images that have none, as MRIQC 0.15 did.

    Parameters
    ----------
    air : dict of {str: float}
        Eroded summary of the air.
    tissues : list of dict
        Summaries of the tissues.

    Returns
    -------
    dict of {str: float}
        The summary of the air if it holds 1000 voxels; else zeros, with the spread of all
        tissues together. A deviation of 0 is replaced by the standard deviation.
    """
    if air["n"] < _FEW:
        spread = {name: sum(one[name] ** 2 for one in tissues) ** 0.5 for name in ("stdv", "mad")}
        zeros = dict.fromkeys(("mean", "median", "p95", "p05", "k"), 0.0)
        air = zeros | spread | {"n": sum(one["n"] for one in tissues)}
    if air["mad"] == 0 and air["stdv"] > 1:
        air = air | {"mad": air["stdv"] / RAYLEIGH}
    return air


def kurtosis(values: Array) -> float:
    """Excess kurtosis, not corrected for bias.

    Parameters
    ----------
    values : ndarray
        Intensities.

    Returns
    -------
    float
        0 for a normal distribution; NaN if the values do not vary.
    """
    apart = values.astype(np.float64) - values.mean(dtype=np.float64)
    second = np.mean(apart**2)
    if second <= (np.finfo(float).eps * np.abs(values).max()) ** 2:
        return float("nan")
    return float(np.mean(apart**4) / second**2 - 3)


def deviation(values: Array, centre: float) -> float:
    """Median absolute deviation, scaled to the standard deviation of a normal distribution.

    Parameters
    ----------
    values : ndarray
        Intensities.
    centre : float
        Their median.

    Returns
    -------
    float
        In the unit of the values.
    """
    return float(np.median(np.abs(values.astype(np.float64) - centre)) / NORMAL_MAD)


def _unknown(n: float) -> Summary:
    names = ("mean", "stdv", *_QUANTILES, "k", "mad")
    return dict.fromkeys(names, float("nan")) | {"n": n}
