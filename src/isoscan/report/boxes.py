"""Summarize every feature at every site by a few numbers: what a box plot needs.

Rows are scans, columns are features. Inputs are never modified; missing values
are left out of the statistics and counted by `n`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

STATISTICS = ("n", "mean", "min", "q05", "q25", "median", "q75", "q95", "max")
_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


def summarize_boxes(
    measures: pd.DataFrame, sites: NDArray[np.object_], names: list[str]
) -> NDArray[np.float64]:
    """Box statistics of each feature at each site.

    Parameters
    ----------
    measures : DataFrame of shape (n_scans, n_features)
        Measures; missing values allowed.
    sites : ndarray of shape (n_scans,)
        Site of each scan.
    names : list of str
        Sites to summarize, in this order.

    Returns
    -------
    ndarray of shape (n_features, n_sites, 9)
        The `STATISTICS`, in the unit of the feature; NaN where a site has no value.

    Examples
    --------
    >>> frame = pd.DataFrame({"volume": [1.0, 2.0, 3.0]})
    >>> summarize_boxes(frame, np.array(["A", "A", "A"], dtype=object), ["A"])[0, 0, [0, 1, 5]]
    array([3., 2., 2.])
    """
    boxes = np.full((measures.shape[1], len(names), len(STATISTICS)), np.nan)
    for number, name in enumerate(names):
        here = measures.loc[sites == name]
        boxes[:, number, 0] = here.notna().sum()
        boxes[:, number, 1] = here.mean()
        boxes[:, number, 2:] = here.quantile(list(_QUANTILES)).to_numpy().T
    return boxes


def find_outlying(
    measures: pd.DataFrame, sites: NDArray[np.object_], names: list[str], limit: int = 6
) -> list[list[list[tuple[Any, float]]]]:
    """Find scans far outside their site's box, the farthest first.

    Far means more than 1.5 interquartile ranges beyond the quartiles.

    Parameters
    ----------
    measures : DataFrame of shape (n_scans, n_features)
        Measures; missing values allowed.
    sites : ndarray of shape (n_scans,)
        Site of each scan.
    names : list of str
        Sites to look at, in this order.
    limit : int
        Largest number of scans per feature and site.

    Returns
    -------
    list of list of list of tuple
        Per feature and site: scan and value.

    References
    ----------
    .. [1] Tukey (1977), Exploratory Data Analysis, Addison-Wesley.

    Examples
    --------
    >>> frame = pd.DataFrame({"volume": [1.0, 2.0, 3.0, 2.0, 90.0]}, index=list("abcde"))
    >>> find_outlying(frame, np.array(["A"] * 5, dtype=object), ["A"])
    [[[('e', 90.0)]]]
    """
    found: list[list[list[tuple[Any, float]]]] = [
        [[] for _ in names] for _ in range(measures.shape[1])
    ]
    for number, name in enumerate(names):
        here = measures.loc[sites == name]
        for feature, scans in enumerate(_beyond_fences(here, limit)):
            values = here.iloc[scans, feature].to_numpy()
            found[feature][number] = list(zip(here.index[scans], map(float, values), strict=True))
    return found


def resolve_decimals(*boxes: NDArray[np.float64], digits: int = 5) -> list[int]:
    """Decimals that keep `digits` digits of each feature's range.

    Parameters
    ----------
    *boxes : ndarray of shape (n_features, n_sites, 9)
        Box statistics before, after.
    digits : int
        Digits to keep.

    Returns
    -------
    list of int
        Decimals per feature; negative means tens, hundreds, ...

    Examples
    --------
    >>> resolve_decimals(np.array([[[9, 2.5, 1.5, 2, 2, 2, 3, 3, 3.5]]]))
    [4]
    """
    values = np.concatenate([part[:, :, 1:].reshape(len(part), -1) for part in boxes], axis=1)
    finite = np.where(np.isfinite(values), values, np.nan)
    spread = _nan_max(finite) - -_nan_max(-finite)
    reference = np.where(spread > 0, spread, _nan_max(np.abs(finite)))
    reference = np.where(reference > 0, reference, 1.0)
    return [int(digits - 1 - np.floor(np.log10(value))) for value in reference]


def share_between_sites(measures: pd.DataFrame, sites: NDArray[np.object_]) -> NDArray[np.float64]:
    """Share of each feature's variance that lies between sites, no covariates considered.

    Parameters
    ----------
    measures : DataFrame of shape (n_scans, n_features)
        Measures; missing values allowed.
    sites : ndarray of shape (n_scans,)
        Site of each scan.

    Returns
    -------
    ndarray of shape (n_features,)
        Between 0 and 1; 0 for a feature that does not vary.

    Examples
    --------
    >>> frame = pd.DataFrame({"volume": [1.0, 1.0, 3.0, 3.0]})
    >>> share_between_sites(frame, np.array(["A", "A", "B", "B"], dtype=object))
    array([1.])
    """
    centred = measures - measures.mean()
    site_means = centred.groupby(sites).transform("mean").where(measures.notna())
    total = (centred**2).sum().to_numpy(dtype=float)
    between = (site_means**2).sum().to_numpy(dtype=float)
    return np.asarray(np.divide(between, total, out=np.zeros_like(total), where=total > 0))


def _beyond_fences(here: pd.DataFrame, limit: int) -> list[NDArray[np.int64]]:
    low, median, high = here.quantile([0.25, 0.5, 0.75]).to_numpy()
    values = here.to_numpy(dtype=float)
    reach = 1.5 * (high - low)
    beyond = (values < low - reach) | (values > high + reach)
    distance = np.where(beyond, np.abs(values - median), -1.0)
    farthest = np.argsort(-distance, axis=0, kind="stable")[:limit]
    return [rows[beyond[rows, feature]] for feature, rows in enumerate(farthest.T)]


def _nan_max(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Largest finite value of each row; NaN, without a warning, where there is none."""
    filled = np.where(np.isnan(values), -np.inf, values).max(axis=1)
    return np.where(np.isinf(filled), np.nan, filled)
