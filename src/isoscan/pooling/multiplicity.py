"""Adjust p values for many tests, as R's p.adjust does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import false_discovery_control

from isoscan.errors import DataError, count, name_some

Adjustment = Literal["bh", "by", "holm", "hochberg", "bonferroni"]
ADJUSTMENTS = {
    "bh": "Benjamini-Hochberg",
    "by": "Benjamini-Yekutieli",
    "holm": "Holm",
    "hochberg": "Hochberg",
    "bonferroni": "Bonferroni",
}


def adjust_p(p: ArrayLike, method: Adjustment = "bh") -> NDArray[np.float64]:
    """Adjust p values of one family of tests.

    Parameters
    ----------
    p : array_like
        P values, any shape; NaN for tests that could not be done, which do not count.
    method : {"bh", "by", "holm", "hochberg", "bonferroni"}
        False discovery rate (Benjamini-Hochberg; Benjamini-Yekutieli for any dependence)
        or family-wise error.

    Returns
    -------
    ndarray
        Adjusted p values in the shape of `p`, NaN where `p` is.

    Raises
    ------
    DataError
        If the method is unknown or a value is no probability.

    References
    ----------
    .. [1] Benjamini & Hochberg (1995), doi:10.1111/j.2517-6161.1995.tb02031.x.
    .. [2] Benjamini & Yekutieli (2001), doi:10.1214/aos/1013699998.

    Examples
    --------
    >>> adjust_p([0.01, 0.04, float("nan"), 0.03])
    array([0.03, 0.04,  nan, 0.04])
    """
    values = np.asarray(p, dtype=float)
    if method not in ADJUSTMENTS:
        raise DataError(f"'{method}' is no adjustment of p values: {name_some(ADJUSTMENTS)}.")
    if ((values < 0) | (values > 1)).any():
        raise DataError("p values must lie between 0 and 1.")
    adjusted = np.full(values.shape, np.nan)
    done = ~np.isnan(values)
    if done.any():
        adjusted[done] = _adjust(values[done], method)
    return adjusted


def adjust_within(
    table: pd.DataFrame, adjust: Adjustment, families: Mapping[str, str] | None
) -> NDArray[np.float64]:
    """Adjust p for the number of features of each family.

    Parameters
    ----------
    table : DataFrame
        Has the columns feature and p.
    adjust : {"bh", "by", "holm", "hochberg", "bonferroni"}
        Adjustment.
    families : mapping of {str: str} or None
        Family of each feature; None for one family.

    Returns
    -------
    ndarray of shape (n_features,)
        Adjusted p.

    Raises
    ------
    DataError
        If a feature has no family.
    """
    p = table["p"].to_numpy()
    if families is None:
        return adjust_p(p, adjust)
    absent = [feature for feature in table["feature"] if feature not in families]
    if absent:
        raise DataError(f"{count(absent, 'feature')} without a family: {name_some(absent)}.")
    names = table["feature"].map(dict(families)).to_numpy()
    adjusted = np.full(p.shape, np.nan)
    for name in pd.unique(names):
        adjusted[names == name] = adjust_p(p[names == name], adjust)
    return adjusted


def _adjust(p: NDArray[np.float64], method: Adjustment) -> NDArray[np.float64]:
    if method in ("bh", "by"):
        return np.asarray(false_discovery_control(p, method=method))
    if method == "bonferroni":
        return np.minimum(p * p.size, 1.0)
    order = np.argsort(p)
    scaled = p[order] * np.arange(p.size, 0, -1)
    adjusted = np.empty_like(p)
    if method == "holm":
        adjusted[order] = np.maximum.accumulate(scaled)
    else:
        adjusted[order] = np.minimum.accumulate(scaled[::-1])[::-1]
    return np.minimum(adjusted, 1.0)
