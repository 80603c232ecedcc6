"""Repeated scans: tests that know whose scans they are, folds that do not share people."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from known_truth import shared_folder

import isoscan as iso
from isoscan.errors import MissingCovariateError, MissingValuesError, MixedModelError
from isoscan.evaluation import (
    as_text,
    evaluate,
    site_predictability,
    site_tests,
    site_tests_of_visits,
    slopes,
)
from isoscan.evaluation.distributions import compare_pairs
from isoscan.evaluation.people import FirstAndLast, one_of_each
from isoscan.evaluation.predictability import assign_folds
from isoscan.evaluation.sample import gather_sample

FORMULA = "age0 + sex + dx*time"


def visits(n_people=60, n_visits=3, n_features=12, seed=0, *, shift=0.0, loyal=0.0):
    """People with levels of their own; `loyal` is the share of scans at the own site."""
    random = np.random.default_rng(seed)
    person = np.repeat(np.arange(n_people), n_visits)
    home = random.integers(0, 3, n_people)[person]
    site = np.where(random.random(len(person)) < loyal, home, random.integers(0, 3, len(person)))
    people = pd.DataFrame(
        {
            "subject": [f"person{number:03d}" for number in person],
            "time": np.tile(np.arange(float(n_visits)), n_people),
            "age": random.uniform(20, 80, n_people)[person],
            "site": np.array(["A", "B", "C"])[site],
        },
        index=[f"scan{number:04d}" for number in range(len(person))],
    )
    level = random.normal(0, 1.5, (n_people, n_features))[person]
    clean = level - 0.3 * people.time.to_numpy()[:, None]
    clean = clean + random.normal(0, 0.5, level.shape)
    measures = clean + random.normal(0, shift, (3, n_features))[site]
    names = [f"r{number}" for number in range(n_features)]
    return people, *(pd.DataFrame(part, people.index, names) for part in (measures, clean))


def options(people, **more):
    return {"sites": people.site, "covariates": people, "preserve": "time", **more}


def run(people, before, after, **more):
    return evaluate(before, after, **options(people, **{"subject": "subject", **more}))


def sentence(facts, code):
    return next(item for item in facts["findings"] if item["code"] == code)


@pytest.mark.filterwarnings("ignore::isoscan.errors.IsoscanWarning")
@pytest.mark.parametrize("when", ["before", "after"])
def test_same_tests_as_longcombat(when):
    folder = shared_folder("golden/combat") / "long_tests"
    allowed = json.loads((folder / "manifest.json").read_text())["tolerance"]
    table = pd.read_csv(folder / "X.csv.gz", index_col=0)
    people = pd.read_csv(folder / "covars.csv", index_col=0)
    given = {"sites": people.scanner, "covariates": people}
    if when == "after":
        model = iso.LongitudinalComBat(FORMULA, subject="participant_id", variance="reml")
        table = model.fit_transform(table, **given)
    found = site_tests_of_visits(table, **given, subject="participant_id", preserve=FORMULA)
    means, spreads = (
        pd.read_csv(folder / f"{test}_{when}.csv", index_col=0).loc[found.index]
        for test in ("addTest", "multTest")
    )
    np.testing.assert_allclose(found.f, means.F, rtol=allowed["addTest"])
    np.testing.assert_allclose(found.denominator, means.ddf, rtol=allowed["addTest"])
    np.testing.assert_allclose(found.p, means.p, atol=allowed["addTest"])
    assert (found.numerator == means.ndf).all()
    np.testing.assert_allclose(found.fligner_chi2, spreads.chisq, atol=allowed["multTest"])
    np.testing.assert_allclose(found.fligner_p, spreads.p, atol=allowed["multTest"])


def test_tests_hold_their_level_where_people_keep_to_a_scanner():
    """One of 20 tests may be significant; those for independent scans call half of them so."""
    p = {name: [] for name in ("mean", "levene", "fligner", "pairs", "independent")}
    for seed in range(20):
        people, measures, _ = visits(40, 5, 20, seed, loyal=0.9)
        found = site_tests_of_visits(measures, **options(people))
        p["mean"] += list(found.p)
        p["levene"] += list(found.levene_p)
        p["fligner"] += list(found.fligner_p)
        sample = gather_sample(measures, people.site, people, "time", "subject")
        p["pairs"] += list(compare_pairs(sample).p.ravel())
        p["independent"] += list(site_tests(measures, people.site, people, "time").p)
    rejected = {name: np.mean(np.array(values) < 0.05) for name, values in p.items()}
    assert rejected["independent"] > 0.3
    assert rejected["mean"] == pytest.approx(0.05, abs=0.025)
    assert rejected["levene"] < 0.08
    assert rejected["fligner"] < 0.08
    assert rejected["pairs"] < 0.06


def test_intervals_of_what_differs_between_people_hold_the_truth():
    """Age does nothing here; three scans of one person say little more about age than one."""
    held, pretended = [], []
    for seed in range(20):
        people, measures, _ = visits(seed=seed)
        for kept, subject in ((held, "subject"), (pretended, None)):
            found = slopes(measures, people.site, people, "age + time", subject=subject)
            of_age = found[found.term == "age"]
            kept += list((of_age.low < 0) & (of_age.high > 0))
    assert np.mean(held) == pytest.approx(0.95, abs=0.03)
    assert np.mean(pretended) < 0.85


def test_slopes_within_people_are_sharper_than_those_of_independent_scans():
    people, measures, _ = visits()
    own, pooled = (
        slopes(measures, people.site, people, "time", subject=subject)
        for subject in ("subject", None)
    )
    assert (own.error < 0.5 * pooled.error).all()
    assert own.slope.mean() == pytest.approx(-0.3, abs=0.05)


@pytest.mark.parametrize("n_folds", [2, 5])
def test_nobody_is_in_two_folds_and_every_site_in_all(n_folds):
    people, _, _ = visits(loyal=0.7)
    codes = people.site.astype("category").cat.codes.to_numpy()
    folds = assign_folds(codes, n_folds, 0, people.subject.to_numpy())
    assert pd.Series(folds).groupby(people.subject.to_numpy()).nunique().max() == 1
    table = pd.crosstab(codes, folds)
    assert table.shape == (3, n_folds)
    assert (table.max(axis=1) - table.min(axis=1) <= 3).all()


def test_people_are_not_recognized_and_taken_for_scanners():
    """There are no site effects; who was seen at a site before is often there again."""
    people, _, clean = visits(60, 4, 40, seed=1, loyal=0.9)
    leaking = site_predictability(clean, **options(people))
    apart = site_predictability(clean, **options(people), subject="subject")
    assert leaking.low > 0.5
    assert apart.low < 1 / 3 < apart.high
    assert apart.who == "people"
    assert apart.high - apart.low > 1.5 * (leaking.high - leaking.low)


def test_sites_of_few_people_are_left_out_of_site_prediction():
    people, measures, _ = visits(loyal=1.0)
    rare = people.subject.isin(people.subject[people.site == "C"].unique()[:3])
    people = people.assign(site=people.site.where(~rare, "D"))
    found = site_predictability(measures, **options(people), subject="subject")
    assert found.left_out == {"D": 3}
    assert "fewer than 5 people" in found.reason


def test_one_scan_of_each_person_evenly_over_sites():
    people, _, _ = visits(60, 4)
    codes = people.site.astype("category").cat.codes.to_numpy()
    chosen = one_of_each(people.subject.to_numpy(), codes)
    assert people.subject[chosen].is_unique
    assert chosen.sum() == 60
    assert people.site[chosen].value_counts().tolist() == [20, 20, 20]


def test_first_and_last_scan_are_those_of_time_not_of_rows():
    subjects = np.array(["a", "b", "a", "a", "c", "c"])
    codes = np.array([0, 0, 1, 2, 1, 1])
    pairs = FirstAndLast.of(subjects, codes, np.array([3.0, 0.0, 1.0, 2.0, 0.0, 5.0]))
    assert (pairs.first.tolist(), pairs.last.tolist()) == ([2, 4], [0, 5])
    assert pairs.stayed.tolist() == [False, True]
    rows = FirstAndLast.of(subjects, codes, None)
    assert (rows.first.tolist(), rows.last.tolist()) == ([0, 4], [3, 5])


def test_facts_tell_who_was_scanned_and_what_became_of_change():
    people, measures, _ = visits(shift=1.0)
    model = iso.LongitudinalComBat("time", variance="msr")
    after = model.fit_transform(measures, sites=people.site, covariates=people)
    facts = evaluate(measures, after, **options(people), model=model)
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    found = facts["people"]
    assert (found["column"], found["people"], found["repeated"]) == ("subject", 60, 60)
    assert found["ordered_by"] is None
    changes = found["changes"]
    assert changes["same_site"]["people"] + changes["moved"]["people"] == 60
    assert changes["same_site"]["summary"]["correlation"] > 0.97
    assert changes["same_site"]["summary"]["ratio"] == pytest.approx(1.0, abs=0.1)
    assert changes["moved"]["summary"]["before"] > 1.5
    assert changes["moved"]["summary"]["after"] == pytest.approx(1.0, abs=0.15)
    assert len(changes["all"]["ratio"]) == 12
    assert {sentence(facts, code)["level"] for code in ("change-kept", "moving")} == {"good"}
    assert (
        "60 people ('subject'), 60 scanned more than once"
        in (sentence(facts, "repeated-scans")["sentence"])
    )
    assert "in people it had not seen" in sentence(facts, "predictability")["sentence"]
    lines = as_text(facts).splitlines()
    assert lines[0] == "180 scans of 60 people, 12 features, 3 sites"
    assert max(map(len, lines)) <= 100
    assert "  in people harmonization has not seen" in as_text(facts)


def test_without_subjects_nothing_is_said_of_people():
    people, measures, clean = visits(shift=1.0)
    facts = run(people, measures, clean, subject=None)
    assert facts["people"] is None
    assert facts["predictability"]["left_out_together"] == "scans"
    assert not {item["code"] for item in facts["findings"]} & {"repeated-scans", "moving"}


def test_change_that_was_enlarged_or_mixed_up_is_a_warning():
    people, measures, clean = visits(40, 2, shift=0.5, loyal=0.5)
    model = iso.LongitudinalComBat("time", variance="reml")
    larger = run(
        people,
        measures,
        model.fit_transform(measures, sites=people.site, covariates=people),
        time="time",
    )
    finding = sentence(larger, "change-altered")
    assert finding["level"] == "warning"
    assert "variance='msr' keeps the size of change" in finding["sentence"]
    assert larger["people"]["ordered_by"] == "time"
    mixed = clean.sample(frac=1, random_state=0).set_axis(clean.index)
    assert sentence(run(people, measures, mixed), "change-altered")["level"] == "warning"


def test_people_who_still_change_by_moving_are_a_warning():
    people, measures, _ = visits(shift=1.0)
    assert sentence(run(people, measures, measures * 1.01), "moving")["level"] == "warning"


def test_nobody_at_two_sites_is_said():
    people, measures, clean = visits(loyal=1.0)
    facts = run(people, measures, clean)
    assert "rest on differences between people" in sentence(facts, "repeated-scans")["sentence"]
    assert facts["people"]["changes"]["moved"]["summary"]["before"] is None


def test_order_of_rows_and_names_of_people_do_not_matter():
    people, measures, _ = visits(shift=0.3)
    found = site_tests_of_visits(measures, **options(people))
    other = people.sample(frac=1, random_state=0)
    other["subject"] = other.subject.factorize()[0]
    again = site_tests_of_visits(measures, **options(other))
    pd.testing.assert_frame_equal(again, found, rtol=1e-6)


def test_missing_values_are_as_if_the_scans_were_not_there():
    people, measures, _ = visits(shift=0.3)
    measures.iloc[::7, 2] = np.nan
    measures.iloc[2:, 3] = np.nan
    measures["r4"] = 1.0
    found = site_tests_of_visits(measures, **options(people))
    seen = measures.r2.notna()
    alone = site_tests_of_visits(measures.loc[seen, ["r2"]], **options(people[seen]))
    pd.testing.assert_frame_equal(found.loc[["r2"]], alone, rtol=1e-6)
    assert found.loc[["r3", "r4"]].isna().all(axis=None)


def test_covariates_that_follow_from_others_change_no_test():
    people, measures, _ = visits(shift=0.3)
    twice = people.assign(months=12 * people.time, at_c=(people.site == "C") * 1.0)
    plain = site_tests_of_visits(measures, **options(people))
    same = site_tests_of_visits(measures, **options(twice, preserve="time + months"))
    pd.testing.assert_frame_equal(same, plain, rtol=1e-6)
    fewer = site_tests_of_visits(measures, **options(twice, preserve="time + at_c"))
    assert (fewer.numerator == 1).all()
    found = slopes(measures, people.site, twice, "time + at_c", subject="subject")
    assert found[found.term == "at_c"].slope.isna().all()
    assert found[found.term == "time"].slope.notna().all()


@pytest.mark.parametrize(
    ("change", "subject", "error", "message"),
    [
        (lambda p: p.assign(subject=p.index), "subject", MixedModelError, "every subject has 1"),
        (lambda p: p, "person", MissingCovariateError, "'person'"),
        (
            lambda p: p.assign(subject=p.subject.where(p.index != "scan0004")),
            "subject",
            MissingValuesError,
            "'subject' is missing for 1 of 180 scans: 'scan0004'",
        ),
    ],
)
def test_a_column_that_does_not_tell_people_apart_is_refused(change, subject, error, message):
    people, measures, clean = visits()
    with pytest.raises(error, match=message):
        run(change(people), measures, clean, subject=subject)
