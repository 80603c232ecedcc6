"""Location and scale that single odd scans do not move: median and biweight midvariance.

Regression stays least squares; what is robust is how far each site deviates from it, as
in ComBatFamily [1]_. This needs the scans themselves, not only their moments.

References
----------
.. [1] ComBatFamily, https://github.com/andy1764/ComBatFamily
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from isoscan.combat.blocks import for_each_block
from isoscan.combat.moments import Scans
from isoscan.combat.priors import SquaresAbout
from isoscan.combat.regression import Deviations

Array = NDArray[np.float64]

REACH = 9.0 / float(norm.ppf(0.75))
"""Scans farther from the centre than this many median absolute deviations do not count."""

STANDSTILL = 1e-20
"""A variance this small, in squared residual SDs, is rounding noise."""


def biweight_midvariance(values: Array, centre: Array) -> Array:
    """Variance about a centre in which distant values count less and less.

    Parameters
    ----------
    values : ndarray of shape (n_scans, n_features)
        NaN where missing.
    centre : ndarray of shape (n_features,)
        Usually the median.

    Returns
    -------
    ndarray of shape (n_features,)
        0 where at least half of the values are at the centre; NaN without values.

    References
    ----------
    .. [1] Mosteller & Tukey (1977), Data Analysis and Regression, chapter 10.

    Examples
    --------
    >>> values = np.array([[1.0], [2.0], [3.0], [4.0], [500.0]])
    >>> biweight_midvariance(values, np.array([3.0])).round(2).tolist()
    [1.94]
    """
    distance = values - centre
    reach = REACH * _median(np.abs(distance))
    u = (distance / np.where(reach > 0, reach, np.inf)) ** 2
    near = u < 1
    weight = np.where(near, 1 - u, 0.0)
    top = (np.where(near, distance, 0.0) ** 2 * weight**4).sum(axis=0)
    bottom = (weight * np.where(near, 1 - 5 * u, 0.0)).sum(axis=0)
    scans = (~np.isnan(values)).sum(axis=0)
    spread = scans * top / np.where(bottom == 0, np.inf, bottom) ** 2
    return np.where(reach > 0, spread, np.where(np.isnan(reach), np.nan, 0.0))


def _median(values: Array) -> Array:
    """Median over scans; NaN only without values."""
    if not np.isnan(values).any():
        return np.asarray(np.median(values, axis=0))
    ordered = np.sort(values, axis=0)  # NaN last
    scans = (~np.isnan(values)).sum(axis=0)
    low, high = (np.maximum(scans - 1, 0) // 2, scans // 2)
    high = np.minimum(high, len(values) - 1)
    columns = np.arange(values.shape[1])
    return np.asarray((ordered[low, columns] + ordered[high, columns]) / 2)


def robust_deviations(
    table: NDArray[Any],
    scans: Scans,
    linear: Deviations,
    *,
    reference: int | None,
    n_jobs: int | None = None,
) -> tuple[Deviations, Callable[[int, NDArray[np.intp]], SquaresAbout]]:
    """Measure spread, shift and variance again, by median and midvariance.

    Parameters
    ----------
    table : ndarray of shape (n_scans, n_features)
        Measures of the training scans.
    scans : Scans
        Rows grouped by site, with their covariates.
    linear : Deviations
        Least squares fit of the same scans.
    reference : int or None
        Number of the site that defines the spread.
    n_jobs : int, optional
        Number of threads.

    Returns
    -------
    deviations : Deviations
        The same expected values, with robust spread, shift and variance.
    squares_about : callable
        Takes a site and the numbers of features; see `squares_about`.
    """
    sd = np.zeros_like(linear.sd)
    shift, variance = np.full_like(linear.shift, np.nan), np.full_like(linear.shift, np.nan)
    chosen = slice(None) if reference is None else scans.sites[reference]

    def measure(block: slice) -> None:
        residuals = _residuals(table, scans, linear, block)
        of_sites = residuals - _site_means(residuals, scans)
        sd[block] = _spread(of_sites[chosen])
        sd[block][linear.sd[block] == 0] = 0.0
        residuals /= np.where(sd[block] > 0, sd[block], 1.0)
        for site, part in scans.present:
            shift[site, block] = _median(residuals[part])
            variance[site, block] = biweight_midvariance(residuals[part], shift[site, block])

    for_each_block(measure, len(scans.order), table.shape[1], n_jobs)
    variance[variance < STANDSTILL] = 1.0  # as where moments say that a site stands still
    variance[np.broadcast_to(linear.count, variance.shape) < 2] = np.nan
    robust = replace(linear, sd=sd, shift=shift, variance=variance)
    return robust, partial(squares_about, table, scans, robust)


def squares_about(
    table: NDArray[Any], scans: Scans, robust: Deviations, site: int, columns: NDArray[np.intp]
) -> Callable[[slice, Array], Array]:
    """Give the sum of squares of one site about any centre, robustly.

    Parameters
    ----------
    table : ndarray of shape (n_scans, n_features)
        Measures of the training scans.
    scans : Scans
        Rows grouped by site, with their covariates.
    robust : Deviations
        What `robust_deviations` found.
    site : int
        Number of the site.
    columns : ndarray of int
        Features that vary.

    Returns
    -------
    callable
        Takes a slice of these columns and their centres, in residual standard deviations.
    """
    part = scans.sites[site]
    values = table[np.ix_(scans.order[part], columns)].astype(float)
    values -= robust.intercept[columns] + scans.covariates[part] @ robust.slopes[:, columns]
    values /= robust.sd[columns]
    scans_seen = np.maximum((~np.isnan(values)).sum(axis=0) - 1.0, 0.0)

    def squares(some: slice, centre: Array) -> Array:
        spread = biweight_midvariance(values[:, some], centre)
        return np.asarray(scans_seen[some] * np.where(np.isnan(spread), 0.0, spread))

    return squares


def _residuals(table: NDArray[Any], scans: Scans, linear: Deviations, block: slice) -> Array:
    """What covariates do not explain, grouped by site; the site effect is still in it."""
    values = table[:, block][scans.order].astype(float)
    values -= linear.intercept[block] + scans.covariates @ linear.slopes[:, block]
    return np.asarray(values)


def _site_means(residuals: Array, scans: Scans) -> Array:
    means = np.zeros_like(residuals)
    for _, part in scans.present:
        seen = np.maximum((~np.isnan(residuals[part])).sum(axis=0), 1)
        means[part] = np.nansum(residuals[part], axis=0) / seen
    return means


def _spread(residuals: Array) -> Array:
    """Robust standard deviation with divisor n, about the median."""
    scans = np.maximum((~np.isnan(residuals)).sum(axis=0), 1)
    variance = biweight_midvariance(residuals, _median(residuals)) * (scans - 1) / scans
    return np.sqrt(np.where(np.isnan(variance), 0.0, variance))
