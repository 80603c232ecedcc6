"""Moments of every voxel and site, kept in tiles of voxels, to be merged and asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.moments import Moments, merge

VOXELS_AT_A_TIME = 1 << 15
_SHARED = ("count", "covariate_mean", "covariate_products")

Array = NDArray[np.float64]


@dataclass
class Room:
    """Memory for complete moments of some sites; none is used before something is put there.

    Attributes
    ----------
    mean : ndarray of shape (n_sites, n_voxels)
        Means.
    cross_products : ndarray of shape (n_sites, n_columns, n_voxels)
        Centred products of covariates and voxels.
    squares : ndarray of shape (n_sites, n_voxels)
        Centred squares.
    """

    mean: Array
    cross_products: Array
    squares: Array

    @classmethod
    def make(cls, n_sites: int, n_columns: int, n_voxels: int) -> Room:
        """Reserve memory.

        Parameters
        ----------
        n_sites, n_columns, n_voxels : int
            Lengths of the axes.

        Returns
        -------
        Room
            With whatever was there before.
        """
        each = (n_sites, n_voxels)
        return cls(np.empty(each), np.empty((n_sites, n_columns, n_voxels)), np.empty(each))


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
    together : Moments or None
        The same as `tiles` of all sites and voxels, if no value is missing and all were
        gathered in one pass.
    """

    n_sites: int
    n_voxels: int
    tiles: dict[tuple[int, int], Moments] = field(default_factory=dict)
    zeros: NDArray[np.int32] = field(init=False)
    scans: NDArray[np.float64] = field(init=False)
    together: Moments | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.scans = np.zeros((self.n_sites, 1))
        self.zeros = np.zeros((self.n_sites, self.n_voxels), dtype=np.int32)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"together": None}  # a copy of the tiles, once they are elsewhere

    def put(self, tile: int, site: int, moments: Moments) -> None:
        """Add scans to a tile of a site.

        Parameters
        ----------
        tile : int
            Number of the tile.
        site : int
            Number of the site.
        moments : Moments
            Of scans that were not seen before.
        """
        before = self.tiles.get((tile, site))
        self.tiles[tile, site] = moments if before is None else merge(before, moments)

    def merge(self, other: VoxelMoments) -> None:
        """Add the scans that another part of the work has seen.

        Parameters
        ----------
        other : VoxelMoments
            Of the same sites, voxels and covariates.
        """
        for place, moments in other.tiles.items():
            self.put(*place, moments)
        self.zeros += other.zeros
        self.scans += other.scans
        self.together = None

    def count(self) -> NDArray[np.float64]:
        """Scans with a value, shape (n_sites, 1 or n_voxels)."""
        if self.together is not None:
            return self.scans
        count = np.zeros((self.n_sites, self.n_voxels))
        for (tile, site), moments in self.tiles.items():
            count[site, columns_of(tile, self.n_voxels)] = moments.count[0]
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
        if self.together is not None:
            first, last = int(voxels[0]), int(voxels[-1])
            follow = last - first == len(voxels) - 1
            return _at(self.together, slice(first, last + 1) if follow else voxels)
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


def columns_of(tile: int, n_voxels: int) -> slice:
    """Voxels of a tile.

    Parameters
    ----------
    tile : int
        Number of the tile.
    n_voxels : int
        Number of voxels in the mask.

    Returns
    -------
    slice
        Within the mask.
    """
    return slice(tile * VOXELS_AT_A_TIME, min((tile + 1) * VOXELS_AT_A_TIME, n_voxels))


def n_tiles(n_voxels: int) -> int:
    """Number of tiles.

    Parameters
    ----------
    n_voxels : int
        Number of voxels in the mask.

    Returns
    -------
    int
        The last tile may be smaller.
    """
    return -(-n_voxels // VOXELS_AT_A_TIME)


def _at(moments: Moments, columns: NDArray[np.intp] | slice) -> Moments:
    """Some of the features."""
    if not isinstance(columns, slice) and len(columns) == moments.n_features:
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
