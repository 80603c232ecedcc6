"""Gather moments from a stack, box by box; boxes do not know of each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.moments import Moments, Scans, collect, merge
from isoscan.errors import MaskError
from isoscan.volumes.masks import Mask
from isoscan.volumes.stack_pieces import Part, parts_of, row_blocks
from isoscan.volumes.stacks import Maps
from isoscan.volumes.stream import Gathered, Progress, sampled_voxels
from isoscan.volumes.voxel_moments import _SHARED, VoxelMoments, _at, _joined

Run = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]


@dataclass(frozen=True, eq=False)
class Design:
    """Site and covariates of every scan of a stack.

    Attributes
    ----------
    sites : ndarray of int, shape (n_scans,)
        Number of the site; -1 for scans that take no part.
    covariates : ndarray of shape (n_scans, n_columns)
        Design rows.
    n_sites : int
        Number of sites.
    """

    sites: NDArray[np.intp]
    covariates: NDArray[np.float64]
    n_sites: int

    @classmethod
    def of(cls, scans: Scans, rows: NDArray[np.intp], n_scans: int) -> Design:
        """Spread grouped scans over the rows of a stack.

        Parameters
        ----------
        scans : Scans
            Scans that take part, grouped by site.
        rows : ndarray of int
            Rows of the stack that they are.
        n_scans : int
            Rows of the stack.

        Returns
        -------
        Design
            In the order of the stack.
        """
        sites = np.full(n_scans, -1)
        covariates = np.zeros((n_scans, scans.covariates.shape[1]))
        for site, part in scans.present:
            sites[rows[scans.order[part]]] = site
        covariates[rows[scans.order]] = scans.covariates
        return cls(sites, covariates, len(scans.sites))


@dataclass(frozen=True, eq=False)
class PartMoments:
    """What was gathered from one box.

    Attributes
    ----------
    columns : ndarray of int
        Numbers of its voxels within the mask.
    moments : Moments
        Of all sites.
    zeros : ndarray of int, shape (n_sites, n_columns)
        Scans whose value is exactly 0.
    sampled : ndarray of int
        Which of the voxels that are sampled lie in the box.
    sample : ndarray of shape (n_scans, n_sampled)
        Their values.
    """

    columns: NDArray[np.intp]
    moments: Moments
    zeros: NDArray[np.int32]
    sampled: NDArray[np.intp]
    sample: NDArray[Any]


def gather_part(maps: Maps, part: Part, design: Design, sampled: NDArray[np.intp]) -> PartMoments:
    """Gather the moments of one box.

    Parameters
    ----------
    maps : Maps
        The stack.
    part : Part
        The box; some of its voxels are in the mask.
    design : Design
        Site and covariates of every scan.
    sampled : ndarray of int
        Numbers of voxels, within the mask, whose values are kept.

    Returns
    -------
    PartMoments
        Of the voxels of the box that are in the mask.
    """
    of_sites: dict[int, Moments] = {}
    zeros = np.zeros((design.n_sites, len(part.columns)), dtype=np.int32)
    own = np.flatnonzero(np.isin(sampled, part.columns))
    chosen = np.searchsorted(part.columns, sampled[own])
    sample = np.zeros((maps.n_scans, len(own)), dtype=maps.dtype)
    for rows in row_blocks(maps, part, sites=design.sites):
        table = read_inside(maps, part, rows)
        sample[rows] = table[:, chosen]
        for site in np.unique(design.sites[rows]).tolist():
            if site < 0:
                continue
            mine = design.sites[rows] == site
            values, covariates = table[mine], design.covariates[rows[mine]]
            scans = Scans(np.arange(len(values)), np.array([0, len(values)]), covariates)
            found, before = collect(values, scans), of_sites.get(site)
            of_sites[site] = found if before is None else merge(before, found)
            zeros[site] += (values == 0).sum(axis=0, dtype=np.int32)
    together = _joined([of_sites[site] for site in range(design.n_sites)], axis=0)
    return PartMoments(part.columns, together, zeros, own, sample)


def read_inside(maps: Maps, part: Part, rows: NDArray[np.intp]) -> NDArray[Any]:
    """Read the voxels of a box that are in the mask.

    Parameters
    ----------
    maps : Maps
        The stack.
    part : Part
        The box.
    rows : ndarray of int
        Which scans.

    Returns
    -------
    ndarray of shape (n_rows, n_columns)
        Values; NaN where they are not finite.
    """
    table = maps.read(rows, part.box)[:, part.places]
    table[~np.isfinite(table)] = np.nan
    return table


class StackMoments(VoxelMoments):
    """Moments of all voxels of a mask, kept as they were gathered: by box.

    Parameters
    ----------
    parts : sequence of PartMoments
        All boxes.
    per_site : ndarray of shape (n_sites,)
        Scans of each site.
    n_voxels : int
        Voxels in the mask.
    """

    def __init__(
        self, parts: Sequence[PartMoments], per_site: NDArray[np.float64], n_voxels: int
    ) -> None:
        super().__init__(len(per_site), n_voxels)
        self.scans += per_site[:, None]
        self.parts = [part.moments for part in parts]
        self.part_of = np.empty(n_voxels, dtype=np.intp)
        self.place_in = np.empty(n_voxels, dtype=np.intp)
        for number, part in enumerate(parts):
            self.zeros[:, part.columns] = part.zeros
            self.part_of[part.columns] = number
            self.place_in[part.columns] = np.arange(len(part.columns))

    def count(self) -> NDArray[np.float64]:
        """Scans with a value, shape (n_sites, n_voxels)."""
        count = np.empty((self.n_sites, self.n_voxels))
        for number, moments in enumerate(self.parts):
            columns = np.flatnonzero(self.part_of == number)
            places = self.place_in[columns]
            count[:, columns] = (
                moments.count if not moments.has_missing else moments.count[:, places]
            )
        return count

    def at(self, voxels: NDArray[np.intp]) -> Moments:
        """Moments of all sites at some voxels.

        Parameters
        ----------
        voxels : ndarray of int
            Numbers of the voxels within the mask.

        Returns
        -------
        Moments
            As if collected from a table of these voxels.
        """
        numbers = self.part_of[voxels]
        found, order = [], []
        for number in np.unique(numbers).tolist():
            own = np.flatnonzero(numbers == number)
            found.append(_at(self.parts[number], self.place_in[voxels[own]]))
            order.append(own)
        together = self._plain(_joined(found, axis=-1))
        back = np.argsort(np.concatenate(order))
        shared = () if together.has_missing else _SHARED
        return replace(
            together,
            **{
                name: value[..., back]
                for name, value in vars(together).items()
                if name not in shared
            },
        )


def gather_stack(
    maps: Maps, mask: Mask, scans: Scans, rows: NDArray[np.intp], run: Run, progress: Progress
) -> Gathered:
    """Read a stack once and gather moments.

    Parameters
    ----------
    maps : Maps
        The stack.
    mask : Mask
        Voxels to harmonize.
    scans : Scans
        Scans that take part, grouped by site.
    rows : ndarray of int
        Rows of the stack that they are.
    run : callable
        Calls a function on items and gives results in order, as they come.
    progress : callable
        Told the stage, how many boxes are done, and of how many.

    Returns
    -------
    Gathered
        What the same scans as files would give, up to rounding.
    """
    design = Design.of(scans, rows, maps.n_scans)
    sampled = sampled_voxels(len(mask.voxels), len(scans.order))
    parts = [part for part in parts_of(maps, mask) if len(part.columns)]
    sample = np.zeros((len(rows), len(sampled)), dtype=maps.dtype)

    def gather(part: Part) -> PartMoments:
        return gather_part(maps, part, design, sampled)

    found = []
    for done, one in enumerate(run(gather, parts), 1):
        sample[:, one.sampled] = one.sample[rows]
        found.append(one)
        progress("fit", done, len(parts))
    moments = StackMoments(found, scans.per_site, len(mask.voxels))
    return Gathered(moments, sampled, sample, np.arange(len(rows)))


def common_voxels_of(maps: Maps, run: Run) -> Mask:
    """Find the voxels that hold a finite value other than 0 in every map of a stack.

    Parameters
    ----------
    maps : Maps
        The stack.
    run : callable
        Calls a function on items and gives results in order.

    Returns
    -------
    Mask
        The voxels.

    Raises
    ------
    MaskError
        If there is none.
    """
    everything = Mask(maps.grid, np.arange(maps.grid.n_voxels))
    parts = parts_of(maps, everything)

    def fill(part: Part) -> NDArray[np.bool_]:
        filled = np.ones(len(part.positions), dtype=bool)
        for rows in row_blocks(maps, part):
            values = maps.read(rows, part.box)
            filled &= (np.isfinite(values) & (values != 0)).all(axis=0)
        return filled

    inside = np.zeros(maps.grid.n_voxels, dtype=bool)
    for part, filled in zip(parts, run(fill, parts), strict=True):
        inside[part.positions] = filled
    if not inside.any():
        raise MaskError(
            f"no voxel holds a finite value other than 0 in all of {maps.n_scans} maps. Are they "
            f"registered to one template? Give a mask."
        )
    return Mask(maps.grid, np.flatnonzero(inside))
