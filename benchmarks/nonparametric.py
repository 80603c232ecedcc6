"""ComBat whose prior is the other features, without an assumed shape."""

from __future__ import annotations

import pandas as pd
from cohort import Size
from comparison import ALIKE, Comparison, Job, Package

INTRODUCTION = """\
ComBat with age and sex and the non-parametric prior, which compares every feature with every
other one. neuroCombat and inmoose hold the likelihood of a site's scans as such, which underflows
at sites of some hundred scans; isoscan holds its logarithm. **Lost** is the share of results that
are not a number. neuroCombat and inmoose are called once.
"""


def isoscan(people: pd.DataFrame) -> Job:
    """Prepare `ComBat.fit_transform`."""
    import isoscan as iso

    model, sites = iso.ComBat("age + C(sex)", prior="nonparametric"), people.site.to_numpy()
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
            parametric=False,
        )["data"]
    )


def inmoose(people: pd.DataFrame) -> Job:
    """Prepare `pycombat_norm`."""
    from inmoose.pycombat import pycombat_norm

    sites, covariates = people.site.tolist(), people[["age", "sex"]]
    return Job(lambda table: pycombat_norm(table, sites, covar_mod=covariates, par_prior=False))


COMPARISON = Comparison(
    title="Non-parametric prior",
    introduction=INTRODUCTION,
    packages={
        "isoscan": Package("isoscan", isoscan),
        "neuroCombat": Package("neuroCombat", neurocombat, scans_first=False, timed=0, alike=ALIKE),
        "inmoose": Package("inmoose", inmoose, scans_first=False, timed=0),
    },
    sizes=(Size(5_000, 600, 10), Size(200, 1_500, 2)),
    quick_sizes=(Size(200, 600, 10), Size(50, 1_500, 2)),
)
