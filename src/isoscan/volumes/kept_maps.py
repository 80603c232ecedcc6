"""Values of the first maps that are read to fit, so that they need not be read again to apply."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoscan.nifti.sources import ArrayMap, Source
from isoscan.volumes.space_needed import free_memory

MOST_BYTES = 256 << 20
"""Memory for them: some 300 maps of 229 000 voxels, in single precision."""


class KeptMaps:
    """Some maps inside the mask, as many as fit.

    Parameters
    ----------
    voxels : ndarray of int
        Positions of the voxels of the mask in storage order, ascending.
    """

    def __init__(self, voxels: NDArray[np.intp]) -> None:
        self.voxels, self.left = voxels, MOST_BYTES
        self._rows: dict[int, NDArray[Any]] = {}

    def spare(self, n_bytes: int) -> None:
        """Leave memory to others.

        Parameters
        ----------
        n_bytes : int
            What the work itself needs; half of what is free beyond it may be used.
        """
        free = free_memory()
        if free is not None:
            self.left = max(min(self.left, (free - n_bytes) // 2), 0)

    def table_for(self, sources: Sequence[Source], dtype: np.dtype[Any]) -> NDArray[Any] | None:
        """Make a table that maps are read into and stay in.

        Parameters
        ----------
        sources : sequence of Source
            Maps; they are recognised when the same objects are asked for.
        dtype : dtype
            Of the table.

        Returns
        -------
        ndarray of shape (n_maps, n_voxels), or None
            Still empty; None if there is no room left, or maps are in memory anyway.
        """
        needed = len(sources) * len(self.voxels) * dtype.itemsize
        if needed > self.left or any(isinstance(source, ArrayMap) for source in sources):
            return None
        self.left -= needed
        table = np.empty((len(sources), len(self.voxels)), dtype)
        self._rows |= {id(source): row for source, row in zip(sources, table, strict=True)}
        return table

    def put(self, source: Source, voxels: NDArray[np.intp], row: NDArray[Any]) -> bool:
        """Put the values of a map into a row, if they were kept.

        Parameters
        ----------
        source : Source
            A map.
        voxels : ndarray of int
            Which voxels, all of them among those that are kept.
        row : ndarray of shape (n_voxels,)
            Where to put them.

        Returns
        -------
        bool
            False if the map must be read.
        """
        kept = self._rows.get(id(source))
        if kept is None:
            return False
        row[...] = kept if len(voxels) == len(kept) else kept[np.searchsorted(self.voxels, voxels)]
        return True
