"""The smooth field by which a coil makes some tissue brighter than the same tissue elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoscan.anatomy.packages import require_package
from isoscan.anatomy.shapes import Mask

_COARSE_MM = 8.0
_ITERATIONS = (50, 50, 50, 50)


def log_bias_field(values: NDArray[Any], mask: Mask, mm: float) -> NDArray[np.float32]:
    """Estimate the logarithm of the bias field by N4 [1]_.

    Parameters
    ----------
    values : ndarray of shape (x, y, z)
        Intensities; logarithms of those below a thousandth of the brightest are not taken.
    mask : ndarray of bool of shape (x, y, z)
        Where the field is estimated; outside, it stays within the range found here.
    mm : float
        Edge of a cubic voxel; every fourth voxel along each axis is used at 2 mm, and fewer
        are left out if they are larger. The field is as smooth as the field of view is large.

    Returns
    -------
    ndarray of float32 of shape (x, y, z)
        Natural logarithm; its mean in the mask is 0.

    Raises
    ------
    MissingPackageError
        If SimpleITK is not installed.

    References
    ----------
    .. [1] Tustison et al. (2010), IEEE Trans. Med. Imaging 29:1310,
       doi:10.1109/TMI.2010.2046908.
    """
    sitk = require_package("SimpleITK", "the bias field")
    floor = 1e-3 * float(np.percentile(values[mask], 99))
    image = sitk.GetImageFromArray(np.maximum(values, floor).astype(np.float32))
    where = sitk.GetImageFromArray(mask.astype(np.uint8))
    # N4 is told that voxels measure 1: other sizes make its field depend on rounding
    step = [min(max(round(_COARSE_MM / mm), 1), 4)] * 3
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations(_ITERATIONS)
    with _one_thread(sitk):
        n4.Execute(sitk.Shrink(image, step), sitk.Shrink(where, step))
        field = sitk.GetArrayFromImage(n4.GetLogBiasFieldAsImage(image))
    inside = field[mask]
    clipped = np.clip(field, inside.min(), inside.max())
    return np.asarray(clipped - inside.mean(dtype=float), dtype=np.float32)


@contextmanager
def _one_thread(sitk: Any) -> Iterator[None]:
    """Let sums be added up in one order, on a computer with any number of cores."""
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)
