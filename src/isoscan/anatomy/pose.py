"""How a brain lies in space: where registration begins, and whether its axes can be true.

Centre and size are those of the brain; of 81 tilts the one is kept that makes brain and
template most alike, surroundings included. Registration that begins with another tilt may stay
there. If the brain fits better with other axes than its affine says, the affine is doubtful;
left and right cannot be told apart in this way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from isoscan.anatomy.registration import Affine, Placed
from isoscan.anatomy.resampling import Working
from isoscan.anatomy.shapes import Mask, grown

_MM = 4.0
_AROUND_MM = 8.0
_POINTS = 4000
_TILTS = tuple(product(range(-40, 41, 10), (-15, 0, 15), (-15, 0, 15)))
_TILTS_OF_OTHERS = tuple((pitch, 0, 0) for pitch in (-30, -15, 0, 15, 30))
_ENDS = ("LR", "PA", "IS")


@dataclass(frozen=True, eq=False)
class Pose:
    """Where a brain lies.

    Attributes
    ----------
    to_template : ndarray of shape (4, 4)
        From millimetres of the head to those of the template: shift, size and tilt.
    correlation : float
        With the template, in the brain and around it.
    other_axes : str
        Axes with which it fits the template best, if they are not those of its affine.
    other_correlation : float
        With these axes.
    """

    to_template: Affine
    correlation: float
    other_axes: str
    other_correlation: float

    @property
    def doubtful(self) -> bool:
        """Whether other axes fit better."""
        return self.other_correlation > self.correlation


def find_pose(template: Placed, head: Placed, brain: Mask) -> Pose:
    """Search tilts, and other axes.

    Parameters
    ----------
    template : Placed
        T1-weighted brain, 0 outside; its axes run to the right, the front and up.
    head : Placed
        T1-weighted brain, 0 outside.
    brain : ndarray of bool of shape (x, y, z)
        The brain of the head.

    Returns
    -------
    Pose
        Best tilt with the axes of the affine, and best other axes.
    """
    fixed, moving = _smooth(template), _smooth(head)
    working = Working.of(head.grid, _MM)
    mask = working.mask_to_coarse(brain)
    points = np.argwhere(grown(mask, _AROUND_MM, working.mm))
    points = points[:: max(len(points) // _POINTS, 1)]
    values = moving.values[tuple(points.T)]
    centres = (_centre(fixed.values > 0.2 * fixed.values.max(), fixed), _centre(mask, moving))
    size = _size(template) / _size(head)
    places = points @ moving.grid.affine[:3, :3].T + moving.grid.affine[:3, 3]

    def compare(turn: NDArray[np.float64]) -> tuple[float, Affine]:
        matrix = np.eye(4)
        matrix[:3, :3] = size * turn
        matrix[:3, 3] = centres[0] - matrix[:3, :3] @ centres[1]
        voxels = np.linalg.inv(fixed.grid.affine) @ matrix
        where = places @ voxels[:3, :3].T + voxels[:3, 3]
        found = ndimage.map_coordinates(fixed.values, where.T, order=1)
        return float(np.corrcoef(found, values)[0, 1]), matrix

    own = [compare(_rotation(*tilt)) for tilt in _TILTS]
    others = [
        (compare(_rotation(*tilt) @ turn)[0], axes)
        for axes, turn in _other_axes()
        for tilt in _TILTS_OF_OTHERS
    ]
    correlation, to_template = max(own, key=lambda pair: pair[0])
    other_correlation, other_axes = max(others)
    return Pose(to_template, correlation, other_axes, other_correlation)


def _smooth(placed: Placed) -> Placed:
    working = Working.of(placed.grid, _MM)
    values = ndimage.gaussian_filter(working.to_coarse(placed.values), _MM / working.mm)
    return Placed(values, working.coarse)


def _centre(mask: Mask, placed: Placed) -> NDArray[np.float64]:
    affine = placed.grid.affine
    return np.asarray(affine[:3, :3] @ np.argwhere(mask).mean(axis=0) + affine[:3, 3])


def _size(placed: Placed) -> float:
    voxel = abs(np.linalg.det(placed.grid.affine[:3, :3]))
    return float(np.cbrt(np.count_nonzero(placed.values) * voxel))


def _rotation(*degrees: float) -> NDArray[np.float64]:
    """Tilts about the axes to the right, to the front and up."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        i, j = (other for other in range(3) if other != axis)
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    return matrix


def _other_axes() -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Every other order and direction of axes, but for left and right."""
    for order, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        if signs[0] < 0 or (order, signs) == ((0, 1, 2), (1, 1, 1)):
            continue
        turn = np.zeros((3, 3))
        letters = [""] * 3
        for row, (column, sign) in enumerate(zip(order, signs, strict=True)):
            turn[row, column] = sign
            letters[column] = _ENDS[row][int(sign > 0)]
        yield "".join(letters), turn
