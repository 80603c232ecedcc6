"""Read the values of a map; write a map like it.

Values are kept flat, in storage order: the first axis runs fastest. Compressed files are
inflated whole and verified; nothing is believed before its size is known.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoscan.errors import ImageFileError, ImageWarning
from isoscan.nifti.compression import deflate, inflate, inflate_into
from isoscan.nifti.headers import Header, is_compressed, parse_header, read_header
from isoscan.nifti.scratch import Scratch

_SLACK = 1 << 16


def read_flat(
    path: Path, header: Header | None = None, *, scratch: Scratch | None = None
) -> NDArray[Any]:
    """Read all values of a map.

    Parameters
    ----------
    path : Path
        A ``.nii`` or ``.nii.gz`` file.
    header : Header, optional
        Its header, if it was read already.
    scratch : Scratch, optional
        Where values may lie until the same thread reads the next map; by default they get
        memory of their own.

    Returns
    -------
    ndarray of shape (n_voxels,)
        float32 or float64, in storage order; may be read-only.

    Raises
    ------
    ImageFileError
        If the file is cut off or damaged.
    """
    header = header or read_header(path)
    content = _content(path, header, scratch)
    _require_same(bytes(content[:544]), header, path.name)
    if len(content) < header.n_bytes:
        raise ImageFileError(
            f"{path.name}: truncated, {len(content):,} of {header.n_bytes:,} bytes. Copy the file "
            f"again from its source.",
            name=path.name,
        )
    if len(content) > header.n_bytes:
        _warn_of_rest(path.name, len(content) - header.n_bytes)
    stored = np.frombuffer(content, header.stored, header.grid.n_voxels, header.offset)
    return scaled(stored, header)


def _content(path: Path, header: Header, scratch: Scratch | None) -> bytes | memoryview:
    """The uncompressed file; not more of it than the header says."""
    most = header.n_bytes + _SLACK
    size = path.stat().st_size
    if size > most + most // 100:  # what cannot be compressed grows by less
        raise ImageFileError(
            f"{path.name}: {size:,} bytes, its header says {header.n_bytes:,}. Refused.",
            name=path.name,
        )
    content = path.read_bytes() if scratch is None else _read_into(path, scratch, size)
    if not is_compressed(path):
        return content
    if scratch is not None:
        room = scratch.room("content", header.n_bytes + 1)
        if inflate_into(content, room) == header.n_bytes:
            return room[: header.n_bytes]
    inflated, rest = inflate(bytes(content), path.name, most)
    if rest:
        _warn_of_rest(path.name, len(rest))
    return inflated


def _read_into(path: Path, scratch: Scratch, size: int) -> bytes | memoryview:
    room = scratch.room("file", size + 1)
    with path.open("rb", buffering=0) as file:
        n_bytes = file.readinto(room)
    return room[:n_bytes] if n_bytes == size else path.read_bytes()


def _require_same(start: bytes, header: Header, name: str) -> None:
    """Refuse a file whose header is not what it was when the work began."""
    if start.startswith(header.fields.binaryblock):
        return
    again = parse_header(start, name)
    if again.n_bytes != header.n_bytes or header.grid.difference(again.grid):
        raise ImageFileError(
            f"{name} changed while it was in use. Let nothing write to the maps meanwhile.",
            name=name,
        )


def _warn_of_rest(name: str, n_bytes: int) -> None:
    warnings.warn(
        f"{name}: {n_bytes:,} bytes after the end of the image ignored. Is it the right file?",
        ImageWarning,
        stacklevel=4,
    )


def scaled(stored: NDArray[Any], header: Header) -> NDArray[Any]:
    """Turn stored numbers into values.

    Parameters
    ----------
    stored : ndarray
        Numbers as in the file.
    header : Header
        Says how they are scaled.

    Returns
    -------
    ndarray
        float32 or float64 in the byte order of this machine.
    """
    values = stored.astype(header.dtype, copy=False)
    if header.scaling is not None:
        slope, intercept = header.scaling
        values = values * slope + intercept
    return values


def map_bytes(flat: NDArray[Any], header: Header, *, compressed: bool = True) -> bytes:
    """Make the bytes of a float32 map on the same grid, with the same codes and units.

    Parameters
    ----------
    flat : ndarray of shape (n_voxels,)
        Values in storage order.
    header : Header
        Of the image that it stands for.
    compressed : bool
        Whether to make ``.nii.gz`` or ``.nii``.

    Returns
    -------
    bytes
        The same for the same values and header.
    """
    content = header_bytes(header) + np.asarray(flat, dtype="<f4").tobytes()
    return deflate(content) if compressed else content


def header_bytes(header: Header) -> bytes:
    """Make what comes before the values of a float32 map.

    Parameters
    ----------
    header : Header
        Of the image that the map stands for.

    Returns
    -------
    bytes
        A header with the same grid, codes and units, and four bytes that say that no
        extension follows.
    """
    fields = header.fields.as_byteswapped("<")
    fields.set_data_dtype(np.dtype("<f4"))
    fields.set_data_shape(header.grid.shape)
    fields["scl_slope"], fields["scl_inter"] = 1.0, 0.0
    fields["cal_max"], fields["cal_min"] = 0.0, 0.0
    fields["vox_offset"] = int(fields["sizeof_hdr"]) + 4
    return bytes(fields.binaryblock) + bytes(4)
