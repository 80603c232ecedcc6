"""Cut a stack into pieces that fit into memory, along its chunks: each is read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from isoscan.volumes.masks import Mask
from isoscan.volumes.stacks import Box, Maps

BYTES_AT_A_TIME = 32 << 20


@dataclass(frozen=True, eq=False)
class Part:
    """Voxels of a box, and which of them are harmonized.

    Attributes
    ----------
    number : int
        Number of the box.
    box : tuple of slice
        Voxels along each axis.
    positions : ndarray of int, shape (n_voxels of the box,)
        Where they lie in the grid, in storage order.
    columns : ndarray of int
        Numbers, within the mask, of the voxels in both; ascending.
    places : ndarray of int
        Where these are in the box.
    """

    number: int
    box: Box
    positions: NDArray[np.intp]
    columns: NDArray[np.intp]
    places: NDArray[np.intp]


def parts_of(maps: Maps, mask: Mask, *, whole: bool = False) -> list[Part]:
    """Cut the grid into boxes along the chunks of a stack.

    Parameters
    ----------
    maps : Maps
        The stack.
    mask : Mask
        Voxels to harmonize.
    whole : bool
        Take the whole grid as one box.

    Returns
    -------
    list of Part
        Every voxel of the grid is in one of them.
    """
    shape = maps.grid.shape
    steps = shape if whole or maps.whole_maps else _steps(maps)
    starts = product(
        *(range(0, length, step) for length, step in zip(shape, steps, strict=True))
    )  # fmt: skip
    parts = []
    for number, start in enumerate(starts):
        x, y, z = (
            slice(first, min(first + step, length))
            for first, step, length in zip(start, steps, shape, strict=True)
        )
        positions = _positions((x, y, z), shape)
        columns = np.searchsorted(mask.voxels, positions)
        columns[columns == len(mask.voxels)] = 0
        places = np.flatnonzero(mask.voxels[columns] == positions)
        parts.append(Part(number, (x, y, z), positions, columns[places], places))
    return parts


def _steps(maps: Maps) -> tuple[int, int, int]:
    """Grow the box of a chunk while all scans of it fit into memory."""
    shape, steps = maps.grid.shape, [*maps.chunks[1:]]
    for axis in range(3):
        while steps[axis] < shape[axis] and 2 * _bytes(maps, maps.n_scans, steps) < BYTES_AT_A_TIME:
            steps[axis] = min(2 * steps[axis], shape[axis])
    return steps[0], steps[1], steps[2]


def _bytes(maps: Maps, n_rows: int, steps: Sequence[int]) -> int:
    return int(n_rows * np.prod(steps, dtype=float) * maps.dtype.itemsize)


def _positions(box: Box, shape: tuple[int, int, int]) -> NDArray[np.intp]:
    x, y, z = (np.arange(part.start, part.stop) for part in box)
    return np.asarray(
        (z[:, None, None] * shape[1] + y[None, :, None]) * shape[0] + x[None, None, :]
    ).ravel()


def row_blocks(
    maps: Maps, part: Part, *, sites: NDArray[np.intp] | None = None, whole: bool = False
) -> list[NDArray[np.intp]]:
    """Cut the scans of a box into blocks that fit into memory, along the chunks.

    Parameters
    ----------
    maps : Maps
        The stack.
    part : Part
        The box.
    sites : ndarray of int, shape (n_scans,), optional
        Site of each scan; where chunks hold one scan, those of a site are read together.
    whole : bool
        Take all scans as one block.

    Returns
    -------
    list of ndarray of int
        Rows of each block.
    """
    step = max(int(BYTES_AT_A_TIME // _bytes(maps, 1, [len(part.positions)])), 1)
    at_once = maps.chunks[0]
    step = maps.n_scans if whole else max(step // at_once, 1) * at_once
    order = np.arange(maps.n_scans)
    if sites is not None and at_once == 1:
        order = np.argsort(sites, kind="stable")
    return [order[start : start + step] for start in range(0, maps.n_scans, step)]
