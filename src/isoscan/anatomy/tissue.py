"""Tell cerebrospinal fluid, grey and white matter apart, given the brain.

Logarithms of intensities are normally distributed around the mean of each tissue and a smooth
field; neighbours tend to be of one tissue (a hidden Markov random field). Tissues, means and
field are estimated in turn [1]_. Nothing is random.

References
----------
.. [1] Zhang, Brady & Smith (2001), IEEE Trans. Med. Imaging 20:45, doi:10.1109/42.906424.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from isoscan.anatomy.shapes import bounding_box
from isoscan.errors import NoBrainError

TISSUES = ("csf", "gm", "wm")
_ITERATIONS = 20
_ENOUGH = 2e-4  # change of a mean, in log units, that ends the iterations
_COHERENCE = 0.2  # log odds that each neighbour of a tissue adds
_FIELD_MM = 20.0  # standard deviation of the smoothing of the field
_CELL_MM = 6.0
_LEAST_SHARE = 0.02
_LEAST_SD = 0.02
_LEAST_GAP = 0.03

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Means:
    """Mean and standard deviation of the logarithm of each tissue."""

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]

    def log_likelihood(self, values: Array) -> Array:
        mean, sd = (part.astype(np.float32)[:, None] for part in (self.mean, self.sd))
        return np.asarray(-0.5 * ((values - mean) / sd) ** 2 - np.log(sd))

    def updated(self, values: Array, posteriors: Array) -> _Means:
        """Estimate again; a tissue that would vanish or change places keeps its numbers."""
        weights = posteriors.sum(axis=1, dtype=float)
        safe = np.maximum(weights, 1e-9)
        mean = (posteriors * values).sum(axis=1, dtype=float) / safe
        centred = values - mean.astype(np.float32)[:, None]
        squares = (posteriors * centred**2).sum(axis=1, dtype=float)
        sd = np.maximum(np.sqrt(squares / safe), _LEAST_SD)
        lost = weights < _LEAST_SHARE * len(values)
        mean, sd = np.where(lost, self.mean, mean), np.where(lost, self.sd, sd)
        if (np.diff(mean) < _LEAST_GAP).any():
            return self
        return _Means(mean, sd)


def segment_tissues(values: NDArray[Any], brain: NDArray[np.bool_], sizes: Any) -> Array:
    """Estimate how likely each voxel of the brain is each tissue.

    Parameters
    ----------
    values : ndarray of shape (x, y, z)
        T1-weighted intensities, best without bias field.
    brain : ndarray of bool of shape (x, y, z)
        Where to look.
    sizes : sequence of float
        Edges of a voxel in mm.

    Returns
    -------
    ndarray of float32 of shape (3, x, y, z)
        Posterior of cerebrospinal fluid, grey and white matter: sums to 1 in the brain, 0
        outside.

    Raises
    ------
    NoBrainError
        If the brain does not have three intensities.
    """
    box = bounding_box(brain)
    inside = brain[box]
    intensities = np.asarray(values[box][inside], dtype=np.float32)
    logs = _logarithms(intensities)
    posteriors = _first_guess(intensities)
    means = _first_means(logs, posteriors)
    neighbours = _Neighbours(inside, np.asarray(sizes, dtype=float))
    field = _Field(inside, np.asarray(sizes, dtype=float))
    flat = logs
    for _ in range(_ITERATIONS):
        score = means.log_likelihood(flat) + _COHERENCE * neighbours.sums(posteriors)
        posteriors = _softmax(score)
        before, means = means, means.updated(flat, posteriors)
        flat = logs - field.of(logs, posteriors, means)
        if np.abs(before.mean - means.mean).max() < _ENOUGH:
            break
    result = np.zeros((3, *brain.shape), np.float32)
    for tissue, posterior in zip(result, posteriors, strict=True):
        tissue[box][inside] = posterior
    return result


def _logarithms(intensities: Array) -> Array:
    """Logarithms; what is darker than 2 % of the brightest counts as equally dark."""
    floor = 0.02 * float(np.percentile(intensities, 99))
    if not floor > 0:
        raise NoBrainError("the brain has no positive intensities, so it has no tissues.")
    return np.log(np.maximum(intensities, floor))


def _first_guess(intensities: Array) -> Array:
    """Three classes, separated by the two thresholds that leave least variance."""
    low, high = (float(q) for q in np.percentile(intensities, (0.5, 99.5)))
    if not high > low:
        raise NoBrainError(
            "the brain has one intensity everywhere, so its tissues cannot be told apart."
        )
    n_bins = 128
    counts, edges = np.histogram(np.clip(intensities, low, high), n_bins, (low, high))
    first, second = _two_thresholds(counts, (edges[:-1] + edges[1:]) / 2)
    dark = intensities <= edges[first + 1]
    bright = intensities > edges[second + 1]
    return np.stack([dark, ~dark & ~bright, bright]).astype(np.float32)


def _two_thresholds(counts: NDArray[Any], centres: NDArray[np.float64]) -> tuple[int, int]:
    """Last bins of the first and second class, by Otsu's criterion for three classes."""
    mass = np.concatenate([[0.0], np.cumsum(counts)])
    moment = np.concatenate([[0.0], np.cumsum(counts * centres)])
    start, stop = np.ogrid[0 : len(mass), 0 : len(mass)]
    weight = np.maximum(mass[stop] - mass[start], 1e-9)
    between = np.where(stop > start, (moment[stop] - moment[start]) ** 2 / weight, -np.inf)
    total = between[0, :, None] + between + between[:, -1][None, :]
    first, second = np.unravel_index(int(np.argmax(total)), total.shape)
    return int(first) - 1, int(second) - 1


