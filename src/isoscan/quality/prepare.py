"""Gather what the metrics are computed from: what was given, and what is made here."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoscan.anatomy import Anatomy, prepare_t1
from isoscan.anatomy.head import Head, read_posteriors
from isoscan.errors import DataError, ImageWarning, name_some
from isoscan.quality.air import find_artifacts, find_frame, find_hat
from isoscan.quality.definitions import Definition
from isoscan.quality.head import find_head
from isoscan.quality.inputs import QualityInputs
from isoscan.quality.intensity import scale_to_white
from isoscan.quality.reading import (
    as_volume,
    beside,
    read_image,
    read_map,
    read_mask,
    zooms_of,
)
from isoscan.quality.segmentation import read_segmentation

Array = NDArray[Any]
Mask = NDArray[np.bool_]
Progress = Callable[[str, int, int], None]

GIVEN = (
    "segmentation",
    "brain_mask",
    "posteriors",
    "bias",
    "corrected",
    "template_tissues",
    "head",
    "hat",
    "artifacts",
    "frame",
)
"""What can be given beside the image."""

INPUTS = (*GIVEN[3:], "brain", "tissues")
MADE = "isoscan"


@dataclass(frozen=True, eq=False)
class Prepared:
    """What the metrics of one image are computed from, and where it comes from.

    Attributes
    ----------
    inputs : QualityInputs
        Images and masks.
    affine : ndarray of shape (4, 4)
        From their voxels to millimetres.
    provenance : dict of {str: str}
        For each of the inputs: the file, "given", "isoscan", or "none".
    notes : list of str
        How it was made, and doubts.
    """

    inputs: QualityInputs
    affine: Array
    provenance: dict[str, str]
    notes: list[str]


def prepare_inputs(
    t1: Any,
    given: Mapping[str, Any],
    definition: Definition,
    *,
    register: bool = True,
    progress: Progress | None = None,
) -> Prepared:
    """Read what is given and make what is missing.

    Parameters
    ----------
    t1 : path-like, nibabel image or ndarray of shape (x, y, z)
        The image.
    given : mapping of {str: object}
        Volumes under the names in `GIVEN`; None is as good as absent.
    definition : Definition
        How masks are made.
    register : bool
        Whether to bring a template to the head, if its tissues or the hat are not given.
    progress : callable, optional
        Told the stage, how many are done, and of how many.

    Returns
    -------
    Prepared
        Inputs and provenance.

    Raises
    ------
    DataError
        If something is given under another name.
    """
    own = _require_known(given)
    needed = _needs_anatomy(own, register=register)
    with warnings.catch_warnings():
        if needed:  # what reads the image again will warn
            warnings.simplefilter("ignore", ImageWarning)
        head = read_image(t1)
    origins: dict[str, str] = {}
    tissues = _read_tissues(head, own, origins)
    brain = _read_brain(head, own, tissues, origins)
    anatomy = None
    if needed:
        anatomy = prepare_t1(
            as_volume(t1),
            brain_mask=None if brain is None else _as_image(head, brain),
            posteriors=None if tissues is None else [_as_image(head, one) for one in tissues],
            register=register,
            progress=progress,
        )
        brain = anatomy.brain if brain is None else brain
        tissues = anatomy.tissues if tissues is None else tissues
    assert brain is not None
    assert tissues is not None
    inputs = _gather(head, own, anatomy, (tissues, brain), definition, origins)
    notes = head.notes if anatomy is None else anatomy.notes
    return Prepared(inputs, head.grid.affine, _provenance(origins, inputs), list(notes))


def _require_known(given: Mapping[str, Any]) -> dict[str, Any]:
    own = {name: volume for name, volume in given.items() if volume is not None}
    unknown = [name for name in own if name not in GIVEN]
    if unknown:
        raise DataError(f"{name_some(unknown)} cannot be given; known are {name_some(GIVEN, 12)}.")
    return own


def _needs_anatomy(own: Mapping[str, Any], *, register: bool) -> bool:
    tissues = "posteriors" in own or "segmentation" in own
    bias = "bias" in own or "corrected" in own
    template = not register or {"template_tissues", "hat"} <= own.keys()
    return not (tissues and bias and template)


def _read_tissues(head: Head, own: Mapping[str, Any], origins: dict[str, str]) -> Array | None:
    if "posteriors" in own:
        origins["tissues"] = _origin(own["posteriors"])
        return read_posteriors(head, _all_beside(own["posteriors"]))
    if "segmentation" in own:
        tissues, kind = read_segmentation(head, own["segmentation"])
        origins["tissues"] = f"{_origin(own['segmentation'])}, labels of {kind}"
        return tissues
    return None


def _read_brain(
    head: Head, own: Mapping[str, Any], tissues: Array | None, origins: dict[str, str]
) -> Mask | None:
    if "brain_mask" in own:
        origins["brain"] = _origin(own["brain_mask"])
        return read_mask(head, own["brain_mask"], "the brain mask")
    if tissues is not None:
        origins["brain"] = f"tissues of {origins['tissues']}"
        return np.asarray(tissues.sum(axis=0) > 0.5)
    return None


def _gather(
    head: Head,
    own: Mapping[str, Any],
    anatomy: Anatomy | None,
    brain_parts: tuple[Array, Mask],
    definition: Definition,
    origins: dict[str, str],
) -> QualityInputs:
    """Put images and masks together."""
    tissues, brain = brain_parts
    corrected, bias = _intensities(head, own, anatomy, origins)
    scaled = scale_to_white(corrected, tissues[2], definition)
    given = {
        name: read_mask(head, own[name], name, may_be_empty=name != "head")
        for name in ("head", "hat", "artifacts", "frame")
        if name in own
    }
    origins |= {name: _origin(own[name]) for name in given}
    to_template = None if anatomy is None else anatomy.to_template
    masks = find_masks(head, scaled, (tissues[2], brain), to_template, given, definition)
    if to_template is None and "hat" not in given:
        origins["hat"] = f"{MADE}, cut below the centre of the brain"
    template = None if anatomy is None else anatomy.template_tissues
    if "template_tissues" in own:
        template = read_posteriors(head, _all_beside(own["template_tissues"]))
        origins["template_tissues"] = _origin(own["template_tissues"])
    zooms = zooms_of(head)
    return QualityInputs(head.values, scaled, bias, tissues, template, brain, *masks, zooms)


def _intensities(
    head: Head, own: Mapping[str, Any], anatomy: Anatomy | None, origins: dict[str, str]
) -> tuple[Array, Array]:
    """Intensities without bias field, and the field."""
    raw = head.values
    for name in ("bias", "corrected"):
        if name in own:
            origins[name] = _origin(own[name])
    bias = read_map(head, own["bias"], "the bias field") if "bias" in own else None
    corrected = read_map(head, own["corrected"], "corrected") if "corrected" in own else None
    if bias is None and corrected is None:
        assert anatomy is not None
        return anatomy.corrected, anatomy.bias
    if corrected is None:
        assert bias is not None
        safe = np.where(bias > 0, bias, 1)
        return raw / safe, bias
    if bias is None:
        safe = np.where(corrected > 0, corrected, 1)
        bias = np.where((corrected > 0) & (raw > 0), raw / safe, 1)
        origins["bias"] = "image over corrected"
    return corrected, bias


def find_masks(
    head: Head,
    scaled: Array,
    white_and_brain: tuple[Array, Mask],
    to_template: Array | None,
    given: Mapping[str, Mask],
    definition: Definition,
) -> tuple[Mask, Mask, Mask, Mask]:
    """Find head, hat, artefacts and frame, unless they are given.

    Parameters
    ----------
    head : Head
        The image.
    scaled : ndarray of shape (x, y, z)
        Its intensities, scaled and without bias field.
    white_and_brain : tuple of ndarray
        Probability of white matter, and mask of the brain.
    to_template : ndarray of shape (4, 4) or None
        From millimetres to those of a template.
    given : mapping of {str: ndarray of bool}
        Masks that need not be found.
    definition : Definition
        How they are found.

    Returns
    -------
    tuple of ndarray of bool
        Head, hat, artefacts and frame.
    """
    white, brain = white_and_brain
    raw = head.values
    frame = given["frame"] if "frame" in given else find_frame(raw)
    if "head" in given:
        mask = given["head"]
    else:
        mask = find_head(scaled, brain, white, zooms_of(head), definition)
    if "hat" in given:
        hat = given["hat"]
    else:
        hat = find_hat(mask, frame, brain, head.grid.affine, to_template, definition)
    if "artifacts" in given:
        artifacts = np.asarray(given["artifacts"] & hat)
    else:
        artifacts = find_artifacts(raw, mask, hat, definition)
    return mask, hat, artifacts, frame


def _provenance(origins: Mapping[str, str], inputs: QualityInputs) -> dict[str, str]:
    """Where each input comes from; what is not noted was made here."""
    made = dict.fromkeys(INPUTS, MADE)
    if inputs.template_tissues is None:
        made["template_tissues"] = "none"
    return dict(sorted((made | dict(origins)).items()))


def _origin(volume: Any) -> str:
    """Name of a file, or of several; "given" for what has none."""
    if isinstance(volume, str | os.PathLike):
        return f"given: {Path(volume).name}"
    if isinstance(volume, Mapping):
        volume = list(volume.values())
    if isinstance(volume, list | tuple):
        names = [Path(one).name for one in volume if isinstance(one, str | os.PathLike)]
        return f"given: {', '.join(names)}" if names else "given"
    return "given"


def _all_beside(volumes: Any) -> Any:
    if isinstance(volumes, Mapping):
        return {name: beside(volume) for name, volume in volumes.items()}
    if isinstance(volumes, list | tuple):
        return [beside(volume) for volume in volumes]
    return volumes


def _as_image(head: Head, values: Array) -> Any:
    from nibabel import Nifti1Image

    return Nifti1Image(values.astype(np.float32), head.grid.affine)
