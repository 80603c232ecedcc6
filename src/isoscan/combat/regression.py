"""What is a brain expected to look like here, and how does each site deviate?

Least squares with one intercept per site, solved from moments. Numbers follow
neuroCombat for R: variances of the standardization divide by the number of scans,
those of sites by one less, and the grand mean weighs sites by all their scans.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.moments import Moments
from isoscan.combat.smooth import Penalty, SmoothFit, penalised_slopes

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
    smooth : SmoothFit or None
        How much curves bend, if there are any.
    """

    intercept: Array
    slopes: Array
    sd: Array
    shift: Array
    variance: Array
    count: Array
    size: Array
    solvable: NDArray[np.bool_]
    smooth: SmoothFit | None = None


def regress(
    moments: Moments,
    scans_per_site: Array,
    *,
    reference: int | None,
    tolerance: float,
    penalties: Sequence[Penalty] = (),
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
    penalties : sequence of Penalty
        Design columns that draw curves.

    Returns
    -------
    Deviations
        Expected values, and standardized shift and variance of each site.
    """
    slopes, solvable, smooth = _slopes(moments, penalties)
    level = _site_levels(moments, slopes)
    if reference is None:
        weights = np.where(moments.count > 0, scans_per_site[:, None], 0.0)
        intercept = (weights * level).sum(axis=0) / np.maximum(weights.sum(axis=0), 1.0)
    else:
        intercept = level[reference]
    squares = _residual_squares(moments, slopes)
    sd, size = _spread(moments, squares, reference)
    sd[sd <= tolerance * size] = 0.0
    shift, variance = _standardized(moments, level - intercept, squares, sd)
    # Where a site stands still, the references put 1 before they fit the prior.
    variance[squares <= moments.count * (tolerance * size) ** 2] = 1.0
    return Deviations(
        intercept=intercept,
        slopes=slopes,
        sd=sd,
        shift=shift,
        variance=variance,
        count=moments.count,
        size=size,
        solvable=solvable,
        smooth=smooth,
    )


def deviations_of_new_sites(
    moments: Moments, intercept: Array, slopes: Array, sd: Array
) -> tuple[Array, Array]:
    """Standardized shift and variance of sites that did not take part in training.

    Parameters
    ----------
    moments : Moments
        Moments of the new sites.
    intercept : ndarray of shape (n_features,)
        Expected value where all covariates are 0, from training.
    slopes : ndarray of shape (n_covariates, n_features)
        Effects of the covariates, from training.
    sd : ndarray of shape (n_features,)
        Residual standard deviation, from training.

    Returns
    -------
    shift, variance : ndarray of shape (n_sites, n_features)
        NaN where there are too few scans.
    """
    deviation = _site_levels(moments, slopes) - intercept
    return _standardized(moments, deviation, _residual_squares(moments, slopes), sd)


def _standardized(
    moments: Moments, deviation: Array, squares: Array, sd: Array
) -> tuple[Array, Array]:
    """Shift and variance in units of the residual SD; NaN where there are too few scans."""
    unit = np.where(sd > 0, sd, 1.0)
    shift = deviation / unit
    variance = squares / np.maximum(moments.count - 1.0, 1.0)
    variance /= unit**2
    if moments.count.min() < 2:
        count = np.broadcast_to(moments.count, shift.shape)
        shift[count < 1] = np.nan
        variance[count < 2] = np.nan
    return shift, variance


def _site_levels(moments: Moments, slopes: Array) -> Array:
    """Fitted value of each site where all covariates are 0."""
    if moments.has_missing:
        explained = np.einsum("bqv,qv->bv", moments.covariate_mean, slopes)
        return np.asarray(moments.feature_mean - explained)
    return np.asarray(moments.feature_mean - moments.covariate_mean[:, :, 0] @ slopes)


def _slopes(
    moments: Moments, penalties: Sequence[Penalty]
) -> tuple[Array, NDArray[np.bool_], SmoothFit | None]:
    """Slopes of all design columns, where they have one solution, and how curves bend."""
    if not penalties:
        return *_least_squares(moments), None
    fit = penalised_slopes(
        moments.covariate_products.sum(axis=0),
        moments.cross_products.sum(axis=0),
        moments.feature_squares.sum(axis=0),
        np.maximum(moments.count - 1, 0).sum(axis=0),
        penalties,
    )
    return fit.slopes, fit.solvable, fit


def _least_squares(moments: Moments) -> tuple[Array, NDArray[np.bool_]]:
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
        slopes = np.linalg.inv(matrices[0]) @ right.T
    else:
        slopes = np.linalg.solve(matrices, right[:, :, None])[:, :, 0].T
    solvable = np.broadcast_to(solvable, n_features)
    return np.where(solvable, slopes / spread, 0.0), solvable


def _residual_squares(moments: Moments, slopes: Array) -> Array:
    """Squared residuals summed within each site, about the site's own mean."""
    squares = moments.feature_squares - 2 * np.einsum("bqv,qv->bv", moments.cross_products, slopes)
    if moments.has_missing:
        squares += np.einsum("bqrv,qv,rv->bv", moments.covariate_products, slopes, slopes)
    else:  # one small matrix product instead of a sum over features
        pairs = slopes[:, None] * slopes[None]
        products = moments.covariate_products[..., 0]
        squares += products.reshape(len(products), -1) @ pairs.reshape(-1, squares.shape[1])
    return np.asarray(np.maximum(squares, 0.0, out=squares))


def _spread(moments: Moments, squares: Array, reference: int | None) -> tuple[Array, Array]:
    """Residual SD (divisor n) and root mean square about zero, per feature."""
    scans = np.maximum(moments.count.sum(axis=0), 1.0)
    everything = moments.feature_mean**2
    everything *= moments.count
    everything += moments.feature_squares
    size = np.sqrt(everything.sum(axis=0) / scans)
    if reference is None:
        return np.sqrt(squares.sum(axis=0) / scans), size
    return np.sqrt(squares[reference] / np.maximum(moments.count[reference], 1.0)), size
