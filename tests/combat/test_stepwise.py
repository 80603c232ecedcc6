"""Steps remove one variable after the other, as Neuroharmony does."""

import numpy as np
import pandas as pd
import pytest
from known_truth import shared_folder

import isoscan as iso
from isoscan.errors import (
    DataError,
    MissingCovariateError,
    SiteLabelError,
    TooFewScansError,
    UnknownSiteError,
)
from isoscan.phantom import simulate_tables

pytestmark = pytest.mark.filterwarnings("ignore::isoscan.errors.SmallSiteWarning")


@pytest.fixture(scope="module")
def cohort():
    return simulate_tables(10, (60, 50, 40), random_state=6)


def fit_transform(cohort, steps):
    model = iso.StepwiseComBat(steps)
    people = cohort.people
    return model, model.fit_transform(cohort.measures, sites=people.site, covariates=people)


def test_steps_of_neuroharmony_give_its_numbers():
    """Its peer computes in single precision, so 1e-6 SD is all that can agree."""
    folder = shared_folder("golden/unseen/neuroharmony")
    expected = pd.read_csv(folder / "combat_sex_age_scanner.csv", index_col=0)
    table = pd.read_csv(folder / "input.csv", index_col=0).loc[expected.index]
    measures = table[[name for name in table if name.startswith("roi")]]
    model = iso.StepwiseComBat(["Gender", "round(Age)", "scanner"])
    mine = model.fit_transform(measures, covariates=table)
    gap = (mine - expected[measures.columns]).abs() / measures.std()
    assert gap.max(axis=None) < 3e-6


def test_steps_are_combats_in_a_row(cohort):
    people = cohort.people
    _, stepwise = fit_transform(cohort, ["sex", ("site", iso.ComBat("age"))])
    first = iso.ComBat().fit_transform(cohort.measures, sites=people.sex)
    second = iso.ComBat("age").fit_transform(first, sites=people.site, covariates=people)
    pd.testing.assert_frame_equal(stepwise, second, check_exact=True)


def test_new_scans_alone_and_a_loaded_model_give_the_same_bits(cohort, tmp_path):
    model, after = fit_transform(cohort, ["sex", ("site", iso.ComBat("age", prior=None))])
    model.save(tmp_path / "model.isoscan")
    loaded = iso.load(tmp_path / "model.isoscan")
    one = loaded.transform(
        cohort.measures.iloc[[4]], sites=cohort.people.site, covariates=cohort.people
    )
    pd.testing.assert_frame_equal(one, after.iloc[[4]], check_exact=True)
    assert loaded.hash_ == model.hash_
    assert loaded.models_[1].prior is None
    assert loaded.site_effects_.equals(model.site_effects_)


def test_what_a_model_tells_of_itself_is_of_all_steps(cohort):
    model, _ = fit_transform(cohort, ["sex", "site"])
    assert model.site_effects_.groupby("step").size().to_dict() == {"sex": 20, "site": 30}
    assert model.sites_ == ["SITE01", "SITE02", "SITE03"]
    assert model.methods_text_[0].endswith("sex, then site.")
    _, of_sex, of_site = model.methods_text_
    assert "from 2 groups of sex were" in of_sex
    assert "regressed on sex." in of_sex
    assert "of each group's deviations" in of_sex
    assert "typical of the group" in of_sex
    assert "site" not in of_sex
    assert "from 3 sites were" in of_site
    assert model.get_feature_names_out().tolist() == list(cohort.measures.columns)


def test_columns_of_a_frame_of_sites_may_be_steps(cohort):
    sites = cohort.people[["site", "sex"]]
    model = iso.StepwiseComBat(["sex", "site"])
    after = model.fit_transform(cohort.measures, sites=sites)
    _, expected = fit_transform(cohort, ["sex", "site"])
    pd.testing.assert_frame_equal(after, expected, check_exact=True)


def test_single_precision_is_rounded_once_at_the_end(cohort):
    single = cohort.measures.astype(np.float32)
    model = iso.StepwiseComBat(["sex", "site"])
    after = model.fit_transform(single, sites=cohort.people.site, covariates=cohort.people)
    double = model.fit_transform(
        single.astype(float), sites=cohort.people.site, covariates=cohort.people
    )
    pd.testing.assert_frame_equal(after, double.astype(np.float32), check_exact=True)


@pytest.mark.parametrize(
    ("steps", "error", "sentence"),
    [
        ([], DataError, "steps is empty"),
        (["site", "site"], DataError, "a step occurs twice"),
        (["handedness"], MissingCovariateError, r"step 'handedness': .*'handedness'"),
        (["round(sex)"], DataError, r"step 'round\(sex\)': sex"),
        (["age", "site"], TooFewScansError, r"step 'age': sites .* 1 scan"),
    ],
)
def test_a_wrong_step_is_named(cohort, steps, error, sentence):
    people = cohort.people.assign(age=np.arange(150))
    with pytest.raises(error, match=sentence):
        iso.StepwiseComBat(steps).fit(cohort.measures, sites=people.site, covariates=people)


def test_sites_are_asked_for_where_a_step_needs_them(cohort):
    with pytest.raises(SiteLabelError, match="step 'site': this step needs sites"):
        iso.StepwiseComBat(["sex", "site"]).fit(cohort.measures, covariates=cohort.people)


def test_unknown_categories_are_refused_in_their_step(cohort):
    model, _ = fit_transform(cohort, ["sex", "site"])
    people = cohort.people.assign(sex="X")
    with pytest.raises(UnknownSiteError, match="step 'sex'"):
        model.transform(cohort.measures, sites=people.site, covariates=people)
