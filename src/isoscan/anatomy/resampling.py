"""Coarser and finer grids of the same image, with the same axes.

What is searched for in a head (brain, bias, registration) is found at 2 mm; what is measured
is measured on the image's own voxels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from isoscan.nifti.grids import Grid

WORKING_MM = 2.0

Array = NDArray[np.float32]


def voxel_sizes(grid: Grid) -> NDArray[np.float64]:
    """Edges of a voxel.

    Parameters
    ----------
    grid : Grid
        Where voxels lie.

    Returns
    -------
    ndarray of shape (3,)
        Millimetres.
    """
    edges = np.sqrt((grid.affine[:3, :3] ** 2).sum(axis=0))
    return np.asarray(np.round(edges, 4))  # headers keep seven digits


@dataclass(frozen=True, eq=False)
class Working:
    """An image's own grid, and the isotropic one on which its anatomy is searched.

    Attributes
    ----------
    own : Grid
        Of the image.
    coarse : Grid
        Covers the same field of view with cubic voxels.
    mm : float
        Edge of these voxels.
    """

    own: Grid
    coarse: Grid
    mm: float

    @classmethod
    def of(cls, own: Grid, mm: float = WORKING_MM) -> Working:
        """Choose 2 mm, or the smallest edge of larger voxels.

        Parameters
        ----------
        own : Grid
            Of the image.
        mm : float
            Another edge than 2 mm.

        Returns
        -------
        Working
            Both grids; one and the same if the image has such voxels already.
        """
        sizes = voxel_sizes(own)
        mm = max(mm, float(sizes.min()))
        if np.allclose(sizes, mm, rtol=0.1):
            return cls(own, own, float(sizes.mean()))
        ratio = mm / sizes
        shape = np.maximum(np.ceil(np.array(own.shape) / ratio - 1e-6), 1).astype(int)
        step = np.eye(4)
        step[:3, :3] = np.diag(ratio)
        step[:3, 3] = (ratio - 1) / 2  # the corners of both grids coincide
        return cls(own, Grid((int(shape[0]), int(shape[1]), int(shape[2])), own.affine @ step), mm)

    @property
    def same(self) -> bool:
        """Whether there is nothing to resample."""
        return self.own is self.coarse

    def to_coarse(self, values: Array) -> Array:
        """Resample values of the image, smoothed so that no detail is folded.

        Parameters
        ----------
        values : ndarray of shape (x, y, z)
            On the image's own grid.

        Returns
        -------
        ndarray of shape (x, y, z)
            On the coarse grid.
        """
        if self.same:
            return values
        ratio = self.mm / voxel_sizes(self.own)
        sigma = 0.35 * np.sqrt(np.maximum(ratio**2 - 1, 0))
        smooth = ndimage.gaussian_filter(values, sigma, mode="nearest", truncate=3)
        return resample(smooth, self.own, self.coarse)

    def to_own(self, values: Array) -> Array:
        """Resample values of the coarse grid to the image's own.

        Parameters
        ----------
        values : ndarray of shape (x, y, z)
            On the coarse grid.

        Returns
        -------
        ndarray of shape (x, y, z)
            On the image's own grid.
        """
        return values if self.same else resample(values, self.coarse, self.own)

    def mask_to_coarse(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Resample a mask of the image's own grid.

        Parameters
        ----------
        mask : ndarray of bool of shape (x, y, z)
            On the image's own grid.

        Returns
        -------
        ndarray of bool of shape (x, y, z)
            Coarse voxels that lie in it by half.
        """
        return mask if self.same else self.to_coarse(mask.astype(np.float32)) > 0.5

    def mask_to_own(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Resample a mask of the coarse grid.

        Parameters
        ----------
        mask : ndarray of bool of shape (x, y, z)
            On the coarse grid.

        Returns
        -------
        ndarray of bool of shape (x, y, z)
            With a surface between voxels, not in their steps.
        """
        if self.same:
            return mask
        smooth = ndimage.gaussian_filter(mask.astype(np.float32), 0.7)
        return self.to_own(smooth) > 0.5


def resample(
    values: NDArray[Any],
    source: Grid,
    target: Grid,
    moved: NDArray[np.float64] | None = None,
) -> Array:
    """Interpolate linearly between grids.

    Parameters
    ----------
    values : ndarray of shape (x, y, z)
        On the source.
    source, target : Grid
        Where values lie, and where they are wanted.
    moved : ndarray of shape (4, 4), optional
        From millimetres of the target to those of the source; by default they are the same,
        and the axes of both grids run alike.

    Returns
    -------
    ndarray of shape (x, y, z)
        On the target. Outside the source, the nearest value, or 0 if it was moved.
    """
    between = np.eye(4) if moved is None else moved
    step = np.linalg.inv(source.affine) @ between @ target.affine
    return np.asarray(
        ndimage.affine_transform(
            values,
            np.diag(step)[:3].copy() if moved is None else step[:3, :3],
            step[:3, 3],
            output_shape=target.shape,
            output=np.dtype(np.float32),
            order=1,
            mode="nearest" if moved is None else "constant",
        )
    )
