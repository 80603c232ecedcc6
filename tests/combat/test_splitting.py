"""Folds keep every site in training, and do not let the answer leak."""

import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import (
    GridSearchCV,
    LeaveOneGroupOut,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline

import isoscan as iso
from isoscan.errors import (
    DataError,
    SmallSiteWarning,
    TargetLeakError,
    TooFewScansError,
)
from isoscan.phantom import simulate_tables

PEOPLE_AT_SITES = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 30)), min_size=12, max_size=150
)


def folds_of(labels, subjects=None, **options):
    """Training and test scans of each fold, whatever was warned of."""
    splitter = iso.EverySiteKFold(**options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SmallSiteWarning)
        return list(splitter.split(np.zeros((len(labels), 1)), sites=labels, subjects=subjects))


@given(st.lists(st.integers(1, 25), min_size=2, max_size=8), st.integers(2, 6), st.integers(1, 3))
def test_every_site_is_in_every_training_fold(sizes, n_splits, at_least) -> None:
    labels = np.repeat([f"S{number}" for number in range(len(sizes))], sizes)
    try:
        folds = folds_of(labels, n_splits=n_splits, at_least=at_least, random_state=0)
    except TooFewScansError:  # fewer scans than folds may be tested
        assert sum(max(0, size - at_least) for size in sizes) < n_splits
        return
    tested = np.concatenate([test for _, test in folds])
    assert len(np.unique(tested)) == len(tested)
    for train, test in folds:
        np.testing.assert_array_equal(np.sort(np.r_[train, test]), np.arange(len(labels)))
        kept = pd.Series(labels[train]).value_counts()
        for number, size in enumerate(sizes):
            assert kept[f"S{number}"] >= min(size, at_least)
    for number, size in enumerate(sizes):
        if size >= at_least + 1 and n_splits > at_least:
            here = [int((labels[test] == f"S{number}").sum()) for _, test in folds]
            assert sum(here) == size
            assert max(here) - min(here) <= 1
    if n_splits > at_least:
        per_fold = [len(test) for _, test in folds]
        assert max(per_fold) - min(per_fold) <= 1


@given(PEOPLE_AT_SITES, st.integers(2, 4))
def test_scans_of_a_person_stay_together_at_all_sites(visits, n_splits) -> None:
    sites, subjects = (np.array(labels).astype(str) for labels in zip(*visits, strict=True))
    try:
        folds = folds_of(sites, subjects, n_splits=n_splits, random_state=0)
    except TooFewScansError:
        return
    sizes = pd.Series(sites).value_counts()
    for train, test in folds:
        assert not set(subjects[train]) & set(subjects[test])
        kept = pd.Series(sites[train]).value_counts()
        assert all(kept[site] >= min(size, 2) for site, size in sizes.items())
    tested = np.concatenate([test for _, test in folds])
    assert len(np.unique(tested)) == len(tested)


def test_people_with_several_scans_are_spread_evenly() -> None:
    random = np.random.default_rng(0)
    sites = np.repeat(["A", "B", "C"], [90, 60, 45])
    subjects = np.char.add(sites, (random.integers(0, 20, len(sites))).astype(str))
    folds = folds_of(sites, subjects, random_state=0)
    share = pd.DataFrame([pd.Series(sites[test]).value_counts() for _, test in folds])
    assert ((share / share.mean() - 1).abs() < 0.2).all(axis=None)


def test_the_same_seed_gives_the_same_folds() -> None:
    labels = np.repeat(["A", "B"], 20)

    def tests(**options):
        return [test.tolist() for _, test in folds_of(labels, n_splits=4, **options)]

    assert tests(random_state=3) == tests(random_state=3)
    assert tests(random_state=3) != tests(random_state=4)
    assert tests(random_state=np.random.default_rng(3)) == tests(random_state=3)
    assert tests(shuffle=False)[0] == [0, 4, 8, 12, 16, 20, 24, 28, 32, 36]


def test_sites_too_small_to_be_tested_are_named() -> None:
    labels = ["A"] * 10 + ["B"] * 2 + ["C"]
    with pytest.warns(SmallSiteWarning, match=r"3 scans of 'B' \(2\), 'C' \(1\) are trained on"):
        folds = list(iso.EverySiteKFold(3).split(labels, groups=labels))
    assert all({10, 11, 12} <= set(train) for train, _ in folds)


def test_a_site_with_one_subject_is_named() -> None:
    sites = ["A"] * 10 + ["B"] * 4
    subjects = [f"a{number}" for number in range(10)] + ["b"] * 4
    with pytest.warns(SmallSiteWarning, match="All scans of 'B' are of one subject"):
        folds = list(iso.EverySiteKFold(3).split(sites, sites=sites, subjects=subjects))
    assert all({10, 11, 12, 13} <= set(train) for train, _ in folds)


def test_a_traveller_who_is_needed_at_a_small_site_is_not_tested_elsewhere() -> None:
    sites = ["A"] * 9 + ["B"] * 2
    subjects = [*"abcdefghi", *"ab"]
    with pytest.warns(SmallSiteWarning, match=r"4 scans of 'A' \(2\), 'B' \(2\)"):
        folds = list(iso.EverySiteKFold(3).split(sites, sites=sites, subjects=subjects))
    assert all({0, 1, 9, 10} <= set(train) for train, _ in folds)


def test_too_few_scans_for_the_folds_are_refused() -> None:
    labels = ["A"] * 3 + ["B"] * 2
    with pytest.raises(TooFewScansError, match="only 3 of 5 folds have anything to test"):
        iso.EverySiteKFold(5).split(labels, groups=labels)


