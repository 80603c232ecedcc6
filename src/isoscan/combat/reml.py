"""How much may the curves of each feature bend? Restricted maximum likelihood, all at once.

What arrives here has already lost everything that is not penalised (sites, covariates,
straight lines). Of a feature there remain its products with the penalised columns and 1 as
its sum of squares; of the columns their products A, scaled so that each curve has the
identity as its penalty. A smoothing parameter is the ratio of residual variance to the
variance of a curve's coefficients, `inf` for a straight line.

With D the inverse roots of the smoothing parameters and M = D A D + I, minus twice the
restricted log likelihood (residual variance profiled out) is, up to a constant::

    degrees · log(1 - b' D M⁻¹ D b) + log det M

It is 0 for straight lines and may have several valleys, so a search on a grid comes first
and only then Newton's method.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LEAST_BEND = 1e-4
"""A curve with fewer effective degrees of freedom than this is a straight line."""
_GRID = np.logspace(-10, 6, 65)
_CHANGE = 1e-9  # of minus twice the log likelihood, at which the search ends
_LONGEST_STEP = 3.0  # of a logarithm of a smoothing parameter
_ROUNDS = 60
_NOISE = 1e-13  # share of a feature's squares below which nothing is left to explain
_CELLS = 2_000_000  # numbers per array when features have matrices of their own


@dataclass(frozen=True)
class Chosen:
    """What the likelihood chose for each feature.

    Attributes
    ----------
    smoothing : ndarray of shape (n_curves, n_features)
        Smoothing parameters; inf for a straight line.
    coefficients : ndarray of shape (n_penalised, n_features)
        Coefficients of the penalised columns.
    bend : ndarray of shape (n_curves, n_features)
        Effective degrees of freedom beyond the straight line.
    left : ndarray of shape (n_features,)
        Penalised residual squares, as a share of those about straight lines.
    """

    smoothing: Array
    coefficients: Array
    bend: Array
    left: Array


@dataclass(frozen=True)
class Bending:
    """Penalised columns, and the features seen through them.

    Attributes
    ----------
    products : ndarray of shape (1 or n_features, n_penalised, n_penalised)
        Products of the columns.
    cross : ndarray of shape (n_penalised, n_features)
        Products of columns and features; squares of the features sum to 1.
    degrees : ndarray of shape (n_features,)
        Residual degrees of freedom beside straight lines.
    sizes : tuple of int
        Number of columns of each curve.
    """

    products: Array
    cross: Array
    degrees: Array
    sizes: tuple[int, ...]

    @property
    def parts(self) -> list[slice]:
        """Columns of each curve."""
        ends = np.cumsum((0, *self.sizes))
        return [slice(int(first), int(end)) for first, end in pairwise(ends)]

    def part(self, features: slice | NDArray[np.intp]) -> Bending:
        """Take some of the features.

        Parameters
        ----------
        features : slice or ndarray of int
            Which.

        Returns
        -------
        Bending
            Only these.
        """
        products = self.products if len(self.products) == 1 else self.products[features]
        return Bending(products, self.cross[:, features], self.degrees[features], self.sizes)


def times(matrices: Array, columns: Array) -> Array:
    """Multiply every column by the matrix of its feature, or by the one for all.

    Parameters
    ----------
    matrices : ndarray of shape (1 or n_features, n, m)
        One matrix per feature, or one.
    columns : ndarray of shape (m, n_features)
        One column per feature.

    Returns
    -------
    ndarray of shape (n, n_features)
        The products.
    """
    if len(matrices) == 1:
        return np.asarray(matrices[0] @ columns)
    return np.asarray((matrices @ columns.T[:, :, None])[:, :, 0].T)


def choose_smoothing(curves: Bending) -> Chosen:
    """Find the smoothing of every curve of every feature.

    Parameters
    ----------
    curves : Bending
        Penalised columns and features.

    Returns
    -------
    Chosen
        Smoothing parameters, and the fit that belongs to them.
    """
    n_features = curves.cross.shape[1]
    if not curves.sizes:
        nothing = np.zeros((0, n_features))
        return Chosen(nothing, nothing, nothing, np.ones(n_features))
    if len(curves.sizes) == 1:
        return _choose_one(curves)
    width = max(1, _CELLS // max(1, len(curves.cross)) ** 2)
    blocks = [slice(first, first + width) for first in range(0, max(n_features, 1), width)]
    chosen = [_choose_several(curves.part(block)) for block in blocks]
    return Chosen(
        np.concatenate([part.smoothing for part in chosen], axis=1),
        np.concatenate([part.coefficients for part in chosen], axis=1),
        np.concatenate([part.bend for part in chosen], axis=1),
        np.concatenate([part.left for part in chosen]),
    )


@dataclass(frozen=True)
class _Spectrum:
    """One curve in the directions in which its columns are uncorrelated.

    `strength` (n, 1 or n_features) are the squares of the columns, `signal` (n, n_features)
    the squared products with the features, `rest` (n_features,) the features' squares.
    """

    strength: Array
    signal: Array
    rest: Array
    degrees: Array

    def criterion(self, smoothing: Array | float) -> Array:
        unexplained = self.rest - (self.signal / (self.strength + smoothing)).sum(axis=0)
        fit = self.degrees * np.log(np.maximum(unexplained, _NOISE) / self.rest)
        return np.asarray(fit + np.log1p(self.strength / smoothing).sum(axis=0))

    def derivatives(self, smoothing: Array) -> tuple[Array, Array]:
        """First and second, with respect to the logarithm of the smoothing parameter."""
        inverse = 1.0 / (self.strength + smoothing)
        share = smoothing * inverse
        scaled = self.signal * inverse
        unexplained = np.maximum(self.rest - scaled.sum(axis=0), _NOISE)
        scaled *= share
        slope = scaled.sum(axis=0) / unexplained
        scaled *= share
        curvature = slope - 2 * scaled.sum(axis=0) / unexplained - slope**2
        loss = share.sum(axis=0)
        first = self.degrees * slope + loss - len(self.strength)
        return first, self.degrees * curvature + loss - (share**2).sum(axis=0)


def _choose_one(curves: Bending) -> Chosen:
    strength, directions = np.linalg.eigh(curves.products)
    along = times(directions.transpose(0, 2, 1), curves.cross)
    rest = np.ones_like(curves.degrees)
    spectrum = _Spectrum(np.maximum(strength, 0.0).T, along**2, rest, curves.degrees)
    smoothing = _refine(spectrum, _search(spectrum)[0])
    bend = (spectrum.strength / (spectrum.strength + smoothing)).sum(axis=0)
    smoothing[bend < LEAST_BEND] = np.inf
    bend[bend < LEAST_BEND] = 0.0
    weights = 1.0 / (spectrum.strength + smoothing)
    left = np.maximum(1 - (spectrum.signal * weights).sum(axis=0), _NOISE)
    return Chosen(smoothing[None], times(directions, along * weights), bend[None], left)


def _search(spectrum: _Spectrum) -> tuple[NDArray[np.intp], Array]:
    """Best point of the grid, the one after its end for straight lines, and its criterion."""
    best = spectrum.degrees * 0.0  # a straight line
    at = np.full(len(best), len(_GRID))
    for number, smoothing in enumerate(_GRID[::-1]):
        value = spectrum.criterion(smoothing)
        better = value < best
        best = np.where(better, value, best)
        at[better] = len(_GRID) - 1 - number
    return at, best


def _refine(spectrum: _Spectrum, at: NDArray[np.intp]) -> Array:
    """Newton's method between the neighbours of the best point; bisection where it leaves."""
    grid = np.log(_GRID)
    low, high = grid[np.maximum(at - 1, 0)], grid[np.minimum(at + 1, len(grid) - 1)]
    now = grid[np.minimum(at, len(grid) - 1)]
    for _round in range(_ROUNDS):
        first, second = spectrum.derivatives(np.exp(now))
        low, high = np.where(first < 0, now, low), np.where(first < 0, high, now)
        guess = now - first / np.where(second > 0, second, 1.0)
        inside = (second > 0) & (guess >= low) & (guess <= high)
        guess = np.where(inside, guess, (low + high) / 2)
        step = np.abs(guess - now)
        now = guess
        if float(np.max(step * np.abs(first), initial=0.0)) < _CHANGE:
            break
    return np.where(at < len(grid), np.exp(now), np.inf)


