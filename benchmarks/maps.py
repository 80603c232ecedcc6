"""Simulate maps of several sites in files, always the same for the same number.

Smooth fields are drawn once; a map is a sum of a few of them, each moved along the axes, which is
as smooth and as hard to compress as a field of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Field = NDArray[np.float32]
Shape = tuple[int, int, int]

SITES = 8
NUMBERS = [f"x{number}" for number in range(1, 9)]
"""Covariates beside age and sex."""
MASK = "mask.nii.gz"
_FIELDS, _SUMMED = 24, 3


@dataclass(frozen=True)
class Maps:
    """Maps in a folder.

    Attributes
    ----------
    folder : Path
        Where they are.
    people : DataFrame
        Columns site, age, sex, the other covariates, and path; one row per map.
    """

    folder: Path
    people: pd.DataFrame

    @classmethod
    def read(cls, folder: Path, n_maps: int) -> Maps:
        """Find the first few maps that `write_maps` wrote."""
        people = pd.read_csv(folder / "maps.tsv", sep="\t", index_col=0).head(n_maps)
        return cls(folder, people)

    @cached_property
    def paths(self) -> list[Path]:
        """Files, in the order of the people; made once, so that asking for them costs nothing."""
        return [self.folder / name for name in self.people.path]

    @property
    def mask(self) -> Path:
        """File of the mask."""
        return self.folder / MASK


def simulate_scans(n_maps: int) -> pd.DataFrame:
    """Give every map a site and ten covariates.

    They are multiples of a quarter: neuroCombat rounds covariates to float32, and these survive.
    """
    rng = np.random.default_rng(1)
    people = {
        "site": [f"site{scan % SITES}" for scan in range(n_maps)],
        "age": rng.integers(40, 160, n_maps) / 2,
        "sex": rng.choice(["F", "M"], n_maps),
    }
    people |= {name: np.round(4 * rng.normal(size=n_maps)) / 4 for name in NUMBERS}
    scans = [f"sub-{scan + 1:04d}" for scan in range(n_maps)]
    return pd.DataFrame(people, index=scans).assign(path=[f"{scan}_GM.nii.gz" for scan in scans])


def write_maps(folder: Path, n_maps: int, shape: Shape) -> Maps:
    """Write maps, their mask, and the table that lists them."""
    from isoscan.nifti.grids import make_grid
    from isoscan.nifti.maps import map_bytes
    from isoscan.volumes.effect_maps import header_of

    affine = np.diag([-2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = [90, -126, -72]
    header = header_of(make_grid(shape, affine, "the template"), sform_code=4, units=2)
    voxels = ellipsoid(shape)
    people = simulate_scans(n_maps)
    flat = np.zeros(np.prod(shape), np.float32)
    for values, name in zip(simulate_values(people, shape, voxels), people.path, strict=True):
        flat[voxels] = values
        (folder / name).write_bytes(map_bytes(flat, header))
    flat[voxels] = 1
    (folder / MASK).write_bytes(map_bytes(flat, header))
    people.to_csv(folder / "maps.tsv", sep="\t", index_label="participant_id")
    return Maps(folder, people)


def ellipsoid(shape: Shape) -> NDArray[np.intp]:
    """Voxels of a head, in storage order: a quarter of the grid."""
    centres = [(length - 1) / 2 for length in shape]
    places = np.indices(shape).reshape(3, -1)
    axes = zip(places, centres, (0.756, 0.796, 0.831), strict=True)
    distance = sum(((place - centre) / (radius * centre)) ** 2 for place, centre, radius in axes)
    return np.flatnonzero((distance < 1).reshape(shape).ravel(order="F"))


def simulate_values(
    people: pd.DataFrame, shape: Shape, voxels: NDArray[np.intp]
) -> Iterator[Field]:
    """Effects of covariates, shift and scale of each site, and smooth noise."""
    rng = np.random.default_rng(2)
    fields = smooth_fields(shape, voxels, rng)
    base = 0.6 + 0.1 * next(fields)
    covariates = people[["age", *NUMBERS]].to_numpy(np.float32)
    covariates[:, 0] = (covariates[:, 0] - 50) / 20
    covariates = np.column_stack([covariates, people.sex == "M"]).astype(np.float32)
    slopes = np.array([0.01 * next(fields) for _ in covariates.T])
    shift = {site: rng.normal(0, 0.5) + 0.3 * next(fields) for site in sorted(set(people.site))}
    scale = {site: np.exp(rng.normal(0, 0.2) + 0.1 * next(fields)) for site in shift}
    for site, row in zip(people.site, covariates, strict=True):
        yield base + row @ slopes + 0.06 * (shift[site] + scale[site] * next(fields))


def smooth_fields(
    shape: Shape, voxels: NDArray[np.intp], rng: np.random.Generator
) -> Iterator[Field]:
    """Noise of 6 mm width and SD 1, one draw after the other."""
    from scipy.ndimage import gaussian_filter

    bank = []
    for _ in range(_FIELDS):
        field = gaussian_filter(rng.standard_normal(shape), 3.0, mode="wrap", truncate=3.0)
        bank.append((field / (field.std() * np.sqrt(_SUMMED))).astype(np.float32))
    while True:
        chosen = rng.choice(_FIELDS, _SUMMED, replace=False)
        moved = [np.roll(bank[k], rng.integers(0, shape), axis=(0, 1, 2)) for k in chosen]
        yield np.sum(moved, axis=0).ravel(order="F")[voxels]
