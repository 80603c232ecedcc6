"""Gather moments from a stream of maps: what is kept does not grow with their number.

Maps come in blocks of a few scans of one site. While one block is worked on, the next is read.
Each block is cut into tiles of voxels; the moments of a tile are merged with those of the scans
before. Parts of the work give the same kind of result, to be merged: shards, or other computers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from itertools import cycle, groupby
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.blocks import run_parallel, thread_pool
from isoscan.combat.moments import Moments, Scans
from isoscan.nifti.scratch import Scratch
from isoscan.nifti.sources import Source
from isoscan.volumes.kept_maps import KeptMaps
from isoscan.volumes.reading import Reading, ahead, start_reading
from isoscan.volumes.site_sums import SiteSums
from isoscan.volumes.voxel_moments import Room, VoxelMoments, columns_of, n_tiles

SCANS_AT_A_TIME = 16
_MOST_SAMPLED, _MOST_CELLS = 256, 1 << 20

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[str, int, int], None]


def silent(stage: str, done: int, total: int) -> None:
    """Report nothing.

    Parameters
    ----------
    stage : str
        What is under way.
    done : int
        Maps that are finished.
    total : int
        Of how many.
    """


def in_blocks(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Call `work` on items in order, a few at a time.

    Parameters
    ----------
    work : callable
        Takes one item.
    items : sequence
        Items.

    Yields
    ------
    object
        What `work` returned for each item, in order.
    """
    for start in range(0, len(items), SCANS_AT_A_TIME):
        yield from run_parallel(work, items[start : start + SCANS_AT_A_TIME])


@dataclass(frozen=True)
class Gathered:
    """What one pass over the maps leaves.

    Attributes
    ----------
    moments : VoxelMoments
        Of all voxels in the mask.
    sampled : ndarray of int
        Numbers of a few voxels, evenly spread.
    sample : ndarray of shape (n_scans, n_sampled)
        Their values, in row order: how noise of different voxels goes together.
    rows : ndarray of int
        Scans that were seen; rows of `sample` of others mean nothing.
    """

    moments: VoxelMoments
    sampled: NDArray[np.intp]
    sample: NDArray[Any]
    rows: NDArray[np.intp]

    def merge(self, other: Gathered) -> None:
        """Add what a pass over other scans of the same job left.

        Parameters
        ----------
        other : Gathered
            Of scans that are not among these.
        """
        self.moments.merge(other.moments)
        self.sample[other.rows] = other.sample[other.rows]


def blocks_of(scans: Scans) -> list[tuple[int, slice]]:
    """Cut scans into blocks of a few of one site.

    Parameters
    ----------
    scans : Scans
        Which rows belong to which site.

    Returns
    -------
    list of tuple of int and slice
        Number of the site, and places within the order of `scans`.
    """
    return [
        (site, slice(start, min(start + SCANS_AT_A_TIME, part.stop)))
        for site, part in scans.present
        for start in range(part.start, part.stop, SCANS_AT_A_TIME)
    ]


