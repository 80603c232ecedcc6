"""Mega-analysis: models with a random intercept of the site, one per feature."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from cohort import Size
from comparison import Comparison, Job, Package, Table

FEW = 20
"""Features that packages are given which fit them one by one."""

INTRODUCTION = f"""\
A random intercept for every site by REML; age and sex as fixed effects. isoscan is given all
features; lme4 (`lmer`) and statsmodels (`MixedLM`) are given the first {FEW}, as they fit one at a
time. Time is per feature. The **distance** is that between expected values at an average site.
"""


def isoscan(people: pd.DataFrame) -> Job:
    """Prepare `fit_mixed`."""
    from isoscan.combat.mixed import fit_mixed

    columns, sites = design(people), people.site.to_numpy()
    return Job(
        lambda table: fit_mixed(table, columns, sites),
        lambda fit: columns @ fit.coefficients[:, :FEW],
    )


def statsmodels(people: pd.DataFrame) -> Job:
    """Prepare `MixedLM`, feature by feature."""
    from statsmodels.regression.mixed_linear_model import MixedLM

    columns, sites = design(people), people.site.to_numpy()

    def fit_one(feature: Table) -> Any:
        try:
            return MixedLM(feature, columns, groups=sites).fit().fe_params
        except np.linalg.LinAlgError:  # it happens on the boundary
            return np.full(columns.shape[1], np.nan)

    def fit(table: Table) -> list[Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [fit_one(feature) for feature in table.T]

    return Job(fit, lambda found: columns @ np.column_stack(found))


def design(people: pd.DataFrame) -> Table:
    """Intercept, age and sex."""
    return np.column_stack([np.ones(len(people)), people.age, people.sex == "M"]).astype(float)


COMPARISON = Comparison(
    title="Mega-analysis",
    introduction=INTRODUCTION,
    packages={
        "isoscan": Package("isoscan", isoscan),
        "lme4": Package("lme4", script="lme4_site.R", features=FEW, alike=1e-3),
        "statsmodels": Package("statsmodels", statsmodels, features=FEW, timed=0),
    },
    sizes=(Size(10_000, 1_000, 20),),
    quick_sizes=(Size(200, 300, 6),),
    by_feature=True,
)
