"""Meta-analysis: effects of sites, pooled per feature by REML."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from cohort import Size
from comparison import Comparison, Job, Package, Table

INTRODUCTION = """\
Random effects by REML, one row per site and one column per feature, with one standard error per
site. isoscan is also measured with all that `meta_analysis` gives: Q-profile intervals of τ²,
bounded Knapp-Hartung tests, heterogeneity, prediction intervals and adjusted p. PyMARE gives the
effects and τ². The **distance** is that between pooled effects.
"""


def standard_errors(people: pd.DataFrame) -> Table:
    """One per site."""
    return np.random.default_rng(3).uniform(0.1, 0.4, (len(people), 1))


def whole(people: pd.DataFrame) -> Job:
    """Prepare `meta_analysis`."""
    import isoscan as iso

    errors = standard_errors(people)
    return Job(
        lambda table: iso.meta_analysis(table, np.broadcast_to(errors, table.shape)),
        lambda found: found.table.effect.to_numpy()[None],
    )


def estimates(people: pd.DataFrame) -> Job:
    """Prepare τ² and the pooled effects alone."""
    from isoscan.pooling.evidence import Evidence
    from isoscan.pooling.heterogeneity import estimate_tau2

    errors = standard_errors(people)

    def pool(table: Table) -> Table:
        variances = np.broadcast_to(errors**2, table.shape)
        evidence = Evidence(table, variances, np.ones_like(table), np.ones((len(table), 1)))
        tau2, _ = estimate_tau2(evidence, "reml")
        weights = 1 / (variances + tau2)
        return (weights * table).sum(axis=0) / weights.sum(axis=0)

    return Job(pool, lambda effects: effects[None])


def pymare(people: pd.DataFrame) -> Job:
    """Prepare PyMARE's likelihood estimator."""
    from pymare import Dataset
    from pymare.estimators import VarianceBasedLikelihoodEstimator

    errors = standard_errors(people)

    def pool(table: Table) -> Any:
        variances = np.broadcast_to(errors**2, table.shape).copy()
        data = Dataset(y=table, v=variances, X_names=None)
        return VarianceBasedLikelihoodEstimator(method="REML").fit_dataset(data)

    return Job(pool, lambda found: np.asarray(found.params_["fe_params"]).reshape(1, -1))


COMPARISON = Comparison(
    title="Meta-analysis",
    introduction=INTRODUCTION,
    packages={
        "isoscan, effects and τ²": Package("isoscan", estimates),
        "isoscan, meta_analysis": Package("isoscan", whole, alike=1e-6),
        "PyMARE": Package("PyMARE", pymare, timed=1, alike=1e-6),
    },
    sizes=(Size(100_000, 30, 30),),
    quick_sizes=(Size(500, 30, 30),),
)
