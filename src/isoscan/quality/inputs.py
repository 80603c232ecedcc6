"""Everything the metrics of one image are computed from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class QualityInputs:
    """Images and masks of one scan, all on one grid whose axes run right, anterior, superior.

    Attributes
    ----------
    raw : ndarray of shape (x, y, z)
        The image as it was scanned.
    corrected : ndarray of shape (x, y, z)
        Without bias field, scaled so that the median of white matter is 1000; not negative.
    bias : ndarray of shape (x, y, z)
        Bias field: `raw` divided by it has no bias.
    tissues : ndarray of shape (3, x, y, z)
        Probability of cerebrospinal fluid, grey matter and white matter.
    template_tissues : ndarray of shape (3, x, y, z) or None
        The same of a template, warped to the image.
    brain, head : ndarray of bool
        Masks of brain and head.
    hat : ndarray of bool
        Air around the top of the head, artefacts included.
    artifacts : ndarray of bool
        The part of it that holds ghosts.
    frame : ndarray of bool
        Empty frame around an image that was rotated.
    zooms : tuple of float
        Voxel sizes in millimetres.
    """

    raw: Array
    corrected: Array
    bias: Array
    tissues: Array
    template_tissues: Array | None
    brain: Mask
    head: Mask
    hat: Mask
    artifacts: Mask
    frame: Mask
    zooms: tuple[float, float, float]

    @cached_property
    def air(self) -> Mask:
        """Air around the top of the head without artefacts."""
        return np.asarray(self.hat & ~self.artifacts)
