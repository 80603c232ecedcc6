"""The air around the head: where it is, which part holds artefacts, and which no image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoscan.quality.definitions import Definition
from isoscan.quality.head import largest_parts
from isoscan.quality.summaries import deviation

Array = NDArray[Any]
Mask = NDArray[np.bool_]

GLABELLA, INION = (0.0, 90.0, -14.0), (0.0, -120.0, -14.0)
"""Points between the brows and at the back of the skull, in millimetres of MNI space."""

_DEVIATIONS, _NEAR = 10.0, 0.1
_LEAST_FRAME, _LEAST_AIR = 500, 10
_BELOW_CENTRE = 22.0  # of a brain of 1.5 L; of the brain of MNI152, 23.5 mm


def find_frame(raw: Array) -> Mask:
    """Find the empty frame around an image that was rotated or cut out.

    Parameters
    ----------
    raw : ndarray of shape (x, y, z)
        Intensities.

    Returns
    -------
    ndarray of bool
        The two largest regions without signal; none if they have fewer than 500 voxels.
    """
    from scipy.ndimage import binary_opening, generate_binary_structure

    empty = np.pad(raw <= 0, 1, constant_values=True)
    opened = binary_opening(empty, generate_binary_structure(3, 2))
    frame = largest_parts(opened, 2)[1:-1, 1:-1, 1:-1]
    return frame if frame.sum() >= _LEAST_FRAME else np.zeros_like(frame)


def find_hat(
    head: Mask,
    frame: Mask,
    brain: Mask,
    affine: Array,
    to_template: Array | None,
    definition: Definition,
) -> Mask:
    """Find the air around the top of the head.

    Air below the back of the skull is left out, and in the front half all air below the
    brows, where moving eyes leave traces. In MNI space both lie 22 mm below the centre of
    the brain; without a template, that is where the air ends.

    Parameters
    ----------
    head : ndarray of bool
        Mask of the head; axes run right, anterior, superior.
    frame : ndarray of bool
        Frame without image.
    brain : ndarray of bool
        Mask of the brain.
    affine : ndarray of shape (4, 4)
        From voxels to millimetres.
    to_template : ndarray of shape (4, 4) or None
        From millimetres to those of MNI space.
    definition : Definition
        Whether the frame is air.

    Returns
    -------
    ndarray of bool
        Air, artefacts included.
    """
    hat = ~head if definition.frame_is_air else ~head & ~frame
    if to_template is None:
        height = float(np.linalg.norm(affine[:3, 2]))
        centre = float(np.average(np.arange(brain.shape[2]), weights=brain.sum(axis=(0, 1))))
        hat[:, :, : max(int(centre - _BELOW_CENTRE / height), 0)] = False
        return np.asarray(hat)
    to_voxels = np.linalg.inv(to_template @ affine)
    brow, back = ((to_voxels @ [*point, 1.0])[2] for point in (GLABELLA, INION))
    hat[:, :, : max(int(back), 0)] = False
    hat[:, hat.shape[1] // 2 :, : max(int(brow), 0)] = False
    return np.asarray(hat)


def find_artifacts(raw: Array, head: Mask, hat: Mask, definition: Definition) -> Mask:
    """Find ghosts in the air, far from the head [1]_.

    Parameters
    ----------
    raw : ndarray of shape (x, y, z)
        Intensities.
    head : ndarray of bool
        Mask of the head.
    hat : ndarray of bool
        Air around the top of the head.
    definition : Definition
        Whether "far" is what it says: since 23.1 MRIQC forgets distances in the air, and
        finds no artefact.

    Returns
    -------
    ndarray of bool
        Air brighter than 10 deviations, without single voxels.

    References
    ----------
    .. [1] Mortamet et al. (2009), Magn Reson Med 62:365, doi:10.1002/mrm.21992.
    """
    from scipy.ndimage import (
        binary_opening,
        distance_transform_edt,
        generate_binary_structure,
    )

    none = np.zeros_like(hat)
    values = raw[hat].astype(np.float64)
    noise = values[values > 0]
    if not definition.distance_in_air or noise.size < _LEAST_AIR or not head.any():
        return none
    centre = float(np.median(noise))
    above = values - centre if definition.centred_artefacts else values
    distance = distance_transform_edt(~head)[hat]
    far = distance >= _NEAR * distance.max()
    none[hat] = (above > _DEVIATIONS * deviation(noise, centre)) & far
    return np.asarray(binary_opening(none, generate_binary_structure(3, 1)))
