"""Slopes of a design with penalised curves, for all features at once, from moments.

The numbers are those of ``gam(y ~ 0 + site + ... + s(age), method="REML")`` in R's mgcv.
Covariates and straight lines are eliminated once for all features; what may bend is left to
restricted maximum likelihood. Nothing depends on the unit of a covariate or a feature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.reml import Bending, choose_smoothing, times

Array = NDArray[np.float64]

_SINGULAR = 1e-12  # smallest eigenvalue of a correlation matrix that can be solved
_STRAIGHT = 1e-9  # share of the largest eigenvalue of a penalty that counts as 0
_STILL = 1e-20  # variance of a straight line within sites that counts as 0
_EXPLAINED = 1e-12  # share of a feature's squares below which nothing is left
_CELLS = 2_000_000


@dataclass(frozen=True)
class Penalty:
    """Which design columns draw one curve, and what its bending costs.

    All columns without a penalty are plain covariates.

    Attributes
    ----------
    columns : slice
        Design columns of the curve, of values about 1.
    matrix : ndarray of shape (n_columns, n_columns)
        Coefficients times this matrix times coefficients is the penalty.
    """

    columns: slice
    matrix: Array


@dataclass(frozen=True)
class SmoothFit:
    """Slopes of all design columns, and how much each curve bends.

    Features that cannot be solved have slopes of 0, and NaN everywhere else.

    Attributes
    ----------
    slopes : ndarray of shape (n_covariates, n_features)
        Coefficients of the design columns.
    smoothing : ndarray of shape (n_curves, n_features)
        Weight of each penalty against the residual squares; inf for a straight line.
    edf : ndarray of shape (n_curves, n_features)
        Effective degrees of freedom of each curve; 1 for a straight line.
    variance : ndarray of shape (n_features,)
        Residual variance by restricted maximum likelihood.
    solvable : ndarray of bool, shape (n_features,)
        False where covariates, straight lines and sites cannot be told apart, or no degree
        of freedom is left.
    """

    slopes: Array
    smoothing: Array
    edf: Array
    variance: Array
    solvable: NDArray[np.bool_]


def penalised_slopes(
    products: Array,
    cross: Array,
    squares: Array,
    degrees: Array | float,
    penalties: Sequence[Penalty],
) -> SmoothFit:
    """Fit all features of a block, and choose the smoothing of each by REML.

    Parameters
    ----------
    products : ndarray of shape (n_covariates, n_covariates, 1 or n_features)
        Products of the design columns, centred within sites and summed over them.
    cross : ndarray of shape (n_covariates, n_features)
        Products of design columns and features, likewise.
    squares : ndarray of shape (n_features,)
        Squares of the features, likewise.
    degrees : float or ndarray of shape (n_features,)
        Number of scans less the number of sites that have some.
    penalties : sequence of Penalty
        One per curve.

    Returns
    -------
    SmoothFit
        Slopes, smoothing, effective degrees of freedom, variance.

    References
    ----------
    .. [1] Wood (2011), J. R. Stat. Soc. B 73:3, doi:10.1111/j.1467-9868.2010.00749.x.

    Examples
    --------
    >>> age = np.linspace(-1, 1, 40)
    >>> fit = penalised_slopes(
    ...     np.array([[[age @ age]]]), np.array([[age @ age]]), np.array([age @ age]), 39, []
    ... )
    >>> fit.slopes.round(3)
    array([[1.]])
    """
    axes = _Axes.of(len(cross), penalties)
    degrees = np.broadcast_to(np.asarray(degrees, dtype=float), squares.shape)
    reduced = _eliminate(axes, products, cross, squares, degrees)
    unit = _column_size(reduced.products, axes.sizes)
    scale = np.where(reduced.still, np.inf, np.sqrt(np.where(reduced.still, 1.0, reduced.rest)))
    curves = Bending(
        products=reduced.products / (unit[:, None] * unit),
        cross=reduced.cross / unit[:, None] / scale,
        degrees=reduced.degrees,
        sizes=axes.sizes,
    )
    chosen = choose_smoothing(curves)
    bending = chosen.coefficients * np.where(reduced.still, 0.0, scale) / unit[:, None]
    straight = reduced.straight - times(reduced.shared, bending)
    starts = np.cumsum((0, *axes.sizes))[:-1]
    return _mark_unsolvable(
        SmoothFit(
            slopes=axes.fixed @ straight + axes.bending @ bending,
            smoothing=chosen.smoothing * unit[starts, None] ** 2,
            edf=chosen.bend + np.array(axes.lines, dtype=float)[:, None],
            variance=chosen.left * reduced.rest / reduced.degrees,
            solvable=reduced.solvable,
        )
    )


def standard_errors(
    rows: Array,
    products: Array,
    penalties: Sequence[Penalty],
    smoothing: Array,
    variance: Array,
) -> Array:
    """Bayesian standard errors of what design rows predict, for bands around curves.

    To get the band of a curve as drawn about its average over the scans, subtract the mean
    design row of the scans from each row, and put 0 in the columns of all other terms.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_covariates)
        Design rows, or differences between some.
    products : ndarray of shape (n_covariates, n_covariates, 1 or n_features)
        Products of the design columns, centred within sites and summed over them.
    penalties : sequence of Penalty
        One per curve.
    smoothing : ndarray of shape (n_curves, n_features)
        As fitted.
    variance : ndarray of shape (n_features,)
        As fitted.

    Returns
    -------
    ndarray of shape (n_rows, n_features)
        In the unit of the features; NaN where a feature could not be solved.
    """
    axes = _Axes.of(rows.shape[1], penalties)
    directions = np.hstack([axes.fixed, axes.bending])
    rotated = np.moveaxis(_rotate(directions, products), -1, 0)
    spread = np.sqrt(np.diagonal(rotated, axis1=1, axis2=2).mean(axis=0))
    spread = np.where(spread > 0, spread, 1.0)
    n_plain = axes.fixed.shape[1]
    root = np.tile(1 / spread, (len(variance), 1))
    root[:, n_plain:] = np.repeat(1 / np.sqrt(smoothing), axes.sizes, axis=0).T
    ridge = np.diag((np.arange(len(spread)) >= n_plain).astype(float))
    seen = np.isfinite(variance)
    errors = np.full((len(rows), len(variance)), np.nan)
    width = max(1, _CELLS // max(1, len(spread) * max(len(rows), len(spread))))
    for block in np.split(np.flatnonzero(seen), range(width, int(seen.sum()), width)):
        of_block = rotated if len(rotated) == 1 else rotated[block]
        matrices = root[block, :, None] * of_block * root[block, None] + ridge
        points = (rows @ directions) * root[block, None]
        solved = np.linalg.solve(matrices, points.transpose(0, 2, 1))
        squares = np.einsum("vri,vir->rv", points, solved)
        errors[:, block] = np.sqrt(np.maximum(squares, 0.0) * variance[block])
    return errors


@dataclass(frozen=True)
class _Axes:
    """Directions among the design columns: those without a penalty, and those that bend.

    Along `bending` (n_covariates, n_bending) penalties are sums of squares; `fixed`
    (n_covariates, n_fixed) holds covariates first, then the straight lines; `sizes` and
    `lines` count the directions of each curve that bend and that do not.
    """

    fixed: Array
    bending: Array
    sizes: tuple[int, ...]
    lines: tuple[int, ...]

    @classmethod
    def of(cls, n_covariates: int, penalties: Sequence[Penalty]) -> _Axes:
        everything = np.eye(n_covariates)
        plain = np.ones(n_covariates, dtype=bool)
        fixed, bending = [], [np.zeros((n_covariates, 0))]
        for penalty in penalties:
            plain[penalty.columns] = False
            cost, directions = np.linalg.eigh(penalty.matrix)
            bends = cost > _STRAIGHT * cost[-1]
            columns = everything[:, penalty.columns]
            fixed.append(columns @ directions[:, ~bends])
            bending.append(columns @ (directions[:, bends] / np.sqrt(cost[bends])))
        return cls(
            np.hstack([everything[:, plain], *fixed]),
            np.hstack(bending),
            tuple(part.shape[1] for part in bending[1:]),
            tuple(part.shape[1] for part in fixed),
        )


@dataclass(frozen=True)
class _Reduced:
    """Products of what may bend, and of the features, after all else is eliminated.

    `straight` (n_fixed, n_features) are slopes without bending, `shared` what of them each
    bending direction takes over, `rest` residual squares, `still` where none are left.
    """

    products: Array
    cross: Array
    rest: Array
    still: NDArray[np.bool_]
    degrees: Array
    straight: Array
    shared: Array
    solvable: NDArray[np.bool_]


def _eliminate(
    axes: _Axes, products: Array, cross: Array, squares: Array, degrees: Array
) -> _Reduced:
    n_fixed = axes.fixed.shape[1]
    rotated = _rotate(np.hstack([axes.fixed, axes.bending]), products)
    fixed, solvable = _scaled(rotated[:n_fixed, :n_fixed], sum(axes.lines), degrees)
    spread, inverse = fixed
    beside = np.moveaxis(rotated[:n_fixed, n_fixed:] / spread[:, None], -1, 0)
    right = (axes.fixed.T @ cross) / spread
    straight = times(inverse, right)
    shared = inverse @ beside
    rest = squares - (right * straight).sum(axis=0)
    solvable = solvable & (degrees > n_fixed)
    still = ~solvable | (rest <= _EXPLAINED * squares)
    unit = np.moveaxis(spread, -1, 0)[:, :, None]
    return _Reduced(
        products=np.moveaxis(rotated[n_fixed:, n_fixed:], -1, 0)
        - beside.transpose(0, 2, 1) @ shared,
        cross=axes.bending.T @ cross - times(beside.transpose(0, 2, 1), straight),
        rest=np.maximum(rest, 0.0),
        still=still,
        degrees=np.maximum(degrees - n_fixed, 1.0),
        straight=straight / spread,
        shared=shared / unit,
        solvable=solvable,
    )


def _scaled(
    products: Array, n_lines: int, degrees: Array
) -> tuple[tuple[Array, Array], NDArray[np.bool_]]:
    """Spread of each column, inverse of their correlations, and where there is one.

    A straight line whose values differ only by rounding within every site is not there.
    """
    squares = np.einsum("qqv->qv", products)
    there = squares > 0
    n_plain = len(squares) - n_lines
    there[n_plain:] = squares[n_plain:] > _STILL * degrees.max(initial=1.0)
    spread = np.sqrt(np.where(there, squares, 1.0))
    correlations = products / (spread[:, None] * spread) * (there[:, None] & there)
    matrices = np.moveaxis(correlations, -1, 0)
    solvable = there.all(axis=0)
    if len(squares):
        solvable &= np.linalg.eigvalsh(matrices)[:, 0] > _SINGULAR
    matrices = np.where(solvable[:, None, None], matrices, np.eye(len(squares)))
    return (spread, np.linalg.inv(matrices)), np.broadcast_to(solvable, degrees.shape)


def _rotate(directions: Array, products: Array) -> Array:
    """Products along other directions; the last axis runs over features."""
    if products.shape[-1] == 1:
        return (directions.T @ products[..., 0] @ directions)[..., None]
    rotated = directions.T @ np.moveaxis(products, -1, 0) @ directions
    return np.moveaxis(rotated, 0, -1)


def _column_size(products: Array, sizes: tuple[int, ...]) -> Array:
    """Root mean square of the bending columns of each curve, one number per column."""
    squares = np.diagonal(products, axis1=1, axis2=2).mean(axis=0)
    ends = np.cumsum((0, *sizes))
    means = [float(squares[first:end].mean()) for first, end in pairwise(ends)]
    unit = np.sqrt(np.maximum(np.array(means, dtype=float), 0.0))
    return np.repeat(np.where(unit > 0, unit, 1.0), np.array(sizes, dtype=int))


def _mark_unsolvable(fit: SmoothFit) -> SmoothFit:
    if fit.solvable.all():
        return fit
    return SmoothFit(
        slopes=np.where(fit.solvable, fit.slopes, 0.0),
        smoothing=np.where(fit.solvable, fit.smoothing, np.nan),
        edf=np.where(fit.solvable, fit.edf, np.nan),
        variance=np.where(fit.solvable, fit.variance, np.nan),
        solvable=fit.solvable,
    )
