"""Neuroharmony corrects each scan on its own, by what it learned from other scanners."""

import numpy as np
import pandas as pd
import pytest
from known_truth import shared_folder
from simulated_scanners import simulate_scanners
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
from sklearn.model_selection import LeaveOneGroupOut, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import isoscan as iso
from isoscan import ComBat
from isoscan.errors import ExtrapolationWarning, TooFewSitesError, TooManyComponentsError
from isoscan.unseen import Neuroharmony
from isoscan.unseen.splits import cap_sites, merge_small_sites

pytestmark = [
    pytest.mark.filterwarnings("ignore::isoscan.errors.ExtrapolationWarning"),
    pytest.mark.filterwarnings("ignore:step '.*fewer than 10 scans"),
]
KEEPING = [("site", ComBat("age + C(sex)"))]


@pytest.fixture(scope="module")
def cohort():
    return simulate_scanners()


def fit(cohort, **options):
    volumes, quality, sites, people = cohort
    model = Neuroharmony(**{"components": 5, "estimator": RandomForestRegressor(10), **options})
    return model.fit(volumes, quality=quality, sites=sites, covariates=people)


@pytest.fixture(scope="module")
def fitted(cohort):
    return fit(cohort)


def test_a_scan_alone_has_the_bits_it_has_among_others(cohort, fitted):
    volumes, quality, _, people = cohort
    everyone = fitted.transform(volumes, quality=quality, covariates=people)
    for rows in ([7], [100, 3, 55], list(range(179, -1, -1))):
        some = fitted.transform(
            volumes.iloc[rows], quality=quality.iloc[rows[::-1]], covariates=people
        )
        pd.testing.assert_frame_equal(some, everyone.iloc[rows], check_exact=True)


def test_copies_of_a_scan_are_corrected_alike(cohort, fitted):
    volumes, quality, _, people = cohort
    copies = pd.Index(["one", "two"])
    given = [table.iloc[[5, 5]].set_axis(copies) for table in (volumes, quality, people)]
    twice = fitted.transform(given[0], quality=given[1], covariates=given[2])
    once = fitted.transform(volumes.iloc[[5]], quality=quality, covariates=people)
    assert (twice.to_numpy() == once.to_numpy()).all()


def test_no_scanner_label_is_needed_and_columns_are_matched_by_name(cohort, fitted):
    volumes, quality, _, people = cohort
    straight = fitted.transform(volumes, quality=quality, covariates=people)
    turned = fitted.transform(
        volumes.iloc[:, ::-1], quality=quality.iloc[:, ::-1], covariates=people[["sex", "age"]]
    )
    pd.testing.assert_frame_equal(turned, straight.iloc[:, ::-1], check_exact=True)


def test_corrections_are_those_of_stepwise_combat(cohort, fitted):
    volumes, _, sites, people = cohort
    stepwise = iso.StepwiseComBat(["sex", "round(age)", "site"])
    expected = stepwise.fit_transform(volumes, sites=sites, covariates=people)
    assert np.allclose(volumes + fitted.corrections_, expected, rtol=0, atol=1e-15)
    assert list(fitted.step_corrections_) == ["sex", "round(age)", "site"]


def test_steps_of_the_golden_table_go_through_the_whole_model():
    """Single people of an age are left out first, as the original software did."""
    folder = shared_folder("golden/unseen/neuroharmony")
    expected = pd.read_csv(folder / "combat_sex_age_scanner.csv", index_col=0)
    table = pd.read_csv(folder / "input.csv", index_col=0)
    people = table.rename(columns={"Gender": "sex", "Age": "age"})
    volumes = table.filter(like="roi")
    chosen = iso.unseen.select_sample(
        volumes, sites=table.scanner, covariates=people, age=None, outliers=None,
        alone=["sex", "round(age)", "site"], min_per_site=1,
    )  # fmt: skip
    quality = simulate_scanners(4, 18)[1].set_axis(table.index)
    model = Neuroharmony(components=3, estimator=RandomForestRegressor(3))
    model.fit(volumes.loc[chosen.kept], quality=quality, sites=table.scanner, covariates=people)
    after = (volumes + model.corrections_).loc[expected.index]
    gap = (after - expected[volumes.columns]).abs() / volumes.std()
    assert gap.max(axis=None) < 3e-6


def test_what_is_preserved_stays_in_the_target(cohort):
    volumes, _, _, people = cohort
    slopes = {}
    for name, steps in {"removed": ["sex", "round(age)", "site"], "preserved": KEEPING}.items():
        after = volumes + fit(cohort, steps=steps).corrections_
        slopes[name] = np.polyfit(people.age, after.mean(axis=1), 1)[0]
    truth = 1e-3 * 0.1 * 0.5
    assert slopes["preserved"] == pytest.approx(truth, rel=0.2)
    assert abs(slopes["removed"]) < 0.1 * truth


