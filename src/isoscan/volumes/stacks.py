"""Many maps in one array of four axes, kept in chunks: scans first or last, voxels beside.

A stack is a Zarr array, or a group with the array ``maps`` and, if there is one, the array
``mask``. Attributes of the array or its group say what NIfTI says in headers: ``ids`` (one per
scan), ``affine`` (four rows of four numbers), ``scan_axis`` (0 or 3), ``sform_code`` and
``xyzt_units``. All may be absent.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.blocks import run_parallel
from isoscan.errors import DataError, ImageFileError, MissingFileError, MissingPackageError
from isoscan.nifti.grids import Grid, in_words, make_grid
from isoscan.nifti.sources import Source, float_like

SUFFIX, MAPS, MASK = ".zarr", "maps", "mask"
_SCAN_NAMES = {"scan", "scans", "subject", "subjects", "session", "sessions"}

Box = tuple[slice, slice, slice]


class Maps(Protocol):
    """Maps of many scans that can be read in pieces."""

    @property
    def grid(self) -> Grid:
        """Where voxels lie."""

    @property
    def n_scans(self) -> int:
        """Number of maps."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values: float32 or float64."""

    @property
    def chunks(self) -> tuple[int, int, int, int]:
        """Scans and voxels that are kept together."""

    @property
    def whole_maps(self) -> bool:
        """Whether only whole maps can be read."""

    def read(self, rows: NDArray[np.intp], box: Box) -> NDArray[Any]:
        """Read a part.

        Parameters
        ----------
        rows : ndarray of int
            Which scans.
        box : tuple of slice
            Which voxels, along each axis.

        Returns
        -------
        ndarray of shape (n_rows, n_voxels of the box)
            Values, the first axis of the grid fastest.
        """


@dataclass(frozen=True)
class Stack:
    """A stack in a Zarr array; nothing is read before it is asked for.

    Attributes
    ----------
    name : str
        Name in messages.
    array : zarr.Array
        Of four axes.
    scan_axis : int
        0 or 3.
    ids : list of str, or None
        Scans, if the stack names them.
    grid : Grid
        Where voxels lie.
    placed : bool
        Whether that is known, or only the shape.
    space : tuple of int
        NIfTI's codes of the space and of the units.
    mask : zarr.Array or None
        Voxels to harmonize, if the stack has a mask.
    """

    name: str
    array: Any
    scan_axis: int
    ids: list[str] | None
    grid: Grid
    placed: bool
    space: tuple[int, int]
    mask: Any = None
    whole_maps = False

    @property
    def n_scans(self) -> int:
        """Number of maps."""
        return int(self.array.shape[self.scan_axis])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return float_like(np.dtype(self.array.dtype))

    @property
    def chunks(self) -> tuple[int, int, int, int]:
        """Scans and voxels that are kept together."""
        kept = [int(n) for n in getattr(self.array, "shards", None) or self.array.chunks]
        rows = kept.pop(self.scan_axis)
        return rows, kept[0], kept[1], kept[2]

    def read(self, rows: NDArray[np.intp], box: Box) -> NDArray[Any]:
        """Read a part of the stack.

        Parameters
        ----------
        rows : ndarray of int
            Which scans.
        box : tuple of slice
            Which voxels.

        Returns
        -------
        ndarray of shape (n_rows, n_voxels of the box)
            Values, the first axis of the grid fastest.

        Raises
        ------
        ImageFileError
            If a chunk is damaged.
        """
        where = (_as_slice(rows), *box) if self.scan_axis == 0 else (*box, _as_slice(rows))
        try:
            values = np.asarray(self.array.oindex[where])
        except Exception as error:  # whatever storage and codecs make of damage
            raise ImageFileError(
                f"{self.name}: the chunk at scans {rows[0]} to {rows[-1]} cannot be read "
                f"({error}). Make the stack again.",
                name=self.name,
            ) from None
        values = np.moveaxis(values, self.scan_axis, 0).transpose(0, 3, 2, 1)
        return values.reshape(len(rows), -1).astype(self.dtype, copy=False)

    def identity(self) -> list[Any]:
        """Tell the stack apart from others, without reading it."""
        root = getattr(self.array.store, "root", None)
        if not isinstance(root, Path):
            return [str(self.array.store), self.array.path, repr(self.array.metadata)]
        digest = hashlib.sha256()
        folder = root / self.array.path
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            about = file.stat()
            entry = (file.relative_to(folder).as_posix(), about.st_size, about.st_mtime_ns)
            digest.update(repr(entry).encode())
        return [str(folder.absolute()), digest.hexdigest()]


def _as_slice(rows: NDArray[np.intp]) -> slice | NDArray[np.intp]:
    together = int(rows[-1]) - int(rows[0]) == len(rows) - 1
    return slice(int(rows[0]), int(rows[-1]) + 1) if together else rows


