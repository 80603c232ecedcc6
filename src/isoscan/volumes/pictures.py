"""What maps look like before and after, from a few scans of each site.

Pictures are made of files that exist, so that a run that was stopped and taken up again shows
the same; and of a few scans per site, so that they take no longer the more maps there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.blocks import run_parallel
from isoscan.nifti.maps import read_flat
from isoscan.volumes.masks import Mask
from isoscan.volumes.reading import values_at

MOST_SITES, SCANS_SHOWN, _VOXELS_COUNTED = 12, 8, 20_000

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Shown:
    """A few scans of each site, before and after.

    Attributes
    ----------
    mask : Mask
        Voxels that are shown.
    sites : list of str
        Sites that are shown, those with most scans.
    scans : list of int
        Scans of each site that the pictures rest on.
    n_sites : int
        Sites that there are.
    means : ndarray of shape (2, n_sites, n_voxels)
        Mean of the scans of each site, before and after; NaN where none has a value.
    values : list of ndarray of shape (2, n_values)
        Values of each site in voxels spread evenly, before and after.
    """

    mask: Mask
    sites: list[str]
    scans: list[int]
    n_sites: int
    means: Array
    values: list[Array]

    @property
    def range(self) -> tuple[float, float]:
        """Values that hold all but 1 % of what was measured, on either side."""
        before = np.concatenate([of_site[0] for of_site in self.values])
        low, high = np.nanquantile(before, [0.01, 0.99])
        return (float(low), float(high)) if low < high else (float(low) - 1, float(low) + 1)

    def differences(self) -> Array:
        """Mean of each site minus the mean of all sites that are shown.

        Returns
        -------
        ndarray of shape (2, n_sites, n_voxels)
            Before and after.
        """
        return np.asarray(self.means - self.means.mean(axis=1, keepdims=True))


def gather_shown(
    before: Sequence[Path], after: Sequence[Path], labels: Sequence[str], mask: Mask
) -> Shown:
    """Read a few scans of each site.

    Parameters
    ----------
    before, after : sequence of Path
        Files, in the same order.
    labels : sequence of str
        Site of each.
    mask : Mask
        Voxels that were harmonized.

    Returns
    -------
    Shown
        Of up to 12 sites and 8 scans of each, spread evenly over the list.
    """
    names, sizes = np.unique(np.asarray(labels, dtype=str), return_counts=True)
    largest = np.sort(np.argsort(-sizes, kind="stable")[:MOST_SITES])
    step = -(-len(mask.voxels) // _VOXELS_COUNTED)
    means, values, scans = [], [], []
    for name in names[largest]:
        rows = np.flatnonzero(np.asarray(labels, dtype=str) == name)
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, SCANS_SHOWN).astype(int))]
        pairs = [
            _mean_and_sample([paths[row] for row in rows], mask, step) for paths in (before, after)
        ]
        means.append([mean for mean, _ in pairs])
        values.append(np.array([sample for _, sample in pairs]))
        scans.append(len(rows))
    together = np.array(means).swapaxes(0, 1)
    return Shown(mask, names[largest].tolist(), scans, len(names), together, values)


def _mean_and_sample(paths: list[Path], mask: Mask, step: int) -> tuple[Array, Array]:
    """Mean of maps, and the values of every so many-th voxel."""

    def read(path: Path) -> NDArray[Any]:
        return values_at(read_flat(path), mask.voxels)

    maps = run_parallel(read, paths)
    total, seen = np.zeros(len(mask.voxels)), np.zeros(len(mask.voxels))
    for values in maps:
        known = np.isfinite(values)
        total[known] += values[known]
        seen += known
    mean = np.where(seen > 0, total / np.maximum(seen, 1), np.nan)
    return mean, np.concatenate([values[::step] for values in maps]).astype(float)


class Slices:
    """Axial slices of maps, seen from above: front up, left is left.

    Parameters
    ----------
    mask : Mask
        Voxels that are shown; what lies outside is empty.
    n_slices : int
        Slices, spread over the middle half of the mask.
    """

    def __init__(self, mask: Mask, n_slices: int = 3) -> None:
        from nibabel.orientations import apply_orientation, io_orientation

        self.mask = mask
        self._orientation = io_orientation(mask.grid.affine)
        self._apply: Callable[..., Any] = apply_orientation
        inside = np.nan_to_num(self._volume(np.ones(len(mask.voxels)))) > 0
        axes = [np.flatnonzero(inside.any(axis=other)) for other in ((1, 2), (0, 2), (0, 1))]
        self._box = tuple(slice(int(axis[0]), int(axis[-1]) + 1) for axis in axes[:2])
        heights = np.nonzero(inside)[2]
        self.heights = np.quantile(heights, np.linspace(0.25, 0.75, n_slices)).astype(int)
        sizes = np.linalg.norm(mask.grid.affine[:3, :3], axis=0)
        order = np.argsort(self._orientation[:, 0])
        self.aspect = float(sizes[order[1]] / sizes[order[0]])

    def _volume(self, values: Array) -> Array:
        flat = np.full(self.mask.grid.n_voxels, np.nan)
        flat[self.mask.voxels] = values
        whole = flat.reshape(self.mask.grid.shape, order="F")
        return np.asarray(self._apply(whole, self._orientation))

    @property
    def height_to_width(self) -> float:
        """Shape of one slice."""
        across, along = (part.stop - part.start for part in self._box)
        return self.aspect * along / across

    def of(self, values: Array) -> list[Array]:
        """Cut slices.

        Parameters
        ----------
        values : ndarray of shape (n_voxels,)
            Values inside the mask.

        Returns
        -------
        list of ndarray
            Rows from back to front, columns from left to right; NaN outside.
        """
        volume = self._volume(values)
        return [volume[(*self._box, height)].T for height in self.heights]