def _choose_several(curves: Bending) -> Chosen:
    smoothing = _descend(curves, _search_jointly(curves))
    fit = _joint_fit(curves, smoothing)
    straight = np.isfinite(smoothing) & (fit.bend < LEAST_BEND)
    if straight.any():
        smoothing = np.where(straight, np.inf, smoothing)
        fit = _joint_fit(curves, smoothing)
    return Chosen(smoothing, fit.coefficients, fit.bend, fit.left)


def _search_jointly(curves: Bending) -> Array:
    """Best point of a grid that is coarse in all curves but the last."""
    n_others = len(curves.sizes) - 1
    budget = 144 if len(curves.products) == 1 else 16
    n_points = min(24, int(budget ** (1 / n_others) + 1e-9))
    points = [*np.logspace(-7, 2, n_points - 1), np.inf]
    best = np.full(curves.cross.shape[1], np.inf)
    smoothing = np.full((n_others + 1, len(best)), np.inf)
    for others in product(points, repeat=n_others):
        spectrum, offset = _with_others_fixed(curves, others)
        at, value = _search(spectrum)
        value = value + offset
        better = value < best
        best = np.where(better, value, best)
        smoothing[:-1, better] = np.array(others)[:, None]
        smoothing[-1, better] = np.append(_GRID, np.inf)[at[better]]
    return smoothing


