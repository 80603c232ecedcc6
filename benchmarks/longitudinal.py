"""Models with a random intercept of the subject, one per feature."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from cohort import Size, simulate_visits
from comparison import Comparison, Job, Package, Table

FEW, FEWER = 20, 4
"""Features that packages are given which fit them one by one."""

INTRODUCTION = f"""\
A random intercept for every subject by REML; sites, age, sex and years since the first visit as
fixed effects. isoscan is given all features, for this regression alone and for the harmonization
that begins with it; lme4 (`lmer`) and statsmodels (`MixedLM`) are given the first {FEW} and
{FEWER}, as they fit one at a time. longCombat for R calls `lmer` once per feature, and is not on a
package registry: the row of lme4 is the least that it can take. Time is per feature. The
**distance** is that between expected values, at the subjects' average.
"""


def mixed(people: pd.DataFrame) -> Job:
    """Prepare `fit_mixed`, the regression alone."""
    from isoscan.combat.mixed import fit_mixed

    columns, subjects = design(people), people.subject.to_numpy()
    return Job(
        lambda table: fit_mixed(table, columns, subjects),
        lambda fit: columns @ fit.coefficients[:, :FEW],
    )


def isoscan(people: pd.DataFrame) -> Job:
    """Prepare `LongitudinalComBat.fit_transform`."""
    import isoscan as iso

    model, sites = iso.LongitudinalComBat("age + C(sex) + years"), people.site.to_numpy()
    return Job(lambda table: model.fit_transform(table, sites=sites, covariates=people))


def statsmodels(people: pd.DataFrame) -> Job:
    """Prepare `MixedLM`, feature by feature."""
    from statsmodels.regression.mixed_linear_model import MixedLM

    columns, subjects = design(people), people.subject.to_numpy()

    def fit(table: Table) -> list[Any]:
        return [MixedLM(feature, columns, groups=subjects).fit() for feature in table.T]

    return Job(fit, lambda fits: columns @ np.column_stack([one.fe_params for one in fits]))


def design(people: pd.DataFrame) -> Table:
    """Columns of sites, age, sex and years."""
    columns = pd.get_dummies(people.site).assign(
        age=people.age, male=people.sex == "M", years=people.years
    )
    return columns.to_numpy(dtype=float)


COMPARISON = Comparison(
    title="Repeated scans",
    introduction=INTRODUCTION,
    packages={
        "isoscan, regression": Package("isoscan", mixed),
        "isoscan, LongitudinalComBat": Package("isoscan", isoscan, same_job=False),
        "lme4": Package("lme4", script="lme4.R", features=FEW, alike=1e-3),
        "statsmodels": Package("statsmodels", statsmodels, features=FEWER, timed=0, alike=1e-3),
    },
    sizes=(Size(10_000, 3_000, 7, 1_200), Size(10_000, 3_000, 27, 1_200)),
    quick_sizes=(Size(200, 600, 7, 240),),
    people=simulate_visits,
    by_feature=True,
)
