"""What is a brain expected to look like here, and how does each site deviate?

Least squares with one intercept per site, solved from moments. Numbers follow
neuroCombat for R: variances of the standardization divide by the number of scans,
those of sites by one less, and the grand mean weighs sites by all their scans.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.moments import Moments

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Deviations:
    """Expected values of every feature, and how sites deviate from them.

    Attributes
    ----------
    intercept : ndarray of shape (n_features,)
        Expected value where all covariates are 0, averaged over sites.
    slopes : ndarray of shape (n_covariates, n_features)
        Effects of the covariates, common to all sites.
    sd : ndarray of shape (n_features,)
        Residual standard deviation; 0 where a feature does not vary within sites.
    shift : ndarray of shape (n_sites, n_features)
        Mean standardized residual of each site; NaN without scans.
    variance : ndarray of shape (n_sites, n_features)
        Variance of the standardized residuals of each site; NaN below two scans.
    count : ndarray of shape (n_sites, 1 or n_features)
        Number of scans behind each estimate.
    size : ndarray of shape (n_features,)
        Root mean square of the feature about zero, to tell noise from variance.
    solvable : ndarray of bool, shape (n_features,)
        False where missing values leave covariates that cannot be told apart.
    """

    intercept: Array
    slopes: Array
    sd: Array
    shift: Array
    variance: Array
    count: Array
    size: Array
    solvable: NDArray[np.bool_]


def regress(
    moments: Moments, scans_per_site: Array, *, reference: int | None, tolerance: float
) -> Deviations:
    """Fit all features of a block.

    Parameters
    ----------
    moments : Moments
        Moments of the training scans.
    scans_per_site : ndarray of shape (n_sites,)
        Number of scans, missing values included; weights of the grand mean.
    reference : int or None
        Number of the site that defines expected value and variance.
    tolerance : float
        A residual SD smaller than this share of a feature's size is rounding noise.

    Returns
    -------
    Deviations
        Expected values, and standardized shift and variance of each site.
    """
    slopes, solvable = _slopes(moments)
    level = moments.feature_mean - np.einsum("bqv,qv->bv", moments.covariate_mean, slopes)
    observed = moments.count > 0
    if reference is None:
        weights = np.where(observed, scans_per_site[:, None], 0.0)
        intercept = (weights * level).sum(axis=0) / np.maximum(weights.sum(axis=0), 1.0)
    else:
        intercept = level[reference]
    squares = _residual_squares(moments, slopes)
    sd, size = _spread(moments, squares, reference)
    sd = np.where(sd > tolerance * size, sd, 0.0)
    unit = np.where(sd > 0, sd, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = squares / unit**2 / (moments.count - 1.0)
    return Deviations(
        intercept=intercept,
        slopes=slopes,
        sd=sd,
        shift=np.where(observed, (level - intercept) / unit, np.nan),
        variance=np.where(moments.count > 1, variance, np.nan),
        count=moments.count,
        size=size,
        solvable=solvable,
    )


def deviations_of_new_sites(moments: Moments, trained: Any) -> tuple[Array, Array]:
    """Standardized shift and variance of sites that did not take part in training.

    Parameters
    ----------
    moments : Moments
        Moments of the new sites.
    trained : object with intercept, slopes and sd
        What training found.

    Returns
    -------
    shift, variance : ndarray of shape (n_sites, n_features)
        NaN where there are too few scans.
    """
    unit = np.where(trained.sd > 0, trained.sd, 1.0)
    expected = trained.intercept + np.einsum("bqv,qv->bv", moments.covariate_mean, trained.slopes)
    squares = _residual_squares(moments, trained.slopes)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = squares / unit**2 / (moments.count - 1.0)
    return (
        np.where(moments.count > 0, (moments.feature_mean - expected) / unit, np.nan),
        np.where(moments.count > 1, variance, np.nan),
    )


def _slopes(moments: Moments) -> tuple[Array, NDArray[np.bool_]]:
    """Within-site least squares, and where it has one solution.

    Site intercepts drop out of centred moments. Covariates are scaled by their own spread,
    so that years and 0/1 are comparable.
    """
    products = moments.covariate_products.sum(axis=0)
    cross = moments.cross_products.sum(axis=0)
    n_covariates, n_features = cross.shape
    if n_covariates == 0:
        return cross, np.ones(n_features, dtype=bool)
    spread = np.sqrt(np.einsum("qqv->qv", products))
    spread = np.where(spread > 0, spread, 1.0)
    matrices = np.moveaxis(products / (spread[:, None] * spread[None]), -1, 0)
    solvable = np.linalg.eigvalsh(matrices)[:, 0] > 1e-12
    matrices = np.where(solvable[:, None, None], matrices, np.eye(n_covariates))
    right = np.moveaxis(cross / spread, -1, 0)
    if len(matrices) == 1:  # the same covariates for every feature
        slopes = np.linalg.solve(matrices[0], right.T)
    else:
        slopes = np.linalg.solve(matrices, right[:, :, None])[:, :, 0].T
    solvable = np.broadcast_to(solvable, n_features)
    return np.where(solvable, slopes / spread, 0.0), solvable


def _residual_squares(moments: Moments, slopes: Array) -> Array:
    """Squared residuals summed within each site, about the site's own mean."""
    explained = 2 * moments.cross_products - np.einsum(
        "bqrv,rv->bqv", moments.covariate_products, slopes
    )
    squares = moments.feature_squares - np.einsum("bqv,qv->bv", explained, slopes)
    return np.asarray(np.maximum(squares, 0.0))


def _spread(moments: Moments, squares: Array, reference: int | None) -> tuple[Array, Array]:
    """Residual SD (divisor n) and root mean square about zero, per feature."""
    count = np.broadcast_to(moments.count, squares.shape)
    everything = moments.feature_squares + count * moments.feature_mean**2
    size = np.sqrt(everything.sum(axis=0) / np.maximum(count.sum(axis=0), 1.0))
    if reference is None:
        variance = squares.sum(axis=0) / np.maximum(count.sum(axis=0), 1.0)
    else:
        variance = squares[reference] / np.maximum(count[reference], 1.0)
    return np.sqrt(variance), size