def _first_means(logs: Array, posteriors: Array) -> _Means:
    weights = posteriors.sum(axis=1, dtype=float)
    if (weights < _LEAST_SHARE / 4 * len(logs)).any():
        raise NoBrainError(
            "the brain does not have three intensities (cerebrospinal fluid, grey and white "
            "matter), so its tissues cannot be told apart. Is it a T1-weighted image?"
        )
    parts = [logs[p > 0.5] for p in posteriors]
    mean = np.array([float(np.median(part)) for part in parts])
    sd = np.array([max(float(part.std(dtype=float)), _LEAST_SD) for part in parts])
    return _Means(mean, sd)


def _softmax(score: Array) -> Array:
    score -= score.max(axis=0)
    np.exp(score, out=score)
    score /= score.sum(axis=0)
    return score


class _Neighbours:
    """Six neighbours of each voxel of the brain; nearer ones weigh more."""

    def __init__(self, inside: NDArray[np.bool_], sizes: NDArray[np.float64]) -> None:
        n_voxels = int(np.count_nonzero(inside))
        numbers = np.full(np.array(inside.shape) + 2, n_voxels, dtype=np.intp)
        numbers[1:-1, 1:-1, 1:-1][inside] = np.arange(n_voxels)
        where = tuple(axis + 1 for axis in np.nonzero(inside))
        nearness = sizes.min() / sizes
        self._weights = nearness / nearness.mean()
        self._pairs = [
            [
                numbers[tuple(w + step * (a == axis) for a, w in enumerate(where))]
                for step in (-1, 1)
            ]
            for axis in range(3)
        ]

    def sums(self, posteriors: Array) -> Array:
        """Sum of the posteriors of the neighbours; those outside the brain count nothing."""
        padded = np.pad(posteriors, ((0, 0), (0, 1)))
        sums = np.zeros_like(posteriors)
        for weight, (before, after) in zip(self._weights, self._pairs, strict=True):
            for tissue, total in zip(padded, sums, strict=True):
                total += np.float32(weight) * (tissue[before] + tissue[after])
        return sums


class _Field:
    """A smooth field, kept on cells of some millimetres."""

    def __init__(self, inside: NDArray[np.bool_], sizes: NDArray[np.float64]) -> None:
        per_cell = np.maximum(np.round(_CELL_MM / sizes), 1).astype(int)
        self._shape = tuple(-(-n // k) for n, k in zip(inside.shape, per_cell, strict=True))
        where = np.nonzero(inside)
        cells = tuple(axis // k for axis, k in zip(where, per_cell, strict=True))
        self._cells = np.ravel_multi_index(cells, self._shape)
        self._places = np.stack(
            [
                ((axis + 0.5) / k - 0.5).astype(np.float32)
                for axis, k in zip(where, per_cell, strict=True)
            ]
        )
        self._sigma = _FIELD_MM / (per_cell * sizes)

    def of(self, logs: Array, posteriors: Array, means: _Means) -> Array:
        """Smooth what the means of the tissues do not explain; its mean is 0."""
        precision = (1 / means.sd**2).astype(np.float32)
        weights = precision @ posteriors
        expected = (precision * means.mean.astype(np.float32)) @ posteriors
        unexplained = self._smooth(weights * logs - expected)
        cells = unexplained / np.maximum(self._smooth(weights), 1e-9)
        field = ndimage.map_coordinates(cells, self._places, np.float32, order=1, mode="nearest")
        return np.asarray(field - field.mean(dtype=float).astype(np.float32))

    def _smooth(self, values: Array) -> NDArray[np.float64]:
        n_cells = int(np.prod(self._shape))
        sums = np.bincount(self._cells, values, n_cells).reshape(self._shape)
        return np.asarray(ndimage.gaussian_filter(sums, self._sigma, mode="constant"))
