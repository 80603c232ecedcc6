"""What is known about one T1-weighted head."""

from __future__ import annotations

from dataclasses import dataclass

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from isoscan.anatomy.registration import Warp


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Brain, bias field, tissues and place of one head, on the grid of its image.

    Attributes
    ----------
    image : nibabel image
        float32, as it was given but with axes to the right, the front and up.
    brain : ndarray of bool of shape (x, y, z)
        Where the brain is.
    corrected : ndarray of float32 of shape (x, y, z)
        Intensities divided by the bias field.
    bias : ndarray of float32 of shape (x, y, z)
        The bias field; its geometric mean in the brain is 1.
    tissues : ndarray of float32 of shape (3, x, y, z)
        Posteriors of cerebrospinal fluid, grey and white matter, in this order. They sum to 1
        in the brain and are 0 outside.
    template_tissues : ndarray of float32 of shape (3, x, y, z) or None
        The same tissues of the template MNI152, carried to the head; None without
        registration.
    to_template : ndarray of shape (4, 4) or None
        Affine part of the registration, from millimetres of the image to millimetres of the
        template; None without registration.
    notes : list of str
        What was given, what was made and how, volumes, and doubts.
    warp : Warp or None
        Carries further maps between head and template; None without registration.
    """

    image: nib.Nifti1Image
    brain: NDArray[np.bool_]
    corrected: NDArray[np.float32]
    bias: NDArray[np.float32]
    tissues: NDArray[np.float32]
    template_tissues: NDArray[np.float32] | None
    to_template: NDArray[np.float64] | None
    notes: list[str]
    warp: Warp | None = None