@dataclass(frozen=True)
class FilesAsStack:
    """Maps in files, images or arrays, read as if they were a stack.

    Attributes
    ----------
    sources : sequence of Source
        Maps on one grid.
    n_jobs : int or None
        Number of threads that read.
    """

    sources: Sequence[Source]
    n_jobs: int | None = None
    whole_maps = True

    @property
    def grid(self) -> Grid:
        """Where voxels lie."""
        return self.sources[0].grid

    @property
    def n_scans(self) -> int:
        """Number of maps."""
        return len(self.sources)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return np.result_type(*(source.dtype for source in self.sources))

    @property
    def chunks(self) -> tuple[int, int, int, int]:
        """A layout that can be read by scans and by voxels."""
        x, y, z = (min(n, 32) for n in self.grid.shape)
        return min(16, self.n_scans), x, y, z

    def read(self, rows: NDArray[np.intp], box: Box) -> NDArray[Any]:
        """Read whole maps.

        Parameters
        ----------
        rows : ndarray of int
            Which scans.
        box : tuple of slice
            The whole grid.

        Returns
        -------
        ndarray of shape (n_rows, n_voxels of the grid)
            Values.
        """
        found = run_parallel(lambda row: self.sources[row].flat(), rows.tolist(), self.n_jobs)
        return np.array(found, dtype=self.dtype)


def is_stack(volumes: Any) -> bool:
    """Whether maps were given as a stack.

    Parameters
    ----------
    volumes : object
        What was given for maps.

    Returns
    -------
    bool
        True for a path that ends in .zarr, and for arrays and groups of Zarr.
    """
    if isinstance(volumes, str | os.PathLike):
        return is_store(volumes)
    return type(volumes).__module__.partition(".")[0] == "zarr"


def is_store(path: Any) -> bool:
    """Whether a path names a Zarr store.

    Parameters
    ----------
    path : object
        Path, or None.

    Returns
    -------
    bool
        True if it ends in .zarr.
    """
    return path is not None and Path(path).suffix.lower() == SUFFIX


def open_stack(volumes: Any, n_scans: int) -> Stack:
    """Open a stack.

    Parameters
    ----------
    volumes : path-like, zarr.Array or zarr.Group
        Where it is.
    n_scans : int
        Rows of the covariates, to tell the axis of scans if nothing else does.

    Returns
    -------
    Stack
        Only what describes it is read.

    Raises
    ------
    MissingPackageError
        If zarr is not installed.
    MissingFileError
        If there is nothing.
    ImageFileError
        If it is no stack of maps.
    """
    zarr = import_zarr()
    opened, name = volumes, "the stack"
    if isinstance(volumes, str | os.PathLike):
        name = Path(volumes).name
        opened = _open(zarr, Path(volumes))
    group = None if isinstance(opened, zarr.Array) else opened
    array = opened if group is None else _maps_of(group, name)
    if array.ndim != 4 or array.dtype.kind not in "biuf":
        raise ImageFileError(
            f"{name} is an array of {array.dtype} with {array.ndim} axes; a stack has four: scans "
            f"first or last, and those of the grid.",
            name=name,
        )
    about = {**(dict(group.attrs) if group is not None else {}), **dict(array.attrs)}
    ids = [str(scan) for scan in about["ids"]] if "ids" in about else None
    axis = _scan_axis(array, about, len(ids) if ids is not None else n_scans, name)
    shape = tuple(int(n) for place, n in enumerate(array.shape) if place != axis)
    if ids is not None and len(ids) != array.shape[axis]:
        raise DataError(f"{name} names {len(ids)} scans, but holds {array.shape[axis]}.")
    affine = np.array(about["affine"], dtype=float) if about.get("affine") is not None else None
    space = int(about.get("sform_code", 4)), int(about.get("xyzt_units", 2))
    mask = group[MASK] if group is not None and MASK in group else None
    grid = make_grid(shape, affine, name)
    return Stack(name, array, axis, ids, grid, affine is not None, space, mask)


def _open(zarr: Any, path: Path) -> Any:
    if not path.exists():
        raise MissingFileError(f"there is no Zarr store {path}.", path=str(path))
    try:
        return zarr.open(path, mode="r")
    except Exception as error:
        raise ImageFileError(
            f"{path.name} cannot be opened as a Zarr store ({error}).", name=path.name
        ) from None


def _maps_of(group: Any, name: str) -> Any:
    if MAPS in group:
        return group[MAPS]
    arrays = [array for _, array in group.arrays() if array.ndim == 4]
    if len(arrays) == 1:
        return arrays[0]
    raise ImageFileError(
        f"{name} is a group without an array '{MAPS}', and {len(arrays)} of its arrays have four "
        f"axes. Give the array itself.",
        name=name,
    )


def _scan_axis(array: Any, about: dict[str, Any], n_scans: int, name: str) -> int:
    """Find the axis of scans: as the attributes say, by its name, or by its length."""
    if "scan_axis" in about:
        axis = int(about["scan_axis"])
        if axis not in (0, 3, -1):
            raise ImageFileError(f"{name}: scan_axis is {axis}; it can be 0 or 3.", name=name)
        return axis % 4
    names = getattr(array.metadata, "dimension_names", None) or (None,) * 4
    found = [axis for axis in (0, 3) if names[axis] in _SCAN_NAMES]
    found = found or [axis for axis in (0, 3) if array.shape[axis] == n_scans]
    if len(found) == 1:
        return found[0]
    raise ImageFileError(
        f"{name} is {in_words(array.shape)}: which axis is that of {n_scans} scans, the first or "
        f"the last? Say it in its attributes: scan_axis = 0 or 3.",
        name=name,
    )


def import_zarr() -> Any:
    """Import the package zarr.

    Returns
    -------
    module
        The package.

    Raises
    ------
    MissingPackageError
        If it is not installed.
    """
    try:
        return import_module("zarr")
    except ImportError:
        raise MissingPackageError(
            "stacks of maps need the package zarr. Install it: pip install 'isoscan[volumes]'."
        ) from None
