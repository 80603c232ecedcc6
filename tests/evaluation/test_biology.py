"""Biology kept: slopes within sites, and the order of scans."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from isoscan.evaluation import evaluate, rank_order, slopes
from isoscan.phantom import simulate_tables

PRESERVE = "age + C(sex) + C(diagnosis)"


def test_slopes_and_intervals_are_those_of_least_squares():
    cohort = simulate_tables(3, (20, 12, 6), random_state=4)
    measures, people = cohort.measures, cohort.people
    measures.iloc[4:10, 1] = np.nan
    found = slopes(measures, people.site, people, PRESERVE).set_index(["term", "feature"])
    design = np.column_stack(
        [
            people.age,
            people.sex == "M",
            people.diagnosis == "patient",
            pd.get_dummies(people.site).to_numpy(),
        ]
    ).astype(float)
    for name in measures:
        known = measures[name].notna().to_numpy()
        x, y = design[known], measures[name][known].to_numpy()
        expected = np.linalg.solve(x.T @ x, x.T @ y)
        df = len(y) - x.shape[1]
        variance = np.square(y - x @ expected).sum() / df * np.linalg.inv(x.T @ x)
        reach = scipy.stats.t.ppf(0.975, df) * np.sqrt(variance[0, 0])
        row = found.loc[("age", name)]
        assert row.slope == pytest.approx(expected[0])
        assert (row.low, row.high) == pytest.approx((expected[0] - reach, expected[0] + reach))
        assert row.p == pytest.approx(
            2 * scipy.stats.t.sf(abs(expected[0]) / np.sqrt(variance[0, 0]), df)
        )


def test_intervals_hold_the_true_slope_as_often_as_they_say():
    cohort = simulate_tables(400, site_scale=0, random_state=9)
    found = slopes(cohort.measures, cohort.people.site, cohort.people, PRESERVE)
    age = found[found.term == "age"].set_index("feature")
    truth = cohort.slopes.loc["age"]
    assert 0.88 < ((age.low <= truth) & (truth <= age.high)).mean() < 0.99


def test_a_slope_that_is_site_is_not_claimed():
    cohort = simulate_tables(2, (20, 20, 20), random_state=0)
    people = cohort.people.assign(field=np.repeat([1.5, 3.0, 3.0], 20))
    found = slopes(cohort.measures, people.site, people, "field + age").set_index("term")
    assert found.loc["field", "slope"].isna().all()
    assert found.loc["age", "slope"].notna().all()
    facts = evaluate(
        cohort.measures, cohort.clean, sites=people.site, covariates=people, preserve="field + age"
    )
    unknown = [item for item in facts["findings"] if item["code"] == "slope-unknown"]
    assert "'field'" in unknown[0]["sentence"]


def test_any_shift_and_scale_keeps_the_order():
    cohort = simulate_tables(5, (20, 12, 6), random_state=0)
    codes = pd.factorize(cohort.people.site)[0]
    random = np.random.default_rng(0)
    moved = (
        cohort.measures * random.uniform(0.5, 2, (3, 5))[codes] + random.normal(size=(3, 5))[codes]
    )
    np.testing.assert_allclose(rank_order(cohort.measures, moved, cohort.people.site), 1)


def test_rank_correlation_is_spearmans_on_scans_that_both_tables_have():
    random = np.random.default_rng(0)
    before = pd.DataFrame(random.normal(size=(30, 3))).round(1)
    after = before + random.normal(size=(30, 3))
    before.iloc[:5, 1], after.iloc[7:9, 1] = np.nan, np.nan
    sites = np.repeat(["A", "B"], 15)
    found = rank_order(before, after, sites)
    for site in "AB":
        for column in before:
            x, y = before.loc[sites == site, column], after.loc[sites == site, column]
            known = x.notna() & y.notna()
            expected = scipy.stats.spearmanr(x[known], y[known]).statistic
            assert found.loc[site, str(column)] == pytest.approx(expected)


def test_sites_without_an_order_have_no_rank_correlation():
    before = np.array([[1.0], [2.0], [3.0], [3.0], [3.0]])
    found = rank_order(before, before, list("AABBB"))
    assert found.isna().all(axis=None)


def test_tables_are_matched_by_name():
    cohort = simulate_tables(4, (12, 9), random_state=0)
    shuffled = cohort.clean.iloc[::-1, ::-1]
    pd.testing.assert_frame_equal(
        rank_order(cohort.measures, shuffled, cohort.people.site.iloc[::-1]),
        rank_order(cohort.measures, cohort.clean, cohort.people.site),
    )


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda clean, age: clean, "slope-kept"),
        (lambda clean, age: clean - 0.3 * age, "slope-changed"),
        (lambda clean, age: clean - age, "slope-distorted"),
    ],
    ids=["kept", "a third lost", "removed"],
)
def test_lost_biology_is_reported(change, code):
    cohort = simulate_tables(30, (150, 150), random_state=1)
    effect = np.outer(cohort.people.age, cohort.slopes.loc["age"])
    facts = evaluate(
        cohort.measures,
        change(cohort.clean, effect),
        sites=cohort.people.site,
        covariates=cohort.people,
        preserve=PRESERVE,
    )
    said = [item["sentence"] for item in facts["findings"] if item["code"] == code]
    assert any("'age'" in sentence for sentence in said)


def test_units_of_features_do_not_decide_the_correlation_of_slopes():
    cohort = simulate_tables(20, random_state=1)
    units = np.geomspace(1, 1e6, 20)
    options = {"sites": cohort.people.site, "covariates": cohort.people, "preserve": PRESERVE}
    plain = evaluate(cohort.measures, cohort.clean, **options)
    scaled = evaluate(cohort.measures * units, cohort.clean * units, **options)
    for term, expected in plain["biology"]["terms"].items():
        found = scaled["biology"]["terms"][term]
        assert found["correlation"] == pytest.approx(expected["correlation"])
        assert found["median_ratio"] == pytest.approx(expected["median_ratio"])
