"""Intensities on one scale: the median of white matter is 1000."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoscan.errors import MaskError
from isoscan.quality.definitions import Definition

Array = NDArray[Any]

WHITE = 1000.0
_CERTAIN, _LIKELY = 0.9, 0.5


def scale_to_white(values: Array, white: Array, definition: Definition) -> Array:
    """Scale intensities so that white matter has a median of 1000.

    Parameters
    ----------
    values : ndarray of shape (x, y, z)
        Intensities without bias field.
    white : ndarray of shape (x, y, z)
        Probability of white matter.
    definition : Definition
        MRIQC takes certain white matter without its border, and fails if there is none;
        the corrected definition then takes the next best.

    Returns
    -------
    ndarray of shape (x, y, z)
        Not negative; 0 where intensities are not finite.

    Raises
    ------
    MaskError
        If no white matter is left, or it is not bright.
    """
    finite = np.nan_to_num(values, posinf=0.0, neginf=0.0)
    core = _core(white, forgiving=definition.honest_failures)
    median = float(np.median(finite[core])) if core.any() else 0.0
    if not median > 0:
        raise MaskError(
            f"no white matter to scale intensities by: {int(core.sum())} voxels with a "
            f"probability of at least {_CERTAIN} away from its border, median {median:g}. Do "
            f"the tissues belong to this image?"
        )
    return np.asarray(np.clip(finite, 0, None) * (WHITE / median))


def _core(white: Array, *, forgiving: bool) -> NDArray[np.bool_]:
    """Certain white matter without its border; or the next best, if there is none."""
    from scipy.ndimage import binary_erosion, generate_binary_structure

    certain = white >= _CERTAIN
    core: NDArray[np.bool_] = binary_erosion(certain, generate_binary_structure(3, 2))
    choices = [core, certain, white > _LIKELY] if forgiving else [core]
    return next((choice for choice in choices if choice.any()), core)
