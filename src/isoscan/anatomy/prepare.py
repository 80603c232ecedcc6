"""From one T1-weighted image to brain, bias field and tissues."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoscan.anatomy.anatomy import Anatomy
from isoscan.anatomy.bias import log_bias_field
from isoscan.anatomy.brain import PLAUSIBLE_ML, find_brain, stripped_brain
from isoscan.anatomy.head import Head, read_head, read_mask, read_posteriors
from isoscan.anatomy.resampling import Working, voxel_sizes
from isoscan.anatomy.shapes import Mask, grown
from isoscan.anatomy.tissue import TISSUES, segment_tissues
from isoscan.errors import ImageWarning

Progress = Callable[[str, int, int], None]

_AROUND_MM = 4.0
_STAGES = ("brain", "bias field", "tissues")


def prepare_t1(
    image: Any,
    *,
    brain_mask: Any = None,
    posteriors: Any = None,
    register: bool = True,
    progress: Progress | None = None,
) -> Anatomy:
    """Find the brain, its bias field and its tissues in a T1-weighted image.

    Parameters
    ----------
    image : path-like or nibabel image
        T1-weighted head, or a brain whose skull was removed.
    brain_mask : path-like, nibabel image or ndarray of shape (x, y, z), optional
        A better mask, taken as it is; 0 outside the brain.
    posteriors : sequence or mapping of three volumes, optional
        Better posteriors of csf, gm and wm, taken as they are.
    register : bool
        Whether to bring the template MNI152 to the head. Without, the brain is the rough one
        and there are no maps of the template; that is much faster.
    progress : callable, optional
        Told the stage, how many are done, and of how many.

    Returns
    -------
    Anatomy
        Arrays on the grid of the image, reoriented but not resampled.

    Raises
    ------
    ImageFileError
        If the image is damaged or cannot be a head.
    GridMismatchError
        If the image has more than three axes, or mask or posteriors lie elsewhere.
    NoBrainError
        If no brain or no tissues are found.
    MissingPackageError
        If a package of the extra [images] is not installed.

    Warns
    -----
    ImageWarning
        If something may be wrong, such as the volume of the brain.
    """
    head = read_head(image)
    notes = list(head.notes)
    working = Working.of(head.grid)
    tell = _Teller(progress)
    given = None if posteriors is None else read_posteriors(head, posteriors)
    tell("brain")
    brain = _brain(head, working, brain_mask, given, notes)
    tell("bias field")
    bias = _bias(head, working, brain, notes)
    corrected = head.values / bias
    tell("tissues")
    tissues = _tissues(head, corrected, brain, given, notes)
    tell("tissues")
    return Anatomy(head.image, brain, corrected, bias, tissues, None, None, notes)


class _Teller:
    """Report stages to somebody, or to nobody."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress, self._done = progress, -1

    def __call__(self, stage: str) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(stage, self._done, len(_STAGES))


def _brain(
    head: Head,
    working: Working,
    mask: Any,
    posteriors: NDArray[np.float32] | None,
    notes: list[str],
) -> Mask:
    if mask is not None:
        brain, origin = read_mask(head, mask), "given"
    elif posteriors is not None:
        brain, origin = posteriors.sum(axis=0) > 0.5, "where the given posteriors exceed 0.5"
    else:
        brain, origin = _found_brain(working, head)
    volume = np.count_nonzero(brain) * float(np.prod(voxel_sizes(head.grid))) / 1000
    notes.append(f"brain: {origin}; {volume:.0f} mL")
    if not PLAUSIBLE_ML[0] <= volume <= PLAUSIBLE_ML[1]:
        words = (
            f"{head.name}: the brain has {volume:.0f} mL, most have {PLAUSIBLE_ML[0]:.0f} to "
            f"{PLAUSIBLE_ML[1]:.0f}. Look at it, and give brain_mask if it is wrong."
        )
        warnings.warn(words, ImageWarning, stacklevel=3)
        notes.append(words)
    return brain


def _found_brain(working: Working, head: Head) -> tuple[Mask, str]:
    coarse = working.to_coarse(head.values)
    stripped = stripped_brain(coarse, working.mm)
    if stripped is not None:
        return working.mask_to_own(stripped), "all that is not background; the skull was removed"
    rough = find_brain(coarse, working.mm)
    origin = f"found without a template at {working.mm:.3g} mm, sphericity {rough.sphericity:.2f}"
    return working.mask_to_own(rough.mask), origin


def _bias(head: Head, working: Working, brain: Mask, notes: list[str]) -> NDArray[np.float32]:
    around = grown(working.mask_to_coarse(brain), _AROUND_MM, working.mm)
    field = log_bias_field(working.to_coarse(head.values), around, working.mm)
    log_bias = working.to_own(field)
    log_bias -= log_bias[brain].mean(dtype=float)
    notes.append(
        f"bias field: N4 at {working.mm:.3g} mm in the brain, "
        f"standard deviation {np.exp(log_bias[brain].std(dtype=float)) - 1:.0%}"
    )
    return np.exp(log_bias)


def _tissues(
    head: Head,
    corrected: NDArray[np.float32],
    brain: Mask,
    posteriors: NDArray[np.float32] | None,
    notes: list[str],
) -> NDArray[np.float32]:
    if posteriors is not None:
        tissues, origin = posteriors, "given"
    else:
        tissues = segment_tissues(corrected, brain, voxel_sizes(head.grid))
        origin = "hidden Markov random field of log intensities"
    shares = tissues[:, brain].mean(axis=1, dtype=float)
    words = ", ".join(f"{t} {share:.0%}" for t, share in zip(TISSUES, shares, strict=True))
    notes.append(f"tissues: {origin}; {words}")
    return tissues
