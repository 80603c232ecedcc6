"""Guessing site: near chance when there is nothing, honest when it falls below."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.covariance import ledoit_wolf

from isoscan.combat import ComBat
from isoscan.errors import DataError
from isoscan.evaluation import site_predictability
from isoscan.evaluation.discriminant import learn_discriminant, shrunken_covariance
from isoscan.evaluation.predictability import assign_folds
from isoscan.phantom import simulate_tables


@pytest.mark.parametrize("n_features", [5, 300], ids=["few features", "more features than scans"])
def test_without_site_effects_guesses_are_chance(n_features):
    sites = np.repeat(list("ABCDE"), 40)
    found = [
        site_predictability(np.random.default_rng(seed).normal(size=(200, n_features)), sites)
        for seed in range(20)
    ]
    assert np.mean([each.balanced_accuracy for each in found]) == pytest.approx(0.2, abs=0.025)
    assert sum(each.low < each.chance < each.high for each in found) >= 17
    assert all(each.chance == 0.2 and each.reason is None for each in found)


def test_site_shifts_are_found():
    cohort = simulate_tables(40, site_shift=1.0, random_state=0)
    found = site_predictability(cohort.measures, cohort.people.site, cohort.people, "age")
    assert found.low > 0.6
    assert set(found.recall) == set(cohort.people.site)
    assert found.balanced_accuracy == pytest.approx(np.mean(list(found.recall.values())))


def test_removing_means_over_all_scans_pushes_guesses_below_chance():
    cohort = simulate_tables(40, (50, 50, 50, 50), random_state=0)
    centred = cohort.measures - cohort.measures.groupby(cohort.people.site).transform("mean")
    found = site_predictability(centred, cohort.people.site)
    assert found.high < found.chance


def test_an_older_site_is_not_guessed_once_age_is_taken_out():
    cohort = simulate_tables(30, (250, 250), site_shift=0, age_gap=20, random_state=3)
    blind = site_predictability(cohort.clean, cohort.people.site)
    adjusted = site_predictability(cohort.clean, cohort.people.site, cohort.people, "age")
    assert blind.low > 0.6
    assert adjusted.low < 0.5


def test_small_sites_are_left_out_by_name():
    cohort = simulate_tables(10, (40, 30, 4, 1), random_state=0)
    found = site_predictability(cohort.measures, cohort.people.site)
    assert found.left_out == {"SITE03": 4, "SITE04": 1}
    assert found.chance == 0.5
    assert "'SITE03' (4), 'SITE04' (1)" in found.reason


def test_nothing_is_guessed_when_fewer_than_two_sites_are_large_enough():
    cohort = simulate_tables(3, (20, 3), random_state=0)
    found = site_predictability(cohort.measures, cohort.people.site)
    assert np.isnan(found.balanced_accuracy)
    assert "not predicted" in found.reason


def test_absence_of_a_feature_does_not_give_the_site_away():
    random = np.random.default_rng(2)
    measures = random.normal(size=(120, 6))
    measures[40:80, 3] = np.nan
    found = site_predictability(measures, np.repeat(list("ABC"), 40))
    assert found.low < 1 / 3
    assert "'feature3'" in found.reason


def test_scattered_missing_values_are_filled_from_the_training_folds():
    cohort = simulate_tables(20, site_shift=1.0, random_state=0)
    measures = cohort.measures.mask(np.random.default_rng(0).random(cohort.measures.shape) < 0.1)
    found = site_predictability(measures, cohort.people.site, cohort.people, "age")
    complete = site_predictability(cohort.measures, cohort.people.site, cohort.people, "age")
    assert found.low > 0.5
    assert found.balanced_accuracy == pytest.approx(complete.balanced_accuracy, abs=0.15)


def test_constant_features_and_units_change_nothing():
    cohort = simulate_tables(10, site_shift=0.7, random_state=0)
    more = (cohort.measures * 1e7).assign(constant=4.2)
    found = site_predictability(more, cohort.people.site)
    assert found.recall == site_predictability(cohort.measures, cohort.people.site).recall


def test_same_seed_same_answer():
    cohort = simulate_tables(10, random_state=0)
    once, again, other = (
        site_predictability(cohort.measures, cohort.people.site, random_state=seed)
        for seed in (7, np.random.default_rng(7), 8)
    )
    assert once == again
    assert once.recall != other.recall


@pytest.mark.parametrize("n_folds", [2, 3, 10])
def test_every_fold_has_its_share_of_every_site(n_folds):
    codes = np.repeat(np.arange(3), [31, 20, 11])
    folds = assign_folds(codes, n_folds, 0)
    table = pd.crosstab(codes, folds)
    assert table.shape == (3, n_folds)
    assert (table.max(axis=1) - table.min(axis=1) <= 1).all()


def test_one_fold_is_refused():
    with pytest.raises(DataError, match="n_folds is 1"):
        site_predictability(np.ones((4, 1)), list("AABB"), n_folds=1)


@pytest.mark.parametrize("shape", [(40, 6), (12, 30)], ids=["tall", "wide"])
def test_covariance_is_shrunk_as_ledoit_and_wolf_propose(shape):
    random = np.random.default_rng(0)
    values = random.normal(size=shape) @ random.normal(size=(shape[1], shape[1]))
    centred = values - values.mean(axis=0)
    expected = ledoit_wolf(centred, assume_centered=True)[0]
    np.testing.assert_allclose(shrunken_covariance(centred, shape[1]), expected, rtol=1e-8)


def test_working_in_the_span_of_the_scans_loses_nothing():
    random = np.random.default_rng(0)
    values, new = random.normal(size=(30, 80)), random.normal(size=(50, 80))
    codes = np.repeat([0, 1, 2], 10)
    means = np.array([values[codes == code].mean(axis=0) for code in range(3)])
    covariance = ledoit_wolf(values - means[codes], assume_centered=True)[0]
    weights = np.linalg.solve(covariance, means.T)
    expected = (new @ weights - 0.5 * (means * weights.T).sum(axis=1)).argmax(axis=1)
    np.testing.assert_array_equal(learn_discriminant(values, codes).predict(new), expected)


def test_harmonizing_inside_the_folds_brings_guesses_back_to_chance():
    cohort = simulate_tables(20, (80, 80, 80, 80), site_shift=1.0, random_state=0)
    model = ComBat(preserve="age")
    options = {"sites": cohort.people.site, "covariates": cohort.people, "preserve": "age"}
    over_all = model.fit_transform(
        cohort.measures, sites=cohort.people.site, covariates=cohort.people
    )
    assert site_predictability(over_all, **options).high < 0.25
    unseen = site_predictability(cohort.measures, **options, model=model)
    assert unseen.low < 0.25 < unseen.high


def test_a_model_that_fails_inside_a_fold_is_a_reason_not_an_exception():
    cohort = simulate_tables(6, (40, 30), random_state=0)
    people = cohort.people.assign(rare=["yes", *["no"] * 69])  # constant without the first scan
    found = site_predictability(
        cohort.measures, people.site, people, model=ComBat(preserve="C(rare)")
    )
    assert np.isnan(found.balanced_accuracy)
    assert "inside the training folds" in found.reason
