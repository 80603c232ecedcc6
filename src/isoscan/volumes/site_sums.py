"""Sums over the scans of one site, block by block: the way to its moments.

Values are taken about the first scan and covariates about their mean at the site, which is
known beforehand, so that blocks are simply added. What lies between the first scan and the mean
is put right at the end. The squares about any one value of a site are at most n times those about
its mean, so n times the rounding error is the most that this can cost.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.moments import Moments, Scans, collect, merge
from isoscan.nifti.scratch import Scratch
from isoscan.volumes.voxel_moments import Room, VoxelMoments, columns_of, n_tiles

Array = NDArray[np.float64]


class SiteSums:
    """One site in work.

    Parameters
    ----------
    site : int
        Number of the site.
    scans : Scans
        All scans of the job, with their covariates.
    room : Room
        Where the moments of this site go; what is there now is overwritten.
    place : int
        Which site within `room` this is.
    scratch : Scratch
        Memory of the threads.
    """

    def __init__(self, site: int, scans: Scans, room: Room, place: int, scratch: Scratch) -> None:
        self.site, self.scans, self.scratch = site, scans, scratch
        self.mean, self.squares = room.mean[place], room.squares[place]
        self.cross = room.cross_products[place]
        n_columns, n_voxels = self.cross.shape
        tiles = n_tiles(n_voxels)
        self.total = np.empty(n_voxels)
        self.seen = np.zeros(tiles)
        self.offset = np.zeros((tiles, n_columns))
        self.products = np.zeros((tiles, n_columns, n_columns))
        self.incomplete: dict[int, Moments] = {}

    def add(self, tile: int, table: NDArray[Any], part: slice, *, complete: bool) -> None:
        """Add a tile of voxels of some scans; different tiles may be added at the same time.

        Parameters
        ----------
        tile : int
            Number of the tile.
        table : ndarray of shape (n_scans, n_voxels)
            Values; NaN where missing.
        part : slice
            Places of these scans within `scans`.
        complete : bool
            Whether nothing is missing in all of `table`.
        """
        columns = columns_of(tile, len(self.mean))
        piece = table[:, columns]
        if not complete and not np.isfinite(piece).all():
            self._add_incomplete(tile, piece, self.scans.covariates[part])
            return
        covariates = self.scans.centred.values[part]
        self._add_complete(piece, columns, covariates.T, first=not self.seen[tile])
        self.seen[tile] += len(piece)
        self.offset[tile] += covariates[:, 1:].sum(axis=0)
        self.products[tile] += covariates[:, 1:].T @ covariates[:, 1:]

    def _add_incomplete(self, tile: int, piece: NDArray[Any], covariates: Array) -> None:
        own = Scans(np.arange(len(piece)), np.array([0, len(piece)]), covariates)
        found, before = collect(piece, own), self.incomplete.get(tile)
        self.incomplete[tile] = found if before is None else merge(before, found)

    def _add_complete(
        self, values: NDArray[Any], columns: slice, covariates: Array, *, first: bool
    ) -> None:
        if first:
            self.mean[columns] = values[0]
        deviations = self.scratch.array("deviations", values.shape)
        deviations[...] = values  # faster than to subtract and convert in one call
        deviations -= self.mean[columns]
        products = self.scratch.array("products", (len(covariates), values.shape[1]))
        np.matmul(covariates, deviations, out=products)
        squares = np.einsum("ij,ij->j", deviations, deviations)
        if first:
            self.total[columns], self.cross[:, columns] = products[0], products[1:]
            self.squares[columns] = squares
        else:
            self.total[columns] += products[0]
            self.cross[:, columns] += products[1:]
            self.squares[columns] += squares

    def finish(self, tile: int, moments: VoxelMoments) -> None:
        """Turn the sums of a tile into moments; nothing can be added any more.

        Parameters
        ----------
        tile : int
            Number of the tile.
        moments : VoxelMoments
            Where they go.
        """
        if self.seen[tile]:
            moments.put(tile, self.site, self._complete(tile))
        if tile in self.incomplete:
            moments.put(tile, self.site, self.incomplete[tile])

    def _complete(self, tile: int) -> Moments:
        columns, count = columns_of(tile, len(self.mean)), self.seen[tile]
        site, centred = slice(self.site, self.site + 1), self.scans.centred
        covariate_mean, products = centred.mean[site], centred.products[site]
        total = self.total[columns]
        if count < self.scans.per_site[self.site]:  # their mean is not that of the whole site
            offset = self.offset[tile] / count
            covariate_mean = covariate_mean + offset[:, None]
            products = self.products[None, tile, :, :, None]
            products = products - count * np.outer(offset, offset)[:, :, None]
            self.cross[:, columns] -= offset[:, None] * total
        left = total / count
        self.mean[columns] += left
        left *= total
        self.squares[columns] -= left
        np.maximum(self.squares[columns], 0.0, out=self.squares[columns])
        return Moments(
            count=np.array([[count]]),
            covariate_mean=covariate_mean,
            feature_mean=self.mean[None, columns],
            covariate_products=products,
            cross_products=self.cross[None, :, columns],
            feature_squares=self.squares[None, columns],
        )
