"""Every method shows what only it has: curves, components, spread, subjects."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import report_cohort

import isoscan as iso
from isoscan.phantom import simulate_tables
from isoscan.report import collect_facts, describe_model, render_report
from isoscan.report.curves import POINTS, describe_curves, panels_of
from isoscan.report.spread import describe_spread
from isoscan.report.subjects import describe_subjects

SECTIONS = ("curves", "components", "spread", "subjects")


@pytest.fixture(scope="module")
def people():
    """A cohort in which age bends the first measures and spreads the last ones."""
    cohort = simulate_tables(12, (60, 50, 40), random_state=4)
    measures, age = cohort.measures.copy(), cohort.people.age.to_numpy()[:, None]
    measures.iloc[:, :4] += 0.8 * np.sin((age - 18) / 72 * np.pi * 1.5)
    noise = np.random.default_rng(0).normal(size=(len(age), 4))
    measures.iloc[:, -4:] += 0.15 * np.exp(0.03 * (age - 45)) * noise
    return cohort.people, measures


def fit(kind, people, **options):
    who, measures = people
    model = kind(**options)
    return model.fit(measures, sites=who.site, covariates=who)


@pytest.fixture(scope="module")
def bent(people):
    return fit(iso.ComBat, people, preserve="C(sex)", smooth=["age"])


@pytest.fixture(scope="module")
def models(people, bent):
    return {
        "plain": fit(iso.ComBat, people, preserve="age"),
        "curves": bent,
        "components": fit(iso.CovBat, people, preserve="age", n_components=3),
        "spread": fit(iso.ComBatLS, people, preserve="age + C(sex)"),
    }


def page_of(people, model):
    who, measures = people
    facts = collect_facts(measures, sites=who.site, model_facts=describe_model(model))
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    return facts, render_report(facts)


@pytest.mark.parametrize("name", ["plain", "curves", "components", "spread"])
def test_a_section_is_there_only_for_the_method_that_has_it(people, models, name):
    facts, page = page_of(people, models[name])
    assert {part for part in SECTIONS if facts["model"][part]} == {name} - {"plain"}
    shown = set(re.findall(r'<section id="(\w+)"', page))
    assert shown & set(SECTIONS) == {name} - {"plain"}
    ids = re.findall(r' id="([^"]*)"', page)
    assert len(ids) == len(set(ids))


def test_curves_in_the_facts_are_those_of_the_model(bent):
    facts = describe_curves(bent)
    [told] = facts["drawn"]
    feature = facts["features"][0]
    frame = bent.curve("age", feature, at=told["at"])
    value, half = told["curves"][feature][0]
    assert len(told["at"]) == len(value) == POINTS
    np.testing.assert_allclose(value, frame["value"], atol=2e-3)
    np.testing.assert_allclose(half, (frame["high"] - frame["low"]) / 2, rtol=1e-3)


def test_features_that_bend_come_first_and_straight_ones_are_counted(bent):
    facts = describe_curves(bent)
    assert set(facts["features"][:4]) == {f"region{number:03d}_thickness" for number in range(1, 5)}
    straight = sum(value < 1.1 for value in facts["edf"]["age"])
    assert f"as good as a straight line in {straight} of 12 features" in facts["sentences"][0]
    shown = panels_of(facts)
    assert shown[:6] == facts["features"][:6]
    assert len(shown) == len(set(shown)) == 9


def test_curves_of_levels_are_told_together(people):
    facts = describe_curves(fit(iso.ComBat, people, preserve="C(sex)", smooth=["age:sex"]))
    [told] = facts["drawn"]
    assert told["by"] == "sex"
    assert told["levels"] == ["F", "M"]
    assert list(facts["edf"]) == ["age, sex: F", "age, sex: M"]
    assert all(len(curves) == 2 for curves in told["curves"].values())


def test_components_are_told_with_their_sites(people, models):
    model = models["components"]
    facts, page = page_of(people, model)
    told = facts["model"]["components"]
    assert told["names"] == ["PC1", "PC2", "PC3"]
    np.testing.assert_allclose(told["variance_share"], model.components_.variance_share)
    np.testing.assert_allclose(told["site_effects"]["shift"], model.scores_.effects.shift)
    assert "3 principal components" in told["sentences"][0]
    assert 'data-drawing="scores"' in page


def test_spread_that_grows_with_age_is_said_in_percent_and_features(models):
    facts = describe_spread(models["spread"])
    said = re.search(r"age: the SD grows by (\d\.\d)\s% per unit in (\d+)", facts["sentences"][0])
    assert 1.5 <= float(said[1]) <= 4.0
    growing = np.array(facts["features"])[np.array(facts["terms"]["age"]["low"]) > 0]
    assert len(growing) == int(said[2]) == facts["terms"]["age"]["grows"]
    assert {f"region{number:03d}_thickness" for number in range(9, 13)} <= set(growing)
    assert "chance alone gives about 1" in facts["sentences"][0]


def test_intervals_of_the_spread_are_those_of_the_model(models):
    facts, effects = describe_spread(models["spread"]), models["spread"].scale_effects_
    own = effects[effects.column == "age"]
    half = np.subtract(facts["terms"]["age"]["high"], facts["terms"]["age"]["low"]) / 2
    np.testing.assert_allclose(half, 1.96 * own.se, rtol=2e-3)


def components(**columns):
    frame = pd.DataFrame(
        {
            "feature": ["x", "y", "z", "w"],
            "subject": [9.0, 1.0, 0.0, 3.0],
            "residual": [1.0, 1.0, 2.0, 0.0],
            "singular": [False, False, True, False],
            **columns,
        }
    )
    return SimpleNamespace(variance_components_=frame, passed_through_=["w"], slope=None)


def test_variance_between_subjects_is_told_as_a_share_and_boundaries_are_counted():
    facts = describe_subjects(components())
    assert facts["features"] == ["x", "y", "z"]
    assert list(facts["share"]) == [0.9, 0.5, 0.0]
    first, second = (text.replace("\u00a0", " ") for text in facts["sentences"])
    assert "50 % lies between subjects in the median feature: from 0 % ('z') to 90 % ('x')" in first
    assert "In 1 of 3 features the estimate lies on the boundary" in second


def test_random_slopes_are_listed(people, models):
    model = components(slope=[0.04, 0.0, 0.01, 0.0], correlation=[0.5, np.nan, 1.0, 0.0])
    model.slope = "years"
    facts, _ = page_of(people, models["plain"])
    facts["model"]["subjects"] = describe_subjects(model)
    page = render_report(facts)
    assert "SD of slopes of years" in page
    assert "where years is 0" in page
    assert 'data-drawing="subjects"' in page


def test_a_longitudinal_model_has_a_section_on_subjects(people):
    who, measures = people
    person = np.arange(len(who)) % 75
    level = np.random.default_rng(1).normal(size=(75, 12))
    who, measures = who.assign(person=[f"p{one}" for one in person]), measures + level[person]
    model = fit(iso.LongitudinalComBat, (who, measures), preserve="age", subject="person")
    facts, page = page_of((who, measures), model)
    assert min(facts["model"]["subjects"]["share"]) > 0.5
    assert '<section id="subjects"' in page


def test_a_report_with_curves_per_sex_of_200_features_and_15_sites_is_at_most_2_mb():
    sites = (90, 75, 70, 65, 60, 58, 55, 52, 50, 48, 45, 40, 36, 32, 24)
    cohort = report_cohort.cohort(200, sites)
    facts = report_cohort.facts_about(cohort)
    model = fit(iso.ComBat, (cohort.people, cohort.measures), preserve="C(sex)", smooth=["age:sex"])
    facts["model"]["curves"] = describe_curves(model)
    assert len(facts["model"]["curves"]["drawn"][0]["curves"]) == 200
    assert len(render_report(facts).encode()) <= 2_000_000


def test_hostile_names_of_covariates_and_levels_are_text(people):
    who, measures = people
    bad = "<img src=x>$_{"
    named = who.rename(columns={"age": "a<b>"}).replace({"sex": {"M": bad}})
    model = fit(iso.ComBat, (named, measures), preserve="C(sex)", smooth=["a<b>:sex"])
    _, page = page_of((named, measures), model)
    assert "<img" not in page
    assert "<b>:" not in page
