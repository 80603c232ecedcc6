"""Which voxels are harmonized, and which of them every site has."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoscan.errors import GridMismatchError, MaskError
from isoscan.nifti.grids import Grid, in_words
from isoscan.nifti.sources import Source, as_source


@dataclass(frozen=True, eq=False)
class Mask:
    """Voxels to harmonize.

    Attributes
    ----------
    grid : Grid
        Where they lie.
    voxels : ndarray of int, shape (n_features,)
        Their positions in storage order, ascending.
    """

    grid: Grid
    voxels: NDArray[np.intp]

    @property
    def hash_(self) -> str:
        """SHA-256 of grid and voxels."""
        content = self.grid.affine.tobytes() + self.voxels.astype(np.int64).tobytes()
        return hashlib.sha256(repr(self.grid.shape).encode() + content).hexdigest()


def read_mask(mask: Any, threshold: float | None = None) -> tuple[Mask, Source]:
    """Read a mask from a file, an image or an array.

    Parameters
    ----------
    mask : path-like, nibabel image or array
        Zero outside, one other value inside.
    threshold : float, optional
        What exceeds it is inside; needed for probabilities.

    Returns
    -------
    mask : Mask
        The voxels.
    source : Source
        Where they came from.

    Raises
    ------
    MaskError
        If it is empty, or holds more than two values and there is no threshold.
    """
    source = as_source(mask, "the mask")
    flat = source.flat()
    inside = flat > threshold if threshold is not None else _two_valued(flat, source.name)
    voxels = np.flatnonzero(inside)
    if not voxels.size:
        above = "" if threshold is None else f" above {threshold:g}"
        raise MaskError(f"{source.name} is empty: no voxel{above} lies inside.")
    return Mask(source.grid, voxels), source


def _two_valued(flat: NDArray[Any], name: str) -> NDArray[np.bool_]:
    flat = np.nan_to_num(flat)
    inside: NDArray[np.bool_] = flat != 0
    kinds = np.unique(flat[inside])
    if len(kinds) > 1:
        whole = bool((kinds == np.round(kinds)).all())
        what = "labels" if whole else "probabilities"
        raise MaskError(
            f"{name} holds {len(kinds)} different values besides 0, from {kinds[0]:g} to "
            f"{kinds[-1]:g}: {what}? Say from which value a voxel lies inside: "
            f"mask_threshold={0.5} (--mask-threshold)."
        )
    if len(kinds) and kinds[0] < 0:
        raise MaskError(f"{name} is {kinds[0]:g} inside; a mask is positive inside.")
    return inside


def require_same_grid(mask: Mask, name: str, grid: Grid, of: str) -> None:
    """Refuse a mask that lies on another grid than the maps.

    Parameters
    ----------
    mask : Mask
        The mask.
    name : str
        Its name in messages.
    grid : Grid
        Grid of the maps.
    of : str
        The first map on it.

    Raises
    ------
    GridMismatchError
        If voxels lie elsewhere.
    """
    words = grid.difference(mask.grid)
    if words:
        raise GridMismatchError(
            f"{name} does not lie on the grid of the maps ({in_words(grid.shape)}, such as {of}): "
            f"{words}. Resample the mask to the maps first, by nearest neighbour.",
            names=[name],
        )


def common_voxels(sources: list[Source], grid: Grid, read: Any) -> Mask:
    """Find the voxels that hold a finite value other than 0 in every map.

    Parameters
    ----------
    sources : list of Source
        Maps.
    grid : Grid
        Their grid.
    read : callable
        Takes a function and sources; gives results in order, as they come.

    Returns
    -------
    Mask
        The voxels.

    Raises
    ------
    MaskError
        If there is none.
    """
    inside = np.ones(grid.n_voxels, dtype=bool)
    for filled in read(_filled, sources):
        inside &= filled
    voxels = np.flatnonzero(inside)
    if not voxels.size:
        raise MaskError(
            f"no voxel holds a finite value other than 0 in all of {len(sources)} maps. Are they "
            f"registered to one template? Give a mask."
        )
    return Mask(grid, voxels)


def _filled(source: Source) -> NDArray[np.bool_]:
    flat = source.flat()
    return np.asarray(np.isfinite(flat) & (flat != 0))
