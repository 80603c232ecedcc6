"""The template MNI152 (ICBM 2009a, symmetric) that ships with nilearn.

It has no map of cerebrospinal fluid: that is what is left of the brain without grey and white
matter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoscan.anatomy.packages import require_package
from isoscan.anatomy.resampling import Working
from isoscan.anatomy.shapes import bounding_box
from isoscan.nifti.grids import Grid, make_grid

_MARGIN_MM = 16


@dataclass(frozen=True, eq=False)
class Template:
    """A brain in template space.

    Attributes
    ----------
    grid : Grid
        Where its voxels lie, in millimetres of MNI.
    mm : float
        Edge of its cubic voxels.
    t1 : ndarray of float32 of shape (x, y, z)
        T1-weighted intensities, 0 outside the brain.
    brain : ndarray of bool of shape (x, y, z)
        The brain.
    tissues : ndarray of float32 of shape (3, x, y, z)
        Cerebrospinal fluid, grey and white matter: sums to 1 in the brain, 0 outside.
    """

    grid: Grid
    mm: float
    t1: NDArray[np.float32]
    brain: NDArray[np.bool_]
    tissues: NDArray[np.float32]


@lru_cache(maxsize=2)
def mni152(mm: float) -> Template:
    """Load MNI152 at some resolution.

    Parameters
    ----------
    mm : float
        Edge of a voxel; that of the template is 1.

    Returns
    -------
    Template
        The brain and some air around it.

    Raises
    ------
    MissingPackageError
        If nilearn is not installed.
    """
    datasets = require_package("nilearn.datasets", "the template")
    mask = datasets.load_mni152_brain_mask(resolution=1)
    inside = _values(mask) > 0
    around, grid = _with_margin(inside, mask.affine)
    working = Working.of(grid, mm)
    t1, gm, wm = (
        working.to_coarse(around(_values(load(resolution=1))))
        for load in (
            datasets.load_mni152_template,
            datasets.load_mni152_gm_template,
            datasets.load_mni152_wm_template,
        )
    )
    brain = working.mask_to_coarse(around(inside))
    t1 = np.where(brain, t1, np.float32(0))
    return Template(working.coarse, working.mm, t1, brain, _tissues(gm, wm, brain))


def _with_margin(
    inside: NDArray[np.bool_], affine: NDArray[np.float64]
) -> tuple[Callable[[NDArray[Any]], NDArray[Any]], Grid]:
    """Cut or pad so that there is the same margin on all sides: the file ends at the brain."""
    box = bounding_box(inside)
    pads = [(_MARGIN_MM, _MARGIN_MM)] * 3
    origin = np.array([part.start - _MARGIN_MM for part in box])
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ origin
    shape = tuple(part.stop - part.start + 2 * _MARGIN_MM for part in box)

    def around(values: NDArray[Any]) -> NDArray[Any]:
        return np.pad((values * inside)[box], pads)

    return around, make_grid(shape, moved, "MNI152")


def _values(image: Any) -> NDArray[np.float32]:
    return np.asarray(image.dataobj, dtype=np.float32)


def _tissues(
    gm: NDArray[np.float32], wm: NDArray[np.float32], brain: NDArray[np.bool_]
) -> NDArray[np.float32]:
    gm, wm = np.clip(gm, 0, 1), np.clip(wm, 0, 1)
    excess = np.maximum(gm + wm, 1)
    tissues = np.stack([1 - (gm + wm) / excess, gm / excess, wm / excess])
    return np.asarray(tissues * brain, dtype=np.float32)