def _with_others_fixed(curves: Bending, others: tuple[float, ...]) -> tuple[_Spectrum, Array]:
    """The last curve alone, the others eliminated at a given smoothing; and their criterion."""
    last = curves.parts[-1]
    front = slice(0, last.start)
    root = np.repeat(np.asarray(others, dtype=np.float64) ** -0.5, curves.sizes[:-1])
    inner = root[:, None] * curves.products[:, front, front] * root + np.eye(last.start)
    beside = root[:, None] * curves.products[:, front, last]
    cross = root[:, None] * curves.cross[front]
    inverse = np.linalg.inv(inner).astype(np.float64, copy=False)
    solved = inverse @ beside
    products = curves.products[:, last, last] - beside.transpose(0, 2, 1) @ solved
    explained = (cross * times(inverse, cross)).sum(axis=0)
    rest = np.maximum(1 - explained, _NOISE)
    strength, directions = np.linalg.eigh(products)
    own = curves.cross[last] - times(solved.transpose(0, 2, 1), cross)
    along = times(directions.transpose(0, 2, 1), own)
    spectrum = _Spectrum(np.maximum(strength, 0.0).T, along**2, rest, curves.degrees)
    return spectrum, curves.degrees * np.log(rest) + np.linalg.slogdet(inner)[1]


@dataclass(frozen=True)
class _JointFit:
    """The fit at given smoothing parameters, with what Newton's method needs."""

    criterion: Array
    slope: Array
    curvature: Array
    coefficients: Array
    bend: Array
    left: Array


