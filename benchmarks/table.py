"""ComBat with age and sex, fitted and applied in one go."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
from cohort import Size
from comparison import ALIKE, Comparison, Job, Package, Table, count_cores

CELLS_PER_BLOCK = 1 << 19

LIMIT = "read once, copy once"
"""The row that shows what memory alone costs."""

INTRODUCTION = f"""\
ComBat with age and sex, fitted and applied in one call. inmoose divides the variances of sites
by n, the others by n - 1. **{LIMIT.capitalize()}**: numpy reads the table and copies it, in
blocks, with as many threads as there are processors. All scans must be read before the first can
be corrected, so this is about the least that any ComBat in memory can take.
"""


def isoscan(people: pd.DataFrame) -> Job:
    """Prepare `ComBat.fit_transform`."""
    import isoscan as iso

    model, sites = iso.ComBat("age + C(sex)"), people.site.to_numpy()
    return Job(lambda table: model.fit_transform(table, sites=sites, covariates=people))


def neurocombat(people: pd.DataFrame) -> Job:
    """Prepare `neuroCombat`."""
    from neuroCombat import neuroCombat

    return Job(
        lambda table: neuroCombat(
            dat=table,
            covars=people,
            batch_col="site",
            categorical_cols=["sex"],
            continuous_cols=["age"],
        )["data"]
    )


def neuroharmonize(people: pd.DataFrame) -> Job:
    """Prepare `harmonizationLearn`, which takes numbers only."""
    from neuroHarmonize import harmonizationLearn

    male = (people.sex == "M").astype(int)
    coded = pd.DataFrame({"SITE": people.site, "age": people.age, "male": male})
    return Job(lambda table: harmonizationLearn(table, coded)[1])


def inmoose(people: pd.DataFrame) -> Job:
    """Prepare `pycombat_norm`."""
    from inmoose.pycombat import pycombat_norm

    sites, covariates = people.site.tolist(), people[["age", "sex"]]
    return Job(lambda table: pycombat_norm(table, sites, covar_mod=covariates))


def read_and_copy(people: pd.DataFrame) -> Job:
    """Prepare what fitting and applying cannot do without: read the table, then copy it."""
    return Job(_read_and_copy)


def _read_and_copy(table: Table) -> Table:
    copied = np.empty_like(table)
    height = max(1, CELLS_PER_BLOCK // table.shape[1])
    blocks = [slice(start, start + height) for start in range(0, len(table), height)]
    with ThreadPoolExecutor(count_cores()) as pool:
        list(pool.map(lambda rows: table[rows].sum(), blocks))
        list(pool.map(lambda rows: np.copyto(copied[rows], table[rows]), blocks))
    return copied


COMPARISON = Comparison(
    title="ComBat",
    introduction=INTRODUCTION,
    packages={
        "isoscan": Package("isoscan", isoscan),
        "neuroCombat": Package("neuroCombat", neurocombat, scans_first=False, alike=ALIKE),
        "neuroHarmonize": Package("neuroHarmonize", neuroharmonize, alike=ALIKE),
        "inmoose": Package("inmoose", inmoose, scans_first=False),
        LIMIT: Package("numpy", read_and_copy, same_job=False),
    },
    sizes=(Size(200_000, 300, 10), Size(200, 20_000, 60)),
    quick_sizes=(Size(2_000, 300, 10), Size(200, 1_200, 60)),
)
