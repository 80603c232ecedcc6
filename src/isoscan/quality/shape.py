"""Sizes, volumes, sharpness, and the bias field."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoscan.quality.definitions import AXES, TISSUES

Array = NDArray[Any]

_FWHM = 2.35482
"""Full width at half maximum of a Gaussian whose standard deviation is 1."""


def sizes(shape: tuple[int, ...], zooms: tuple[float, ...]) -> dict[str, float]:
    """Size of the image in voxels, and of a voxel in millimetres.

    Parameters
    ----------
    shape : tuple of int
        Voxels along each axis.
    zooms : tuple of float
        Voxel sizes.

    Returns
    -------
    dict of {str: float}
        size_x to spacing_z.
    """
    found = {f"size_{axis}": float(n) for axis, n in zip(AXES, shape, strict=True)}
    return found | {f"spacing_{axis}": float(mm) for axis, mm in zip(AXES, zooms, strict=True)}


def volume_fractions(tissues: Array) -> dict[str, float]:
    """Share of each tissue in all three.

    Parameters
    ----------
    tissues : ndarray of shape (3, x, y, z)
        Probabilities.

    Returns
    -------
    dict of {str: float}
        csf, gm and wm; they add up to 1.
    """
    totals = [float(tissue.sum(dtype=np.float64)) for tissue in tissues]
    return {name: total / sum(totals) for name, total in zip(TISSUES, totals, strict=True)}


def template_overlap(tissues: Array, template: Array) -> dict[str, float]:
    """Overlap of each tissue with that of a template: shared over joint probability.

    Parameters
    ----------
    tissues, template : ndarray of shape (3, x, y, z)
        Probabilities.

    Returns
    -------
    dict of {str: float}
        csf, gm and wm, between 0 and 1.
    """
    return {
        name: float(
            np.minimum(own, its).sum(dtype=np.float64) / np.maximum(own, its).sum(dtype=np.float64)
        )
        for name, own, its in zip(TISSUES, tissues, template, strict=True)
    }


def tissue_purity(tissue: Array, *, in_tissue: bool) -> float:
    """Residual partial voluming: how far voxels are from being half of a tissue.

    Of voxels that hold some of the tissue, those between the 2nd and the 98th percentile of
    probability count, each by its probability or, below one half, by the rest.

    Parameters
    ----------
    tissue : ndarray
        Probabilities.
    in_tissue : bool
        Count only voxels that hold some of the tissue. Without it every other voxel of the
        volume adds 1, as in MRIQC, so that the number measures the field of view.

    Returns
    -------
    float
        Per voxel that holds some of the tissue; NaN if none does.
    """
    some = np.clip(tissue[tissue > 0].astype(np.float64), None, 1)
    if not some.size:
        return float("nan")
    low, high = np.percentile(some, [2, 98])
    counted = some[(some >= low) & (some <= high)]
    purity = float(np.where(counted > 0.5, counted, 1 - counted).sum())
    if not in_tissue:
        purity += tissue.size - counted.size
    return purity / some.size


def sharpness(values: Array, mask: Array, zooms: tuple[float, ...]) -> dict[str, float]:
    """Smoothness of the image along each axis, from differences of neighbours [1]_.

    Parameters
    ----------
    values : ndarray of shape (x, y, z)
        Intensities.
    mask : ndarray of bool
        Where to look.
    zooms : tuple of float
        Voxel sizes in millimetres.

    Returns
    -------
    dict of {str: float}
        x, y and z: full width at half maximum in voxels, and avg, their mean. Where it is
        not defined, the width is -1 mm.

    References
    ----------
    .. [1] Forman et al. (1995), Magn Reson Med 33:636, doi:10.1002/mrm.1910330508. The
       estimator is that of AFNI's 3dFWHMx (``-ShowMeClassicFWHM``).
    """
    inside = values[mask].astype(np.float64)
    variance = inside.var(ddof=1) if inside.size > 1 else 0.0
    found = {
        name: _width(values, mask, axis, variance) or -1 / zooms[axis]
        for axis, name in enumerate(AXES)
    }
    return found | {"avg": float(np.mean(list(found.values())))}


def _width(values: Array, mask: Array, axis: int, variance: float) -> float:
    """Width along one axis in voxels; 0 if neighbours are not alike."""
    first = tuple(slice(None, -1) if one == axis else slice(None) for one in range(3))
    second = tuple(slice(1, None) if one == axis else slice(None) for one in range(3))
    pairs = mask[first] & mask[second]
    steps = values[second][pairs].astype(np.float64) - values[first][pairs]
    if steps.size < 2 or variance <= 0:
        return 0.0
    alike = 1 - steps.var(ddof=1) / (2 * variance)
    return _FWHM * float(np.sqrt(-1 / (4 * np.log(alike)))) if 0 < alike < 1 else 0.0


def bias_summary(bias: Array, brain: Array) -> dict[str, float]:
    """Range and median of the bias field in the brain.

    Parameters
    ----------
    bias : ndarray
        Bias field.
    brain : ndarray of bool
        Where to look.

    Returns
    -------
    dict of {str: float}
        inu_range (between the 5th and the 95th percentile) and inu_med.
    """
    low, middle, high = np.percentile(bias[brain].astype(np.float64), [5, 50, 95])
    return {"inu_range": float(abs(high - low)), "inu_med": float(middle)}