def test_labels_are_matched_by_index() -> None:
    cohort = simulate_tables(2, (20, 12), random_state=0)
    X, people = cohort.measures, cohort.people
    splitter = iso.EverySiteKFold(4, random_state=0)
    straight = list(splitter.split(X, sites=people.site))
    turned = list(splitter.split(X, sites=people.site[::-1]))
    assert all(
        np.array_equal(one[1], other[1]) for one, other in zip(straight, turned, strict=True)
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "sites are needed"),
        ({"sites": ["A", "B"]}, "sites has 2 rows, X has 4"),
        ({"sites": ["A", "A", "B", None]}, "site is missing for 1 scan"),
        ({"sites": list("AABB"), "groups": list("wxyz")}, "To keep the scans of a person"),
        ({"sites": list("AABB"), "subjects": ["x", "y", "z", None]}, "subject is missing"),
    ],
)
def test_what_does_not_fit_is_refused(given, message) -> None:
    with pytest.raises(DataError, match=message):
        iso.EverySiteKFold(2).split(np.zeros((4, 1)), **given)


@pytest.mark.parametrize("options", [{"n_splits": 1}, {"n_splits": 2.5}, {"at_least": 0}])
def test_impossible_options_are_refused(options) -> None:
    with pytest.raises(DataError, match="must be a whole number from"):
        iso.EverySiteKFold(**options)


def test_groups_that_are_people_are_refused() -> None:
    people = [f"sub-{number}" for number in range(20)]
    with pytest.raises(TooFewScansError, match="merge small sites"):
        iso.EverySiteKFold(2).split(people, groups=people)


@pytest.fixture(scope="module")
def cohort():
    return simulate_tables(8, (40, 30, 25), random_state=0)


@pytest.fixture
def routed():
    """A pipeline in which scikit-learn hands sites and covariates to ComBat."""
    with sklearn.config_context(enable_metadata_routing=True):
        yield make_pipeline(route(iso.ComBat("C(sex)")), Ridge())


def route(model):
    return model.set_fit_request(sites=True, covariates=True).set_transform_request(
        sites=True, covariates=True
    )


def test_cross_validate_hands_sites_to_folds_and_model_alike(cohort, routed) -> None:
    people = cohort.people
    for more in ({}, {"groups": people.site}, {"subjects": people.index.to_series()}):
        scores = cross_validate(
            routed,
            cohort.measures,
            people.age,
            params={"sites": people.site, "covariates": people, **more},
            cv=iso.EverySiteKFold(4, random_state=0),
            error_score="raise",
        )
        assert len(scores["test_score"]) == 4
        assert np.isfinite(scores["test_score"]).all()


def test_grid_search_inside_cross_validation(cohort, routed) -> None:
    people = cohort.people
    search = GridSearchCV(
        routed,
        {"ridge__alpha": [1.0, 100.0]},
        cv=iso.EverySiteKFold(3, random_state=0),
        error_score="raise",
    )
    known = {"sites": people.site, "covariates": people}
    search.fit(cohort.measures, people.age, **known)
    assert search.n_splits_ == 3
    scores = cross_validate(
        search,
        cohort.measures,
        people.age,
        params=known,
        cv=iso.EverySiteKFold(3, random_state=1),
        error_score="raise",
    )
    assert np.isfinite(scores["test_score"]).all()


def test_without_routing_groups_are_the_sites(cohort) -> None:
    scores = cross_val_score(
        Ridge(), cohort.measures, cohort.people.age, groups=cohort.people.site,
        cv=iso.EverySiteKFold(3, random_state=0),
    )  # fmt: skip
    assert len(scores) == 3


@pytest.mark.filterwarnings("ignore::isoscan.errors.UnknownSiteWarning")
def test_leave_one_site_out_estimates_the_site_from_its_own_scans(cohort, routed) -> None:
    people = cohort.people
    routed.set_params(combat__unknown_sites="estimate")
    scores = cross_validate(
        routed,
        cohort.measures,
        people.age,
        params={"groups": people.site, "sites": people.site, "covariates": people},
        cv=LeaveOneGroupOut(),
        error_score="raise",
    )
    assert len(scores["test_score"]) == 3


def noise_of_scanners():
    """Measures that know the scanner and nothing else; the oldest people sit at the last site."""
    random = np.random.default_rng(5)
    site = np.repeat(np.arange(5), 40)
    index = pd.Index([f"sub-{number}" for number in range(len(site))])
    shift = random.normal(size=(5, 60))
    X = pd.DataFrame(shift[site] + random.normal(size=(len(site), 60)), index=index)
    age = 30 + 8 * site + random.normal(0, 8, len(site))
    return X, pd.DataFrame({"site": site.astype(str), "age": age}, index=index)


def score(model, X, people, **known) -> float:
    model = make_pipeline(*model, RidgeCV(np.logspace(0, 4, 9)))
    cv = iso.EverySiteKFold(5, random_state=0)
    known = {"sites": people.site, **known}
    return float(cross_val_score(model, X, people.age, params=known, cv=cv).mean())


@pytest.mark.usefixtures("routed")
def test_harmonizing_before_splitting_leaks_a_preserved_target() -> None:
    X, people = noise_of_scanners()
    known = {"sites": people.site, "covariates": people}
    before = iso.ComBat("age").fit_transform(X, **known)
    assert score([], before, people) > 0.3  # there is nothing to find
    combat = iso.ComBat().set_fit_request(sites=True).set_transform_request(sites=True)
    assert score([combat], X, people) < 0.02
    with pytest.raises(TargetLeakError, match="'age' is in the model"):
        make_pipeline(route(iso.ComBat("age")), Ridge()).fit(X, people.age, **known)


@pytest.mark.usefixtures("routed")
def test_scanners_betray_age_where_nothing_is_harmonized() -> None:
    X, people = noise_of_scanners()
    assert score([], X, people) > 0.3