def gather_moments(
    sources: Sequence[Source] | Mapping[int, Source],
    scans: Scans,
    voxels: NDArray[np.intp],
    dtype: np.dtype[Any],
    *,
    blocks: Sequence[tuple[int, slice]] | None = None,
    n_jobs: int | None = None,
    progress: Progress = silent,
    kept: KeptMaps | None = None,
) -> Gathered:
    """Read every map once and gather moments.

    Parameters
    ----------
    sources : sequence of Source, or mapping of {int: Source}
        Maps, in row order or by row; those of other blocks may be absent.
    scans : Scans
        Which rows belong to which site, and their covariates.
    voxels : ndarray of int
        Positions of the voxels in storage order.
    dtype : dtype
        Type of the values.
    blocks : sequence of tuple of int and slice, optional
        A part of `blocks_of`: other maps are not read.
    n_jobs : int, optional
        Number of threads.
    progress : callable
        Told the stage, how many maps are done, and of how many.
    kept : KeptMaps, optional
        Where maps stay that fit, to be used again.

    Returns
    -------
    Gathered
        Independent of the size of the blocks, up to rounding.
    """
    blocks = blocks_of(scans) if blocks is None else blocks
    sampled = sampled_voxels(len(voxels), len(scans.order))
    seen = np.concatenate([scans.order[part] for _, part in blocks])
    found = Gathered(
        VoxelMoments(len(scans.sites), len(voxels)),
        sampled,
        np.zeros((len(scans.order), len(sampled)), dtype=dtype),
        seen,
    )
    with thread_pool(n_jobs) as pool:
        gathering = _Gathering(pool, scans, found, [site for site, _ in blocks])
        most = max(part.stop - part.start for _, part in blocks)
        tables = cycle(np.empty((2, most, len(voxels)), dtype=dtype))

        def start(block: tuple[int, slice]) -> Reading:
            maps = [sources[row] for row in scans.order[block[1]]]
            table = None if kept is None else kept.table_for(maps, dtype)
            table = next(tables) if table is None else table
            return start_reading(pool, maps, voxels, table, gathering.scratch)

        done = 0
        for site, of_site in groupby(ahead(blocks, start), key=lambda item: item[0][0]):
            gathering.begin(site)
            for (_, part), reading in of_site:
                gathering.add(part, reading)
                done += len(reading.table)
                progress("fit", done, len(seen))
            gathering.finish()
    found.moments.together = gathering.together()
    return found


class _Gathering:
    """Adds blocks of maps to the moments of their sites, one site after the other."""

    def __init__(self, pool: Executor, scans: Scans, found: Gathered, sites: Sequence[int]) -> None:
        self.pool, self.scans, self.found, self.scratch = pool, scans, found, Scratch()
        self.places = {site: place for place, site in enumerate(dict.fromkeys(sites))}
        n_voxels, n_columns = found.moments.n_voxels, scans.covariates.shape[1]
        self.room = Room.make(len(self.places), n_columns, n_voxels)
        self.tiles = range(n_tiles(n_voxels))

    def begin(self, site: int) -> None:
        self.sums = SiteSums(site, self.scans, self.room, self.places[site], self.scratch)

    def add(self, part: slice, reading: Reading) -> None:
        """Add a block of maps when it is there."""
        complete, table = reading.wait(), reading.table
        zeros = self.found.moments.zeros[self.sums.site]

        def add_tile(tile: int) -> None:
            self.sums.add(tile, table, part, complete=complete)
            columns = columns_of(tile, len(zeros))
            none = table[:, columns] == 0
            if none.any():
                zeros[columns] += none.sum(axis=0, dtype=np.int32)

        list(self.pool.map(add_tile, self.tiles))
        self.found.sample[self.scans.order[part]] = table[:, self.found.sampled]
        self.found.moments.scans[self.sums.site] += len(table)

    def finish(self) -> None:
        """Turn the sums of the site into moments."""
        list(self.pool.map(partial(self.sums.finish, moments=self.found.moments), self.tiles))

    def together(self) -> Moments | None:
        """Moments of all tiles, which lie side by side if nothing is missing."""
        moments, sites = self.found.moments, range(self.found.moments.n_sites)
        if list(self.places) != list(sites) or any(m.has_missing for m in moments.tiles.values()):
            return None
        first = [moments.tiles[0, site] for site in sites]
        return Moments(
            count=moments.scans,
            covariate_mean=np.concatenate([m.covariate_mean for m in first]),
            feature_mean=self.room.mean,
            covariate_products=np.concatenate([m.covariate_products for m in first]),
            cross_products=self.room.cross_products,
            feature_squares=self.room.squares,
        )


def sampled_voxels(n_voxels: int, n_scans: int) -> NDArray[np.intp]:
    """Choose a few voxels, evenly spread; fewer if there are many scans.

    Parameters
    ----------
    n_voxels : int
        Voxels in the mask.
    n_scans : int
        Scans of the whole job.

    Returns
    -------
    ndarray of int
        Numbers of voxels.
    """
    n_sampled = min(n_voxels, _MOST_SAMPLED, max(_MOST_CELLS // n_scans, 32))
    return np.linspace(0, n_voxels - 1, n_sampled).astype(int)
