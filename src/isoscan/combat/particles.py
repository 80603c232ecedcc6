"""Empirical Bayes without an assumed shape: the other features are the prior.

The shift and variance that a site shows in one feature are one draw from what that site
does. A feature's posterior is the average over the draws of all *other* features, each
weighted by how likely it makes the feature's own scans [1]_. For normal scans that
likelihood asks only for their number, mean and variance, so no scan is looked at again;
weights are kept as logarithms, so that sites of any size work.

References
----------
.. [1] Johnson, Li & Rabinovic (2007), Biostatistics 8:118, doi:10.1093/biostatistics/kxj037.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.blocks import run_parallel
from isoscan.errors import DataError, PriorWarning

Array = NDArray[np.float64]

MOST_EXACT = 20_000
"""Features up to which every pair of them is looked at."""
SHIFT_ERROR, VARIANCE_ERROR = 1e-3, 1e-3
"""Largest error of the approximation: in residual SD, and relative."""
FINENESS, FEW = 1 / 512, 4
"""Particles are put together if `FEW` or more lie within a small share of the noise."""
ROWS, COLUMNS = 128, 512
"""Features and particles that are compared in one step; the cache holds them."""
NOTHING, LEAST = -1e300, -100.0
"""Log likelihood before any particle was seen, and the least that is told from nothing:
exponentials that are not quite 0 take forty times as long."""


def shrink_by_particles(
    shift: Array,
    variance: Array,
    count: Array,
    *,
    scale_fixed: bool,
    approximate: bool | None = None,
    n_jobs: int | None = None,
) -> tuple[Array, Array]:
    """Posterior shifts and variances of one site, with the other features as prior.

    Features with too few scans for a shift and a variance are no particles; they get the
    average of all that are, weighted by what scans they have.

    Parameters
    ----------
    shift : ndarray of shape (n_features,)
        Raw mean standardized residuals; NaN without scans.
    variance : ndarray of shape (n_features,)
        Raw variances; NaN below two scans.
    count : ndarray of shape (1,) or (n_features,)
        Scans behind each estimate.
    scale_fixed : bool
        Take all variances to be 1 and return 1.
    approximate : bool, optional
        Put similar particles together; by default above `MOST_EXACT` features, with a
        warning.
    n_jobs : int, optional
        Number of threads.

    Returns
    -------
    shift, variance : ndarray of shape (n_features,)
        Posterior estimates.

    Raises
    ------
    DataError
        If fewer than two features have enough scans.

    Examples
    --------
    >>> shift, variance = np.array([0.1, 0.2, 0.6]), np.array([0.9, 1.0, 1.1])
    >>> posterior = shrink_by_particles(shift, variance, np.array([20]), scale_fixed=False)
    >>> posterior[0].round(3)
    array([0.235, 0.196, 0.178])
    """
    if scale_fixed:
        variance = np.ones_like(shift)
    usable = ~np.isnan(shift) & (variance > 0)
    if usable.sum() < 2:
        raise DataError(
            f"{usable.sum()} of {len(shift)} features have enough scans to be a prior for the "
            f"others; at least 2 are needed. Use prior='parametric' or prior=None."
        )
    if approximate is None:
        approximate = needs_approximation(len(shift))
    centre = shift[usable].mean()  # small numbers keep their digits in products
    count = np.broadcast_to(np.asarray(count, dtype=float), shift.shape)
    features = _Features.of(shift - centre, variance, count)
    width = 1.0 / np.sqrt(max(float(np.median(count)), 1.0))
    particles = _put_together(features, usable, width if approximate else 0.0)
    blocks = [slice(start, start + ROWS) for start in range(0, len(shift), ROWS)]
    parts = run_parallel(lambda rows: _average(features, particles, rows), blocks, n_jobs)
    average = np.concatenate(parts)
    return average[:, 0] + centre, average[:, 1]


def needs_approximation(n_features: int) -> bool:
    """Whether there are too many features to look at every pair; if so, say it.

    Parameters
    ----------
    n_features : int
        Features that vary.

    Returns
    -------
    bool
        True above `MOST_EXACT`, with a warning.
    """
    if n_features <= MOST_EXACT:
        return False
    warnings.warn(
        f"the non-parametric prior of {n_features} features is approximate: features with "
        f"similar site effects are put together above {MOST_EXACT}. Shifts are within "
        f"{SHIFT_ERROR:g} residual SD and variances within {100 * VARIANCE_ERROR:g} % of exact.",
        PriorWarning,
        stacklevel=7,
    )
    return True


@dataclass(frozen=True)
class _Features:
    """What the scans of one site say about each feature, NaN replaced by 0.

    `terms`, shape (n_features, 4), times the terms of particles is the log likelihood.
    """

    shift: Array
    variance: Array
    terms: Array

    @classmethod
    def of(cls, shift: Array, variance: Array, count: Array) -> _Features:
        shift, variance = (np.where(np.isnan(raw), 0.0, raw) for raw in (shift, variance))
        squares = np.maximum(count - 1.0, 0.0) * variance + count * shift**2
        terms = [-0.5 * squares, count * shift, -0.5 * count, np.ones_like(shift)]
        return cls(shift, variance, np.column_stack(terms))


@dataclass(frozen=True)
class _Particles:
    """Draws from what the site does.

    `weight` counts the features behind each; `own`, shape (n_features,), is the number of
    the particle that a feature is part of, or -1.
    """

    shift: Array
    variance: Array
    weight: Array
    own: NDArray[np.intp]

    @cached_property
    def terms(self) -> Array:
        """Shape (4, n_particles): factors of a feature's squares, sum, number and 1."""
        return _particle_terms(self.shift, self.variance, self.weight)

    @cached_property
    def values(self) -> Array:
        """Shape (n_particles, 3): what is averaged, and 1."""
        return np.column_stack([self.shift, self.variance, np.ones_like(self.shift)])


