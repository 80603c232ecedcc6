"""Call each package the way its users do: fit and apply in one go, all processors allowed.

Every entry of `PACKAGES` says how the package wants the table and returns the function
to be timed. Covariates are put in the package's form before the clock starts.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Table = NDArray[np.float64]
Call = Callable[[Table], Any]

CELLS_PER_BLOCK = 1 << 19


def isoscan(people: pd.DataFrame) -> Call:
    """Prepare `ComBat.fit_transform`."""
    import isoscan as iso

    model = iso.ComBat("age + C(sex)")
    return lambda table: model.fit_transform(table, sites=people.site.to_numpy(), covariates=people)


def neurocombat(people: pd.DataFrame) -> Call:
    """Prepare `neuroCombat`."""
    from neuroCombat import neuroCombat

    return lambda table: neuroCombat(
        dat=table,
        covars=people,
        batch_col="site",
        categorical_cols=["sex"],
        continuous_cols=["age"],
    )["data"]


def neuroharmonize(people: pd.DataFrame) -> Call:
    """Prepare `harmonizationLearn`, which takes numbers only."""
    from neuroHarmonize import harmonizationLearn

    coded = pd.DataFrame({"SITE": people.site, "age": people.age, "male": _male(people)})
    return lambda table: harmonizationLearn(table, coded)[1]


def inmoose(people: pd.DataFrame) -> Call:
    """Prepare `pycombat_norm`."""
    from inmoose.pycombat import pycombat_norm

    sites, covariates = people.site.tolist(), people[["age", "sex"]]
    return lambda table: pycombat_norm(table, sites, covar_mod=covariates)


def read_and_copy(people: pd.DataFrame) -> Call:
    """Prepare what fitting and applying cannot do without: read the table, then copy it."""
    return _read_and_copy


def _male(people: pd.DataFrame) -> pd.Series:
    return (people.sex == "M").astype(int)


def _read_and_copy(table: Table) -> Table:
    copied = np.empty_like(table)
    height = max(1, CELLS_PER_BLOCK // table.shape[1])
    blocks = [slice(start, start + height) for start in range(0, len(table), height)]
    with ThreadPoolExecutor(count_cores()) as pool:
        list(pool.map(lambda rows: table[rows].sum(), blocks))
        list(pool.map(lambda rows: np.copyto(copied[rows], table[rows]), blocks))
    return copied


def count_cores() -> int:
    """Count the processors this process may use."""
    return len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Package:
    """A way to harmonize: its distribution, its table, its call."""

    distribution: str
    scans_first: bool
    prepare: Callable[[pd.DataFrame], Call]


PACKAGES = {
    "isoscan": Package("isoscan", True, isoscan),
    "neuroCombat": Package("neuroCombat", False, neurocombat),
    "neuroHarmonize": Package("neuroHarmonize", True, neuroharmonize),
    "inmoose": Package("inmoose", False, inmoose),
    "read once, copy once": Package("numpy", True, read_and_copy),
}