def test_shift_of_an_unseen_scanner_is_found_from_its_metrics():
    volumes, quality, sites, people = simulate_scanners(20, 30, 3, seed=3)
    new = (sites == "S7").to_numpy()
    model = fit((volumes[~new], quality, sites, people), steps=KEEPING)
    corrected = model.transform(volumes[new], quality=quality, covariates=people)
    target = volumes[~new].mean()
    before, after = ((table.mean() - target).abs() for table in (volumes[new], corrected))
    assert after.sum() < 0.7 * before.sum()


def test_components_are_those_of_scikit_learn(cohort, fitted):
    volumes, quality, _, people = cohort
    inputs = fitted.encoder_.encode(quality, people)
    both = np.column_stack([inputs, volumes.roi2])
    expected = make_pipeline(StandardScaler(), PCA(5, svd_solver="full")).fit_transform(both)
    mine = fitted.projection_.scores(inputs.to_numpy(), volumes.roi2.to_numpy(), 2)
    assert np.allclose(mine, expected, atol=1e-10)


def test_a_share_of_variance_is_kept_in_every_region_by_one_number(cohort):
    model = fit(cohort, components=0.9)
    assert (model.projection_.explained >= 0.9).all()
    fewer = fit(cohort, components=model.n_components_ - 1)
    assert (fewer.projection_.explained < 0.9).any()
    assert fit(cohort, components=None).n_components_ == 71
    with pytest.raises(TooManyComponentsError, match="1 to 71"):
        fit(cohort, components=72)
    with pytest.raises(iso.errors.DataError, match="share"):
        fit(cohort, components=1.5)


def test_importances_are_shares_of_the_inputs(fitted):
    assert fitted.importances_.shape == (4, 71)
    assert fitted.importances_.columns[-3:].tolist() == ["age", "sex[M]", "own volume"]
    assert np.allclose(fitted.importances_.sum(axis=1), 1)


def test_without_components_forests_are_those_of_scikit_learn(cohort):
    volumes, quality, _, people = cohort
    model = fit(cohort, components=None, random_state=4)
    inputs = model.encoder_.encode(quality, people).to_numpy()
    scores = model.projection_.scores(inputs, volumes.roi0.to_numpy(), 0)
    target = model.corrections_.roi0.to_numpy()
    seed = int(np.random.default_rng(4).integers(0, 2**31 - 1, 4)[0])
    forest = RandomForestRegressor(10, random_state=seed).fit(
        scores.astype(np.float32), target / target.std()
    )
    expected = target.std() * forest.predict(scores)
    assert np.allclose(model.forests_.predict(0, scores), expected, rtol=1e-12)


def test_threads_and_seeds(cohort, fitted):
    assert fit(cohort, n_jobs=2).hash_ == fit(cohort, n_jobs=2).hash_
    arrays = [model._to_parts()[1] for model in (fitted, fit(cohort, n_jobs=2))]
    assert all(np.array_equal(arrays[0][name], arrays[1][name]) for name in arrays[0])
    assert fit(cohort, random_state=1).hash_ != fitted.hash_


def test_search_leaves_one_scanner_out_and_refits_with_the_best(cohort):
    volumes, quality, _, people = cohort
    settings = {"max_depth": [1, 6], "min_samples_leaf": [1, 40]}
    model = fit(cohort, search=settings, n_jobs=2)
    table = model.search_[model.search_.feature == "roi1"].reset_index(drop=True)
    assert list(table.columns[:3]) == ["feature", "params", "score"]
    assert list(table.columns[3:]) == [f"S{k}" for k in range(6)]
    assert len(table) == 4
    seed = int(np.random.default_rng(0).integers(0, 2**31 - 1, 4)[1])
    inputs = np.column_stack([model.encoder_.encode(quality, people), volumes.roi1])
    target = model.corrections_.roi1.to_numpy() / model.corrections_.roi1.to_numpy().std()
    forest = RandomForestRegressor(10, random_state=seed, **table.params[2])
    expected = cross_val_score(
        make_pipeline(StandardScaler(), PCA(5, svd_solver="full"), forest),
        inputs, target, groups=cohort[2], cv=LeaveOneGroupOut(),
        scoring="neg_mean_absolute_error",
    )  # fmt: skip
    assert np.allclose(table.loc[2, "S0":"S5"].astype(float), expected)
    best = {name: frame.params[frame.score.idxmax()] for name, frame in
            model.search_.groupby("feature")}  # fmt: skip
    refit = fit(cohort, estimator=RandomForestRegressor(10, **best["roi1"]))
    trees = slice(10, 20)
    assert np.array_equal(
        np.diff(model.forests_.first_node)[trees], np.diff(refit.forests_.first_node)[trees]
    )


