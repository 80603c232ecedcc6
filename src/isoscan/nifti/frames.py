"""The bytes of many maps that differ only inside a mask, made in the same memory."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoscan.nifti.compression import deflate
from isoscan.nifti.headers import Header
from isoscan.nifti.maps import header_bytes

_LONGEST_HEADER = 544


class Frame(threading.local):
    """Makes float32 maps, each thread in memory of its own.

    Parameters
    ----------
    voxels : ndarray of int
        Positions of the voxels that differ, ascending.
    around : ndarray of shape (n_voxels of the grid,)
        Values of all others.
    """

    def __init__(self, voxels: NDArray[np.intp], around: NDArray[Any]) -> None:
        first, last = (int(voxels[0]), int(voxels[-1])) if len(voxels) else (0, -1)
        self._between = slice(first, last + 1)  # a mask of bits is read faster than positions
        self._differ = np.zeros(last + 1 - first, dtype=bool)
        self._differ[voxels - first] = True
        self._content = memoryview(bytearray(_LONGEST_HEADER + 4 * len(around)))
        self._flat = np.frombuffer(self._content, "<f4", offset=_LONGEST_HEADER)
        self._flat[:] = around

    def map_bytes(self, inside: NDArray[Any], header: Header, *, compressed: bool = True) -> bytes:
        """Make the bytes of a map; the same as those of `isoscan.nifti.maps.map_bytes`.

        Parameters
        ----------
        inside : ndarray of shape (n_voxels that differ,)
            Their values.
        header : Header
            Of the image that the map stands for.
        compressed : bool
            Whether to make ``.nii.gz`` or ``.nii``.

        Returns
        -------
        bytes
            The same for the same values and header.
        """
        start = header_bytes(header)
        first = _LONGEST_HEADER - len(start)
        self._content[first:_LONGEST_HEADER] = start
        self._flat[self._between][self._differ] = inside
        content = self._content[first:]
        return deflate(content) if compressed else bytes(content)
