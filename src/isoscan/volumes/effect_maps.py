"""What each site does to each voxel, as maps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from nibabel import Nifti1Header
from numpy.typing import NDArray

from isoscan.nifti.grids import Grid
from isoscan.nifti.headers import Header

Array = NDArray[np.float64]


def site_maps(estimator: Any) -> Iterator[dict[str, Array]]:
    """Shift, scale and their standard errors of every site, and the residual SD.

    Parameters
    ----------
    estimator : SiteHarmonizer
        A fitted estimator.

    Yields
    ------
    dict of {str: ndarray of shape (n_voxels,)}
        One site after the other. Shifts are in residual standard deviations, scales are ratios of
        standard deviations.
    """
    effects = estimator.model_.effects
    yield {"residual_sd": estimator.model_.sd}
    parts = [as_part(name) for name in estimator.sites_]
    for site, part in enumerate(parts):
        if parts.count(part) > 1:  # sites that differ only in signs
            part = f"{part}-{site + 1}"
        shift_error, scale_error = effects.errors(slice(site, site + 1))
        of_site = {
            "shift": effects.shift[site],
            "scale": np.sqrt(effects.variance[site]),
            "shift_se": shift_error[0],
            "scale_se": scale_error[0],
        }
        yield {f"site-{part}_{kind}": values for kind, values in of_site.items()}


def as_part(label: str) -> str:
    """Make a label fit to be part of a file name.

    Parameters
    ----------
    label : str
        Any text.

    Returns
    -------
    str
        Letters, digits and hyphens; other signs are replaced.

    Examples
    --------
    >>> as_part("Siemens/Prisma 1")
    'Siemens-Prisma-1'
    """
    return "".join(sign if sign.isalnum() else "-" for sign in label).strip("-") or "unnamed"


def header_of(grid: Grid, sform_code: int, units: int) -> Header:
    """Make a header for maps on a grid.

    Parameters
    ----------
    grid : Grid
        Where voxels lie.
    sform_code : int
        Which space that is.
    units : int
        NIfTI's code of the units.

    Returns
    -------
    Header
        For float32 maps.
    """
    fields = Nifti1Header()
    fields.set_data_shape(grid.shape)
    fields.set_zooms(np.linalg.norm(grid.affine[:3, :3], axis=0))
    fields.set_sform(grid.affine, code=sform_code)
    fields["xyzt_units"] = units
    fields["magic"] = b"n+1"
    return Header("effect map", fields, grid)


def spread_out(values: NDArray[Any], voxels: NDArray[np.intp], n_voxels: int) -> NDArray[Any]:
    """Put values of the voxels of a mask into a whole map; NaN elsewhere.

    Parameters
    ----------
    values : ndarray of shape (n_features,)
        Values inside.
    voxels : ndarray of int
        Their positions in storage order.
    n_voxels : int
        Voxels of the grid.

    Returns
    -------
    ndarray of shape (n_voxels,)
        Flat map.
    """
    flat = np.full(n_voxels, np.nan, dtype=values.dtype)
    flat[voxels] = values
    return flat
