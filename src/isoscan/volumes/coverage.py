"""Which voxels of the mask do all sites have? Nothing that is missing is filled with zeros."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from isoscan.errors import (
    CoverageWarning,
    MaskError,
    MissingValuesError,
    name_counts,
)
from isoscan.nifti.grids import Grid

Missing = Literal["keep", "exclude", "error"]


def covered(
    seen: NDArray[np.float64],
    zeros: NDArray[np.int32],
    per_site: NDArray[np.float64],
    sites: Sequence[str],
    missing: Missing,
) -> NDArray[np.bool_]:
    """Choose the voxels that are harmonized, and say which are not.

    A site that is 0 in all its scans does not reach the voxel: it is missing there. Scattered
    zeros are values; they are counted.

    Parameters
    ----------
    seen : ndarray of shape (n_sites, n_voxels)
        Scans with a finite value.
    zeros : ndarray of int, shape (n_sites, n_voxels)
        Scans whose value is exactly 0.
    per_site : ndarray of shape (n_sites,)
        Number of scans.
    sites : sequence of str
        Their names.
    missing : {"keep", "exclude", "error"}
        What to do with voxels that lack a value at some scan.

    Returns
    -------
    ndarray of bool, shape (n_voxels,)
        True where voxels are harmonized.

    Raises
    ------
    MissingValuesError
        If a value is missing and `missing` is "error".
    MaskError
        If nothing is left.
    """
    scans, n_voxels = per_site[:, None], seen.shape[1]
    zero_somewhere = np.asarray((zeros == scans).any(axis=0))
    everywhere = np.asarray((zeros == scans).all(axis=0))
    incomplete = np.asarray((seen < scans).any(axis=0))
    _warn_of_zeros(zeros, per_site, sites)
    if missing == "error" and incomplete.any():
        raise MissingValuesError(
            f"{_number(incomplete)} of {n_voxels} voxels of the mask lack a finite value "
            f"at some scan, most at {_where(scans - seen, sites)}. Shrink the mask, or allow it: "
            f"missing='keep' or 'exclude' (--missing).",
            n_voxels=int(incomplete.sum()),
        )
    left_out: NDArray[np.bool_] = (zero_somewhere & ~everywhere) | (seen == 0).all(axis=0)
    if missing == "exclude":
        left_out |= incomplete
    elif (incomplete & ~left_out).any():
        _say(
            f"{_number(incomplete & ~left_out)} of {n_voxels} voxels of the mask have no "
            f"finite value at some scans, most at {_where(scans - seen, sites)}. They stay "
            f"missing there; the other scans are harmonized."
        )
    if left_out.any():
        lacking = np.maximum(scans - seen, np.where(zeros == scans, scans, 0))
        _say(
            f"{_number(left_out)} of {n_voxels} voxels of the mask are not harmonized, "
            f"because they have no value at {_where(lacking * left_out, sites)}. They are NaN "
            f"in the results."
        )
    if left_out.all():
        raise MaskError("no voxel of the mask has values at every site. Is the mask right?")
    return ~left_out


def _warn_of_zeros(
    zeros: NDArray[np.int32], per_site: NDArray[np.float64], sites: Sequence[str]
) -> None:
    share = 100 * zeros.sum(axis=1) / (per_site * zeros.shape[1])
    many = {site: part for site, part in zip(sites, share, strict=True) if part >= 0.1}
    if many:
        parts = ", ".join(f"{part:.2g} % at '{site}'" for site, part in [*many.items()][:5])
        _say(
            f"values in the mask are exactly 0: {parts}. Does the mask reach beyond the brain, or "
            f"beyond the field of view?"
        )


def _where(lacking: NDArray[np.float64], sites: Sequence[str]) -> str:
    """Sites by the number of voxels that they lack."""
    voxels = (lacking > 0).sum(axis=1).tolist()
    order = sorted(zip(sites, voxels, strict=True), key=lambda item: -item[1])
    return name_counts({site: n for site, n in order if n}, 4)


def _number(which: NDArray[np.bool_]) -> str:
    return f"{int(which.sum()):,}"


def _say(message: str) -> None:
    warnings.warn(message, CoverageWarning, stacklevel=5)


class VoxelNames:
    """Names of features that are voxels, made when they are needed.

    Parameters
    ----------
    grid : Grid
        Where the voxels lie.
    voxels : ndarray of int
        Their positions in storage order.
    """

    def __init__(self, grid: Grid, voxels: NDArray[np.intp]) -> None:
        self.grid, self.voxels = grid, voxels

    def __getitem__(self, which: NDArray[np.intp] | slice) -> list[str]:
        places = self.grid.places(self.voxels[which])
        return [f"voxel ({i}, {j}, {k})" for i, j, k in places]
