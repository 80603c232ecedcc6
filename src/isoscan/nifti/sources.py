"""Maps from files, images and arrays, all read in the same way."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from nibabel import Nifti1Header, Nifti1Image
from numpy.typing import NDArray

from isoscan.errors import ImageFileError
from isoscan.nifti.grids import Grid, make_grid
from isoscan.nifti.headers import Header, read_header
from isoscan.nifti.maps import read_flat


class Source(Protocol):
    """A map that can be read."""

    @property
    def name(self) -> str:
        """Name in messages."""

    @property
    def grid(self) -> Grid:
        """Where its voxels lie."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its values: float32 or float64."""

    def flat(self) -> NDArray[Any]:
        """All values in storage order."""

    def header(self) -> Header:
        """Header for a map like this one."""

    def like(self, flat: NDArray[Any]) -> Any:
        """Other values in the form this map had.

        Parameters
        ----------
        flat : ndarray of shape (n_voxels,)
            Values in storage order.

        Returns
        -------
        nibabel image or ndarray
            On the same grid.
        """


@dataclass(frozen=True)
class FileMap:
    """A map in a file; read when it is needed, and not kept.

    Attributes
    ----------
    path : Path
        A ``.nii`` or ``.nii.gz`` file.
    checked : Header
        Its header.
    """

    path: Path
    checked: Header

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.path.name

    @property
    def grid(self) -> Grid:
        """Where its voxels lie."""
        return self.checked.grid

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its values."""
        return self.checked.dtype

    def flat(self) -> NDArray[Any]:
        """Read all values."""
        return read_flat(self.path, self.checked)

    def header(self) -> Header:
        """Its header."""
        return self.checked

    def like(self, flat: NDArray[Any]) -> Any:
        """Make an image in memory.

        Parameters
        ----------
        flat : ndarray of shape (n_voxels,)
            Values in storage order.

        Returns
        -------
        nibabel image or ndarray
            On the same grid.
        """
        return _as_image(flat, self.checked)


@dataclass(frozen=True)
class ImageMap:
    """A nibabel image.

    Attributes
    ----------
    name : str
        Name in messages.
    image : nibabel image
        Any image with an affine.
    grid : Grid
        Where its voxels lie.
    """

    name: str
    image: Any
    grid: Grid

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its values."""
        return float_like(self.image.dataobj[(slice(0, 1),) * self.image.ndim].dtype)

    def flat(self) -> NDArray[Any]:
        """All values."""
        return _flatten(np.asanyarray(self.image.dataobj))

    def header(self) -> Header:
        """Its header, as NIfTI."""
        fields = Nifti1Header.from_header(self.image.header, check=False)
        if not isinstance(self.image, Nifti1Image):
            fields.set_sform(self.image.affine, code="aligned")
        fields["magic"] = b"n+1"
        return Header(self.name, fields, self.grid)

    def like(self, flat: NDArray[Any]) -> Any:
        """Make another image.

        Parameters
        ----------
        flat : ndarray of shape (n_voxels,)
            Values in storage order.

        Returns
        -------
        nibabel image or ndarray
            On the same grid.
        """
        return _as_image(flat, self.header())


@dataclass(frozen=True)
class ArrayMap:
    """An array; it does not know where its voxels lie.

    Attributes
    ----------
    name : str
        Name in messages.
    array : ndarray
        Of three axes.
    grid : Grid
        Of the mask, or of voxel numbers.
    placed : bool
        Whether that grid says where voxels lie.
    """

    name: str
    array: NDArray[Any]
    grid: Grid
    placed: bool = False

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its values."""
        return float_like(self.array.dtype)

    def flat(self) -> NDArray[Any]:
        """All values."""
        return _flatten(self.array)

    def header(self) -> Header:
        """A header with the affine of the grid."""
        image = Nifti1Image(np.zeros((1, 1, 1), np.float32), self.grid.affine)
        image.header["magic"] = b"n+1"
        return Header(self.name, image.header, self.grid)

    def like(self, flat: NDArray[Any]) -> Any:
        """Make another array.

        Parameters
        ----------
        flat : ndarray of shape (n_voxels,)
            Values in storage order.

        Returns
        -------
        nibabel image or ndarray
            On the same grid.
        """
        return flat.reshape(self.grid.shape, order="F")


def _as_image(flat: NDArray[Any], header: Header) -> Nifti1Image:
    fields = header.fields.copy()
    fields.set_data_dtype(flat.dtype)
    fields.set_data_shape(header.grid.shape)
    return Nifti1Image(flat.reshape(header.grid.shape, order="F"), None, fields)


def _flatten(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(float_like(array.dtype), copy=False).ravel(order="F")


def float_like(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Type that values of a map get.

    Parameters
    ----------
    dtype : dtype
        As they are stored.

    Returns
    -------
    dtype
        float32 if they are stored so, else float64.
    """
    return np.dtype("f4") if dtype == np.float32 else np.dtype("f8")


def as_source(volume: Any, name: str) -> Source:
    """Make a source of a path, an image or an array.

    Parameters
    ----------
    volume : path-like, nibabel image or array
        A map.
    name : str
        Name in messages, unless it is a file.

    Returns
    -------
    Source
        Nothing but the header is read yet.

    Raises
    ------
    ImageFileError
        If it is none of these, or not real numbers.
    """
    if isinstance(volume, str | os.PathLike):
        path = Path(volume)
        return FileMap(path, read_header(path))
    if hasattr(volume, "dataobj") and hasattr(volume, "affine"):
        return ImageMap(name, volume, make_grid(volume.shape, volume.affine, name))
    array = np.asarray(volume)
    if array.dtype.kind not in "biuf" or array.ndim < 3:
        raise ImageFileError(
            f"{name} is {type(volume).__name__} of {array.dtype} with {array.ndim} axes; give "
            f"paths of NIfTI files, nibabel images, or arrays of three axes.",
            name=name,
        )
    return ArrayMap(name, array, make_grid(array.shape, None, name))
