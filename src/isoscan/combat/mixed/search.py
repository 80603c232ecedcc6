"""The lowest point of a surface over the covariance of intercept and slope.

The covariance is written as the product of a triangular factor with itself, so that every
step stays a covariance and the boundary, where the factor has a zero, is an ordinary place
on the surface. All features share a grid; from every valley of the grid Newton's steps,
damped where they would lead upwards, follow each feature's own surface to the bottom.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.mixed.surface import Point, Shrinkage, Surface

Array = NDArray[np.float64]
CORRELATIONS = np.array([-0.95, -0.5, 0.0, 0.5, 0.95])
FEW_GROUPS = 100
"""With so few groups a surface may have several valleys close to each other."""
STEPS = 100
PRECISION = 1e-9
ROUNDING = 1e-10
"""Heights that differ by less are the same."""
ON_BOUNDARY = 1e-5
OFF_BOUNDARY = 0.3
LARGEST = 1e4
"""Beyond this factor nothing is left within groups."""


def factor_to_covariance(factor: Array) -> Array:
    """Multiply triangular factors with themselves.

    Parameters
    ----------
    factor : ndarray of shape (n_features, 3)
        Lower triangles, row by row.

    Returns
    -------
    ndarray of shape (n_features, 3)
        Upper triangles of the covariances.

    Examples
    --------
    >>> factor_to_covariance(np.array([[2.0, 1.0, 3.0]]))
    array([[ 4.,  2., 10.]])
    """
    a, b, c = factor.T
    return np.stack([a * a, a * b, b * b + c * c], axis=1)


def by_factor(factor: Array, slope: Array, bend: Array) -> tuple[Array, Array, Array]:
    """Turn derivatives by the covariance into derivatives by its factor.

    Parameters
    ----------
    factor : ndarray of shape (n_features, 3)
        Lower triangles, row by row.
    slope : ndarray of shape (n_features, 3)
        First derivatives.
    bend : ndarray of shape (n_features, 3, 3)
        Second derivatives.

    Returns
    -------
    slope : ndarray of shape (n_features, 3)
        First derivatives by the factor.
    bend : ndarray of shape (n_features, 3, 3)
        Second derivatives by the factor.
    change : ndarray of shape (n_features, 3, 3)
        What the covariance (rows) gains per unit of the factor (columns).
    """
    a, b, c = factor.T
    change = np.zeros((len(factor), 3, 3))
    change[:, 0, 0] = 2.0 * a
    change[:, 1, 0], change[:, 1, 1] = b, a
    change[:, 2, 1], change[:, 2, 2] = 2.0 * b, 2.0 * c
    turned = change.transpose(0, 2, 1)
    own = np.zeros_like(change)
    own[:, 0, 0] = 2.0 * slope[:, 0]
    own[:, 0, 1] = own[:, 1, 0] = slope[:, 1]
    own[:, 1, 1] = own[:, 2, 2] = 2.0 * slope[:, 2]
    return (turned @ slope[:, :, None])[:, :, 0], turned @ bend @ change + own, change


def best_factor(surface: Surface, *, correlated: bool) -> Array:
    """Lowest point of each surface.

    Parameters
    ----------
    surface : Surface
        Surfaces; the squares of every feature must be positive.
    correlated : bool
        Whether intercept and slope may be correlated.

    Returns
    -------
    ndarray of shape (n_features, 3)
        Lower triangles of the factors; zeros on the boundary.
    """
    found = np.zeros((len(surface.squares), 3))
    lowest = surface.at(found).height
    for look in (_valleys, _beside):
        features, start = look(surface, found, correlated=correlated)
        some = surface.of(features)
        factor, height = _descend(some, start, correlated=correlated)
        factor, height = _settle(some, factor, height)
        order = np.argsort(-height, kind="stable")  # the lowest valley of a feature comes last
        order = order[height[order] < lowest[features[order]] - ROUNDING]
        found[features[order]], lowest[features[order]] = factor[order], height[order]
    return found * np.where(found[:, [0]] < 0, -1.0, 1.0)


def _beside(surface: Surface, factor: Array, *, correlated: bool) -> tuple[NDArray[np.intp], Array]:
    """Where else to look: on the boundary from within it, within it from the boundary."""
    level, slope = np.abs(factor[:, 0]), np.abs(factor[:, 2])
    size = np.hypot(factor[:, 1], factor[:, 2])
    flat = np.flatnonzero((slope > ON_BOUNDARY) & (slope < np.maximum(1.0, 0.6 * size)))
    onto = factor[flat] * [1.0, 1.0, 0.0]
    on = np.flatnonzero(slope <= ON_BOUNDARY)
    off = factor[on] * [1.0, 1.0, 0.0] + [0.0, 0.0, OFF_BOUNDARY]
    few = np.flatnonzero((level > ON_BOUNDARY) & (level < 1.0))
    none = np.column_stack([np.zeros((len(few), 2)), size[few]])
    return np.concatenate([flat, on, few]), np.concatenate([onto, off, none])


def _valleys(
    surface: Surface, factor: Array, *, correlated: bool
) -> tuple[NDArray[np.intp], Array]:
    """Feature and factor of every point of the grid that is lower than its neighbours."""
    apart = 0.5 if surface.plain.shape[1] <= FEW_GROUPS else 1.0
    intercepts, slopes = np.exp(np.arange(-3, 3.1, apart)), np.exp(np.arange(-4, 3.1, apart))
    correlations = CORRELATIONS if correlated else np.zeros(1)
    a, r, c = np.meshgrid(intercepts, correlations, slopes, indexing="ij")
    factor = np.stack([a, r * c, np.sqrt(1.0 - r * r) * c], axis=-1).reshape(-1, 3)
    height = _heights(surface, factor_to_covariance(factor)).reshape(*a.shape, -1)
    lower = np.ones(height.shape, dtype=bool)
    for axis in range(3):
        steps = np.diff(height, axis=axis)
        edge = np.zeros_like(np.take(height, [0], axis=axis))
        lower &= np.concatenate([edge, steps], axis=axis) <= 0
        lower &= np.concatenate([steps, edge], axis=axis) >= 0
    points, features = np.nonzero(lower.reshape(len(factor), -1))
    return features, factor[points]


def _heights(surface: Surface, covariances: Array) -> Array:
    """Evaluate all features at the same covariances; shape (n_covariances, n_features)."""
    sums = surface.sums
    shrunk = Shrinkage.of(sums.counts, covariances)
    precision = np.eye(sums.n_columns) - sums.sandwich(shrunk.effect)
    first, both, second = shrunk.effect
    squares = surface.squares - first @ (surface.plain**2).T - second @ (surface.weighted**2).T
    squares -= 2.0 * both @ (surface.plain * surface.weighted).T
    root = np.linalg.cholesky(np.linalg.inv(precision))
    for point in range(len(covariances)):
        moved = (first[point] * sums.plain.T + both[point] * sums.weighted.T) @ surface.plain.T
        moved += (both[point] * sums.plain.T + second[point] * sums.weighted.T) @ surface.weighted.T
        squares[point] -= ((root[point].T @ moved) ** 2).sum(axis=0)
    logs = np.log(shrunk.determinant).sum(axis=1)
    if surface.restricted:
        logs += np.linalg.slogdet(precision)[1]
    height = surface.degrees * np.log(np.maximum(squares, 1e-300)) + logs[:, None]
    return np.asarray(height, dtype=np.float64)


@dataclass
class _Walk:
    """Where each feature stands, and its next step."""

    factor: Array
    height: Array
    slope: Array
    bend: Array
    share: Array
    free: NDArray[np.bool_]

    @classmethod
    def start(cls, surface: Surface, factor: Array, free: NDArray[np.bool_]) -> _Walk:
        """Stand at a factor."""
        point = surface.at(factor_to_covariance(factor))
        slope, bend = _tilt(point, factor, free)
        return cls(factor.copy(), point.height, slope, bend, np.ones(len(factor)), free)

    def step(self, which: NDArray[np.intp]) -> Array:
        """Newton's step, downwards whatever the curvature, never far beyond the factor."""
        values, vectors = np.linalg.eigh(self.bend[which])
        size = np.abs(values)
        size = np.maximum(size, 1e-8 * size.max(axis=1, keepdims=True) + 1e-12)
        inside = np.einsum("fji,fj->fi", vectors, self.slope[which])
        step = -np.einsum("fij,fj->fi", vectors, inside / size)
        step[:, ~self.free] = 0.0
        length = np.linalg.norm(step, axis=1)
        limit = 0.1 + np.linalg.norm(self.factor[which], axis=1)
        step *= np.minimum(1.0, limit / np.maximum(length, 1e-300))[:, None]
        return np.asarray(step * self.share[which][:, None])

    def move(self, which: NDArray[np.intp], factor: Array, found: _Walk) -> None:
        """Take the steps that do not lead upwards; shorten the others."""
        down = found.height <= self.height[which] + ROUNDING
        there = which[down]
        self.factor[there], self.height[there] = factor[down], found.height[down]
        self.slope[there], self.bend[there] = found.slope[down], found.bend[down]
        self.share[which] = np.where(
            down, np.minimum(4.0 * self.share[which], 1.0), 0.25 * self.share[which]
        )


