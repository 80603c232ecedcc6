"""Robust location and scale: odd scans do not move what is removed from the others."""

import numpy as np
import pytest

import isoscan as iso
from isoscan.combat.robust import biweight_midvariance
from isoscan.phantom import simulate_tables


@pytest.fixture
def cohort():
    return simulate_tables(12, (60, 50, 40), random_state=4)


def harmonize(cohort, measures, **options):
    model = iso.ComBat("age", **options)
    return model.fit_transform(measures, sites=cohort.people.site, covariates=cohort.people)


def test_midvariance_of_normal_values_is_their_variance():
    values = np.random.default_rng(0).normal(3, 2, (20_000, 3))
    assert biweight_midvariance(values, np.median(values, axis=0)) == pytest.approx(4, rel=0.05)


def test_missing_values_do_not_count():
    values = np.random.default_rng(1).normal(size=(40, 2))
    holed = np.vstack([values, np.full((3, 2), np.nan)])
    centre = np.median(values, axis=0)
    np.testing.assert_allclose(
        biweight_midvariance(holed, centre), biweight_midvariance(values, centre), rtol=1e-14
    )


def test_one_odd_scan_moves_the_others_less(cohort):
    odd = cohort.measures.copy()
    odd.iloc[5] += 40 * odd.std()
    rest = odd.index != odd.index[5]

    def moved(**options):
        before, after = (harmonize(cohort, table, **options) for table in (cohort.measures, odd))
        return float(((after - before)[rest] / cohort.measures.std()).abs().mean(axis=None))

    assert moved(robust=True) < 0.5 * moved()


def test_a_missing_value_stays_missing_and_changes_others_little(cohort):
    holed = cohort.measures.copy()
    holed.iloc[3, 2] = np.nan
    with pytest.warns(iso.errors.MissingValuesWarning):
        after = harmonize(cohort, holed, robust=True)
    complete = harmonize(cohort, cohort.measures, robust=True)
    assert np.isnan(after.iloc[3, 2])
    others = ((after - complete) / cohort.measures.std()).drop(index=holed.index[3])
    assert others.abs().max(axis=None) < 0.1


def test_a_robust_model_refuses_new_sites_in_words(cohort):
    people = cohort.people
    known = people.site != "SITE03"
    model = iso.ComBat(robust=True).fit(cohort.measures[known], sites=people.site[known])
    with pytest.raises(iso.errors.DataError, match="refit"):
        model.adapt(cohort.measures[~known], sites=people.site[~known])
