"""ComBat keeps scikit-learn's contract and matches frames by name."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import isoscan as iso
from isoscan.errors import (
    TargetLeakError,
    TooFewScansError,
    UnknownSiteError,
    UnmatchedRowsError,
)
from isoscan.phantom import simulate_tables

pytestmark = pytest.mark.filterwarnings("ignore::isoscan.errors.ExtrapolationWarning")


class OneSiteComBat(iso.ComBat):
    """A ComBat that can be called without sites, as scikit-learn's checks do."""

    def __init__(self, *, single_site="pass"):
        super().__init__(single_site=single_site)

    def fit(self, X, y=None, *, sites=None, covariates=None):
        return super().fit(X, sites=_one_site(X, sites))

    def transform(self, X, *, sites=None, covariates=None):
        return super().transform(X, sites=_one_site(X, sites))

    def fit_transform(self, X, y=None, *, sites=None, covariates=None):
        return self.fit(X).transform(X)


def _one_site(X, sites):
    if sites is not None:
        return sites
    return ["A"] * (X.shape[0] if hasattr(X, "shape") else len(np.asarray(X)))


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [OneSiteComBat()],
    expected_failed_checks=lambda _: {
        "check_dataframe_column_names_consistency": "columns in another order are put right"
    },
)
def test_scikit_learn_contract(estimator, check) -> None:
    check(estimator)


@pytest.fixture
def cohort():
    return simulate_tables(8, (40, 30, 20), random_state=0)


@pytest.fixture
def routed():
    with sklearn.config_context(enable_metadata_routing=True):
        yield (
            iso.ComBat("C(sex)")
            .set_fit_request(sites=True, covariates=True)
            .set_transform_request(sites=True, covariates=True)
        )


def test_pipeline_routes_sites_through_cross_validation(cohort, routed) -> None:
    pipeline = make_pipeline(routed, StandardScaler(), Ridge())
    scores = cross_validate(
        pipeline,
        cohort.measures,
        cohort.people.age,
        params={"sites": cohort.people.site, "covariates": cohort.people},
        cv=KFold(4, shuffle=True, random_state=0),
        error_score="raise",
    )
    assert np.isfinite(scores["test_score"]).all()


def test_grid_search_over_options(cohort, routed) -> None:
    search = GridSearchCV(
        make_pipeline(routed, Ridge()),
        {"combat__prior": ["parametric", None]},
        cv=KFold(3, shuffle=True, random_state=0),
        error_score="raise",
    )
    search.fit(
        cohort.measures,
        cohort.people.age,
        sites=cohort.people.site,
        covariates=cohort.people,
    )
    assert set(search.best_params_) == {"combat__prior"}


def test_folds_that_leave_a_site_out_are_explained(cohort, routed) -> None:
    with pytest.raises(UnknownSiteError, match=r"In cross-validation, keep every site in training"):
        cross_validate(
            make_pipeline(routed, Ridge()),
            cohort.measures,
            cohort.people.age,
            params={"sites": cohort.people.site, "covariates": cohort.people},
            cv=KFold(3),
            error_score="raise",
        )


def test_preserving_what_is_predicted_is_refused(cohort) -> None:
    with pytest.raises(TargetLeakError, match="'age' is in the model and is also the target y"):
        iso.ComBat("age + C(sex)").fit(
            cohort.measures,
            cohort.people.age,
            sites=cohort.people.site,
            covariates=cohort.people,
        )


@pytest.mark.filterwarnings("ignore::isoscan.errors.SmallSiteWarning")
def test_site_effects_may_be_learned_from_some_scans_and_removed_from_all(cohort) -> None:
    X, people = cohort.measures, cohort.people
    women = people.sex == "F"
    model = iso.ComBat("age", fit_on="sex == 'F'")
    harmonized = model.fit_transform(X, sites=people.site, covariates=people)
    alone = iso.ComBat("age").fit(X[women], sites=people.site[women], covariates=people[women])
    expected = alone.transform(X, sites=people.site, covariates=people)
    pd.testing.assert_frame_equal(harmonized, expected)
    assert sum(model.scans_per_site_.values()) == women.sum()


