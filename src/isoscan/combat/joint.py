"""ComBat for several batch variables: one regression, effects shrunk in turn.

All batch variables and covariates enter one least squares fit. The levels of the first
variable are then shrunk and their scale taken out, then those of the second, and so on. A
measure y with expectation m and residual SD s becomes ``m + s (z - sum of shifts) /
product of scales`` with ``z = (y - m) / s``. With one variable this is ComBat.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.batches import Batches, Cells
from isoscan.combat.blocks import for_each_block
from isoscan.combat.effects import Shrinkage, SiteEffects, shrink_sites
from isoscan.combat.model import SiteModel
from isoscan.combat.moments import Moments
from isoscan.combat.regression import Deviations

Array = NDArray[np.float64]


@dataclass(frozen=True)
class JointFit:
    """What is expected, how levels shift, and what is left in each cell.

    Attributes
    ----------
    intercept : ndarray of shape (n_features,)
        Expected value where all covariates are 0, averaged over scans.
    slopes : ndarray of shape (n_covariates, n_features)
        Effects of the covariates.
    shift : ndarray of shape (n_levels, n_features)
        Effects of the levels, in residual SDs; each variable's average 0 over scans.
    sd : ndarray of shape (n_features,)
        Residual SD; 0 where a feature does not vary within cells.
    left : ndarray of shape (n_cells, n_features)
        Mean standardized residual of each cell.
    squares : ndarray of shape (n_cells, n_features)
        Squares of standardized residuals about it, summed.
    count : ndarray of shape (n_cells, 1 or n_features)
        Number of scans.
    size : ndarray of shape (n_features,)
        Root mean square of the feature about zero.
    solvable : ndarray of bool, shape (n_features,)
        False where missing values leave covariates that cannot be told apart.
    """

    intercept: Array
    slopes: Array
    shift: Array
    sd: Array
    left: Array
    squares: Array
    count: Array
    size: Array
    solvable: NDArray[np.bool_]


def fit_jointly(
    moments_of: Callable[[slice], Moments],
    scans_per_cell: Array,
    cells: Cells,
    batches: Batches,
    n_features: int,
    *,
    tolerance: float,
    n_jobs: int | None = None,
) -> JointFit:
    """Fit all features.

    Parameters
    ----------
    moments_of : callable
        Gives the moments of a slice of features, one set per cell.
    scans_per_cell : ndarray of shape (n_cells,)
        Number of scans, missing values included; weights of the grand mean.
    cells : Cells
        Levels of each cell.
    batches : Batches
        The batch variables.
    n_features : int
        Number of features.
    tolerance : float
        Relative size of rounding noise.
    n_jobs : int, optional
        Number of threads.

    Returns
    -------
    JointFit
        Expectation, shifts, and what is left.
    """
    members = cells.members.astype(float)

    def solve(block: slice) -> JointFit:
        return _solve(moments_of(block), scans_per_cell, members, batches, tolerance)

    parts = for_each_block(solve, float(scans_per_cell.mean()), n_features, n_jobs)
    whole = any(part.count.shape[1] > 1 for part in parts)
    joined = {
        name: np.concatenate([getattr(part, name) for part in parts], axis=-1)
        for name in JointFit.__dataclass_fields__
        if name != "count"
    }
    counts = [np.broadcast_to(part.count, part.left.shape) for part in parts]
    return JointFit(**joined, count=np.concatenate(counts, axis=1) if whole else parts[0].count)


def _solve(
    moments: Moments, scans_per_cell: Array, members: Array, batches: Batches, tolerance: float
) -> JointFit:
    n_features = moments.feature_mean.shape[1]
    dummies = _without_first(members, batches)
    coefficients, solvable = _least_squares(moments, dummies)
    n_dummies = dummies.shape[1]
    effects = _all_levels(coefficients[1:n_dummies], members.shape[1], batches)
    slopes, intercept = coefficients[n_dummies:], coefficients[0].copy()
    scans_per_level = scans_per_cell @ members
    for part in batches.parts:
        weights = scans_per_level[part] / scans_per_cell.sum()
        centre = weights @ effects[part]
        effects[part] -= centre
        intercept += centre
    explained = np.einsum("bqv,qv->bv", moments.covariate_mean, slopes)
    left = moments.feature_mean - intercept - members @ effects - explained
    left = np.where(moments.count > 0, left, 0.0)
    squares = _squares_within(moments, slopes)
    scans = np.maximum(moments.count.sum(axis=0), 1.0)
    size = np.sqrt(
        (moments.feature_squares + moments.count * moments.feature_mean**2).sum(axis=0) / scans
    )
    sd = np.sqrt((squares + moments.count * left**2).sum(axis=0) / scans)
    sd = np.where(sd > tolerance * size, sd, 0.0)
    unit = np.where(sd > 0, sd, 1.0)
    return JointFit(
        intercept=intercept,
        slopes=slopes,
        shift=effects / unit,
        sd=sd,
        left=left / unit,
        squares=squares / unit**2,
        count=moments.count,
        size=size,
        solvable=np.broadcast_to(solvable, n_features),
    )


def _without_first(members: Array, batches: Batches) -> Array:
    """A column of ones, and the levels of each variable but its first."""
    columns = [np.ones((len(members), 1))]
    columns += [members[:, part.start + 1 : part.stop] for part in batches.parts]
    return np.hstack(columns)


def _all_levels(coefficients: Array, n_levels: int, batches: Batches) -> Array:
    """Effects of all levels; that of each first level is 0."""
    effects = np.zeros((n_levels, coefficients.shape[1]))
    start = 0
    for part in batches.parts:
        width = part.stop - part.start - 1
        effects[part.start + 1 : part.stop] = coefficients[start : start + width]
        start += width
    return effects


def _least_squares(moments: Moments, dummies: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Coefficients of dummies and covariates; aliased ones share what they explain.

    Covariates are centred at their overall mean and scaled, so that the products of the
    normal equations lose nothing.
    """
    mean, count = moments.covariate_mean, moments.count
    total = np.maximum(count.sum(axis=0), 1.0)
    centre = (count[:, None] * mean).sum(axis=0) / total
    mean = mean - centre
    level = (count * moments.feature_mean).sum(axis=0) / total
    feature = moments.feature_mean - level
    dd = np.einsum("bi,bj,bv->ijv", dummies, dummies, count)
    dc = np.einsum("bi,bqv->iqv", dummies, count[:, None] * mean)
    cc = (moments.covariate_products + count[:, None, None] * mean[:, :, None] * mean[:, None]).sum(
        axis=0
    )
    products = np.concatenate(
        [np.concatenate([dd, dc], axis=1), np.concatenate([np.swapaxes(dc, 0, 1), cc], axis=1)]
    )
    right = np.concatenate(
        [
            dummies.T @ (count * feature),
            (moments.cross_products + count[:, None] * mean * feature[:, None]).sum(axis=0),
        ]
    )
    spread = np.sqrt(np.einsum("iiv->iv", products))
    spread = np.where(spread > 0, spread, 1.0)
    matrices = np.moveaxis(products / (spread[:, None] * spread[None]), -1, 0)
    scaled = np.moveaxis(right / spread, -1, 0)
    inverse = np.linalg.pinv(matrices, rcond=1e-10, hermitian=True)
    if len(inverse) == 1:
        solved = (inverse[0] @ scaled.T) / spread
    else:
        solved = np.einsum("vij,vj->iv", inverse, scaled) / spread
    n_dummies = dummies.shape[1]
    solved[0] += level - np.einsum("qv,qv->v", centre * np.ones_like(level), solved[n_dummies:])
    within = np.linalg.eigvalsh(matrices[:, n_dummies:, n_dummies:])
    solvable = within[:, 0] > 1e-12 if within.shape[1] else np.ones(len(matrices), dtype=bool)
    return solved, solvable


