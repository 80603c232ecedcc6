"""From one T1-weighted image to brain, bias field and tissues."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from isoscan.anatomy.anatomy import Anatomy
from isoscan.anatomy.bias import log_bias_field
from isoscan.anatomy.brain import PLAUSIBLE_ML, find_brain, stripped_brain
from isoscan.anatomy.consensus import AROUND_MM, Registered, register_brain, register_rough
from isoscan.anatomy.head import Head, read_head, read_mask, read_posteriors
from isoscan.anatomy.registration import Placed
from isoscan.anatomy.resampling import Working, voxel_sizes
from isoscan.anatomy.shapes import Mask, grown
from isoscan.anatomy.template import mni152
from isoscan.anatomy.tissue import TISSUES, segment_tissues
from isoscan.errors import ImageWarning

Progress = Callable[[str, int, int], None]
Array = NDArray[np.float32]

_STAGES = ("brain", "registration", "bias field", "tissues")
_LEAST_CORRELATION, _LEAST_OVERLAP = 0.5, 0.8
_LEAST_SHARE = 0.03


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
    job = _Job(read_head(image), progress)
    given = None if posteriors is None else read_posteriors(job.head, posteriors)
    job.begin("brain")
    brain, trusted = _first_brain(job, brain_mask, given)
    job.begin("registration")
    registered = _registered(job, brain, trusted) if register else None
    if registered is not None and not trusted:
        brain = job.working.mask_to_own(registered.brain)
    _note_volume(job, brain)
    job.begin("bias field")
    bias = _bias(job, brain)
    corrected = job.head.values / bias
    job.begin("tissues")
    tissues = _tissues(job, corrected, brain, given)
    maps = None if registered is None else _template_maps(job, registered)
    job.begin("done")
    return Anatomy(
        image=job.head.image,
        brain=brain,
        corrected=corrected,
        bias=bias,
        tissues=tissues,
        template_tissues=maps,
        to_template=None if registered is None else registered.to_template,
        notes=job.notes,
        warp=None if registered is None else registered.warp,
    )


class _Job:
    """One head on its two grids, what is noted about it, and who is told."""

    def __init__(self, head: Head, progress: Progress | None) -> None:
        self.head, self.notes = head, list(head.notes)
        self.working = Working.of(head.grid)
        self.coarse = Placed(self.working.to_coarse(head.values), self.working.coarse)
        self.sizes = voxel_sizes(head.grid)
        self._progress, self._begun = progress, 0

    def begin(self, stage: str) -> None:
        """Tell that a stage begins."""
        if self._progress is not None:
            self._progress(stage, self._begun, len(_STAGES))
        self._begun += 1

    def doubt(self, words: str) -> None:
        """Note what may be wrong, and warn."""
        self.notes.append(words)
        warnings.warn(f"{self.head.name}: {words}", ImageWarning, stacklevel=4)


def _first_brain(job: _Job, mask: Any, posteriors: Array | None) -> tuple[Mask, bool]:
    """The brain before registration, and whether it may not be changed by it."""
    if mask is not None:
        job.notes.append("brain: given")
        return read_mask(job.head, mask), True
    if posteriors is not None:
        job.notes.append("brain: where the given posteriors sum to more than 0.5")
        return posteriors.sum(axis=0) > 0.5, True
    stripped = stripped_brain(job.coarse.values, job.working.mm)
    if stripped is not None:
        job.notes.append("brain: all that is not background, because the skull was removed before")
        return job.working.mask_to_own(stripped), True
    rough = find_brain(job.coarse.values, job.working.mm)
    job.notes.append(
        f"brain: found without a template at {job.working.mm:.3g} mm, "
        f"sphericity {rough.sphericity:.2f}"
    )
    return job.working.mask_to_own(rough.mask), False


def _registered(job: _Job, brain: Mask, trusted: bool) -> Registered:
    mm = job.working.mm
    register = register_brain if trusted else register_rough
    found = register(job.coarse, job.working.mask_to_coarse(brain), mni152(mm), mm)
    job.notes.append(
        f"registration to MNI152: affine map and warp at {mm:.3g} mm; correlation with the "
        f"template in the brain {found.correlation:.2f}"
    )
    if not trusted:
        job.notes.append("brain: two of rough brain, brain of the affine map, brain of the warp")
    _doubt_registration(job, found)
    return found


def _doubt_registration(job: _Job, found: Registered) -> None:
    pose = found.pose
    if pose.doubtful:
        axes = "".join(nib.aff2axcodes(job.head.grid.affine))
        job.doubt(
            f"the brain resembles the template more if its axes are {pose.other_axes} "
            f"(correlation {pose.other_correlation:.2f}) than if they are {axes} as its affine "
            f"says ({pose.correlation:.2f}); left and right cannot be told apart. Look at it, "
            f"and write the image again with its true affine."
        )
    elif found.correlation < _LEAST_CORRELATION or found.overlap < _LEAST_OVERLAP:
        job.doubt(
            f"the registration to the template may have failed (correlation "
            f"{found.correlation:.2f}, overlap of both brains {found.overlap:.2f}). Look at "
            f"template_tissues before use."
        )


def _template_maps(job: _Job, registered: Registered) -> Array:
    """Carry the tissues of the template to the image's own voxels."""
    template = mni152(min(job.working.mm, max(1.0, round(float(job.sizes.min()), 1))))
    return np.stack(
        [
            registered.warp.to_head(Placed(tissue, template.grid), job.head.grid)
            for tissue in template.tissues
        ]
    )


def _note_volume(job: _Job, brain: Mask) -> None:
    volume = np.count_nonzero(brain) * float(np.prod(job.sizes)) / 1000
    job.notes.append(f"brain: {volume:.0f} mL")
    if not PLAUSIBLE_ML[0] <= volume <= PLAUSIBLE_ML[1]:
        job.doubt(
            f"the brain has {volume:.0f} mL, most have {PLAUSIBLE_ML[0]:.0f} to "
            f"{PLAUSIBLE_ML[1]:.0f}. Look at it, and give brain_mask if it is wrong."
        )


def _bias(job: _Job, brain: Mask) -> Array:
    mm = job.working.mm
    around = grown(job.working.mask_to_coarse(brain), AROUND_MM, mm)
    field = job.working.to_own(log_bias_field(job.coarse.values, around, mm))
    field = field - field[brain].mean(dtype=float).astype(np.float32)
    spread = np.expm1(field[brain].std(dtype=float))
    job.notes.append(f"bias field: N4 at {mm:.3g} mm, standard deviation {spread:.0%}")
    return np.asarray(np.exp(field))


def _tissues(job: _Job, corrected: Array, brain: Mask, posteriors: Array | None) -> Array:
    if posteriors is not None:
        tissues, origin = posteriors, "given"
    else:
        tissues = segment_tissues(corrected, brain, job.sizes)
        origin = "hidden Markov random field of the logarithms of intensities"
    shares = tissues[:, brain].mean(axis=1, dtype=float)
    if abs(shares.sum() - 1) > 0.01:
        origin += f", with a sum of {shares.sum():.2f} on average in the brain"
    words = ", ".join(f"{t} {share:.0%}" for t, share in zip(TISSUES, shares, strict=True))
    job.notes.append(f"tissues: {origin}; {words}")
    if shares.min() < _LEAST_SHARE:
        job.doubt(
            f"hardly any {TISSUES[int(shares.argmin())]} was found in the brain "
            f"({shares.min():.1%}). Look at tissues and brain before use."
        )
    return tissues
