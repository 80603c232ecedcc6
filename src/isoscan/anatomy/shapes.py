"""Grow, shrink, close and measure masks, in millimetres."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]


def distance_inside(mask: Mask, mm: float) -> NDArray[Any]:
    """Distance of each voxel of a mask to the nearest voxel outside it.

    Parameters
    ----------
    mask : ndarray of bool of shape (x, y, z)
        What lies beyond the array counts as outside.
    mm : float
        Edge of a voxel.

    Returns
    -------
    ndarray of float32 of shape (x, y, z)
        Millimetres between centres of voxels; 0 outside.
    """
    box = bounding_box(mask, 1)
    inside = np.pad(mask[box], 1)
    distances = np.zeros(mask.shape, np.float32)
    distances[box] = ndimage.distance_transform_edt(inside)[1:-1, 1:-1, 1:-1] * mm
    return distances


def grown(mask: Mask, by: float, mm: float) -> Mask:
    """Add everything within a distance.

    Parameters
    ----------
    mask : ndarray of bool of shape (x, y, z)
        What grows.
    by : float
        Millimetres.
    mm : float
        Edge of a voxel.

    Returns
    -------
    ndarray of bool of shape (x, y, z)
        The larger mask.
    """
    box = bounding_box(mask, int(by / mm) + 2)
    result = np.zeros_like(mask)
    result[box] = ndimage.distance_transform_edt(~mask[box]) * mm <= by + 1e-6
    return result


def shrunk(mask: Mask, by: float, mm: float) -> Mask:
    """Take away everything within a distance of the surface.

    Parameters
    ----------
    mask : ndarray of bool of shape (x, y, z)
        What shrinks.
    by : float
        Millimetres.
    mm : float
        Edge of a voxel.

    Returns
    -------
    ndarray of bool of shape (x, y, z)
        The smaller mask.
    """
    return distance_inside(mask, mm) > by


def closed(mask: Mask, by: float, mm: float, grown_before: float = 0.0) -> Mask:
    """Close gaps narrower than twice a distance, and fill holes.

    Parameters
    ----------
    mask : ndarray of bool of shape (x, y, z)
        What is closed.
    by : float
        Millimetres.
    mm : float
        Edge of a voxel.
    grown_before : float
        Millimetres by which the mask grows first.

    Returns
    -------
    ndarray of bool of shape (x, y, z)
        The closed mask.
    """
    margin = int((by + grown_before) / mm) + 3
    padded = np.pad(mask, margin)
    box = bounding_box(padded, margin)
    large = grown(padded[box], by + grown_before, mm)
    padded[box] = ndimage.binary_fill_holes(shrunk(large, by, mm))
    middle = tuple(slice(margin, -margin) for _ in mask.shape)
    return padded[middle].copy()


def bounding_box(mask: Mask, margin: int = 0) -> tuple[slice, slice, slice]:
    """Find the box around a mask.

    Parameters
    ----------
    mask : ndarray of bool of shape (x, y, z)
        What the box must hold.
    margin : int
        Voxels to leave around it.

    Returns
    -------
    tuple of slice
        One per axis, within the array; empty for an empty mask.
    """
    slices = []
    for axis in range(3):
        filled = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
        if not len(filled):
            return (slice(0, 0), slice(0, 0), slice(0, 0))
        slices.append(slice(max(int(filled[0]) - margin, 0), int(filled[-1]) + margin + 1))
    return (slices[0], slices[1], slices[2])


def volume_ml(mask: Mask, mm: float) -> float:
    """Volume of a mask.

    Parameters
    ----------
    mask : ndarray of bool of shape (x, y, z)
        What is measured.
    mm : float
        Edge of a voxel.

    Returns
    -------
    float
        Millilitres.
    """
    return float(np.count_nonzero(mask)) * mm**3 / 1000


def sphericity(mask: Mask, mm: float) -> float:
    """Surface of a ball of the same volume, relative to the surface of the mask.

    The surface is the integral of the gradient of the smoothed mask.

    Parameters
    ----------
    mask : ndarray of bool of shape (x, y, z)
        What is measured.
    mm : float
        Edge of a voxel.

    Returns
    -------
    float
        1 for a ball, less for anything else; 0 for nothing.
    """
    if not mask.any():
        return 0.0
    smooth = ndimage.gaussian_filter(np.pad(mask[bounding_box(mask)], 4).astype(np.float32), 1.0)
    slope = np.sqrt(sum(np.gradient(smooth, axis=axis) ** 2 for axis in range(3)))
    surface = float(slope.sum(dtype=float)) * mm**2
    volume = float(np.count_nonzero(mask)) * mm**3
    return float(np.pi ** (1 / 3) * (6 * volume) ** (2 / 3) / surface)
