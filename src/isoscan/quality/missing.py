"""What cannot be measured on an image, and why."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isoscan.quality.definitions import SUMMARIES, TISSUES
from isoscan.quality.inputs import QualityInputs
from isoscan.quality.sentinels import BACKGROUND, NOISE

AIR_METRICS = ("cnr", "efc", "fber", "qi_1", "qi_2", *NOISE, *BACKGROUND)
"""Metrics that need noise around the head."""

_LEAST_NOISE, _MOST_EMPTY = 1000, 0.8
_LEAST_TISSUE = 1.0


@dataclass(frozen=True)
class Unmeasurable:
    """A reason why metrics are missing.

    Attributes
    ----------
    reason : str
        What the image lacks, in words.
    metrics : tuple of str
        What cannot be measured.
    """

    reason: str
    metrics: tuple[str, ...]


def find_unmeasurable(inputs: QualityInputs) -> list[Unmeasurable]:
    """Find what cannot be measured.

    Parameters
    ----------
    inputs : QualityInputs
        Images and masks.

    Returns
    -------
    list of Unmeasurable
        Empty for an image of a head in air with all tissues.
    """
    found = []
    if not has_noise(inputs):
        found.append(
            Unmeasurable(
                "there is no noise around the head: the skull was removed, or the background "
                "was set to zero",
                AIR_METRICS,
            )
        )
    for name, tissue in zip(TISSUES, inputs.tissues, strict=True):
        if tissue.sum(dtype=np.float64) < _LEAST_TISSUE:
            found.append(Unmeasurable(f"no voxel holds {name}", _of_tissue(name)))
    return found


def has_noise(inputs: QualityInputs) -> bool:
    """Whether the air around the head holds noise.

    Parameters
    ----------
    inputs : QualityInputs
        Images and masks.

    Returns
    -------
    bool
        True if half of the air, and at least 1000 voxels, are positive, and the empty frame
        does not take more than 80 % of what is not head: then only a rim was left.
    """
    air = inputs.raw[inputs.air & ~inputs.frame]
    positive = int((air > 0).sum())
    empty, outside = int((inputs.frame & ~inputs.head).sum()), int((~inputs.head).sum())
    return positive >= max(_LEAST_NOISE, air.size / 2) and empty <= _MOST_EMPTY * outside


def _of_tissue(name: str) -> tuple[str, ...]:
    summaries = tuple(f"summary_{name}_{what}" for what in SUMMARIES if what != "n")
    contrast = ("cjv", "cnr") if name != "csf" else ()
    ratios = tuple(f"{what}_{one}" for what in ("snr", "snrd") for one in (name, "total"))
    return (*summaries, *contrast, *ratios, f"rpve_{name}", f"tpm_overlap_{name}")
