"""Kolmogorov-Smirnov for every pair of sites: scipy's numbers, in a fraction of the time."""

from __future__ import annotations

import time

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from isoscan.evaluation import ks_pairs
from isoscan.evaluation.sample import gather_sample
from isoscan.evaluation.smirnov import EXACT_UP_TO, smirnov_p
from isoscan.phantom import simulate_tables

PRESERVE = "age + C(sex)"


@pytest.mark.parametrize("digits", [None, 1], ids=["distinct values", "many ties"])
def test_distances_and_p_are_those_of_scipy(digits):
    cohort = simulate_tables(4, (30, 17, 9, 2, 1), random_state=6)
    measures = cohort.measures if digits is None else cohort.measures.round(digits)
    measures.iloc[5:12, 1] = np.nan
    measures.iloc[47:56, 2] = np.nan
    formula = PRESERVE if digits is None else None
    tests = ks_pairs(measures, cohort.people.site, cohort.people, formula)
    sample = gather_sample(measures, cohort.people.site, cohort.people, formula)
    for row, pair in enumerate(tests.pairs):
        for feature in range(4):
            values = [sample.adjusted[sample.codes == code, feature] for code in pair]
            first, second = (site[~np.isnan(site)] for site in values)
            if not len(first) or not len(second):
                assert np.isnan(tests.p[row, feature])
                continue
            expected = scipy.stats.ks_2samp(first, second, method="exact")
            assert tests.distance[row, feature] == pytest.approx(expected.statistic, abs=1e-12)
            assert tests.p[row, feature] == pytest.approx(expected.pvalue, rel=1e-9)


@pytest.mark.parametrize(("m", "n"), [(101, 101), (120, 133), (60, 400)])
def test_p_of_large_sites_is_close_to_exact(m, n):
    random = np.random.default_rng(0)
    assert m * n > EXACT_UP_TO
    for shift in (0.0, 0.2, 0.4):
        values = random.normal(size=m), random.normal(shift, size=n)
        expected = scipy.stats.ks_2samp(*values, method="exact")
        steps = np.array([round(expected.statistic * m * n)])
        assert smirnov_p(steps, m, n)[0] == pytest.approx(expected.pvalue, rel=0.2)


def test_tiny_p_keeps_its_digits():
    steps = np.array([90 * 100])
    expected = scipy.stats.ks_2samp(np.arange(90), np.arange(100, 200), method="exact").pvalue
    assert 0 < expected < 1e-50
    assert smirnov_p(steps, 90, 100)[0] == pytest.approx(expected, rel=1e-9)


def test_matrix_is_symmetric_and_adjusted_for_the_number_of_features():
    cohort = simulate_tables(6, (20, 18, 15), random_state=1)
    tests = ks_pairs(cohort.measures, cohort.people.site)
    adjusted, plain = tests.smallest(), tests.smallest(adjusted=False)
    assert np.isnan(np.diag(adjusted)).all()
    np.testing.assert_array_equal(adjusted, adjusted.T)
    np.testing.assert_allclose(adjusted, np.minimum(plain * 6, 1))
    worst = tests.worst_features().loc["SITE01", "SITE02"]
    assert tests.p[0].argmin() == cohort.measures.columns.get_loc(worst)


def test_sites_that_do_not_differ_are_rarely_told_apart():
    random = np.random.default_rng(4)
    sites = np.repeat([f"S{number:02d}" for number in range(20)], 20)
    tests = ks_pairs(random.normal(size=(400, 30)), sites)
    pairs = tests.smallest().to_numpy()[np.triu_indices(20, 1)]
    assert (pairs < 0.05).mean() < 0.08
    assert (tests.p < 0.05).mean() < 0.06


def test_a_scale_without_a_shift_is_seen():
    random = np.random.default_rng(4)
    measures = random.normal(size=(400, 2))
    measures[200:] *= 3
    tests = ks_pairs(measures, np.repeat(["A", "B"], 200))
    assert (tests.p < 1e-4).all()


def test_an_older_site_does_not_differ_once_age_is_taken_out():
    cohort = simulate_tables(20, (80, 80), site_shift=0, age_gap=30, random_state=2)
    blind = ks_pairs(cohort.clean, cohort.people.site).smallest()
    adjusted = ks_pairs(cohort.clean, cohort.people.site, cohort.people, "age").smallest()
    assert blind.iloc[0, 1] < 1e-4
    assert adjusted.iloc[0, 1] > 0.05


def test_a_scanner_is_not_hidden_by_a_difference_of_age():
    cohort = simulate_tables(10, (80, 80), site_shift=2.0, age_gap=15, random_state=2)
    adjusted = ks_pairs(cohort.measures, cohort.people.site, cohort.people, "age").smallest()
    assert adjusted.iloc[0, 1] < 1e-6


def test_constant_and_missing_features_get_no_p():
    measures = np.column_stack([np.full(8, 2.5), np.full(8, np.nan), np.arange(8.0)])
    tests = ks_pairs(measures, np.repeat(["A", "B"], 4))
    assert np.isnan(tests.p[0, :2]).all()
    assert tests.p[0, 2] == pytest.approx(2 / 70)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), factor=st.sampled_from([1e-6, 3.0, 1e8]))
def test_order_of_rows_and_units_do_not_matter(seed, factor):
    cohort = simulate_tables(3, (9, 7, 5), random_state=seed)
    shuffled = cohort.measures.iloc[np.random.default_rng(seed).permutation(21)] * factor
    people = cohort.people
    expected = ks_pairs(cohort.measures, people.site, people, PRESERVE)
    found = ks_pairs(shuffled, people.site, people, PRESERVE)
    np.testing.assert_allclose(found.p, expected.p, rtol=1e-9)


def test_a_study_of_sixty_two_sites_takes_seconds():
    cohort = simulate_tables(101, (30,) * 62, random_state=0)
    start = time.perf_counter()
    tests = ks_pairs(cohort.measures, cohort.people.site, cohort.people, PRESERVE)
    assert time.perf_counter() - start < 30  # measured: 2 s
    assert tests.p.shape == (1891, 101)
