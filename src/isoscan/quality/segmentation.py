"""Tissues from labels of FreeSurfer, fMRIPrep, FAST, or any with three tissues."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoscan.anatomy.head import Head
from isoscan.errors import MaskError, count, name_counts
from isoscan.nifti.grids import Grid
from isoscan.quality.reading import as_volume, is_freesurfer

Array = NDArray[Any]

TISSUE_ORDERS = {"FAST": (1, 2, 3), "fMRIPrep": (3, 1, 2)}
"""Labels of fluid, grey and white matter."""

_FLUID = {4, 5, 14, 15, 24, 31, 43, 44, 63, 72, 257}
_GREY = {3, 8, 9, 10, 11, 12, 13, 17, 18, 19, 20, 26, 27, 80, 81}
_GREY |= {42, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 58, 59, 82}
_GREY |= {*range(1000, 3000), *range(11000, 13000)}
_WHITE = {2, 7, 16, 28, 77, 78, 41, 46, 60, 79, 85, *range(250, 256)}
_WHITE |= {*range(3000, 5003), *range(13000, 15000)}
_MOST = 1 << 16
_NEITHER = {0, 25, 30, 57, 62, 165, 258, 259}
"""Nothing, lesions, vessels, skull, skin and eyes."""


def read_segmentation(head: Head, volume: Any) -> tuple[Array, str]:
    """Read labels and make tissues of them.

    Labels up to 3 are those of three tissues, ordered as in fMRIPrep (grey, white, fluid) or
    in FAST (fluid, grey, white): on a T1-weighted image fluid is dark and white matter
    bright, which tells the two apart. Larger labels are those of FreeSurfer; its own files
    (.mgz) are brought to the grid of the image by nearest neighbour.

    Parameters
    ----------
    head : Head
        The T1-weighted image.
    volume : path-like, nibabel image or ndarray of shape (x, y, z)
        Labels.

    Returns
    -------
    tissues : ndarray of float32 of shape (3, x, y, z)
        Fluid, grey and white matter: 0 or 1.
    kind : str
        "FreeSurfer", "fMRIPrep" or "FAST".

    Raises
    ------
    MaskError
        If labels are not whole numbers, or those of no known kind.
    """
    if is_freesurfer(volume):
        own = as_volume(volume)
        labels = to_grid(np.asanyarray(own.dataobj), own.affine, head.grid)
    else:
        labels = head.companion(volume, "the segmentation")
    whole = _whole(labels)
    if whole.max() <= len(TISSUE_ORDERS["FAST"]):
        kind, tissues = _three_tissues(whole, head.values)
    else:
        kind, tissues = "FreeSurfer", _freesurfer(whole)
    return np.stack([tissues == number for number in (1, 2, 3)]).astype(np.float32), kind


def to_grid(labels: Array, affine: Array, grid: Grid) -> Array:
    """Bring labels to another grid in the same space, by nearest neighbour.

    Parameters
    ----------
    labels : ndarray of shape (x, y, z)
        Labels.
    affine : ndarray of shape (4, 4)
        From their voxels to millimetres.
    grid : Grid
        Where they are wanted.

    Returns
    -------
    ndarray of shape of the grid
        0 beyond the labels.
    """
    from scipy.ndimage import affine_transform

    between = np.linalg.inv(affine) @ grid.affine
    turn, shift = between[:3, :3], between[:3, 3]
    return np.asarray(affine_transform(labels, turn, shift, grid.shape, order=0, mode="constant"))


def _whole(labels: Array) -> NDArray[np.int32]:
    known = np.nan_to_num(labels)
    low, high = float(known.min()), float(known.max())
    if low < 0 or high >= _MOST or (known != np.round(known)).any():
        raise MaskError(
            f"the segmentation holds values that are no labels, from {low:g} to {high:g}. Give "
            f"probabilities as posteriors."
        )
    if high == 0:
        raise MaskError("the segmentation is empty: every label is 0, or lies beyond the image.")
    return known.astype(np.int32)


def _three_tissues(labels: Array, values: Array) -> tuple[str, Array]:
    """Tell by brightness which order of three labels it is."""
    regions = [labels == label for label in (1, 2, 3)]
    bright = [float(np.median(values[region])) for region in regions if region.any()]
    if len(bright) == len(regions):
        for kind, order in TISSUE_ORDERS.items():
            fluid, grey, white = (bright[label - 1] for label in order)
            if fluid < grey < white:
                numbers = np.zeros(4, dtype=np.uint8)
                numbers[[*order]] = (1, 2, 3)
                return kind, numbers[labels]
    shown = ", ".join(f"{value:g}" for value in bright)
    raise MaskError(
        f"the segmentation has {count(len(bright), 'label')} whose median intensities ({shown}) "
        f"are neither those of grey, white, fluid (fMRIPrep) nor those of fluid, grey, white "
        f"(FAST) on a T1-weighted image. Give posteriors instead."
    )


def _freesurfer(labels: Array) -> Array:
    numbers = np.zeros(int(labels.max()) + 1, dtype=np.uint8)
    voxels = np.bincount(labels.ravel())
    unknown: dict[int, int] = {}
    for label in np.flatnonzero(voxels).tolist():
        for number, known in enumerate((_NEITHER, _FLUID, _GREY, _WHITE)):
            if label in known:
                numbers[label] = number
                break
        else:
            unknown[label] = int(voxels[label])
    if unknown:
        raise MaskError(
            f"the segmentation holds {count(unknown, 'label')} that FreeSurfer's aseg, "
            f"aparc+aseg and wmparc do not have, with voxels: {name_counts(unknown)}. Give "
            f"posteriors instead.",
            labels=list(unknown),
        )
    return numbers[labels]
