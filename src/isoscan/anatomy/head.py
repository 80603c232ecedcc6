"""Read a T1-weighted image and what belongs to it, with axes to the right, the front and up."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from isoscan.anatomy.resampling import voxel_sizes
from isoscan.anatomy.tissue import TISSUES
from isoscan.errors import (
    GridMismatchError,
    ImageFileError,
    ImageWarning,
    MaskError,
    NoBrainError,
)
from isoscan.nifti.grids import Grid, in_words, make_grid
from isoscan.nifti.sources import ArrayMap, Source, as_source

_LEAST_VOXELS, _LEAST_MM = 12, 60.0
_MOST_NEGATIVE = 0.05


@dataclass(frozen=True, eq=False)
class Head:
    """A T1-weighted image, read.

    Attributes
    ----------
    name : str
        Name in messages.
    image : nibabel image
        float32, axes to the right, the front and up.
    grid : Grid
        Of that image.
    given : Grid
        Of the image as it was given.
    notes : list of str
        What was assumed in reading it.
    """

    name: str
    image: nib.Nifti1Image
    grid: Grid
    given: Grid
    notes: list[str]

    @property
    def values(self) -> NDArray[np.float32]:
        """Intensities."""
        return np.asarray(self.image.dataobj)

    def companion(self, volume: Any, name: str) -> NDArray[Any]:
        """Read a volume that belongs to the image, such as a mask.

        Parameters
        ----------
        volume : path-like, nibabel image or ndarray of shape (x, y, z)
            On the grid of the image; an array lies as the image was given.
        name : str
            Name in messages.

        Returns
        -------
        ndarray of shape (x, y, z)
            On the grid of `image`.

        Raises
        ------
        GridMismatchError
            If it lies elsewhere.
        """
        source = as_source(volume, name)
        affine = self.given.affine if isinstance(source, ArrayMap) else source.grid.affine
        turned = nib.as_closest_canonical(nib.Nifti1Image(_values(source), affine))
        words = self.grid.difference(make_grid(turned.shape, turned.affine, source.name))
        if words:
            raise GridMismatchError(
                f"{source.name} does not lie on the grid of {self.name} "
                f"({in_words(self.grid.shape)}): {words}. Resample it to the image first.",
                names=[source.name],
            )
        return np.ascontiguousarray(turned.dataobj)


def read_head(image: Any) -> Head:
    """Read an image and check that it can be a head.

    Parameters
    ----------
    image : path-like or nibabel image
        T1-weighted, three axes.

    Returns
    -------
    Head
        Reoriented, never resampled.

    Raises
    ------
    ImageFileError
        If the file is damaged, the image too small, or its intensities no magnitudes.
    GridMismatchError
        If it has more than three axes.
    NoBrainError
        If all voxels are alike.
    """
    source = as_source(image, "the image")
    if isinstance(source, ArrayMap):
        raise ImageFileError(
            "the image is an array, which does not know its voxel sizes and axes. Give the path "
            "of a NIfTI file or a nibabel image.",
            name=source.name,
        )
    notes = _unknown_space(source)
    values = _finite(_values(source).astype(np.float32), source.name, notes)
    _require_size(source)
    _require_magnitudes(values, source.name)
    fields = source.header().fields.copy()
    fields.set_data_dtype(np.float32)
    turned = nib.as_closest_canonical(nib.Nifti1Image(values, source.grid.affine, fields))
    ordered = np.ascontiguousarray(turned.dataobj)  # sums do not depend on how it was stored
    turned = nib.Nifti1Image(ordered, turned.affine, turned.header)
    grid = make_grid(turned.shape, turned.affine, source.name)
    return Head(source.name, turned, grid, source.grid, notes)


def read_mask(head: Head, volume: Any) -> NDArray[np.bool_]:
    """Read the brain mask of an image.

    Parameters
    ----------
    head : Head
        The image.
    volume : path-like, nibabel image or ndarray of shape (x, y, z)
        0 outside the brain.

    Returns
    -------
    ndarray of bool of shape (x, y, z)
        On the grid of `head.image`.

    Raises
    ------
    MaskError
        If it holds nothing.
    GridMismatchError
        If it lies elsewhere.
    """
    mask = np.nan_to_num(head.companion(volume, "brain_mask")) > 0
    if not mask.any():
        raise MaskError(f"the brain mask of {head.name} is empty. Give one that holds the brain.")
    return np.asarray(mask)


def read_posteriors(head: Head, volumes: Any) -> NDArray[np.float32]:
    """Read posteriors of the tissues of an image.

    Parameters
    ----------
    head : Head
        The image.
    volumes : sequence or mapping of three volumes
        Cerebrospinal fluid, grey and white matter, in this order or under the names csf, gm
        and wm.

    Returns
    -------
    ndarray of float32 of shape (3, x, y, z)
        On the grid of `head.image`.

    Raises
    ------
    MaskError
        If there are not three, or values lie outside 0 to 1.
    GridMismatchError
        If one lies elsewhere.
    """
    if isinstance(volumes, Mapping):
        given = [volumes[tissue] for tissue in TISSUES if tissue in volumes]
    else:
        given = [] if hasattr(volumes, "dataobj") or isinstance(volumes, str) else list(volumes)
    if len(given) != len(TISSUES):
        raise MaskError(
            "posteriors must be three volumes: cerebrospinal fluid, grey matter, white matter, "
            "in this order or in a dict with the keys csf, gm and wm."
        )
    parts = []
    for tissue, volume in zip(TISSUES, given, strict=True):
        part = np.nan_to_num(head.companion(volume, f"posterior of {tissue}")).astype(np.float32)
        if part.min() < -1e-3 or part.max() > 1.001 or not part.any():
            raise MaskError(
                f"the posterior of {tissue} goes from {part.min():.4g} to {part.max():.4g}; "
                f"probabilities lie between 0 and 1 and are somewhere above 0."
            )
        parts.append(np.clip(part, 0, 1))
    return np.stack(parts)


def _values(source: Source) -> NDArray[Any]:
    return source.flat().reshape(source.grid.shape, order="F")


def _unknown_space(source: Source) -> list[str]:
    """Say if the header does not know where the head lies."""
    fields = source.header().fields
    no_codes = int(fields["sform_code"]) == 0 and int(fields["qform_code"]) == 0
    if not no_codes and not np.array_equal(source.grid.affine, np.eye(4)):
        return []
    sizes = "×".join(f"{size:.3g}" for size in voxel_sizes(source.grid))
    what = "has no sform and no qform" if no_codes else "has the identity as its affine"
    words = (
        f"{source.name} {what}: voxels of {sizes} mm and axes as its affine says are assumed, "
        f"and may be wrong. Write the image again with its true affine."
    )
    warnings.warn(words, ImageWarning, stacklevel=4)
    return [words]


def _finite(values: NDArray[np.float32], name: str, notes: list[str]) -> NDArray[np.float32]:
    bad = ~np.isfinite(values)
    if not bad.any():
        return values
    words = f"{name}: {np.count_nonzero(bad):,} voxels are not finite; they count as 0."
    warnings.warn(words, ImageWarning, stacklevel=4)
    notes.append(words)
    return np.where(bad, np.float32(0), values)


def _require_size(source: Source) -> None:
    shape, sizes = source.grid.shape, voxel_sizes(source.grid)
    extent = np.array(shape) * sizes
    if min(shape) >= _LEAST_VOXELS and extent.min() >= _LEAST_MM:
        return
    edges = "×".join(f"{edge:.0f}" for edge in extent)
    raise ImageFileError(
        f"{source.name}: {in_words(shape)} voxels, {edges} mm, are too few for a head. Is it one "
        f"slab, or are voxel sizes missing in its affine?",
        name=source.name,
    )


def _require_magnitudes(values: NDArray[np.float32], name: str) -> None:
    low, high = float(values.min()), float(values.max())
    if not high > low:
        raise NoBrainError(f"{name}: every voxel is {low:.4g}, so there is no brain.")
    bright = float(np.percentile(values, 99))
    share = float(np.mean(values < -0.01 * max(bright, 0.0)))
    if share > _MOST_NEGATIVE or bright <= 0:
        raise ImageFileError(
            f"{name}: {share:.0%} of its voxels are negative. Magnitude images are not: give the "
            f"image before its intensities were normalized.",
            name=name,
        )
