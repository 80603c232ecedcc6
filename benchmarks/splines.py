"""ComBat with a curve of age for every feature (ComBat-GAM)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from cohort import Size, simulate_ages_that_bend
from comparison import Comparison, Job, Package, Table

FEW = 30
"""Features that packages are given which fit them one by one; their curves are compared."""

INTRODUCTION = f"""\
Curves of age, sex as a covariate. isoscan and neuroHarmonize fit and apply ComBat, isoscan for all
features and neuroHarmonize for {FEW}, as it fits them one by one; mgcv fits the curves of {FEW}
features, which is the first step only. Time is per feature. The **distance** is that between
curves of the same feature, at the ages of the scans. mgcv and isoscan choose the smoothness by
REML; neuroHarmonize does by cross-validation with random folds, out of eleven values.
"""


def isoscan(people: pd.DataFrame) -> Job:
    """Prepare `ComBat.fit_transform` with a curve of age."""
    import isoscan as iso

    model, sites = iso.ComBat("C(sex)", smooth=["age"]), people.site.to_numpy()

    def curves(harmonized: Table) -> Table:
        names = [f"x{number}" for number in range(min(FEW, harmonized.shape[1]))]
        drawn = [model.curve("age", name, at=people.age.tolist()).value for name in names]
        return centre(np.column_stack(drawn))

    return Job(lambda table: model.fit_transform(table, sites=sites, covariates=people), curves)


def neuroharmonize(people: pd.DataFrame) -> Job:
    """Prepare `harmonizationLearn` with a curve of age."""
    from neuroHarmonize import harmonizationLearn

    male = (people.sex == "M").astype(int)
    coded = pd.DataFrame({"SITE": people.site, "age": people.age, "male": male})

    def curves(learned: tuple[dict, Table]) -> Table:
        basis = learned[0]["smooth_model"]["bsplines_constructor"].basis
        return centre(basis @ learned[0]["B_hat"][-basis.shape[1] :])

    return Job(lambda table: harmonizationLearn(table, coded, smooth_terms=["age"], seed=1), curves)


def centre(curves: Table) -> Table:
    """Let curves average 0 over scans."""
    return curves - curves.mean(axis=0)


COMPARISON = Comparison(
    title="Splines",
    introduction=INTRODUCTION,
    packages={
        "isoscan": Package("isoscan", isoscan),
        "neuroHarmonize": Package("neuroHarmonize", neuroharmonize, features=FEW, timed=1),
        "mgcv": Package("mgcv", script="mgcv.R", features=FEW, alike=0.05),
    },
    sizes=(Size(10_000, 300, 10),),
    quick_sizes=(Size(200, 300, 10),),
    people=simulate_ages_that_bend,
    by_feature=True,
)
