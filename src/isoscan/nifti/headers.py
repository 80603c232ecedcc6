"""What the header of a NIfTI image claims, checked before the image is believed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nibabel import Nifti1Header, Nifti2Header

from isoscan.errors import GridMismatchError, ImageFileError, MissingFileError, count, name_some
from isoscan.nifti.compression import inflate_start, what_it_is
from isoscan.nifti.grids import Grid, in_words, make_grid

MOST_BYTES = 16 << 30
"""No map of one subject is larger; a header that claims more is refused unread."""
_START = 4096
_LARGEST_EXTENSION = 256 << 20
_CLASSES: dict[int, Any] = {348: Nifti1Header, 540: Nifti2Header}
_OTHERS = {
    ".mgz": "mri_convert",
    ".mgh": "mri_convert",
    ".mnc": "mnc2nii",
    ".img": "a NIfTI converter",
    ".hdr": "a NIfTI converter",
}


@dataclass(frozen=True)
class Header:
    """A checked header.

    Attributes
    ----------
    name : str
        Name of the image in messages.
    fields : Nifti1Header or Nifti2Header
        As stored.
    grid : Grid
        Where the voxels lie.
    """

    name: str
    fields: Any
    grid: Grid

    @property
    def stored(self) -> np.dtype[Any]:
        """Type of the numbers in the file."""
        dtype: np.dtype[Any] = self.fields.get_data_dtype()
        return dtype

    @property
    def scaling(self) -> tuple[float, float] | None:
        """Slope and intercept, if stored numbers must be scaled."""
        slope, intercept = float(self.fields["scl_slope"]), float(self.fields["scl_inter"])
        if not math.isfinite(slope) or slope == 0:
            return None  # the standard says: not scaled
        return None if (slope, intercept) == (1.0, 0.0) else (slope, intercept)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values: float32 if that is how they are stored, else float64."""
        plain = self.stored == np.dtype("f4").newbyteorder(self.stored.byteorder)
        return np.dtype("f4" if plain and self.scaling is None else "f8")

    @property
    def offset(self) -> int:
        """Where the numbers begin."""
        return int(self.fields["vox_offset"])

    @property
    def n_bytes(self) -> int:
        """Bytes of the uncompressed file."""
        return self.offset + self.grid.n_voxels * self.stored.itemsize


def is_compressed(path: Path) -> bool:
    """Whether the name says that an image is compressed.

    Parameters
    ----------
    path : Path
        Image file.

    Returns
    -------
    bool
        True for ``.gz``.
    """
    return path.name.lower().endswith(".gz")


def read_header(path: Path) -> Header:
    """Read and check the header of an image file.

    Parameters
    ----------
    path : Path
        A ``.nii`` or ``.nii.gz`` file.

    Returns
    -------
    Header
        What it claims.

    Raises
    ------
    ImageFileError
        If it is no NIfTI image, or claims what cannot be.
    MissingFileError
        If there is no such file.
    """
    _require_suffix(path)
    try:
        with path.open("rb") as file:
            start = file.read(_START)
    except OSError as error:
        raise _unreadable(path, error) from None
    if is_compressed(path):
        start = inflate_start(start, path.name, 544)
    return parse_header(start, path.name)


def parse_header(start: bytes, name: str) -> Header:
    """Check the first bytes of an image.

    Parameters
    ----------
    start : bytes
        At least the header.
    name : str
        Name in messages.

    Returns
    -------
    Header
        What it claims.

    Raises
    ------
    ImageFileError
        If it is no NIfTI header, or claims what cannot be.
    """
    fields = _fields(start, name)
    dims = fields["dim"].astype(int).tolist()
    if not 1 <= dims[0] <= 7 or min(dims[1 : dims[0] + 1]) < 1:
        raise ImageFileError(f"{name}: damaged header, impossible dimensions {dims}.", name=name)
    _require_numbers(fields, name)
    shape = tuple(dims[1 : dims[0] + 1])
    n_bytes = math.prod(shape) * fields.get_data_dtype().itemsize
    if n_bytes > MOST_BYTES:
        raise ImageFileError(
            f"{name}: its header claims {in_words(shape)} voxels, {n_bytes / 1e12:.3g} TB. Refused "
            f"before reading.",
            name=name,
        )
    try:
        affine = fields.get_best_affine()
    except Exception as error:  # whatever nibabel makes of impossible quaternions
        raise ImageFileError(f"{name}: damaged header ({error}).", name=name) from None
    return Header(name, fields, make_grid(shape, affine, name))