def test_an_empty_search_tells_scores_and_changes_nothing(cohort, fitted):
    model = fit(cohort, search={})
    assert len(model.search_) == 4
    assert np.array_equal(model.forests_.value, fitted.forests_.value)


def test_settings_can_be_drawn(cohort):
    model = fit(cohort, search={"max_depth": [1, 2, 3], "min_samples_leaf": [1, 9]}, n_candidates=2)
    assert len(model.search_) == 8
    with pytest.raises(iso.errors.DataError, match="list of values"):
        fit(cohort, search={"max_depth": 3})


def test_small_scanners_are_merged_for_splits_only(cohort):
    volumes, quality, sites, people = cohort
    kept = [*range(130), *range(150, 158)]
    some = (volumes.iloc[kept], quality, sites, people)
    model = fit(some, search={})
    assert list(model.search_.columns[3:]) == ["S0", "S1", "S2", "S3", "merged"]
    assert model.sites_ == ["S0", "S1", "S2", "S3", "S4", "S5"]
    assert model.scans_per_site_["S5"] == 8
    assert merge_small_sites(np.array(["merged", "merged", "B"], object), 2).tolist() == [
        "merged", "merged", "merged_",
    ]  # fmt: skip
    with pytest.raises(TooFewSitesError, match="Lower min_per_split"):
        fit(some, search={}, min_per_split=1000)


def test_a_dominating_scanner_is_capped_for_forests_but_not_for_combat(cohort, fitted):
    model = fit(cohort, max_per_site=10)
    pd.testing.assert_frame_equal(model.corrections_, fitted.corrections_)
    assert len(model.forests_.value) < len(fitted.forests_.value) / 2
    labels = np.array(["A"] * 9 + ["B"] * 4 + ["C"] * 2, dtype=object)
    rows = cap_sites(labels, "second-largest", 0)
    assert np.unique(labels[rows], return_counts=True)[1].tolist() == [4, 4, 2]
    assert (np.diff(rows) > 0).all()
    with pytest.raises(iso.errors.DataError, match="max_per_site must be"):
        fit(cohort, max_per_site="all")


def test_prediction_is_tidy_and_names_what_is_out_of_range(cohort, fitted):
    volumes, quality, _, people = cohort
    strange = quality.iloc[:3].copy()
    strange.loc["sub-001", ["cnr", "efc"]] = 1e6
    older = people.iloc[:3].assign(age=[22.0, 22.0, 80.0])
    with pytest.warns(ExtrapolationWarning, match=r"2 of 3 scans .*'sub-001' \('cnr', 'efc'\)"):
        table = fitted.predict(volumes.iloc[:3], quality=strange, covariates=older)
    assert list(table.columns) == ["scan", "feature", "correction", "out_of_range"]
    names = table.drop_duplicates("scan").out_of_range
    assert names.tolist() == ["", "cnr, efc", "age"]
    after = fitted.transform(volumes.iloc[:3], quality=strange, covariates=older)
    wide = table.pivot(index="scan", columns="feature", values="correction")
    assert np.array_equal((volumes.iloc[:3] + wide).to_numpy(), after.to_numpy())


def test_single_precision_comes_back_in_single_precision(cohort, fitted):
    volumes, quality, _, people = cohort
    after = fitted.transform(volumes.astype(np.float32), quality=quality, covariates=people)
    assert (after.dtypes == np.float32).all()


def test_options_are_stored_untouched_and_can_be_cloned(cohort):
    model = Neuroharmony(KEEPING, components=4, estimator=ExtraTreesRegressor(5), n_jobs=1)
    twin = clone(model)
    assert twin.get_params()["components"] == 4
    assert twin.estimator is not model.estimator
    volumes, quality, sites, people = cohort
    before = [table.copy() for table in (volumes, quality, people)]
    after = twin.fit_transform(volumes, quality=quality, sites=sites, covariates=people)
    for table, copy in zip((volumes, quality, people), before, strict=True):
        pd.testing.assert_frame_equal(table, copy)
    again = twin.transform(volumes, quality=quality, covariates=people)
    pd.testing.assert_frame_equal(after, again, check_exact=True)
    assert not hasattr(model, "forests_")
    assert twin.get_feature_names_out().tolist() == list(volumes.columns)
