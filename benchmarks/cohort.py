"""Simulate one table of measures, always the same for the same size.

The table is written into place block by block, so that making it needs next to no
memory beyond the table, in whichever orientation a package wants it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

CELLS_PER_BLOCK = 1 << 18


@dataclass(frozen=True)
class Size:
    """Extent of a table; with subjects, everybody is scanned several times."""

    features: int
    scans: int
    sites: int
    subjects: int = 0

    def __str__(self) -> str:
        extent = (
            f"{_spaced(self.features)} features x {_spaced(self.scans)} scans x {self.sites} sites"
        )
        return f"{extent}, {_spaced(self.subjects)} subjects" if self.subjects else extent


def _spaced(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def simulate_people(size: Size) -> pd.DataFrame:
    """Give every scan a site, an age and a sex.

    Ages are half years: neuroCombat rounds covariates to float32, and these survive it.
    """
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "site": [f"site{scan % size.sites:02d}" for scan in range(size.scans)],
            "age": rng.integers(40, 160, size.scans) / 2,
            "sex": rng.choice(["F", "M"], size.scans),
        }
    )


def simulate_ages_that_bend(size: Size) -> pd.DataFrame:
    """People whose measures do not change evenly with age."""
    people = simulate_people(size)
    return people.assign(bend=((people.age - 50) / 20) ** 2)


def simulate_visits(size: Size) -> pd.DataFrame:
    """People who come back every two years, to another site each time."""
    visits = pd.DataFrame({"number": np.arange(size.scans)})
    subject, visit = visits.number % size.subjects, visits.number // size.subjects
    once = simulate_people(Size(1, size.subjects, size.sites)).iloc[subject]
    return pd.DataFrame(
        {
            "subject": [f"sub-{number:05d}" for number in subject],
            "site": [f"site{site:02d}" for site in (subject + visit) % size.sites],
            "age": once.age.to_numpy(),
            "sex": once.sex.to_numpy(),
            "years": 2.0 * visit,
        }
    )


def simulate_measures(
    size: Size, people: pd.DataFrame, *, scans_first: bool
) -> NDArray[np.float64]:
    """Simulate measures with effects of age, sex and site (shift and scale)."""
    shape = (size.scans, size.features) if scans_first else (size.features, size.scans)
    table = np.empty(shape)
    by_scan = table if scans_first else table.T
    width = max(1, CELLS_PER_BLOCK // size.scans)
    for start in range(0, size.features, width):
        columns = by_scan[:, start : start + width]
        columns[...] = _simulate_block(people, columns.shape[1], seed=start)
    return table


def _simulate_block(people: pd.DataFrame, n_features: int, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng([2, seed])
    sites = _codes(people.site)
    shift = rng.normal(0, 0.5, (sites.max() + 1, n_features))
    scale = rng.uniform(0.7, 1.4, (sites.max() + 1, n_features))
    block = rng.normal(size=(len(people), n_features))
    block *= scale[sites]
    block += shift[sites]
    block += 10 + np.outer(people.age - 50, rng.normal(0, 0.02, n_features))
    block += np.outer(people.sex == "M", rng.normal(0, 0.3, n_features))
    if "bend" in people:
        block += np.outer(people.bend, rng.normal(0, 0.3, n_features))
    if "subject" in people:
        subjects = _codes(people.subject)
        block += np.outer(people.years, rng.normal(0, 0.02, n_features))
        block += rng.normal(0, 1, (subjects.max() + 1, n_features))[subjects]
    return block


def _codes(labels: pd.Series) -> NDArray[np.intp]:
    return labels.astype("category").cat.codes.to_numpy().astype(np.intp)
