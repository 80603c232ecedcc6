"""Leading principal axes of a table, from blocks of its columns or rows.

Exact from the Gram matrix of the shorter side. Where both sides are too long for
that, a random sketch is turned towards the leading axes by power iterations [1]_.

References
----------
.. [1] Halko, Martinsson & Tropp (2011), SIAM Review 53:217, doi:10.1137/090771806.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, eigh, qr, solve_triangular

from isoscan.combat.blocks import count_workers, for_each_block, run_parallel

Array = NDArray[np.float64]

LARGEST_GRAM = 10_000
"""Longest side of an exact Gram matrix: 0.8 GB, and minutes for its eigenvectors."""
POWER_ITERATIONS = 6
OVERSAMPLING = 20
FIRST_SKETCH = 128
_TILE = 128
_AT_A_TIME = 512


@dataclass(frozen=True)
class Centred:
    """A table whose columns are centred and multiplied by a factor when they are read.

    Attributes
    ----------
    table : ndarray of shape (n_scans, n_features)
        Values of any real type. Not modified.
    centre, factor : ndarray of shape (n_features,)
        What is subtracted and what is multiplied; factor 0 leaves a column out.
    """

    table: NDArray[Any]
    centre: Array
    factor: Array

    @property
    def shape(self) -> tuple[int, int]:
        """Scans and features."""
        return self.table.shape[0], self.table.shape[1]

    def read(self, rows: slice, columns: slice) -> Array:
        """Copy a part of the table, centred and scaled.

        Parameters
        ----------
        rows, columns : slice
            Which part.

        Returns
        -------
        ndarray
            A copy in float64.
        """
        values = np.asarray(self.table[rows, columns] - self.centre[columns], dtype=np.float64)
        values *= self.factor[columns]
        return values


@dataclass(frozen=True)
class Axes:
    """Principal axes in the order of what they explain.

    Attributes
    ----------
    squares : ndarray of shape (n_axes,)
        Sum of squares along each axis, largest first.
    directions : ndarray of shape (n_features, n_axes)
        Orthonormal columns.
    """

    squares: Array
    directions: Array


@dataclass(frozen=True)
class Wanted:
    """How many axes to keep.

    Attributes
    ----------
    share : float
        Keep the first axes that together explain strictly more than this share.
    number : int or None
        Keep exactly so many instead.
    total : float
        Sum of squares of the whole table.
    """

    share: float
    number: int | None
    total: float

    def among(self, squares: Array) -> int:
        """Count the axes to keep; one more than there are if those do not suffice.

        Parameters
        ----------
        squares : ndarray of shape (n_axes,)
            Sums of squares along the leading axes.

        Returns
        -------
        int
            Number of axes.
        """
        if self.number is not None:
            return self.number
        shares = np.cumsum(squares) / self.total
        return int(np.searchsorted(shares, self.share, side="right")) + 1


def leading_axes(
    data: Centred,
    wanted: Wanted,
    *,
    random_state: int | np.random.Generator | None = None,
    n_jobs: int | None = None,
) -> tuple[Axes, int]:
    """Find the leading principal axes.

    Axes that explain almost the same share are told apart by the Gram matrix, not by the
    sketch: it may turn them within the plane that they span.

    Parameters
    ----------
    data : Centred
        The table.
    wanted : Wanted
        How many axes to keep.
    random_state : int, Generator or None
        Seed of the sketch; without effect where the Gram matrix is used.
    n_jobs : int, optional
        Number of threads.

    Returns
    -------
    axes : Axes
        As many as wanted, or as there are.
    rank : int
        How many axes there are at all; at least, where a sketch was used.
    """

    def find(shape: tuple[int, int]) -> tuple[Axes, int]:
        if min(shape) <= LARGEST_GRAM:
            return _exact(data, wanted, n_jobs)
        return _sketched(data, wanted, np.random.default_rng(random_state), n_jobs)

    # The linear algebra library keeps to one thread, so that its rounding does not depend
    # on the computer's number of processors, nor its speed on who else uses them.
    return run_parallel(find, [data.shape], 1)[0]


def _rank(squares: Array, shape: tuple[int, int]) -> int:
    """Axes that explain more than rounding could."""
    noise = max(shape) * np.finfo(float).eps * squares[0]
    return int(np.count_nonzero(squares > noise))


def _exact(data: Centred, wanted: Wanted, n_jobs: int | None) -> tuple[Axes, int]:
    n_scans, n_features = data.shape
    values, vectors = eigh(_gram(data, n_jobs), lower=True, overwrite_a=True, driver="evd")
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    rank = _rank(values, data.shape)
    kept = min(wanted.among(values[:rank]), rank)
    squares, vectors = values[:kept].copy(), np.ascontiguousarray(vectors[:, :kept])
    if n_scans > n_features:
        return Axes(squares, vectors), rank
    vectors /= np.sqrt(squares)
    directions = _back(data, vectors, n_jobs)
    return Axes(squares, _clean(directions)), rank


def _gram(data: Centred, n_jobs: int | None) -> Array:
    """Lower triangle of the products of all scans, or of all features if those are fewer.

    Threads share the rows of the result, so that it is held only once and does not
    depend on their number.
    """
    by_scan = data.shape[0] <= data.shape[1]
    short, long = min(data.shape), max(data.shape)
    result = np.zeros((short, short))

    def fill(rows: slice) -> None:
        upto = slice(0, rows.stop)
        for part in _slices(long, _AT_A_TIME):
            values = data.read(upto, part) if by_scan else data.read(part, upto).T
            result[rows, upto] += values[rows] @ values.T

    run_parallel(fill, reversed(list(_slices(short, _TILE))), n_jobs)
    return result


def _back(data: Centred, vectors: Array, n_jobs: int | None) -> Array:
    """Products of all features with vectors over scans, shape (n_features, n_vectors)."""
    n_scans, n_features = data.shape
    result = np.empty((n_features, vectors.shape[1]))

    def fill(block: slice) -> None:
        np.matmul(data.read(slice(None), block).T, vectors, out=result[block])

    for_each_block(fill, n_scans, n_features, n_jobs)
    return result


def _clean(directions: Array) -> Array:
    """Make almost orthonormal columns orthonormal, the strong ones first.

    Rounding lets a little of the strong axes into the faint ones.
    """
    triangle = cholesky(directions.T @ directions, lower=True)
    return np.asarray(solve_triangular(triangle, directions.T, lower=True).T)


def _sketched(
    data: Centred, wanted: Wanted, random: np.random.Generator, n_jobs: int | None
) -> tuple[Axes, int]:
    """Widen the sketch until it holds all axes that are wanted."""
    width = wanted.number or FIRST_SKETCH
    while True:
        axes = _sketch(data, min(width + OVERSAMPLING, *data.shape), random, n_jobs)
        rank = _rank(axes.squares, data.shape)
        kept = min(wanted.among(axes.squares[:rank]), rank)
        exhausted = rank < len(axes.squares) or len(axes.squares) == min(data.shape)
        if kept <= width or exhausted:
            return Axes(axes.squares[:kept], axes.directions[:, :kept].copy()), rank
        width *= 2


def _sketch(data: Centred, width: int, random: np.random.Generator, n_jobs: int | None) -> Axes:
    basis: Array = random.standard_normal((data.shape[0], width))
    for _ in range(POWER_ITERATIONS):
        basis = np.asarray(qr(_there_and_back(data, basis, n_jobs), mode="economic")[0])
    directions, lengths, _ = np.linalg.svd(_back(data, basis, n_jobs), full_matrices=False)
    return Axes(lengths**2, directions)


def _there_and_back(data: Centred, basis: Array, n_jobs: int | None) -> Array:
    """Multiply by the Gram matrix of scans without forming it."""
    result = np.zeros_like(basis)

    def product(block: slice) -> Array:
        values = data.read(slice(None), block)
        return np.asarray(values @ (values.T @ basis))

    blocks, workers = list(_slices(data.shape[1], _AT_A_TIME)), count_workers(n_jobs)
    for start in range(0, len(blocks), workers):
        for part in run_parallel(product, blocks[start : start + workers], n_jobs):
            result += part
    return result


def _slices(length: int, step: int) -> Iterator[slice]:
    for start in range(0, length, step):
        yield slice(start, min(start + step, length))
