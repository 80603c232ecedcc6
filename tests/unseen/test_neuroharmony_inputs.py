"""What Neuroharmony refuses, and what it warns of."""

import numpy as np
import pandas as pd
import pytest
from simulated_scanners import simulate_scanners
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import NotFittedError

from isoscan.errors import (
    ColumnChoiceWarning,
    ConstantFeatureWarning,
    DataError,
    DuplicateIdsError,
    FeatureMismatchError,
    MissingColumnError,
    MissingCovariateError,
    MissingValuesError,
    MissingValuesWarning,
    SmallSiteWarning,
    TooFewScansError,
    UnmatchedRowsError,
    UnseenLevelError,
)
from isoscan.unseen import Neuroharmony
from isoscan.unseen.metrics import METRICS, metric_values

pytestmark = pytest.mark.filterwarnings("ignore::isoscan.errors.ExtrapolationWarning")


@pytest.fixture
def cohort():
    return simulate_scanners(3, 12, 3, seed=2)


def fit(volumes, quality, sites, people, **options):
    model = Neuroharmony(
        ["site"], **{"components": 3, "estimator": RandomForestRegressor(3), **options}
    )
    return model.fit(volumes, quality=quality, sites=sites, covariates=people)


def test_the_metrics_are_68():
    assert len(METRICS) == len(set(METRICS)) == 68


def test_fewer_metrics_are_named_once_and_not_needed_later(cohort):
    volumes, quality, sites, people = cohort
    some = quality.drop(columns=["fwhm_x", "qi_2"])
    with pytest.warns(ColumnChoiceWarning, match="66 of the 68 .* 'fwhm_x', 'qi_2'"):
        model = fit(volumes, some, sites, people)
    after = model.transform(volumes, quality=quality, covariates=people)
    expected = model.transform(volumes, quality=some, covariates=people)
    pd.testing.assert_frame_equal(after, expected, check_exact=True)


def test_metrics_asked_for_must_be_there(cohort):
    volumes, quality, sites, people = cohort
    with pytest.raises(MissingColumnError, match="lacks 1 metric: 'aor'"):
        fit(volumes, quality, sites, people, metrics=["cnr", "aor"])
    with pytest.raises(MissingColumnError, match="lacks 68 metrics"):
        fit(volumes, people[["age"]], sites, people)
    model = fit(volumes, quality, sites, people, metrics=["cnr", "efc"])
    with pytest.raises(MissingColumnError, match=r"learned from: 'efc'\. Compute them"):
        model.transform(volumes, quality=quality.drop(columns="efc"), covariates=people)


def test_constant_metrics_are_left_out_with_a_notice(cohort):
    volumes, quality, sites, people = cohort
    with pytest.warns(ConstantFeatureWarning, match="1 metric of 68 .* 'qi_1'"):
        model = fit(volumes, quality.assign(qi_1=0.0), sites, people)
    assert "qi_1" not in model.importances_.columns


def test_metrics_of_another_definition_are_refused(cohort):
    volumes, quality, sites, people = cohort
    quality.attrs["definition"] = "mriqc-24"
    model = fit(volumes, quality, sites, people)
    other = quality.copy()
    other.attrs["definition"] = "mriqc-0.15"
    with pytest.raises(FeatureMismatchError, match=r"'mriqc-0\.15', the model learned from"):
        model.transform(volumes, quality=other, covariates=people)
    other.attrs.clear()
    model.transform(volumes, quality=other, covariates=people)


def test_numbers_that_stand_for_a_failure_are_refused_or_skipped(cohort):
    volumes, quality, sites, people = cohort
    model = fit(volumes, quality, sites, people)
    quality.loc["sub-001", "snrd_wm"] = -1.0
    quality.loc["sub-002", "summary_bg_k"] = np.nan
    sentence = r"in 2 of 36 scans: 'sub-001' \('snrd_wm'\), 'sub-002' \('summary_bg_k'\)"
    with pytest.raises(MissingValuesError, match=sentence):
        fit(volumes, quality, sites, people)
    with pytest.raises(MissingValuesError, match=sentence):
        model.transform(volumes, quality=quality, covariates=people)
    with pytest.warns(MissingValuesWarning, match="left out of training"):
        skipping = fit(volumes, quality, sites, people, unusable="skip")
    assert len(skipping.corrections_) == 34
    with pytest.warns(MissingValuesWarning, match="corrections are missing"):
        after = skipping.transform(volumes, quality=quality, covariates=people)
    assert after.index[after.isna().all(axis=1)].tolist() == ["sub-001", "sub-002"]
    assert after.notna().all(axis=1).sum() == 34


def test_failure_codes_are_those_of_their_metric_only():
    table = pd.DataFrame({"cnr": [-1.0, 0.0], "fber": [-1.0, 0.0], "qi_1": [-1.0, 0.0]})
    values = metric_values(table, ["cnr", "fber", "qi_1"])
    assert values.isna().sum().to_dict() == {"cnr": 0, "fber": 2, "qi_1": 1}


