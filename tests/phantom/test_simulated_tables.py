"""Simulated cohorts are what they say they are."""

from __future__ import annotations

import numpy as np
import pandas as pd

from isoscan.phantom import simulate_tables


def test_same_seed_same_cohort() -> None:
    for name in ("measures", "people", "clean", "shift", "scale", "slopes"):
        first, second = (getattr(simulate_tables(random_state=3), name) for _ in range(2))
        pd.testing.assert_frame_equal(first, second)


def test_measures_are_clean_values_shifted_and_scaled() -> None:
    cohort = simulate_tables(5, (4000, 4000), shared_noise=0.0, random_state=1)
    first = cohort.people.site == "SITE01"
    spread = (cohort.clean - _expected(cohort)).std()
    shift = (cohort.measures - cohort.clean)[first].mean() / spread
    np.testing.assert_allclose(shift, cohort.shift.loc["SITE01"], atol=0.05)
    scale = (cohort.measures - _expected(cohort))[first].std() / spread
    np.testing.assert_allclose(scale, cohort.scale.loc["SITE01"], rtol=0.05)


def _expected(cohort) -> pd.DataFrame:
    people = cohort.people
    design = np.column_stack([people.age, people.sex == "M", people.diagnosis == "patient"]).astype(
        float
    )
    effects = pd.DataFrame(design @ cohort.slopes.to_numpy(), people.index, cohort.clean.columns)
    return effects + (cohort.clean - effects).mean()


def test_shared_noise_is_the_correlation_of_residuals() -> None:
    cohort = simulate_tables(30, (3000,), shared_noise=0.4, random_state=0)
    residuals = cohort.clean - _expected(cohort)
    correlation = np.corrcoef(residuals.T)
    assert abs(correlation[np.triu_indices(30, 1)].mean() - 0.4) < 0.03


def test_age_gap_moves_sites_apart() -> None:
    people = simulate_tables(2, (300, 300), age_gap=20, random_state=0).people
    means = people.groupby("site").age.mean()
    assert 15 < means["SITE02"] - means["SITE01"] < 25
