"""Site tests: the numbers of textbooks and scipy, for any pattern of missing values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from known_truth import shared_folder

from isoscan.errors import TooFewSitesError
from isoscan.evaluation import site_tests
from isoscan.evaluation.sample import gather_sample
from isoscan.evaluation.spread import SMALLEST_SITE, fligner_p, levene_p
from isoscan.phantom import simulate_tables

PRESERVE = "age + C(sex)"


@pytest.fixture
def ragged():
    """Sites of very different size, measures missing here and there, one site of one scan."""
    cohort = simulate_tables(8, (25, 14, 7, 4, 2, 1), random_state=3)
    measures = cohort.measures.copy()
    measures.iloc[2:9, 1] = np.nan
    measures.iloc[::3, 2] = np.nan
    measures.iloc[39:, 3] = np.nan
    return measures, cohort.people


def by_indicators(y, sites, covariates):
    """The nested F test the long way, one indicator per site."""
    known = y.notna().to_numpy()
    small = np.column_stack([np.ones(known.sum()), covariates[known]])
    indicators = pd.get_dummies(sites[known]).to_numpy(float)
    large = np.column_stack([indicators, covariates[known]])
    sse, df = [], []
    for design in (small, large):
        solution, _, rank, _ = np.linalg.lstsq(design, y[known], rcond=None)
        sse.append(float(np.square(y[known] - design @ solution).sum()))
        df.append(known.sum() - rank)
    f = (sse[0] - sse[1]) / (df[0] - df[1]) / (sse[1] / df[1])
    p = scipy.stats.f.sf(f, df[0] - df[1], df[1])
    return 1 - sse[1] / sse[0], f, p


def test_site_means_are_tested_as_with_one_indicator_per_site(ragged):
    measures, people = ragged
    tests = site_tests(measures, people.site, people, PRESERVE)
    covariates = np.column_stack([people.age, people.sex == "M"]).astype(float)
    for name in measures:
        expected = by_indicators(measures[name], people.site, covariates)
        np.testing.assert_allclose(
            tests.loc[name, ["partial_r2", "f", "p"]].to_numpy(float), expected, rtol=1e-9
        )


@pytest.mark.parametrize(
    ("ours", "reference"),
    [(levene_p, scipy.stats.levene), (fligner_p, scipy.stats.fligner)],
    ids=["brown-forsythe", "fligner-killeen"],
)
def test_variance_tests_are_those_of_scipy(ragged, ours, reference):
    measures, people = ragged
    sample = gather_sample(measures, people.site, people, PRESERVE)
    residuals = sample.regression.residuals
    p = ours(residuals, sample.codes)
    for feature in range(residuals.shape[1]):
        sites = [residuals[sample.codes == code, feature] for code in range(len(sample.sites))]
        present = [values[~np.isnan(values)] for values in sites]
        expected = reference(*[values for values in present if len(values) >= SMALLEST_SITE])
        assert p[feature] == pytest.approx(expected.pvalue, rel=1e-10)


@pytest.mark.parametrize("shift", [0.5, 1.0, 2.0])
def test_partial_r2_is_the_share_of_variance_that_was_put_in(shift):
    random = np.random.default_rng(5)
    sites = np.repeat(["A", "B"], 4000)
    measures = random.normal(size=(8000, 3)) + shift * (sites == "B")[:, None]
    found = site_tests(measures, sites).partial_r2
    expected = shift**2 / 4 / (1 + shift**2 / 4)
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_p_values_are_uniform_when_sites_do_not_differ():
    random = np.random.default_rng(11)
    sites = np.repeat([f"S{number}" for number in range(6)], 40)
    people = pd.DataFrame({"age": random.normal(40, 10, 240)})
    measures = random.normal(size=(240, 400)) + 0.05 * people[["age"]].to_numpy()
    tests = site_tests(measures, sites, people, "age")
    assert scipy.stats.kstest(tests.p, "uniform").pvalue > 0.01
    for name in ("levene_p", "fligner_p"):
        assert 0.02 < (tests[name] < 0.05).mean() < 0.08
    assert tests.partial_r2.mean() == pytest.approx(tests.expected_r2.iloc[0], abs=0.003)


def test_an_older_site_is_not_taken_for_a_scanner():
    cohort = simulate_tables(20, (60, 60, 60), site_shift=0, age_gap=20, random_state=2)
    blind = site_tests(cohort.clean, cohort.people.site)
    adjusted = site_tests(cohort.clean, cohort.people.site, cohort.people, "age")
    assert blind.partial_r2.median() > 0.1
    assert adjusted.partial_r2.median() < 0.03


@pytest.mark.parametrize(
    "column",
    [
        np.full(12, 3.7),
        np.full(12, np.nan),
        np.array([1.0, 2.0, 3.0, 4.0] + [np.nan] * 8),
        np.array([np.nan] * 11 + [1.0]),
        np.array([1.0] + [np.nan] * 10 + [2.0]),
    ],
    ids=["constant", "all missing", "one site only", "one value", "one value at two sites"],
)
def test_a_feature_that_cannot_be_tested_gets_no_numbers(column):
    sites = np.repeat(["A", "B", "C"], 4)
    measures = np.column_stack([column, np.arange(12.0)])
    tests = site_tests(measures, sites)
    assert tests.loc["feature0", ["partial_r2", "f", "p", "levene_p", "fligner_p"]].isna().all()
    assert tests.loc["feature1"].notna().all()


def test_a_feature_equal_within_sites_is_all_site():
    sites = np.repeat(["A", "B", "C"], 4)
    tests = site_tests(np.repeat([[1.0], [2.0], [5.0]], 4, axis=0), sites)
    assert tests.partial_r2.iloc[0] == 1
    assert tests.p.iloc[0] == 0
    assert np.isnan(tests.levene_p.iloc[0])


def test_a_covariate_fixed_by_site_leaves_its_share_of_site_untested():
    cohort = simulate_tables(4, (20, 20, 20), random_state=0)
    people = cohort.people.assign(field=np.repeat([1.5, 3.0, 3.0], 20))
    tests = site_tests(cohort.measures, people.site, people, "field + age")
    expected = by_indicators(
        cohort.measures.iloc[:, 0], people.site, people[["field", "age"]].to_numpy(float)
    )
    assert tests.f.iloc[0] == pytest.approx(expected[1])


def test_single_scan_sites_do_not_count_in_variance_tests():
    random = np.random.default_rng(0)
    sites = np.array(["A"] * 20 + ["B"] * 20 + [f"single{number}" for number in range(30)])
    tests = site_tests(random.normal(size=(70, 5)), sites)
    both = site_tests(random.normal(size=(40, 5)), sites[:40])
    assert (tests.levene_p > 1e-3).all()
    assert both.notna().all(axis=None)


def test_one_site_is_refused_by_name():
    with pytest.raises(TooFewSitesError, match="'OSL'"):
        site_tests([[1.0], [2.0], [3.0]], ["OSL"] * 3)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    factor=st.sampled_from([1e-6, -3.0, 7.5, 1e8]),
    offset=st.sampled_from([0.0, -40.0, 1e3]),
)
def test_order_of_rows_and_units_do_not_matter(seed, factor, offset):
    cohort = simulate_tables(3, (9, 7, 5), random_state=seed)
    random = np.random.default_rng(seed)
    people = cohort.people
    expected = site_tests(cohort.measures, people.site, people, PRESERVE)
    shuffled = cohort.measures.iloc[random.permutation(len(people))] * factor + offset * factor
    found = site_tests(shuffled, people.site, people, PRESERVE)
    np.testing.assert_allclose(
        found[["partial_r2", "f", "p", "levene_p"]],
        expected[["partial_r2", "f", "p", "levene_p"]],
        rtol=1e-6,
    )


def test_real_volumes_differ_between_scanners():
    folder = shared_folder("data/abide")
    people = pd.read_csv(folder / "participants.tsv", sep="\t", index_col=0)
    volumes = pd.read_csv(folder / "aseg_volume.tsv", sep="\t", index_col=0)
    people = people.loc[people.index.intersection(volumes.index)].dropna()
    tests = site_tests(volumes.loc[people.index], people.site, people, "age + C(sex)")
    assert tests.partial_r2["Left-Accumbens-area"] > 0.2
    assert (tests.p < 0.05).mean() > 0.8
