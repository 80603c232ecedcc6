"""ComBat with curves: nonlinear age survives, sites do not."""

import numpy as np
import pandas as pd
import pytest
from known_truth import shared_folder

import isoscan as iso
from isoscan.errors import (
    DataError,
    ExtrapolationError,
    ExtrapolationWarning,
    SmoothTermError,
)


def bent_cohort(n_per_site=80, n_features=12, seed=0):
    """Two sites of different ages; measures follow a curve of age, and site adds to it."""
    rng = np.random.default_rng(seed)
    age = np.concatenate([rng.uniform(8, 30, n_per_site), rng.uniform(20, 85, n_per_site)])
    people = pd.DataFrame(
        {
            "age": age,
            "sex": rng.choice(["F", "M"], 2 * n_per_site),
            "site": np.repeat(["A", "B"], n_per_site),
        },
        index=[f"sub-{number:03d}" for number in range(2 * n_per_site)],
    )
    truth = np.sin((age - 10) / 14)[:, None] * rng.uniform(1, 2, n_features)
    shift = np.where((people.site == "B").to_numpy()[:, None], rng.normal(1, 0.5, n_features), 0)
    noise = rng.normal(0, 0.5, truth.shape)
    names = [f"r{number}" for number in range(n_features)]
    measures = pd.DataFrame(truth + noise + shift, people.index, names)
    return people, measures, pd.DataFrame(truth + noise, people.index, names), truth


def fit(people, measures, **options):
    return iso.ComBat(**options).fit(measures, sites=people.site, covariates=people)


def test_a_curve_of_age_survives_where_a_straight_line_fails():
    people, measures, clean, _ = bent_cohort()

    def gap(**options):
        model = fit(people, measures, **options)
        after = model.transform(measures, sites=people.site, covariates=people)
        by_site = (after - clean).groupby(people.site).mean()
        return float((by_site.loc["B"] - by_site.loc["A"]).abs().mean())

    assert 3 * gap(smooth=["age"]) < gap(preserve="age")


def test_the_true_curve_lies_within_the_band():
    people, measures, _, _ = bent_cohort(n_per_site=150, n_features=40, seed=3)
    model = fit(people, measures, smooth=["age"])
    grid = np.linspace(15, 75, 13)
    inside = []
    for name, size in zip(measures, _sizes(150, 40, 3), strict=True):
        curve = model.curve("age", name, at=grid)
        true = np.sin((grid - 10) / 14) * size
        true = true - (np.sin((people.age - 10) / 14) * size).mean()
        inside.append(((curve.low < true) & (true < curve.high)).mean())
    assert 0.88 < np.mean(inside) <= 1.0


def _sizes(n_per_site, n_features, seed):
    *_, truth = bent_cohort(n_per_site, n_features, seed)
    people = bent_cohort(n_per_site, n_features, seed)[0]
    return truth[0] / np.sin((people.age.iloc[0] - 10) / 14)


@pytest.mark.parametrize(
    ("case", "terms", "tolerance"), [("one", ["age"], 1e-6), ("two", ["age", "icv"], 2e-5)]
)
def test_expected_values_are_those_of_mgcv(case, terms, tolerance):
    folder = shared_folder("golden/smooth") / case
    measures, people, fitted = (
        pd.read_csv(folder / name, index_col=0)
        for name in ("X.csv.gz", "covariates.csv", "fitted.csv.gz")
    )
    model = fit(people, measures, preserve="C(sex)", smooth=terms).model_
    whole = fit(people, measures, preserve="C(sex)", smooth=terms)
    sites = pd.Index(whole.sites_).get_indexer(people.site)
    level = model.intercept + model.effects.raw_shift[sites] * model.sd
    mine = level + whole._matrix(people, len(people)) @ model.slopes
    distance = np.abs(mine - fitted[measures.columns].to_numpy()) / model.sd
    assert distance.max() < tolerance
    edf = pd.read_csv(folder / "terms.csv").pivot(index="term", columns="feature", values="edf")
    labels = [spline.label for spline in whole.smooth_design_.splines]
    np.testing.assert_allclose(model.curves.edf, edf.loc[labels, measures.columns], atol=2e-3)