@pytest.mark.filterwarnings("ignore::isoscan.errors.SmallSiteWarning")
def test_a_site_without_scans_to_learn_from_is_named(cohort) -> None:
    people = cohort.people.assign(sex=cohort.people.sex.where(cohort.people.site != "SITE02", "M"))
    with pytest.raises(TooFewScansError, match=r"no scan of 'SITE02' fulfils fit_on"):
        iso.ComBat(fit_on="sex == 'F'").fit(cohort.measures, sites=people.site, covariates=people)


def test_frames_are_matched_by_index_not_by_order(cohort) -> None:
    model = iso.ComBat("age + sex")
    plain = model.fit_transform(cohort.measures, sites=cohort.people.site, covariates=cohort.people)
    shuffled = cohort.people.sample(frac=1, random_state=1)
    mine = clone(model).fit_transform(
        cohort.measures, sites=shuffled.site, covariates=shuffled.iloc[::-1]
    )
    pd.testing.assert_frame_equal(mine, plain, check_exact=True)


def test_scans_without_covariates_are_named(cohort) -> None:
    with pytest.raises(UnmatchedRowsError, match=r"1 of 90 scans have no covariates: 'sub-0002'"):
        iso.ComBat("age").fit(
            cohort.measures,
            sites=cohort.people.site,
            covariates=cohort.people.drop("sub-0002"),
        )


def test_people_may_be_more_than_scans(cohort) -> None:
    scans = cohort.measures.iloc[::2]
    model = iso.ComBat("age").fit(scans, sites=cohort.people.site, covariates=cohort.people)
    assert sum(model.scans_per_site_.values()) == len(scans)


def test_arrays_are_matched_by_position(cohort) -> None:
    frame = iso.ComBat("age").fit_transform(
        cohort.measures, sites=cohort.people.site, covariates=cohort.people
    )
    array = iso.ComBat("age").fit_transform(
        cohort.measures.to_numpy(),
        sites=cohort.people.site.tolist(),
        covariates=cohort.people.reset_index(drop=True),
    )
    np.testing.assert_array_equal(array, frame.to_numpy())


def test_set_output_and_feature_names(cohort) -> None:
    model = iso.ComBat().set_output(transform="pandas")
    model.fit(cohort.measures, sites=cohort.people.site)
    mine = model.transform(cohort.measures, sites=cohort.people.site)
    assert list(mine.columns) == list(model.get_feature_names_out())
    assert mine.index.equals(cohort.measures.index)


def test_unknown_sites_can_be_estimated_or_left_alone(cohort) -> None:
    is_new = cohort.people.site == "SITE03"
    known, new = cohort.measures[~is_new], cohort.measures[is_new]
    for policy in ("estimate", "skip"):
        model = iso.ComBat(unknown_sites=policy).fit(known, sites=cohort.people.site[~is_new])
        with pytest.warns(iso.errors.UnknownSiteWarning, match=r"20 of 90 .*'SITE03' \(20\)"):
            mine = model.transform(cohort.measures, sites=cohort.people.site)
        assert mine.loc[new.index].equals(new) == (policy == "skip")
        pd.testing.assert_frame_equal(
            mine.loc[known.index],
            model.transform(known, sites=cohort.people.site[~is_new]),
            check_exact=True,
        )


def test_site_effects_are_tidy(cohort) -> None:
    effects = iso.ComBat().fit(cohort.measures, sites=cohort.people.site).site_effects_
    assert effects.columns.tolist() == (
        "site feature shift scale raw_shift raw_scale shift_se scale_se n".split()
    )
    assert len(effects) == 3 * 8
    assert effects.groupby("site")["n"].first().to_dict() == {
        "SITE01": 40,
        "SITE02": 30,
        "SITE03": 20,
    }
    assert (effects[["shift_se", "scale_se"]] > 0).all(axis=None)


def test_a_smooth_curve_of_what_is_predicted_is_refused_too(cohort) -> None:
    with pytest.raises(TargetLeakError, match="'age' is in the model and is also the target y"):
        iso.ComBat(smooth=["age"]).fit(
            cohort.measures,
            cohort.people.age,
            sites=cohort.people.site,
            covariates=cohort.people,
        )
