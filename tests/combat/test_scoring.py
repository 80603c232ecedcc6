"""Scorers of scikit-learn work on pipelines that need sites to predict."""

import numpy as np
import pytest
import sklearn
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import mean_absolute_error, roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline

import isoscan as iso
from isoscan.phantom import simulate_tables

FOLDS = iso.EverySiteKFold(3, random_state=0)


@pytest.fixture(autouse=True)
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.fixture(scope="module")
def cohort():
    return simulate_tables(8, (40, 30, 25), random_state=0)


def pipeline(last, preserve=None):
    covariates = preserve is not None or None
    combat = iso.ComBat(preserve).set_fit_request(sites=True, covariates=covariates)
    return make_pipeline(combat.set_transform_request(sites=True, covariates=covariates), last)


def by_hand(model, cohort, target, respond, metric):
    X, known = cohort.measures, {"sites": cohort.people.site}
    if model[0].preserve:
        known["covariates"] = cohort.people
    scores = []
    for train, test in FOLDS.split(X, sites=cohort.people.site):
        model.fit(X.iloc[train], target.iloc[train], **known)
        scores.append(metric(target.iloc[test], respond(model, X.iloc[test], known)))
    return scores


@pytest.mark.parametrize("preserve", [None, "C(sex)"])
def test_error_of_age_is_that_computed_by_hand(cohort, preserve) -> None:
    people, model = cohort.people, pipeline(Ridge(), preserve)
    known = {"sites": people.site} | ({"covariates": people} if preserve else {})
    found = cross_validate(
        model,
        cohort.measures,
        people.age,
        params=known,
        cv=FOLDS,
        scoring={"error": iso.SiteScorer("neg_mean_absolute_error"), "R²": iso.SiteScorer("r2")},
        error_score="raise",
    )
    expected = by_hand(
        model, cohort, people.age, lambda m, X, k: m.predict(X, **k), mean_absolute_error
    )
    np.testing.assert_allclose(-found["test_error"], expected)
    assert np.isfinite(found["test_R²"]).all()


def test_probabilities_of_a_diagnosis_are_scored(cohort) -> None:
    diagnosis, model = cohort.people.diagnosis, pipeline(LogisticRegression())
    found = cross_validate(
        model,
        cohort.measures,
        diagnosis,
        params={"sites": cohort.people.site},
        cv=FOLDS,
        scoring=iso.SiteScorer("roc_auc"),
        error_score="raise",
    )
    expected = by_hand(
        model, cohort, diagnosis, lambda m, X, k: m.predict_proba(X, **k)[:, 1], roc_auc_score
    )
    np.testing.assert_allclose(found["test_score"], expected)


def test_a_search_inside_cross_validation_is_scored(cohort) -> None:
    error = iso.SiteScorer("neg_mean_absolute_error")
    search = GridSearchCV(
        pipeline(Ridge()), {"ridge__alpha": [1.0, 100.0]}, cv=FOLDS, scoring=error
    )
    found = cross_validate(
        search,
        cohort.measures,
        cohort.people.age,
        params={"sites": cohort.people.site},
        cv=FOLDS,
        scoring=error,
        error_score="raise",
    )
    assert (found["test_score"] < 0).all()


def test_a_model_that_needs_no_sites_is_scored_as_usual(cohort) -> None:
    X, people = cohort.measures, cohort.people
    model = Ridge().fit(X, people.age)
    score = iso.SiteScorer("r2")(model, X, people.age, sites=people.site)
    assert score == pytest.approx(model.score(X, people.age))