def _descend(surface: Surface, start: Array, *, correlated: bool) -> tuple[Array, Array]:
    free = np.array([True, correlated, True])
    walk = _Walk.start(surface, start, free)
    active, some = np.arange(len(start)), surface
    for _ in range(STEPS):
        step = walk.step(active)
        factor = np.clip(walk.factor[active] + step, -LARGEST, LARGEST)
        walk.move(active, factor, _Walk.start(some, factor, free))
        size = 1e-3 + np.linalg.norm(factor, axis=1)
        going = np.linalg.norm(step, axis=1) > PRECISION * size
        going &= walk.share[active] > 1e-6
        if not going.any():
            break
        if going.sum() < 0.8 * len(active):
            active, some = active[going], some.of(np.flatnonzero(going))
    return walk.factor, walk.height


def _tilt(point: Point, factor: Array, free: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Derivatives of the height by the elements of the factor that are free."""
    first, second, slope, bend = point.derivatives()
    degrees = point.surface.degrees
    first = first / point.squares[:, None]
    slope = slope + degrees * first
    bend = bend + degrees * (
        second / point.squares[:, None, None] - first[:, :, None] * first[:, None, :]
    )
    slope, bend, _ = by_factor(factor, slope, bend)
    slope[:, ~free] = bend[:, ~free] = 0.0
    bend[:, :, ~free] = 0.0
    bend[:, ~free, ~free] = 1.0
    return slope, bend


def _settle(surface: Surface, factor: Array, height: Array) -> tuple[Array, Array]:
    """Put elements that are almost 0 on the boundary, if that is no higher."""
    for element in (2, 0):
        near = factor.copy()
        small = np.abs(factor[:, element]) < ON_BOUNDARY
        near[small, element] = 0.0
        if element == 0:  # without intercept variance, only the size of the rest counts
            near[small, 2] = np.hypot(factor[small, 1], factor[small, 2])
            near[small, 1] = 0.0
        there = surface.at(factor_to_covariance(near)).height
        better = small & (there <= height + ROUNDING)
        factor = np.where(better[:, None], near, factor)
        height = np.where(better, there, height)
    return factor, height
