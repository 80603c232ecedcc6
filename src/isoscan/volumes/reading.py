"""Read maps into rows of a table: the voxels of a mask, a few maps at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.blocks import thread_pool
from isoscan.nifti.maps import read_flat
from isoscan.nifti.scratch import Scratch
from isoscan.nifti.sources import FileMap, Source
from isoscan.volumes.kept_maps import KeptMaps

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_table(
    sources: Sequence[Source], voxels: NDArray[np.intp], dtype: np.dtype[Any], n_jobs: int | None
) -> NDArray[Any]:
    """Read a few maps into a table.

    Parameters
    ----------
    sources : sequence of Source
        Maps.
    voxels : ndarray of int
        Positions of the voxels in storage order.
    dtype : dtype
        Of the table.
    n_jobs : int or None
        Number of threads.

    Returns
    -------
    ndarray of shape (n_maps, n_voxels)
        Values; NaN where they are missing or infinite.
    """
    table = np.empty((len(sources), len(voxels)), dtype=dtype)
    with thread_pool(n_jobs) as pool:
        start_reading(pool, sources, voxels, table, Scratch()).wait()
    return table


@dataclass(frozen=True)
class Reading:
    """A few maps on their way into a table.

    Attributes
    ----------
    table : ndarray of shape (n_maps, n_voxels)
        Where their values go.
    rows : list of Future
        Whether each map is there, and whether it is complete.
    whole : list of ndarray or None
        All values of each map, if they were to be kept; when it is there.
    """

    table: NDArray[Any]
    rows: list[Future[bool]]
    whole: list[NDArray[Any] | None]

    def wait(self) -> bool:
        """Wait until all maps are there.

        Returns
        -------
        bool
            Whether no value is missing in the maps that were not read before.
        """
        complete = [row.result() for row in self.rows]
        return all(complete)


def start_reading(
    pool: Executor,
    sources: Sequence[Source],
    voxels: NDArray[np.intp],
    table: NDArray[Any],
    scratch: Scratch,
    *,
    whole: bool = False,
    kept: KeptMaps | None = None,
) -> Reading:
    """Begin to read a few maps into a table.

    Parameters
    ----------
    pool : Executor
        Threads that read.
    sources : sequence of Source
        Maps.
    voxels : ndarray of int
        Positions of the voxels in storage order.
    table : ndarray of shape (at least n_maps, n_voxels)
        Where values go; NaN where they are missing or infinite.
    scratch : Scratch
        Memory of the threads.
    whole : bool
        Whether to keep all values of the maps.
    kept : KeptMaps, optional
        Maps that need not be read again.

    Returns
    -------
    Reading
        To wait for.
    """
    table = table[: len(sources)]
    flats: list[NDArray[Any] | None] = [None] * len(sources)

    def read(place: int) -> bool:
        source, row = sources[place], table[place]
        if whole:
            flat = flats[place] = source.flat()
        elif kept is not None and kept.put(source, voxels, row):
            return True
        elif isinstance(source, FileMap):
            flat = read_flat(source.path, source.checked, scratch=scratch)
        else:
            flat = source.flat()
        return _take(flat, voxels, row)

    return Reading(table, [pool.submit(read, place) for place in range(len(sources))], flats)


def _take(flat: NDArray[Any], voxels: NDArray[np.intp], row: NDArray[Any]) -> bool:
    """Put the values inside a mask into a row; tell whether none is missing."""
    if flat.dtype == row.dtype:
        np.take(flat, voxels, out=row, mode="clip")  # the default mode takes a copy
    else:
        row[...] = flat[voxels]
    return _blank(row)


def _blank(values: NDArray[Any]) -> bool:
    """Put NaN where values are not finite; tell whether they all are."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(values.sum()):
            return True
    finite = np.isfinite(values)
    values[~finite] = np.nan
    return bool(finite.all())


def ahead(items: Iterable[Item], start: Callable[[Item], Result]) -> Iterator[tuple[Item, Result]]:
    """Start something for every item, always one item further than asked for.

    Parameters
    ----------
    items : iterable
        Items.
    start : callable
        Takes an item.

    Yields
    ------
    tuple of item and object
        An item and what `start` gave for it, in order.

    Examples
    --------
    >>> started = []
    >>> for number, _ in ahead([1, 2, 3], started.append):
    ...     print(number, started)
    1 [1, 2]
    2 [1, 2, 3]
    3 [1, 2, 3]
    """
    before: list[tuple[Item, Result]] = []
    for item in items:
        before.append((item, start(item)))
        if len(before) > 1:
            yield before.pop(0)
    yield from before


def values_at(flat: NDArray[Any], voxels: NDArray[np.intp]) -> NDArray[Any]:
    """Values inside a mask; NaN where they are not finite.

    Parameters
    ----------
    flat : ndarray
        All values of a map.
    voxels : ndarray of int
        Positions.

    Returns
    -------
    ndarray of shape (n_voxels,)
        A copy.
    """
    values = flat[voxels]
    _blank(values)
    return values