def test_unknown_sex_is_refused_with_the_known_codes(cohort):
    volumes, quality, sites, people = cohort
    model = fit(volumes, quality, sites, people)
    with pytest.raises(UnseenLevelError, match="Known levels: 'F', 'M'"):
        model.transform(volumes, quality=quality, covariates=people.assign(sex="male"))
    with pytest.raises(UnseenLevelError, match="'sex' is '2'"):
        coded = fit(volumes, quality, sites, people.assign(sex=(people.sex == "M") * 1))
        coded.transform(volumes, quality=quality, covariates=people.assign(sex=2))


def test_covariates_must_be_there_and_complete(cohort):
    volumes, quality, sites, people = cohort
    with pytest.raises(MissingCovariateError, match="'age'"):
        fit(volumes, quality, sites, people[["sex"]])
    with pytest.raises(MissingValuesError, match="'age' is missing for 1"):
        fit(volumes, quality, sites, people.assign(age=people.age.where(people.index != "sub-004")))
    alone = fit(volumes, quality, sites, None, predictors=())
    alone.transform(volumes, quality=quality)


def test_rows_are_matched_by_scan_or_by_participant(cohort):
    volumes, quality, sites, people = cohort
    expected = fit(volumes, quality, sites, people)
    images = quality.assign(participant_id=quality.index).set_axis(quality.index + "_T1w")[::-1]
    model = fit(volumes, images, sites[::-1], people[::-1])
    assert model.hash_ == expected.hash_
    with pytest.raises(DuplicateIdsError, match="several images of 1 participant: 'sub-035'"):
        fit(volumes, pd.concat([images, images[:1].set_axis(["again"])]), sites, people)
    with pytest.raises(UnmatchedRowsError, match="1 of 36 scans have no image quality metrics"):
        fit(volumes, quality[1:], sites, people)


def test_volumes_need_ids_and_no_gaps(cohort):
    volumes, quality, sites, people = cohort
    with pytest.raises(DataError, match="DataFrame indexed by scan"):
        fit(volumes.to_numpy(), quality, sites, people)
    with pytest.raises(DataError, match="DataFrame of image quality metrics"):
        fit(volumes, quality.to_numpy(), sites, people)
    with pytest.raises(DuplicateIdsError):
        fit(volumes.set_axis(["a"] * 36), quality, sites, people)
    volumes.iloc[3, 1] = np.inf
    with pytest.raises(MissingValuesError, match=r"1 scan \('sub-003'\) in 1 feature \('roi1'\)"):
        fit(volumes, quality, sites, people)


def test_features_and_units_are_those_of_training(cohort):
    volumes, quality, sites, people = cohort
    model = fit(volumes, quality, sites, people)
    with pytest.raises(FeatureMismatchError, match="1 absent: 'roi2'"):
        model.transform(volumes[["roi0", "roi1"]], quality=quality, covariates=people)
    mixed = volumes.copy()
    mixed.iloc[5] *= 1.4e6
    with pytest.raises(DataError, match=r"1 of 36 scans \('sub-005'\) .*e\+06 times those"):
        model.transform(mixed, quality=quality, covariates=people)
    centred = volumes - volumes.mean()
    fit(centred, quality, sites, people).transform(
        centred * 100, quality=quality, covariates=people
    )


def test_the_only_person_of_an_age_is_refused_or_shifted_only(cohort):
    volumes, quality, sites, people = cohort
    people.loc["sub-007", "age"] = 50.0
    steps = ["round(age)", "site"]
    model = Neuroharmony(steps, components=3, estimator=RandomForestRegressor(3))
    with (
        pytest.warns(SmallSiteWarning, match=r"step 'round\(age\)': 3 sites with fewer"),
        pytest.raises(TooFewScansError, match=r"step 'round\(age\)': site '50' has 1 scan"),
    ):
        model.fit(volumes, quality=quality, sites=sites, covariates=people)
    model.set_params(small_groups="mean-only")
    with (
        pytest.warns(SmallSiteWarning, match="fewer than 10"),
        pytest.warns(SmallSiteWarning, match="corrected in shift only"),
    ):
        model.fit(volumes, quality=quality, sites=sites, covariates=people)
    with pytest.raises(DataError, match="small_groups must be"):
        model.set_params(small_groups="drop").fit(
            volumes, quality=quality, sites=sites, covariates=people
        )


@pytest.mark.parametrize("steps", [[], ["site", "site"]])
def test_steps_must_be_different_variables(cohort, steps):
    volumes, quality, sites, people = cohort
    with pytest.raises(DataError, match=r"steps is empty|a step occurs twice"):
        Neuroharmony(steps).fit(volumes, quality=quality, sites=sites, covariates=people)


def test_a_model_must_be_fitted_first(cohort):
    volumes, quality, _, people = cohort
    with pytest.raises(NotFittedError):
        Neuroharmony().transform(volumes, quality=quality, covariates=people)
    with pytest.raises(NotFittedError):
        Neuroharmony().save("model.isoscan")
