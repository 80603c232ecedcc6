"""Let a template correct the brain that was found without it.

The template's brain is carried to the head twice, by an affine map and by a warp; a voxel is
brain if two of three say so: both carried masks, and the rough brain, a little larger. A single
one of them fails on some heads, each in another way: the affine map cannot follow the surface,
the warp leaks into the skull, the rough brain is too tight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoscan.anatomy.bias import log_bias_field
from isoscan.anatomy.brain import vote
from isoscan.anatomy.pose import Pose, find_pose
from isoscan.anatomy.registration import Dipy, Engine, Placed, Warp
from isoscan.anatomy.resampling import resample
from isoscan.anatomy.shapes import Mask, grown, shrunk
from isoscan.anatomy.template import Template

AROUND_MM = 4.0
"""How far beyond the brain its bias field is estimated."""
_ROUGH_TOO_TIGHT_MM = 2.0
_ERODED_MM = 3.0
_SEARCHED_MM = 6.0
_BRIGHTEST = 1.3

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Registered:
    """A head and the template, brought together.

    Attributes
    ----------
    brain : ndarray of bool of shape (x, y, z)
        Brain of the head.
    to_template : ndarray of shape (4, 4)
        Affine part, from millimetres of the head to those of the template.
    warp : Warp
        The whole map.
    correlation : float
        Between head and template, within the brain.
    overlap : float
        Dice coefficient of the brain as it was given and that of the affine map.
    pose : Pose
        Where registration began, and with which axes the brain fits best.
    """

    brain: Mask
    to_template: NDArray[np.float64]
    warp: Warp
    correlation: float
    overlap: float
    pose: Pose


def register_rough(
    head: Placed, rough: Mask, template: Template, mm: float, engine: Engine | None = None
) -> Registered:
    """Register a head whose brain is known roughly, and find its brain by vote.

    Parameters
    ----------
    head : Placed
        Intensities, with skull.
    rough : ndarray of bool of shape (x, y, z)
        The brain, found without the template; may be too tight.
    template : Template
        At a similar resolution.
    mm : float
        Edge of a voxel of the head.
    engine : Engine, optional
        What registers; dipy by default.

    Returns
    -------
    Registered
        With the brain that two of three masks agree on.
    """
    engine = engine or Dipy()
    flat = _without_bias(head, rough, mm)
    core = np.where(shrunk(template.brain, _ERODED_MM, template.mm), template.t1, np.float32(0))
    fixed, moving = Placed(core, template.grid), _only(flat, rough)
    pose = find_pose(fixed, moving, rough)
    to_template = engine.affine(fixed, moving, pose.to_template)
    affine_mask = _carried_brain(template, head, to_template)
    searched = grown(affine_mask, _SEARCHED_MM, mm)
    dimmed = np.minimum(flat.values, _BRIGHTEST * float(np.percentile(flat.values[rough], 99)))
    warp = engine.warp(
        Placed(template.t1, template.grid),
        _only(Placed(dimmed, head.grid), searched),
        to_template,
    )
    warped_mask = _by_warp(template.brain, template, warp, head) > 0.5
    brain = vote([affine_mask, warped_mask, grown(rough, _ROUGH_TOO_TIGHT_MM, mm)])
    return _judged(brain, rough, affine_mask, flat, to_template, warp, template, pose)


def register_brain(
    head: Placed, brain: Mask, template: Template, mm: float, engine: Engine | None = None
) -> Registered:
    """Register a head whose brain is known.

    Parameters
    ----------
    head : Placed
        Intensities.
    brain : ndarray of bool of shape (x, y, z)
        The brain; it stays as it is.
    template : Template
        At a similar resolution.
    mm : float
        Edge of a voxel of the head.
    engine : Engine, optional
        What registers; dipy by default.

    Returns
    -------
    Registered
        With the same brain.
    """
    engine = engine or Dipy()
    flat = _without_bias(head, brain, mm)
    fixed, moving = Placed(template.t1, template.grid), _only(flat, brain)
    pose = find_pose(fixed, moving, brain)
    to_template = engine.affine(fixed, moving, pose.to_template)
    warp = engine.warp(fixed, moving, to_template)
    affine_mask = _carried_brain(template, head, to_template)
    return _judged(brain, brain, affine_mask, flat, to_template, warp, template, pose)


def _without_bias(head: Placed, brain: Mask, mm: float) -> Placed:
    field = log_bias_field(head.values, grown(brain, AROUND_MM, mm), mm)
    return Placed(np.asarray(head.values / np.exp(field), np.float32), head.grid)


def _only(head: Placed, mask: Mask) -> Placed:
    return Placed(np.where(mask, head.values, np.float32(0)), head.grid)


def _carried_brain(template: Template, head: Placed, to_template: NDArray[np.float64]) -> Mask:
    brain = template.brain.astype(np.float32)
    return resample(brain, template.grid, head.grid, to_template) > 0.5


def _by_warp(values: NDArray[np.generic], template: Template, warp: Warp, head: Placed) -> Array:
    return warp.to_head(Placed(values.astype(np.float32), template.grid), head.grid)


def _judged(
    brain: Mask,
    before: Mask,
    affine_mask: Mask,
    flat: Placed,
    to_template: NDArray[np.float64],
    warp: Warp,
    template: Template,
    pose: Pose,
) -> Registered:
    carried = _by_warp(template.t1, template, warp, flat)
    correlation = float(np.corrcoef(carried[brain], flat.values[brain])[0, 1])
    common = 2 * np.count_nonzero(before & affine_mask)
    overlap = common / (np.count_nonzero(before) + np.count_nonzero(affine_mask))
    return Registered(brain, to_template, warp, correlation, overlap, pose)