def _fields(start: bytes, name: str) -> Any:
    for order in ("<", ">"):
        size = int(np.frombuffer(start[:4].ljust(4, b"\0"), order + "i4")[0])
        if size in _CLASSES and len(start) >= size:
            fields = _CLASSES[size](start[:size], endianness=order, check=False)
            break
    else:
        raise ImageFileError(f"{name}: {what_it_is(start)}. Not a NIfTI image.", name=name)
    magic = bytes(fields["magic"].item())
    if magic[:3] not in (b"n+1", b"n+2"):
        raise ImageFileError(
            f"{name}: not a NIfTI image in one file (magic {magic!r}). Convert it to .nii.gz.",
            name=name,
        )
    return fields


def _require_numbers(fields: Any, name: str) -> None:
    """Refuse types that are not plain numbers, and offsets outside the file."""
    try:
        dtype = fields.get_data_dtype()
    except Exception:
        dtype = np.dtype("V1")
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise ImageFileError(
            f"{name}: holds {dtype} (code {int(fields['datatype'])}), not one real number per "
            f"voxel. Write the map as float32.",
            name=name,
        )
    offset = float(fields["vox_offset"])
    least = int(fields["sizeof_hdr"]) + 4
    if not least <= offset <= _LARGEST_EXTENSION or offset != int(offset):
        raise ImageFileError(
            f"{name}: damaged header, its values cannot begin at byte {offset:g}.", name=name
        )
    if np.isfinite(fields["scl_slope"]) and not np.isfinite(fields["scl_inter"]):
        raise ImageFileError(f"{name}: damaged header, scl_inter is not finite.", name=name)


def _require_suffix(path: Path) -> None:
    name = path.name.lower()
    if name.endswith((".nii", ".nii.gz")):
        return
    suffix = Path(name.removesuffix(".gz")).suffix
    hint = f" Convert it with {_OTHERS[suffix]}." if suffix in _OTHERS else ""
    raise ImageFileError(f"{path.name}: maps are .nii or .nii.gz files.{hint}", name=path.name)


def _unreadable(path: Path, error: OSError) -> Exception:
    if path.is_symlink() and not path.exists():
        target = path.readlink()
        annex = ": a git-annex pointer whose content was not fetched (git annex get)"
        return ImageFileError(
            f"{path.name}: a link to {target}, which is not there"
            f"{annex if 'annex' in str(target) else ''}.",
            name=path.name,
        )
    if isinstance(error, FileNotFoundError):
        return MissingFileError(f"there is no file {path}.", path=str(path))
    return ImageFileError(f"{path.name} cannot be read: {error.strerror}.", name=path.name)


def require_comparable(names: list[str]) -> None:
    """Refuse weighted images in their own space, which only look like maps.

    Parameters
    ----------
    names : list of str
        File names.

    Raises
    ------
    GridMismatchError
        If names say T1w, T2w, ... and no template space.
    """
    weighted = ("_t1w.", "_t2w.", "_flair.", "_pdw.", "_bold.", "_dwi.")
    own_space = [
        name
        for name in names
        if any(part in name.lower() for part in weighted) and "space-" not in name.lower()
    ]
    if own_space:
        raise GridMismatchError(
            f"{count(own_space, 'image')} such as {name_some(own_space, 3)} are weighted images "
            f"in their own space: the same voxel is not the same place of the brain, and "
            f"intensities have no unit. Harmonize maps in template space (FA, MD, grey matter, "
            f"thickness), tables of regional measures (isoscan harmonize), or normalize the "
            f"images one by one (isoscan images).",
            names=own_space,
        )