def _joint_fit(curves: Bending, smoothing: Array) -> _JointFit:
    root: Array = np.repeat(1 / np.sqrt(smoothing), curves.sizes, axis=0).T
    matrices = root[:, :, None] * curves.products * root[:, None]
    matrices[:, range(root.shape[1]), range(root.shape[1])] += 1.0
    determinant = np.linalg.slogdet(matrices)[1]
    inverse = np.linalg.inv(matrices).astype(np.float64, copy=False)
    cross = curves.cross * root.T
    scaled = times(inverse, cross)
    left = np.maximum(1 - (cross * scaled).sum(axis=0), _NOISE)
    parts, degrees = curves.parts, curves.degrees
    size = np.array([(scaled[part] ** 2).sum(axis=0) for part in parts]) / left
    loss = np.array([np.einsum("vii->v", inverse[:, part, part]) for part in parts])
    columns = np.array(curves.sizes)[:, None]
    curvature = -degrees * size[:, None] * size[None]
    for one, two in product(range(len(parts)), repeat=2):
        block = inverse[:, parts[one], parts[two]]
        pair = (scaled[parts[one]] * times(block, scaled[parts[two]])).sum(axis=0) / left
        curvature[one, two] -= 2 * degrees * pair + np.einsum("vij,vij->v", block, block)
        if one == two:
            curvature[one, one] += degrees * size[one] + loss[one]
    return _JointFit(
        criterion=degrees * np.log(left) + determinant,
        slope=degrees * size + loss - columns,
        curvature=curvature,
        coefficients=scaled * root.T,
        bend=columns - loss,
        left=left,
    )


def _descend(curves: Bending, start: Array) -> Array:
    """Newton's method in the logarithms of all smoothing parameters of a feature.

    Straight lines stay so where the likelihood does not ask for a curve; steps that do not
    lower the criterion are shortened.
    """
    low, high = np.log(_GRID[0]), np.log(_GRID[-1])
    now = np.clip(np.log(start), low, high)
    active = np.arange(now.shape[1])
    fit = _joint_fit(curves, np.exp(now))
    step, gain = _newton_step(fit, now, low, high)
    shorter = np.ones(len(active))
    for _round in range(_ROUNDS):
        keep = (gain > _CHANGE) & (shorter > 1e-4)
        if not keep.any():
            break
        active, shorter = active[keep], shorter[keep]
        fit, step, gain = _take(fit, keep), step[:, keep], gain[keep]
        trial = np.clip(now[:, active] + shorter * step, low, high)
        there = _joint_fit(curves.part(active), np.exp(trial))
        lower = there.criterion < fit.criterion
        now[:, active[lower]] = trial[:, lower]
        shorter = np.where(lower, 1.0, shorter / 4)
        fit = _take(fit, lower, there)
        step, gain = _newton_step(fit, now[:, active], low, high)
    return np.asarray(np.exp(now))


def _take(fit: _JointFit, chosen: NDArray[np.bool_], other: _JointFit | None = None) -> _JointFit:
    """Only the chosen features; or the other fit where chosen, this one elsewhere."""
    values = vars(fit)
    if other is None:
        return _JointFit(**{name: value[..., chosen] for name, value in values.items()})
    new = vars(other)
    return _JointFit(**{name: np.where(chosen, new[name], values[name]) for name in values})


def _newton_step(fit: _JointFit, now: Array, low: float, high: float) -> tuple[Array, Array]:
    """Step downhill within bounds, and how much it promises to gain."""
    slope = np.where((now >= high) & (fit.slope < 0), 0.0, fit.slope)
    slope = np.where((now <= low) & (fit.slope > 0), 0.0, slope)
    free = (slope != 0).astype(float)
    curvature = fit.curvature * free[:, None] * free[None]
    values, directions = np.linalg.eigh(np.moveaxis(curvature, -1, 0))
    values = np.maximum(np.abs(values), 1e-8)
    along = np.einsum("vij,iv->vj", directions, slope) / values
    step = -np.einsum("vij,vj->iv", directions, along) * free
    longest = np.abs(step).max(axis=0)
    step = step * np.minimum(1.0, _LONGEST_STEP / np.maximum(longest, 1e-300))
    return step, np.abs((slope * step).sum(axis=0))
