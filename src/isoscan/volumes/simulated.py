"""Simulated maps of several sites on a template, with the truth behind them.

Each map is the template, plus an effect of age, plus smooth differences between people. A site
adds a smooth shift to all its maps and stretches what differs between its people, as the model
of ComBat has it. Shifts are centred over scans and scales have mean square 1 over scans, so that
the truth is also what ComBat looks for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from nibabel import Nifti1Image
from numpy.typing import NDArray

from isoscan.nifti.grids import make_grid
from isoscan.nifti.headers import Header
from isoscan.nifti.maps import map_bytes, read_flat
from isoscan.tables.write import write_atomically
from isoscan.volumes.effect_maps import header_of
from isoscan.volumes.masks import Mask

Array = NDArray[np.float64]

SD = 0.06  # between people, in the unit of the template
_TEMPLATE_SPACE, _MILLIMETRES = 4, 2


@dataclass(frozen=True)
class SimulatedMaps:
    """Maps in files, and what is known about them.

    Attributes
    ----------
    people : DataFrame
        Columns site, age (years) and path, one row per scan.
    mask : Mask
        Voxels of the template.
    base : ndarray of shape (n_voxels,)
        Map of somebody of 50 years.
    slope : ndarray of shape (n_voxels,)
        True effect of age, per year.
    shift : dict of {str: ndarray of shape (n_voxels,)}
        True shift of each site, in residual standard deviations.
    scale : dict of {str: ndarray of shape (n_voxels,)}
        True ratio of residual standard deviations.
    """

    people: pd.DataFrame
    mask: Mask
    base: Array
    slope: Array
    shift: dict[str, Array]
    scale: dict[str, Array]

    def without_site(self, scan: str, measured: Array) -> Array:
        """What a scanner without shift or scale would have measured.

        Parameters
        ----------
        scan : str
            Label of a row of `people`.
        measured : ndarray of shape (n_voxels,)
            The map of that scan.

        Returns
        -------
        ndarray of shape (n_voxels,)
            The same person, without the effects of the site.
        """
        site, age = self.people["site"][scan], self.people["age"][scan]
        expected = self.base + self.slope * (age - 50.0)
        noise = measured - expected - SD * self.shift[site]
        return np.asarray(expected + noise / self.scale[site])


def simulate_maps(
    template: Nifti1Image,
    folder: str | Path,
    *,
    scans_per_site: Sequence[int] = (16, 14, 12, 10),
    random_state: int | np.random.Generator | None = None,
) -> SimulatedMaps:
    """Write maps of several sites, and the table that lists them.

    Parameters
    ----------
    template : nibabel image
        Values between 0 and 1; voxels above 0.2 are in the mask.
    folder : path-like
        Where ``maps/``, ``mask.nii.gz`` and ``maps.tsv`` go; files are replaced.
    scans_per_site : sequence of int
        People at each site.
    random_state : int or Generator, optional
        Seed.

    Returns
    -------
    SimulatedMaps
        Where the maps are, and the truth.
    """
    random, folder = np.random.default_rng(random_state), Path(folder)
    values = np.asarray(template.dataobj, dtype=float)
    grid = make_grid(values.shape, template.affine, "the template")
    header = header_of(grid, _TEMPLATE_SPACE, _MILLIMETRES)
    mask = Mask(grid, np.flatnonzero(values.ravel(order="F") > 0.2))
    people = _people(scans_per_site, random)
    fields = _smooth_fields(mask, random)
    base = values.ravel(order="F")[mask.voxels]
    slope = 0.02 * SD * (-1.0 + 0.5 * next(fields))
    shift, scale = _site_effects(people, fields, random)
    truth = SimulatedMaps(people, mask, base, slope, shift, scale)
    for site, age, path in people[["site", "age", "path"]].itertuples(index=False):
        noise = SD * (scale[site] * next(fields) + shift[site])
        _write(folder / path, base + slope * (age - 50.0) + noise, mask, header)
    _write(folder / "mask.nii.gz", np.ones(len(base)), mask, header)
    table = people.to_csv(sep="\t", index_label="participant_id", lineterminator="\n")
    write_atomically(folder / "maps.tsv", table.encode(), overwrite=True)
    return truth


def _people(scans_per_site: Sequence[int], random: np.random.Generator) -> pd.DataFrame:
    sites = [f"S{number}" for number in range(1, len(scans_per_site) + 1)]
    scans = [f"sub-{number:03d}" for number in range(1, sum(scans_per_site) + 1)]
    return pd.DataFrame(
        {
            "site": np.repeat(sites, scans_per_site),
            "age": random.uniform(20, 80, len(scans)).round(1),
            "path": [f"maps/{scan}_GM.nii.gz" for scan in scans],
        },
        index=scans,
    )


def _smooth_fields(mask: Mask, random: np.random.Generator) -> Iterator[Array]:
    """Smooth noise, one draw after the other; SD 1 over people at every voxel, or nearly."""
    from scipy.ndimage import gaussian_filter

    width = 6.0 / np.linalg.norm(mask.grid.affine[:3, :3], axis=0)  # mm, as SD of the filter
    spread = np.sqrt(np.prod(2 * np.sqrt(np.pi) * width))  # of white noise, far from the borders
    while True:
        noise = random.standard_normal(mask.grid.shape)
        smooth = gaussian_filter(noise, width, mode="wrap", truncate=3.0) * spread
        yield smooth.ravel(order="F")[mask.voxels]


def _site_effects(
    people: pd.DataFrame, fields: Iterator[Array], random: np.random.Generator
) -> tuple[dict[str, Array], dict[str, Array]]:
    per_site = people.site.value_counts(sort=False)
    weights = (per_site / per_site.sum()).to_numpy()[:, None]
    levels = random.normal(0, 0.8, len(per_site))
    shift = np.array([level + 0.4 * next(fields) for level in levels])
    shift -= (weights * shift).sum(axis=0)
    stretch = random.normal(0, 0.2, len(per_site))
    scale = np.exp([level + 0.1 * next(fields) for level in stretch])
    scale /= np.sqrt((weights * scale**2).sum(axis=0))
    names = per_site.index
    return dict(zip(names, shift, strict=True)), dict(zip(names, scale, strict=True))


def _write(path: Path, values: Array, mask: Mask, header: Header) -> None:
    flat = np.zeros(mask.grid.n_voxels)
    flat[mask.voxels] = values
    write_atomically(path, map_bytes(flat, header), overwrite=True)


def values_in(path: Path, mask: Mask) -> Array:
    """Values of a map inside a mask.

    Parameters
    ----------
    path : Path
        File of a map.
    mask : Mask
        On the same grid.

    Returns
    -------
    ndarray of shape (n_voxels,)
        In float64.
    """
    return np.asarray(read_flat(path)[mask.voxels], dtype=float)
