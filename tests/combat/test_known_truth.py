"""On simulated cohorts ComBat finds what was put in."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import isoscan as iso
from isoscan.errors import SmallSiteWarning
from isoscan.phantom import simulate_tables

pytestmark = pytest.mark.filterwarnings("ignore::isoscan.errors.ExtrapolationWarning")

FORMULA = "age + C(sex) + C(diagnosis)"


def _fitted(cohort, **options):
    model = iso.ComBat(FORMULA, **options)
    after = model.fit_transform(cohort.measures, sites=cohort.people.site, covariates=cohort.people)
    return model, after


def test_shifts_and_scales_are_recovered() -> None:
    cohort = simulate_tables(300, (200, 150, 150, 100), random_state=0)
    effects = _fitted(cohort)[0].site_effects_
    truth = cohort.shift.stack().to_numpy(), cohort.scale.stack().to_numpy()
    assert np.corrcoef(effects["shift"], truth[0])[0, 1] > 0.97
    assert np.corrcoef(effects["scale"], truth[1])[0, 1] > 0.92


@pytest.mark.parametrize("prior", ["parametric", None])
def test_standard_errors_cover_the_truth(prior) -> None:
    """About 95 % of true shifts lie within 1.96 standard errors (of independent features).

    Truth is expressed as the model sees it: shifts relative to the grand mean weighted by
    scans, in units of the pooled residual standard deviation.
    """
    cohort = simulate_tables(
        400, (60, 45, 30, 20), site_shift=0.4, shared_noise=0.0, random_state=1
    )
    effects = _fitted(cohort, prior=prior)[0].site_effects_.set_index(["site", "feature"])
    weights = cohort.people.site.value_counts(normalize=True).loc[cohort.shift.index]
    unit = np.sqrt((cohort.scale**2).mul(weights, axis=0).sum())
    truth = (cohort.shift - cohort.shift.mul(weights, axis=0).sum()) / unit
    mine = effects["shift"].unstack()[truth.columns]
    inside = (mine - truth).abs() < 1.96 * effects["shift_se"].unstack()[truth.columns]
    assert 0.90 < inside.mean(axis=None) < 0.985
    scale = effects["scale"].unstack()[truth.columns]
    within = (scale - cohort.scale / unit).abs() < 1.96 * effects["scale_se"].unstack()[
        truth.columns
    ]
    assert 0.88 < within.mean(axis=None) < 0.99


def test_age_slope_survives_and_harmonized_is_closer_to_clean() -> None:
    cohort = simulate_tables(60, age_gap=6, random_state=4)
    after = _fitted(cohort)[1]
    spread = cohort.clean.std()
    error = {
        name: (((frame - cohort.clean) / spread) ** 2).mean(axis=None)
        for name, frame in (("before", cohort.measures), ("after", after))
    }
    assert error["after"] < 0.15 * error["before"]
    age = cohort.people.age - cohort.people.age.mean()
    slopes = after.mul(age, axis=0).sum() / (age**2).sum()
    truth = cohort.clean.mul(age, axis=0).sum() / (age**2).sum()
    assert np.corrcoef(slopes, truth)[0, 1] > 0.98


def test_removed_effect_is_gone_and_preserved_effect_is_not() -> None:
    cohort = simulate_tables(50, (150, 120, 90), random_state=6)
    model = iso.ComBat("age", remove="C(sex) + C(diagnosis)")
    after = model.fit_transform(cohort.measures, sites=cohort.people.site, covariates=cohort.people)
    left = iso.ComBat(FORMULA).fit(after, sites=cohort.people.site, covariates=cohort.people)
    kept = model.coefficients_
    np.testing.assert_allclose(left.coefficients_["age"], kept["age"], rtol=0.25, atol=2e-4)
    removed = (left.coefficients_["C(sex)[T.M]"] / kept["residual_sd"]).abs().max()
    assert removed < 0.1 < (kept["C(sex)[T.M]"] / kept["residual_sd"]).abs().max()
    np.testing.assert_allclose(after.mean(), cohort.measures.mean(), rtol=0.02)


@pytest.mark.parametrize("n_scans", [2, 3, 5])
def test_new_site_with_few_scans_gains_from_the_prior_of_training_sites(n_scans: int) -> None:
    """The training sites' prior errs less than the new site's own, in shift and in scale."""
    errors = {"own": [], "training": []}
    for seed in range(20):
        cohort = simulate_tables(60, (80, 70, 60, 60, 50, n_scans), random_state=seed)
        is_new = cohort.people.site == "SITE06"
        old, new = cohort.people[~is_new], cohort.people[is_new]
        model = iso.ComBat(FORMULA).fit(cohort.measures[~is_new], sites=old.site, covariates=old)
        weights = old.site.value_counts(normalize=True)
        unit = np.sqrt((cohort.scale.loc[weights.index] ** 2).mul(weights, axis=0).sum())
        mean = cohort.shift.loc[weights.index].mul(weights, axis=0).sum()
        for prior, error in errors.items():
            extended = _adapt(model, cohort.measures[is_new], new, prior)
            mine = extended.site_effects_.query("site == 'SITE06'").set_index("feature")
            shift = mine["shift"] - (cohort.shift.loc["SITE06"] - mean) / unit
            scale = np.log(mine["scale"] / (cohort.scale.loc["SITE06"] / unit))
            error.append(((shift**2).mean(), (scale**2).mean()))
    own, training = (np.sqrt(np.mean(errors[prior], axis=0)) for prior in ("own", "training"))
    assert training[0] < own[0] * 1.01
    assert training[1] < 0.95 * own[1]
    assert sum(training / own) < 1.96


def _adapt(model, measures, people, prior):
    if prior == "training":
        return model.adapt(measures, sites=people.site, covariates=people, prior=prior)
    with pytest.warns(SmallSiteWarning, match="prior='training' is more accurate"):
        return model.adapt(measures, sites=people.site, covariates=people, prior=prior)


def test_adapting_does_not_move_the_old_estimates() -> None:
    cohort = simulate_tables(20, (40, 30, 20), random_state=2)
    is_new = cohort.people.site == "SITE03"
    old, new = cohort.people[~is_new], cohort.people[is_new]
    model = iso.ComBat(FORMULA).fit(cohort.measures[~is_new], sites=old.site, covariates=old)
    before = model.transform(cohort.measures[~is_new], sites=old.site, covariates=old)
    extended = model.adapt(cohort.measures[is_new], sites=new.site, covariates=new)
    after = extended.transform(cohort.measures[~is_new], sites=old.site, covariates=old)
    pd.testing.assert_frame_equal(before, after, check_exact=True)
    assert model.sites_ == ["SITE01", "SITE02"]
    assert extended.sites_ == ["SITE01", "SITE02", "SITE03"]


@pytest.mark.parametrize("n_features", [1, 2])
def test_one_or_two_features_give_finite_results(n_features: int) -> None:
    cohort = simulate_tables(n_features, (20, 15), random_state=0)
    with pytest.warns(iso.errors.PriorWarning):
        after = iso.ComBat("age").fit_transform(
            cohort.measures, sites=cohort.people.site, covariates=cohort.people
        )
    assert after.notna().all(axis=None)
