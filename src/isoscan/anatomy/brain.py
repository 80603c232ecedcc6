"""Find the brain in a head, roughly, without a template.

Nine candidates are made: brain is as bright as the place where brain must be, and thin bridges
to the scalp are cut. The roundest one of a plausible volume is kept. A vote with the brain mask
of a template, carried to the head in two ways, makes it better.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from isoscan.anatomy.shapes import (
    Mask,
    closed,
    distance_inside,
    grown,
    shrunk,
    sphericity,
    volume_ml,
)
from isoscan.errors import NoBrainError

PLAUSIBLE_ML = (900.0, 2000.0)
"""Volumes of brains that need no second look."""
_ACCEPTED_ML = (700.0, 2000.0)
_POSSIBLE_ML = (250.0, 2300.0)
_STRIPPED_ML = (250.0, 2450.0)
_STRIPPED_LEVEL = 0.05
_TOP_MM, _TOP_AREA_CM2 = 110.0, 10.0
_CENTRE_BELOW_TOP_MM = 74.0
_SPHERE_MM = 38.0
_DARKEST, _BRIGHTEST = (0.35, 0.45, 0.55), 1.35
_CUTS_MM = (3.0, 4.5, 6.0)
_CLOSE_MM = 8.0


@dataclass(frozen=True, eq=False)
class RoughBrain:
    """A brain found without a template.

    Attributes
    ----------
    mask : ndarray of bool of shape (x, y, z)
        The brain.
    sphericity : float
        1 for a ball.
    volume : float
        Millilitres.
    """

    mask: Mask
    sphericity: float
    volume: float


def find_brain(values: NDArray[Any], mm: float) -> RoughBrain:
    """Find the brain in a head whose axes run to the right, to the front and up.

    Parameters
    ----------
    values : ndarray of shape (x, y, z)
        Intensities, T1-weighted.
    mm : float
        Edge of a cubic voxel.

    Returns
    -------
    RoughBrain
        The roundest candidate of 700 to 2000 mL; the roundest of 250 to 2300 mL if there
        is none.

    Raises
    ------
    NoBrainError
        If there is no head, or no candidate.
    """
    head = head_mask(values, mm)
    sphere = _central_sphere(head, mm)
    found = [
        RoughBrain(mask, sphericity(mask, mm), volume_ml(mask, mm))
        for mask in _candidates(values, head, sphere, mm)
    ]
    for low, high in (_ACCEPTED_ML, _POSSIBLE_ML):
        kept = [candidate for candidate in found if low <= candidate.volume <= high]
        if kept:
            return max(kept, key=lambda candidate: candidate.sphericity)
    sizes = ", ".join(f"{candidate.volume:.0f}" for candidate in found) or "none"
    raise NoBrainError(
        f"no brain was found: nothing of {_POSSIBLE_ML[0]:.0f} to {_POSSIBLE_ML[1]:.0f} mL that "
        f"can be separated from the rest of the head (candidates in mL: {sizes}). Is it a "
        f"T1-weighted image of a whole head, upright in its affine? If so, give brain_mask."
    )


def head_mask(values: NDArray[Any], mm: float) -> Mask:
    """Separate the head from the air.

    Parameters
    ----------
    values : ndarray of shape (x, y, z)
        Intensities.
    mm : float
        Edge of a cubic voxel.

    Returns
    -------
    ndarray of bool of shape (x, y, z)
        The largest piece above half of Otsu's threshold, without thin parts.

    Raises
    ------
    NoBrainError
        If nothing is brighter than the rest.
    """
    bright = values > 0.5 * otsu(values)
    head = largest(grown(shrunk(bright, 1.5 * mm, mm), 1.5 * mm, mm))
    if volume_ml(head, mm) < _POSSIBLE_ML[0]:
        raise NoBrainError(
            f"no head was found: what is brighter than the background has "
            f"{volume_ml(head, mm):.0f} mL in one piece. Is it a T1-weighted image of a head, "
            f"with the voxel sizes in its affine?"
        )
    return head


def stripped_brain(values: NDArray[Any], mm: float) -> Mask | None:
    """Recognize an image whose skull was removed before.

    Parameters
    ----------
    values : ndarray of shape (x, y, z)
        Intensities.
    mm : float
        Edge of a cubic voxel.

    Returns
    -------
    ndarray of bool of shape (x, y, z) or None
        The filled region that is not background, if background is one value and the region
        is as large as a brain, with a dark rim.
    """
    background = float(values.min())
    span = float(np.percentile(values, 99)) - background
    bright = values > background + _STRIPPED_LEVEL * span
    opened = grown(shrunk(bright, mm, mm), mm, mm) & bright
    mask = np.asarray(ndimage.binary_fill_holes(largest(opened)))
    if not _STRIPPED_ML[0] <= volume_ml(mask, mm) <= _STRIPPED_ML[1]:
        return None
    air = ~grown(mask, 2 * mm, mm)
    if np.count_nonzero(values[air] > background + 0.01 * span) > 0.01 * max(air.sum(), 1):
        return None
    deep = distance_inside(mask, mm)
    rim, inside = values[mask & (deep <= 4.0)], values[deep > 8.0]
    if not len(inside) or np.median(rim) > 0.85 * np.median(inside):
        return None
    return mask


def vote(masks: Sequence[Mask]) -> Mask:
    """Keep what at least two of three masks hold.

    Parameters
    ----------
    masks : sequence of ndarray of bool of shape (x, y, z)
        On one grid.

    Returns
    -------
    ndarray of bool of shape (x, y, z)
        The largest piece, filled.
    """
    votes = sum(mask.astype(np.int8) for mask in masks)
    return np.asarray(ndimage.binary_fill_holes(largest(np.asarray(votes) >= 2)))


def largest(mask: Mask) -> Mask:
    """Keep the largest connected piece.

    Parameters
    ----------
    mask : ndarray of bool of shape (x, y, z)
        Some pieces.

    Returns
    -------
    ndarray of bool of shape (x, y, z)
        One of them; nothing if there is none.
    """
    labels, n_pieces = ndimage.label(mask)
    if n_pieces <= 1:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == sizes.argmax())


def otsu(values: NDArray[Any]) -> float:
    """Find the threshold that separates dark from bright best [1]_.

    Parameters
    ----------
    values : ndarray
        Intensities; the brightest thousandth counts as equally bright.

    Returns
    -------
    float
        Where the variance between both sides is largest.

    References
    ----------
    .. [1] Otsu (1979), IEEE Trans. Syst. Man Cybern. 9:62, doi:10.1109/TSMC.1979.4310076.

    Examples
    --------
    >>> 0.0 < otsu(np.array([0.0, 0.0, 0.1, 0.9, 1.0])) < 0.9
    True
    """
    low, high = float(values.min()), float(np.percentile(values, 99.9))
    if not high > low:
        return high
    counts, edges = np.histogram(np.clip(values, low, high), 256, (low, high))
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    total = np.cumsum(counts * centres)
    with np.errstate(invalid="ignore", divide="ignore"):
        gap = total / below - (total[-1] - total) / above
        between = np.where(above > 0, below * above * gap**2, 0.0)
    return float(edges[1 + int(np.nanargmax(between))])


def _central_sphere(head: Mask, mm: float) -> Mask:
    """A ball where brain must be: below the top of the head, in its middle."""
    areas = np.count_nonzero(head, axis=(0, 1)) * mm**2 / 100
    wide = np.flatnonzero(areas > _TOP_AREA_CM2)
    if not len(wide):
        raise NoBrainError("no slice of the image holds more than 10 cm2 of head.")
    top = int(wide[-1])
    part = head[:, :, max(top - int(_TOP_MM / mm), 0) : top + 1]
    x, y = (
        np.average(np.arange(n), weights=part.sum(axis=(1 - axis, 2)))
        for axis, n in enumerate(part.shape[:2])
    )
    centre = (x, y, top - _CENTRE_BELOW_TOP_MM / mm)
    axes = np.ogrid[tuple(slice(n) for n in head.shape)]
    squares = sum((axis - c) ** 2 for axis, c in zip(axes, centre, strict=True))
    return np.asarray(squares <= (_SPHERE_MM / mm) ** 2)


def _candidates(values: NDArray[Any], head: Mask, sphere: Mask, mm: float) -> Iterator[Mask]:
    if not (sphere & head).any():
        return
    bright = float(np.percentile(values[sphere & head], 98))
    for darkest in _DARKEST:
        tissue = (values > darkest * bright) & (values < _BRIGHTEST * bright)
        deep = distance_inside(tissue, mm)
        for cut in sorted({max(cut, mm) for cut in _CUTS_MM}):
            core = _piece_in(deep > cut + 1e-3, sphere)
            if core.any():
                yield closed(core, _CLOSE_MM, mm, grown_before=cut + 1)


def _piece_in(mask: Mask, sphere: Mask) -> Mask:
    """The connected piece with most voxels in the sphere."""
    labels, _ = ndimage.label(mask)
    sizes = np.bincount(labels[sphere], minlength=1)
    sizes[0] = 0
    if not sizes.any():
        return np.zeros_like(mask)
    return np.asarray(labels == sizes.argmax())
