"""Gather moments from a stream of maps: what is kept does not grow with their number.

Maps come in blocks of a few scans of one site. Each block is cut into tiles of voxels that
fit the processor's cache; the moments of a tile are merged with those of the scans before.
Parts of the work give the same kind of result, to be merged: shards, or other computers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.blocks import run_parallel
from isoscan.combat.moments import Moments, Scans, collect, merge
from isoscan.nifti.sources import Source

SCANS_AT_A_TIME = 16
VOXELS_AT_A_TIME = 1 << 15
_MOST_SAMPLED, _MOST_CELLS = 256, 1 << 20
_SHARED = ("count", "covariate_mean", "covariate_products")

Array = NDArray[np.float64]
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


@dataclass
class VoxelMoments:
    """Moments of all voxels of a mask, of the scans seen so far.

    Attributes
    ----------
    n_sites : int
        Number of sites.
    n_voxels : int
        Number of voxels in the mask.
    tiles : dict
        Moments of one site and one tile of voxels, by tile and site.
    zeros : ndarray of int, shape (n_sites, n_voxels)
        Scans whose value is exactly 0.
    scans : ndarray of shape (n_sites, 1)
        Scans, missing values included.
    """

    n_sites: int
    n_voxels: int
    tiles: dict[tuple[int, int], Moments] = field(default_factory=dict)
    zeros: NDArray[np.int32] = field(init=False)
    scans: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.scans = np.zeros((self.n_sites, 1))
        self.zeros = np.zeros((self.n_sites, self.n_voxels), dtype=np.int32)

    def add(self, site: int, table: NDArray[Any], covariates: Array, n_jobs: int | None) -> None:
        """Add scans of one site.

        Parameters
        ----------
        site : int
            Number of the site.
        table : ndarray of shape (n_scans, n_voxels)
            Values; NaN where missing.
        covariates : ndarray of shape (n_scans, n_columns)
            Their design rows.
        n_jobs : int or None
            Number of threads.
        """
        scans = Scans(np.arange(len(table)), np.array([0, len(table)]), covariates)
        assert scans.centred is not None  # shared by the threads: computed once, before them

        def add_tile(tile: int) -> None:
            columns = slice(tile * VOXELS_AT_A_TIME, (tile + 1) * VOXELS_AT_A_TIME)
            part = table[:, columns]
            moments = collect(part, scans, first_column=columns.start)
            before = self.tiles.get((tile, site))
            self.tiles[tile, site] = moments if before is None else merge(before, moments)
            self.zeros[site, columns] += (part == 0).sum(axis=0, dtype=np.int32)

        self.scans[site] += len(table)
        run_parallel(add_tile, range(-(-self.n_voxels // VOXELS_AT_A_TIME)), n_jobs)

    def merge(self, other: VoxelMoments) -> None:
        """Add the scans that another part of the work has seen.

        Parameters
        ----------
        other : VoxelMoments
            Of the same sites, voxels and covariates.
        """
        for place, moments in other.tiles.items():
            before = self.tiles.get(place)
            self.tiles[place] = moments if before is None else merge(before, moments)
        self.zeros += other.zeros
        self.scans += other.scans

    def count(self) -> NDArray[np.float64]:
        """Scans with a value, shape (n_sites, n_voxels)."""
        count = np.zeros((self.n_sites, self.n_voxels))
        for (tile, site), moments in self.tiles.items():
            start = tile * VOXELS_AT_A_TIME
            count[site, start : start + moments.n_features] = moments.count[0]
        return count

    def at(self, voxels: NDArray[np.intp]) -> Moments:
        """Moments of all sites at some voxels.

        Parameters
        ----------
        voxels : ndarray of int
            Numbers of the voxels within the mask, ascending.

        Returns
        -------
        Moments
            As if collected from a table of these voxels.
        """
        tiles = voxels // VOXELS_AT_A_TIME
        parts = []
        for tile in np.unique(tiles).tolist():
            columns = voxels[tiles == tile] - tile * VOXELS_AT_A_TIME
            of_sites = [_at(self.tiles[tile, site], columns) for site in range(self.n_sites)]
            parts.append(_joined(of_sites, axis=0))
        return self._plain(_joined(parts, axis=-1))

    def _plain(self, moments: Moments) -> Moments:
        """Without missing values, counts and moments of covariates are those of any voxel."""
        if not moments.has_missing or (moments.count != self.scans).any():
            return moments
        return replace(moments, **{name: getattr(moments, name)[..., :1] for name in _SHARED})


def _at(moments: Moments, columns: NDArray[np.intp]) -> Moments:
    """Some of the features."""
    if len(columns) == moments.n_features:
        return moments
    return Moments(
        **{
            name: value if value.shape[-1] == 1 else value[..., columns]
            for name, value in vars(moments).items()
        }
    )


def _joined(parts: Sequence[Moments], axis: int) -> Moments:
    """Put sites below each other, or voxels beside each other.

    Counts and moments of covariates are shared by all voxels unless values are missing.
    """
    if len(parts) == 1:
        return parts[0]
    shared = all(not part.has_missing for part in parts)
    joined = {}
    for name in vars(parts[0]):
        values = [getattr(part, name) for part in parts]
        if name in _SHARED and shared:
            joined[name] = np.concatenate(values, axis=0) if axis == 0 else values[0]
            continue
        if name in _SHARED:
            values = [
                np.broadcast_to(value, (*value.shape[:-1], part.n_features))
                for value, part in zip(values, parts, strict=True)
            ]
        joined[name] = np.concatenate(values, axis=axis)
    return Moments(**joined)


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

    def read(row: int) -> None:
        table[row] = values_at(sources[row].flat(), voxels)

    run_parallel(read, range(len(sources)), n_jobs)
    return table


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
    if not np.isfinite(values.sum()):
        values[~np.isfinite(values)] = np.nan
    return values


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

    Returns
    -------
    Gathered
        Independent of the size of the blocks, up to rounding.
    """
    blocks = blocks_of(scans) if blocks is None else blocks
    moments = VoxelMoments(len(scans.sites), len(voxels))
    sampled = sampled_voxels(len(voxels), len(scans.order))
    sample = np.zeros((len(scans.order), len(sampled)), dtype=dtype)
    seen = np.concatenate([scans.order[part] for _, part in blocks])
    done = 0
    for site, part in blocks:
        rows = scans.order[part]
        table = read_table([sources[row] for row in rows], voxels, dtype, n_jobs)
        sample[rows] = table[:, sampled]
        moments.add(site, table, scans.covariates[part], n_jobs)
        done += len(rows)
        progress("fit", done, len(seen))
    return Gathered(moments, sampled, sample, seen)


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
