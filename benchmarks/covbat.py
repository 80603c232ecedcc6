"""CovBat beside the ComBat that it begins with."""

from __future__ import annotations

import pandas as pd
from cohort import Size
from comparison import Comparison, Job, Package

INTRODUCTION = """\
CovBat is ComBat, principal components of what that leaves, and ComBat of their scores. The
packages that offer it, for R and for Python, are not on a package registry and not measured here.
"""


def covbat(people: pd.DataFrame) -> Job:
    """Prepare `CovBat.fit_transform`."""
    import isoscan as iso

    model, sites = iso.CovBat("age + C(sex)"), people.site.to_numpy()
    return Job(lambda table: model.fit_transform(table, sites=sites, covariates=people))


def combat(people: pd.DataFrame) -> Job:
    """Prepare `ComBat.fit_transform`."""
    import isoscan as iso

    model, sites = iso.ComBat("age + C(sex)"), people.site.to_numpy()
    return Job(lambda table: model.fit_transform(table, sites=sites, covariates=people))


COMPARISON = Comparison(
    title="CovBat",
    introduction=INTRODUCTION,
    packages={
        "isoscan, CovBat": Package("isoscan", covbat),
        "isoscan, ComBat": Package("isoscan", combat, same_job=False),
    },
    sizes=(Size(10_000, 300, 10), Size(200, 20_000, 60)),
    quick_sizes=(Size(500, 300, 10),),
)