def _particle_terms(shift: Array, variance: Array, weight: Array) -> Array:
    over = shift / variance
    return np.stack([1.0 / variance, over, shift * over + np.log(variance), np.log(weight)])


def _put_together(features: _Features, usable: NDArray[np.bool_], width: float) -> _Particles:
    """Replace particles that are alike by their mean; without a width, keep every one.

    The noise of a mean is `width` SD of the scans, that of a log variance 1.4 times as
    much. Cells are a share of that, smaller where noise is large.
    """
    shift, variance = features.shift[usable], features.variance[usable]
    cells = np.arange(len(shift))
    if width > 0:
        cells = _cells(shift, variance, width * min(np.sqrt(FINENESS / width), 1.0))
    weight = np.bincount(cells).astype(float)
    own = np.full(len(usable), -1)
    own[usable] = cells
    mean_shift, mean_variance = (
        np.bincount(cells, values) / weight for values in (shift, variance)
    )
    return _Particles(mean_shift, mean_variance, weight, own)


def _cells(shift: Array, variance: Array, size: float) -> NDArray[np.intp]:
    """Number the cell of each particle; those with few neighbours have their own."""
    row = np.floor(np.log(variance) / (np.sqrt(2.0) * size))
    column = np.floor(shift / (size * np.exp(np.sqrt(0.5) * size * row)))
    _, cells, weight = np.unique(column + 1j * row, return_inverse=True, return_counts=True)
    alone = np.flatnonzero(weight[cells] < FEW)
    cells[alone] = len(weight) + np.arange(len(alone))
    return np.unique(cells, return_inverse=True)[1]


def _average(features: _Features, particles: _Particles, rows: slice) -> Array:
    """Weighted mean shift and variance of all particles but the feature itself."""
    terms, own = features.terms[rows], particles.own[rows]
    largest, sums = _rest_of_own(features, particles, rows)
    for columns, particle_terms, values in _steps(particles):
        weights = terms @ particle_terms
        mine = np.flatnonzero((own >= columns.start) & (own < columns.stop))
        weights[mine, own[mine] - columns.start] = -np.inf
        before, largest = largest, np.maximum(largest, weights.max(axis=1))
        weights -= largest[:, None]
        np.maximum(weights, LEAST, out=weights)
        np.exp(weights, out=weights)
        sums *= np.exp(before - largest)[:, None]
        sums += weights @ values
    return np.asarray(sums[:, :2] / sums[:, 2:])


def _steps(particles: _Particles) -> Iterator[tuple[slice, Array, Array]]:
    for start in range(0, len(particles.shift), COLUMNS):
        columns = slice(start, start + COLUMNS)
        yield columns, particles.terms[:, columns], particles.values[columns]


def _rest_of_own(features: _Features, particles: _Particles, rows: slice) -> tuple[Array, Array]:
    """Log likelihood of, and sums over, what a feature's own particle is without it."""
    own = particles.own[rows]
    others = np.where(own < 0, 0.0, particles.weight[own] - 1.0)
    largest, sums = np.full(len(own), NOTHING), np.zeros((len(own), 3))
    some = others > 0
    whole, left = particles.weight[own[some]], others[some]
    shift = (whole * particles.shift[own[some]] - features.shift[rows][some]) / left
    variance = (whole * particles.variance[own[some]] - features.variance[rows][some]) / left
    terms = _particle_terms(shift, variance, left)
    largest[some] = np.einsum("vk,kv->v", features.terms[rows][some], terms)
    sums[some] = np.column_stack([shift, variance, np.ones_like(shift)])
    return largest, sums