@pytest.mark.parametrize("terms", [["age"], ["age:sex"]])
def test_loaded_model_gives_identical_numbers(terms, tmp_path):
    people, measures, _, _ = bent_cohort()
    model = fit(people, measures, preserve="C(sex)", smooth=terms)
    model.save(tmp_path / "model.isoscan")
    loaded = iso.load(tmp_path / "model.isoscan")
    some = measures.sample(20, random_state=0)
    first, second = (
        one.transform(some, sites=people.site, covariates=people) for one in (model, loaded)
    )
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    pd.testing.assert_frame_equal(model.curve("age", "r3"), loaded.curve("age", "r3"))
    alone = model.transform(some.iloc[[4]], sites=people.site, covariates=people)
    pd.testing.assert_frame_equal(alone, first.iloc[[4]], check_exact=True)


def test_a_curve_per_level_finds_both_curves():
    people, measures, _, truth = bent_cohort(n_per_site=200, seed=1)
    women = (people.sex == "F").to_numpy()
    measures = measures - 2 * truth * women[:, None]  # the curve of women is upside down
    model = fit(people, measures, preserve="C(sex)", smooth=["age:sex"])
    curve = model.curve("age", "r0").set_index(["sex", "age"])["value"].unstack("sex")
    assert np.corrcoef(curve.F, -curve.M)[0, 1] > 0.98


def test_ages_beyond_the_bounds_are_named_and_held_at_the_bound():
    people, measures, _, _ = bent_cohort()
    model = fit(people, measures, smooth=["age"])
    old = people.assign(age=people.age.where(people.index != "sub-003", 200.0))
    with pytest.warns(ExtrapolationWarning, match=r"'age' of 1 scan lies beyond .*'sub-003'"):
        far = model.transform(measures, sites=people.site, covariates=old)
    edge = people.assign(age=people.age.where(people.index != "sub-003", people.age.max()))
    near = model.transform(measures, sites=people.site, covariates=edge)
    pd.testing.assert_frame_equal(far, near)


def test_ages_beyond_the_bounds_are_refused_if_asked():
    people, measures, _, _ = bent_cohort()
    options = {"smooth": ["age"], "smooth_bounds": (5, 70), "smooth_outside": "error"}
    with pytest.raises(ExtrapolationError, match=r"lies beyond the bounds of its curve, 5 to 70"):
        fit(people, measures, **options)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"smooth": ["male"]}, "'male' takes 2 distinct values"),
        ({"smooth": ["age"], "preserve": "age"}, "'age' is in preserve and in smooth"),
        ({"smooth": ["age:sex"]}, r"add C\(sex\) to preserve"),
        ({"smooth": ["age"], "smooth_bounds": {"icv": (1, 2)}}, "names 'icv'"),
        ({"smooth": ["age"], "smooth_bounds": (70, 20)}, "the lower one first"),
        ({"smooth": ["weight"]}, "'weight'"),
    ],
)
def test_impossible_curves_are_refused_by_name(options, sentence):
    people, measures, _, _ = bent_cohort()
    people["male"] = (people.sex == "M").astype(int)
    with pytest.raises(DataError, match=sentence):
        fit(people, measures, **options)


def test_a_curve_constant_within_sites_is_confounded():
    people, measures, _, _ = bent_cohort()
    people["field"] = np.where(people.site == "A", 1.5, 3.0)
    with pytest.raises((SmoothTermError, iso.errors.ConfoundedDesignError), match="field"):
        fit(people, measures, smooth=["field"])


def test_a_curve_that_is_not_there_is_named():
    people, measures, _, _ = bent_cohort()
    model = fit(people, measures, smooth=["age"])
    with pytest.raises(DataError, match=r"no curve of 'icv'. Curves: 's\(age\)'"):
        model.curve("icv", "r0")
    with pytest.raises(DataError, match="no feature 'r99'"):
        model.curve("age", "r99")


def test_sentinel_ages_leave_a_model_that_can_be_solved():
    people, measures, _, _ = bent_cohort()
    people.loc["sub-000", "age"] = 999.0
    model = fit(people, measures, smooth=["age"])
    after = model.transform(measures, sites=people.site, covariates=people)
    assert np.isfinite(after).all(axis=None)
