"""`harmonize` runs every method by name, and takes no column that an option names for a measure."""

import numpy as np
import pandas as pd
import pytest

import isoscan as iso
from isoscan.errors import DataError, MissingColumnError
from isoscan.harmonizing import METHODS, columns_of, covariates_of, make_model
from isoscan.phantom import simulate_tables

CONTROLS = "diagnosis == 'control' and score < 4.5"
OPTIONS = {
    "curves": ("combat", {"preserve": "C(sex)", "smooth": ["score"]}),
    "curve per sex": ("combat", {"preserve": "C(sex)", "smooth": ["years:sex"]}),
    "subset": ("combat", {"preserve": "C(sex)", "fit_on": CONTROLS}),
    "covbat": ("covbat", {"preserve": "years", "remove": "score", "n_components": 2}),
    "combat-ls": ("combat-ls", {"preserve": "years", "scale": "score"}),
    "longitudinal": ("longitudinal", {"preserve": "years", "subject": "person"}),
    "slope": ("longitudinal", {"preserve": "years", "subject": "person", "slope": "score"}),
    "stepwise": ("stepwise", {"steps": ["sex", "batch", "site"], "preserve": "years + score"}),
}


@pytest.fixture(scope="module")
def cohort():
    return simulate_tables(6, (36, 36, 36), random_state=6)


@pytest.fixture(scope="module")
def table(cohort):
    """Three scans of each person, at different sites; all covariates are numbers but sex."""
    mixed = cohort.people.join(cohort.measures).rename(columns={"age": "years"})
    mixed["person"] = np.arange(108) % 36
    random = np.random.default_rng(0)
    mixed["score"] = np.repeat([0.0, 1.0, 2.0], 36) + random.uniform(0, 3, 108).round(2)
    mixed["batch"] = np.arange(108) // 2 % 2 + 1
    level, pace = random.normal(size=(2, 36, 6))[:, mixed["person"]]
    mixed[list(cohort.measures)] += level + pace * mixed[["score"]].to_numpy()
    return mixed


@pytest.mark.parametrize(("method", "options"), OPTIONS.values(), ids=OPTIONS)
def test_numbers_are_those_of_the_estimator(cohort, table, method, options):
    features = list(cohort.measures)
    done = iso.harmonize(table.assign(person=table.person.astype(str)), method=method,
                         features=features, **options)  # fmt: skip
    model = make_model(method, options)
    expected = model.fit_transform(table[features], sites=table.site, covariates=table)
    pd.testing.assert_frame_equal(done.table[features], expected, rtol=1e-10)
    assert done.facts["model"]["method"] == METHODS[method]


@pytest.mark.parametrize(("method", "options"), OPTIONS.values(), ids=OPTIONS)
def test_a_column_that_an_option_names_is_no_measure(cohort, table, method, options):
    model = make_model(method, options)
    named = columns_of(model)
    others = [name for name in ("years", "score", "batch", "person") if name not in named]
    done = iso.harmonize(table.drop(columns=others), method=method, **options)
    assert done.features == list(cohort.measures)


def test_columns_of_conditions_are_read_but_not_needed_of_every_scan():
    model = iso.ComBat("age + C(sex)", smooth=["iq:sex"], fit_on="dx == 'control' and qc > 3")
    assert covariates_of(model) == {"age", "sex", "iq"}
    assert columns_of(model) == {"age", "sex", "iq", "dx", "qc"}


def test_columns_of_steps_are_those_of_their_estimators_too():
    steps = ["sex", "round(age)", ("site", iso.ComBat("iq", fit_on="qc > 3"))]
    assert covariates_of(iso.StepwiseComBat(steps)) == {"sex", "age", "iq"}
    assert columns_of(iso.StepwiseComBat(steps)) == {"sex", "age", "iq", "qc"}


def test_options_go_to_every_step_without_an_estimator(table):
    own = iso.ComBat(mean_only=True)
    model = make_model("stepwise", {"steps": ["sex", ("site", own)], "prior": None})
    assert [step[1].prior for step in model.steps] == [None, "parametric"]
    assert model.steps[1][1].mean_only


def test_an_option_of_another_method_is_refused_by_name(table):
    with pytest.raises(DataError, match="CovBat has no option 'robust'"):
        iso.harmonize(table, method="covbat", robust=True)
    with pytest.raises(DataError, match=r"no option 'smoth'\. Did you mean 'smooth'"):
        iso.harmonize(table, smoth=["years"])


def test_a_feature_that_is_a_covariate_too_is_refused_by_name(cohort, table):
    with pytest.raises(DataError, match="'score' cannot be a feature"):
        iso.harmonize(table, features=["score", *cohort.measures], smooth=["score"])


def test_several_batch_variables_are_removed_together(cohort, table):
    features = list(cohort.measures)
    done = iso.harmonize(table, features=features, site=["site", "batch"], preserve="years")
    expected = iso.ComBat("years").fit_transform(
        table[features], sites=table[["site", "batch"]], covariates=table
    )
    pd.testing.assert_frame_equal(done.table[features], expected)
    assert "SITE01 / 2" in done.facts["features"]["sites"]
    assert "batch: 2" in done.facts["model"]["site_effects"]["sites"]
    with pytest.raises(MissingColumnError, match="no site column 'coil'"):
        iso.harmonize(table, site=["site", "coil"])


def test_curves_keep_their_bounds_inside_the_folds(cohort, table):
    options = {"smooth": ["years"], "smooth_outside": "error"}
    done = iso.harmonize(table, features=list(cohort.measures), preserve="C(sex)", **options)
    assert done.facts["evaluate"]["predictability"]["held_out"] is not None


def test_what_a_curve_keeps_is_not_taken_for_a_site_effect():
    random = np.random.default_rng(2)
    people = pd.DataFrame({"site": np.repeat(["A", "B", "C"], 80), "sex": ["F", "M"] * 120})
    people["age"] = random.uniform(18, 50, 240) + people.site.map({"A": 0, "B": 15, "C": 30})
    bend = ((people[["age"]].to_numpy() - 45) / 20) ** 2
    measures = pd.DataFrame(bend + random.normal(size=(240, 12))).add_prefix("region")
    table = people.join(measures)
    curved = iso.harmonize(table, preserve="C(sex)", smooth=["age"]).facts["evaluate"]
    straight = iso.harmonize(table, preserve="C(sex) + age").facts["evaluate"]
    found, wrong = (
        facts["site_effects"]["summary"]["before"]["median_partial_r2"]
        for facts in (curved, straight)
    )
    assert found < 0.02
    assert wrong > 0.03
    assert "poly(age, 3)[1]" in curved["biology"]["terms"]


def test_steps_are_shown_with_all_their_groups(table):
    table = table.drop(columns="score")
    done = iso.harmonize(table, method="stepwise", steps=["sex", "site"], preserve="years")
    effects = done.facts["model"]["site_effects"]
    assert effects["sites"] == ["sex: F", "sex: M", *(f"site: SITE0{n}" for n in (1, 2, 3))]
    assert len(effects["shift"]) == len(effects["scale"]) == 5