def _squares_within(moments: Moments, slopes: Array) -> Array:
    """Squared residuals within each cell, about the mean of the cell."""
    squares = moments.feature_squares - 2 * np.einsum("bqv,qv->bv", moments.cross_products, slopes)
    products = np.broadcast_to(
        moments.covariate_products, (*moments.covariate_products.shape[:3], slopes.shape[1])
    )
    squares = squares + np.einsum("bqrv,qv,rv->bv", products, slopes, slopes)
    return np.asarray(np.maximum(squares, 0.0))


def shrink_in_turn(
    fit: JointFit,
    cells: Cells,
    batches: Batches,
    how: Shrinkage,
    *,
    mean_only: bool,
    n_jobs: int | None = None,
) -> SiteEffects:
    """Shrink the levels of one variable after the other.

    Parameters
    ----------
    fit : JointFit
        Shifts of levels, and what is left in cells.
    cells : Cells
        Levels of each cell.
    batches : Batches
        The batch variables.
    how : Shrinkage
        Kind of prior.
    mean_only : bool
        Whether all scales are left alone.
    n_jobs : int, optional
        Number of threads.

    Returns
    -------
    SiteEffects
        One row per level of every variable.
    """
    left, squares, active = fit.left, fit.squares, fit.sd > 0
    found: SiteEffects | None = None
    for part in batches.parts:
        members = cells.members[:, part].astype(float)
        variance, count = variance_of_levels(left, squares, fit.count, members)
        effects = shrink_sites(
            np.where(count > 0, fit.shift[part], np.nan),
            variance,
            count,
            active,
            how,
            scale_fixed=np.asarray(mean_only | (count.max(axis=1) < 2)),
            n_jobs=n_jobs,
        )
        scale = members @ effects.variance
        left, squares = left / np.sqrt(scale), squares / scale
        found = effects if found is None else found.append(effects)
    assert found is not None
    return found


