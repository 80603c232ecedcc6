"""Do sites differ in spread? Brown-Forsythe and Fligner-Killeen for all features at once.

Same statistics as `scipy.stats.levene` and `scipy.stats.fligner` with ``center="median"``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, fdtrc, ndtri
from scipy.stats import rankdata

SMALLEST_SITE = 3
"""Scans a site needs for its spread to be compared."""

Matrix = NDArray[np.float64]


def levene_p(residuals: Matrix, codes: NDArray[np.intp]) -> Matrix:
    """Test whether sites have equal variance, robustly (Brown-Forsythe).

    Parameters
    ----------
    residuals : ndarray of shape (n_scans, n_features)
        What is left after site and covariates; NaN where missing.
    codes : ndarray of int, shape (n_scans,)
        Site of each scan. Sites with fewer than three values of a feature are left out.

    Returns
    -------
    ndarray of shape (n_features,)
        P values; NaN where fewer than two sites can be compared.

    References
    ----------
    .. [1] Brown & Forsythe (1974), JASA 69:364, doi:10.1080/01621459.1974.10482955.

    Examples
    --------
    >>> residuals = np.array([[-1.0], [0.0], [1.0], [-9.0], [0.0], [9.0]])
    >>> levene_p(residuals, np.array([0, 0, 0, 1, 1, 1])).round(3)
    array([0.152])
    """
    distances = _distances_from_median(residuals, codes)
    n, means, overall = _site_means(distances, codes)
    total, n_sites = n.sum(axis=0), (n > 0).sum(axis=0)
    between = (n * np.square(means - overall)).sum(axis=0)
    within = np.nansum(np.square(distances - means[codes]), axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        f = between / (n_sites - 1) / (within / (total - n_sites))
    return np.where(_comparable(n_sites, distances), fdtrc(n_sites - 1, total - n_sites, f), np.nan)


def fligner_p(residuals: Matrix, codes: NDArray[np.intp]) -> Matrix:
    """Test whether sites have equal variance, by ranks (Fligner-Killeen).

    Parameters
    ----------
    residuals : ndarray of shape (n_scans, n_features)
        What is left after site and covariates; NaN where missing.
    codes : ndarray of int, shape (n_scans,)
        Site of each scan. Sites with fewer than three values of a feature are left out.

    Returns
    -------
    ndarray of shape (n_features,)
        P values; NaN where fewer than two sites can be compared.

    References
    ----------
    .. [1] Fligner & Killeen (1976), JASA 71:210, doi:10.1080/01621459.1976.10481517.

    Examples
    --------
    >>> residuals = np.array([[-1.0], [0.0], [1.0], [-9.0], [0.0], [9.0]])
    >>> fligner_p(residuals, np.array([0, 0, 0, 1, 1, 1])).round(3)
    array([0.288])
    """
    return spread_p(*fligner_statistic(residuals, codes))


def fligner_statistic(residuals: Matrix, codes: NDArray[np.intp]) -> tuple[Matrix, Matrix]:
    """Statistic of Fligner and Killeen, which is chi-squared if sites have equal variance.

    Parameters
    ----------
    residuals : ndarray of shape (n_scans, n_features)
        What is left after site and covariates; NaN where missing.
    codes : ndarray of int, shape (n_scans,)
        Site of each scan. Sites with fewer than three values of a feature are left out.

    Returns
    -------
    chi2 : ndarray of shape (n_features,)
        NaN where fewer than two sites can be compared.
    n_sites : ndarray of shape (n_features,)
        Number of sites compared; degrees of freedom are one less.

    Examples
    --------
    >>> residuals = np.array([[-1.0], [0.0], [1.0], [-9.0], [0.0], [9.0]])
    >>> fligner_statistic(residuals, np.array([0, 0, 0, 1, 1, 1]))[0].round(3)
    array([1.13])
    """
    distances = _distances_from_median(residuals, codes)
    ranks = rankdata(distances, axis=0, nan_policy="omit")
    total = (~np.isnan(distances)).sum(axis=0)
    scores = ndtri(ranks / (2 * (total + 1.0)) + 0.5)
    n, means, overall = _site_means(scores, codes)
    n_sites = (n > 0).sum(axis=0)
    between = (n * np.square(means - overall)).sum(axis=0)
    spread = np.nansum(np.square(scores - overall), axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = between / (spread / (total - 1))
    return np.where(_comparable(n_sites, distances), statistic, np.nan), n_sites


def spread_p(chi2: Matrix, n_sites: Matrix) -> Matrix:
    """Probability of so large a statistic if sites have equal variance.

    Parameters
    ----------
    chi2, n_sites : ndarray of shape (n_features,)
        From `fligner_statistic`.

    Returns
    -------
    ndarray of shape (n_features,)
        P values; NaN where there is no statistic.

    Examples
    --------
    >>> spread_p(np.array([1.13]), np.array([2])).round(3)
    array([0.288])
    """
    known = ~np.isnan(chi2)
    return np.where(known, chdtrc(np.maximum(n_sites - 1, 1), np.where(known, chi2, 0.0)), np.nan)


def _distances_from_median(residuals: Matrix, codes: NDArray[np.intp]) -> Matrix:
    """Absolute distance of each value from its site's median; NaN in sites too small."""
    distances = np.full(residuals.shape, np.nan)
    for code in np.unique(codes):
        rows = np.flatnonzero(codes == code)
        own = residuals[rows]
        ordered = np.sort(own, axis=0)  # missing values come last
        n = (~np.isnan(own)).sum(axis=0)
        lower, upper = np.maximum((n - 1) // 2, 0), np.minimum(n // 2, len(rows) - 1)
        features = np.arange(own.shape[1])
        median = (ordered[lower, features] + ordered[upper, features]) / 2
        distances[rows] = np.where(n >= SMALLEST_SITE, np.abs(own - median), np.nan)
    return distances


def _site_means(values: Matrix, codes: NDArray[np.intp]) -> tuple[Matrix, Matrix, Matrix]:
    """Count and mean of each site, and the mean of all; 0 where there is nothing."""
    member = (codes[None, :] == np.arange(codes.max() + 1)[:, None]).astype(float)
    present = ~np.isnan(values)
    n = member @ present
    sums = member @ np.where(present, values, 0.0)
    overall = sums.sum(axis=0) / np.maximum(n.sum(axis=0), 1)
    return n, sums / np.maximum(n, 1), overall


def _comparable(n_sites: Matrix, distances: Matrix) -> NDArray[np.bool_]:
    """Two sites or more, and distances that are not all the same."""
    present = ~np.isnan(distances)
    top = np.where(present, distances, -np.inf).max(axis=0)
    bottom = np.where(present, distances, np.inf).min(axis=0)
    return np.asarray((n_sites > 1) & (top > bottom))
