"""The head: where the image changes, closed and filled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoscan.quality.definitions import Definition

Array = NDArray[Any]
Mask = NDArray[np.bool_]
Zooms = tuple[float, float, float]

_SMOOTHING, _EDGE, _GAP = 4.0, 15.0, 4
_BRIGHTEST, _HIGH = 99.98, 99.5
_ROUNDING = 1e-9


def find_head(
    values: Array, brain: Mask, white: Array, zooms: Zooms, definition: Definition
) -> Mask:
    """Find the head by its edges, as MRIQC does.

    Edges stronger than 15 % of the strongest are closed over gaps, joined with the
    surroundings of the brain, and filled.

    Parameters
    ----------
    values : ndarray of shape (x, y, z)
        Intensities without bias field.
    brain : ndarray of bool
        Mask of the brain.
    white : ndarray of shape (x, y, z)
        Probability of white matter.
    zooms : tuple of float
        Voxel sizes in millimetres.
    definition : Definition
        Whether gaps are measured in millimetres, and whether the brain is part of the head.

    Returns
    -------
    ndarray of bool
        Mask of the head.
    """
    changes = find_changes(without_outliers(values, white), brain, zooms, definition)
    return close_edges(changes > _EDGE, brain, zooms, definition)


def without_outliers(values: Array, white: Array) -> Array:
    """Replace the brightest voxels by the mean of white matter.

    Parameters
    ----------
    values : ndarray
        Intensities.
    white : ndarray
        Probability of white matter.

    Returns
    -------
    ndarray
        The same but for 0.02 % of what is positive.
    """
    positive = values[values > 0]
    if not positive.size:
        return values
    bright = values > np.percentile(positive, _BRIGHTEST)
    weights = np.where(bright, 0, np.clip(white, 0, None))
    mean = np.average(values, weights=weights) if weights.any() else np.median(positive)
    return np.where(bright, mean, values)


def find_changes(values: Array, brain: Mask, zooms: Zooms, definition: Definition) -> Array:
    """Measure how steeply the image changes; the brain is one bright block.

    Parameters
    ----------
    values : ndarray of shape (x, y, z)
        Intensities.
    brain : ndarray of bool
        Mask of the brain.
    zooms : tuple of float
        Voxel sizes in millimetres.
    definition : Definition
        Whether the image is smoothed by 4 mm or by 4 voxels; MRIQC's way to make them less
        for longer voxels fails if these are twice as long as the shortest.

    Returns
    -------
    ndarray of float32
        100 is the 99.5th percentile, and inside the brain.
    """
    from scipy.ndimage import gaussian_gradient_magnitude

    sizes = np.asarray(zooms, dtype=np.float32)
    even = values.astype(np.float32)
    even *= 100 / _positive(np.percentile(even, _HIGH))
    even[brain] = 100
    sigma = _SMOOTHING / sizes
    if not definition.millimetres:
        sigma = _SMOOTHING * np.maximum(2 - sizes / sizes.min(), 1e-3)
    changes: Array = gaussian_gradient_magnitude(even, sigma)
    changes *= 100 / _positive(np.percentile(changes, _HIGH))
    changes[brain] = 100
    return changes


def close_edges(edges: Mask, brain: Mask, zooms: Zooms, definition: Definition) -> Mask:
    """Close gaps between edges, add the surroundings of the brain, fill holes.

    MRIQC keeps the two largest parts, so that a strong ghost becomes head; the corrected
    definition keeps one.

    Parameters
    ----------
    edges : ndarray of bool
        Where the image changes.
    brain : ndarray of bool
        Mask of the brain.
    zooms : tuple of float
        Voxel sizes in millimetres.
    definition : Definition
        Whether gaps are measured in millimetres, and whether the brain is added; else, as
        by MRIQC, the first two slices are.

    Returns
    -------
    ndarray of bool
        Mask of the head.
    """
    from scipy import ndimage

    box = ndimage.generate_binary_structure(3, 2)
    if definition.millimetres:
        closed = _closed(edges, zooms)
        around = grown(brain, zooms, _GAP)
        return _filled(largest_parts(closed | around, 1))
    closed = ndimage.binary_dilation(edges, box, iterations=_GAP)
    closed = ndimage.binary_erosion(closed, box, iterations=_GAP + 1)
    if definition.brain_is_head:
        closed |= ndimage.binary_dilation(brain, box, iterations=_GAP)
    else:
        closed[:2] = True
    wide = ndimage.iterate_structure(box, 2)
    return np.asarray(ndimage.binary_fill_holes(largest_parts(closed, 2), wide))


def largest_parts(mask: Mask, n_parts: int) -> Mask:
    """Keep the largest connected parts of a mask.

    Parameters
    ----------
    mask : ndarray of bool
        Any number of parts.
    n_parts : int
        How many to keep.

    Returns
    -------
    ndarray of bool
        At most that many.
    """
    from scipy.ndimage import label

    labels, n_found = label(mask)
    if n_found <= n_parts:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept = np.zeros(len(sizes), dtype=bool)
    kept[np.argsort(sizes, kind="stable")[-n_parts:]] = True
    return np.asarray(kept[labels])


def _filled(mask: Mask) -> Mask:
    """Fill holes of the volume, then those of axial slices, where the neck is cut off."""
    from scipy.ndimage import binary_fill_holes, generate_binary_structure

    in_slice = generate_binary_structure(3, 1)
    in_slice[1, 1, [0, 2]] = False
    return np.asarray(binary_fill_holes(binary_fill_holes(mask), in_slice))


def grown(mask: Mask, zooms: Zooms, by: float) -> Mask:
    """Find everything within a distance of a mask.

    The ball is put together of rows: each row along the first axis is as long as its distance
    from the centre allows, and rows of one length are made once.

    Parameters
    ----------
    mask : ndarray of bool of shape (x, y, z)
        The mask.
    zooms : tuple of float
        Voxel sizes in millimetres.
    by : float
        Millimetres.

    Returns
    -------
    ndarray of bool
        The larger mask.
    """
    x, y, z = (int(by / mm + _ROUNDING) for mm in zooms)
    rows = [mask]
    for length in range(1, x + 1):
        longer = rows[-1].copy()
        _add(longer, mask, (length, 0, 0))
        _add(longer, mask, (-length, 0, 0))
        rows.append(longer)
    ball = np.zeros_like(mask)
    for j in range(-y, y + 1):
        for k in range(-z, z + 1):
            left = by**2 - (j * zooms[1]) ** 2 - (k * zooms[2]) ** 2
            if left >= -_ROUNDING:
                length = int(max(left, 0.0) ** 0.5 / zooms[0] + _ROUNDING)
                _add(ball, rows[length], (0, j, k))
    return ball


def _add(to: Mask, mask: Mask, shift: tuple[int, int, int]) -> None:
    """Add a mask, shifted; what leaves the volume is lost."""
    into = tuple(slice(max(n, 0), n if n < 0 else None) for n in shift)
    from_ = tuple(slice(max(-n, 0), -n if n > 0 else None) for n in shift)
    to[into] |= mask[from_]


def _closed(edges: Mask, zooms: Zooms) -> Mask:
    """Edges without gaps between them; beyond the volume they go on as they leave it."""
    margin = [int(_GAP / mm) + 2 for mm in zooms]
    room = np.pad(edges, [(width, width) for width in margin], mode="edge")
    outside = grown(~grown(room, zooms, _GAP), zooms, _GAP + min(zooms))
    inner = tuple(slice(width, -width) for width in margin)
    return np.asarray(~outside[inner])


def _positive(value: Any) -> float:
    return float(value) if value > 0 else 1.0