def variance_of_levels(
    left: Array, squares: Array, count: Array, members: Array
) -> tuple[Array, Array]:
    """Variance of what is left at each level, about its own mean.

    Parameters
    ----------
    left, squares : ndarray of shape (n_cells, n_features)
        Means, and squares about them.
    count : ndarray of shape (n_cells, 1 or n_features)
        Number of scans.
    members : ndarray of shape (n_cells, n_levels)
        1 where a cell belongs to a level.

    Returns
    -------
    variance : ndarray of shape (n_levels, n_features)
        NaN below two scans; 1 where nothing varies.
    count : ndarray of shape (n_levels, 1 or n_features)
        Number of scans.
    """
    scans = members.T @ count
    mean = members.T @ (count * left) / np.maximum(scans, 1.0)
    about = members.T @ (squares + count * (left - members @ mean) ** 2)
    variance = about / np.maximum(scans - 1.0, 1.0)
    variance[variance < 1e-20] = 1.0
    variance[np.broadcast_to(scans, variance.shape) < 2] = np.nan
    return variance, scans


def deviations_of_levels(fit: JointFit, cells: Cells) -> Deviations:
    """Say the joint fit in the words of a fit of one batch variable, for checks.

    Parameters
    ----------
    fit : JointFit
        Joint fit.
    cells : Cells
        Levels of each cell.

    Returns
    -------
    Deviations
        One row per level.
    """
    members = cells.members.astype(float)
    variance, count = variance_of_levels(fit.left, fit.squares, fit.count, members)
    return Deviations(
        intercept=fit.intercept,
        slopes=fit.slopes,
        sd=fit.sd,
        shift=fit.shift,
        variance=variance,
        count=count,
        size=fit.size,
        solvable=fit.solvable,
    )


def of_cells(model: SiteModel, members: NDArray[np.bool_]) -> SiteModel:
    """Turn effects of levels into those of cells, to be applied.

    Parameters
    ----------
    model : SiteModel
        Effects of levels.
    members : ndarray of bool, shape (n_cells, n_levels)
        Levels of each cell.

    Returns
    -------
    SiteModel
        Cells take the place of sites.
    """
    effects, weights = model.effects, members.astype(float)
    log_variance = np.einsum("cl,lf->cf", weights, np.log(effects.variance))
    summed = replace(
        effects,
        shift=np.einsum("cl,lf->cf", weights, effects.shift),
        variance=np.exp(log_variance),
    )
    return replace(model, effects=summed)
