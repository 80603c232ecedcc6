"""Read a head and what belongs to it, with axes that run right, anterior, superior."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoscan.anatomy.head import Head, read_head
from isoscan.errors import ImageFileError, MaskError, MissingFileError

Array = NDArray[Any]
Mask = NDArray[np.bool_]


def read_image(t1: Any) -> Head:
    """Read a T1-weighted image.

    Parameters
    ----------
    t1 : path-like, nibabel image or ndarray of shape (x, y, z)
        The image; .nii, .nii.gz or .mgz. Axes of an array are taken to run right, anterior,
        superior, in voxels of 1 mm.

    Returns
    -------
    Head
        With turned axes, never resampled.

    Raises
    ------
    GridMismatchError
        If it has more than three axes.
    ImageFileError
        If it cannot be read, or cannot be a head.
    """
    return read_head(as_volume(t1))


def as_volume(volume: Any) -> Any:
    """Load what only nibabel reads, and place arrays.

    Parameters
    ----------
    volume : path-like, nibabel image or ndarray
        A volume.

    Returns
    -------
    path-like or nibabel image
        Files of FreeSurfer and arrays become images, all else stays as it is.

    Raises
    ------
    ImageFileError
        If a file of FreeSurfer cannot be read.
    """
    from nibabel import Nifti1Image

    if is_freesurfer(volume):
        return _load_freesurfer(Path(volume))
    if isinstance(volume, np.ndarray):
        floats = volume.astype(np.float32 if volume.dtype.itemsize <= 4 else np.float64)
        return Nifti1Image(floats, np.eye(4))
    return volume


def read_mask(head: Head, volume: Any, name: str, *, may_be_empty: bool = False) -> Mask:
    """Read a mask: 0 or NaN outside, anything else inside.

    Parameters
    ----------
    head : Head
        The image.
    volume : path-like, nibabel image or ndarray of shape (x, y, z)
        On the grid of the image.
    name : str
        Name in messages, unless it is a file.
    may_be_empty : bool
        Whether a mask without voxels is one.

    Returns
    -------
    ndarray of bool of shape (x, y, z)
        True inside.

    Raises
    ------
    MaskError
        If no voxel lies inside.
    GridMismatchError
        If it lies elsewhere.
    """
    inside = np.nan_to_num(head.companion(beside(volume), name)) != 0
    if not inside.any() and not may_be_empty:
        raise MaskError(f"{name} of {head.name} is empty: no voxel lies inside.", name=name)
    return np.asarray(inside)


def read_map(head: Head, volume: Any, name: str) -> Array:
    """Read a map of real numbers.

    Parameters
    ----------
    head : Head
        The image.
    volume : path-like, nibabel image or ndarray of shape (x, y, z)
        On the grid of the image.
    name : str
        Name in messages, unless it is a file.

    Returns
    -------
    ndarray of shape (x, y, z)
        Its values; 0 where they are not finite.

    Raises
    ------
    GridMismatchError
        If it lies elsewhere.
    """
    values = head.companion(beside(volume), name)
    return np.asarray(np.nan_to_num(values, posinf=0.0, neginf=0.0))


def beside(volume: Any) -> Any:
    """Load what only nibabel reads; arrays lie as the image was given.

    Parameters
    ----------
    volume : path-like, nibabel image or ndarray
        A volume that belongs to an image.

    Returns
    -------
    path-like, nibabel image or ndarray
        Files of FreeSurfer become images, all else stays as it is.
    """
    return _load_freesurfer(Path(volume)) if is_freesurfer(volume) else volume


def is_freesurfer(volume: Any) -> bool:
    """Whether a volume is a file in the format of FreeSurfer.

    Parameters
    ----------
    volume : object
        Anything.

    Returns
    -------
    bool
        True for .mgz and .mgh.
    """
    is_path = isinstance(volume, str | os.PathLike)
    return is_path and Path(volume).suffix.lower() in {".mgz", ".mgh"}


def zooms_of(head: Head) -> tuple[float, float, float]:
    """Voxel sizes, as MRIQC reads them from the header.

    Parameters
    ----------
    head : Head
        The image.

    Returns
    -------
    tuple of float
        Millimetres.
    """
    x, y, z = (float(mm) for mm in head.image.header.get_zooms()[:3])
    return x, y, z


def stem(volume: Any) -> str:
    """Name of an image without folder and suffix.

    Parameters
    ----------
    volume : path-like, nibabel image or ndarray
        The image.

    Returns
    -------
    str
        "image" if it is no file.

    Examples
    --------
    >>> stem("study/sub-01/anat/sub-01_T1w.nii.gz")
    'sub-01_T1w'
    """
    if not isinstance(volume, str | os.PathLike):
        return "image"
    return Path(volume).name.removesuffix(".gz").rpartition(".")[0] or Path(volume).name


def _load_freesurfer(path: Path) -> Any:
    from nibabel.loadsave import load

    if not path.is_file():
        raise MissingFileError(f"there is no file {path}.", path=path)
    try:
        image: Any = load(path)
        image.get_fdata(dtype=np.float32)
    except Exception as error:  # whatever nibabel makes of a damaged file
        raise ImageFileError(f"{path} cannot be read: {error}.", name=path.name) from None
    return image
