"""Longitudinal ComBat: people keep their level and pace, sites lose theirs."""

import json

import numpy as np
import pandas as pd
import pytest
from known_truth import shared_folder
from test_reference_implementations import Golden

import isoscan as iso
from isoscan.errors import (
    ConfoundingWarning,
    ConvergenceWarning,
    DataError,
    MissingValuesError,
    MissingValuesWarning,
    MixedModelError,
)

CASES = {
    "long_REML_ri": {"variance": "reml"},
    "long_REML_rs": {"variance": "reml", "slope": "time"},
    "long_MSR_ri": {"variance": "msr"},
    "comfam_lmer": {"variance": "msr"},
}
FORMULA = "age0 + sex + dx*time"

pytestmark = pytest.mark.filterwarnings("ignore::isoscan.errors.SmallSiteWarning")


@pytest.mark.filterwarnings("ignore::isoscan.errors.ConvergenceWarning")
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("convergence", ["reference", "full"])
def test_same_numbers_as_longcombat_and_combatfamily(name, convergence):
    golden = Golden(name)
    model = iso.LongitudinalComBat(
        FORMULA, subject="participant_id", convergence=convergence, **CASES[name]
    )
    mine = model.fit_transform(golden.measures, sites=golden.sites, covariates=golden.people)
    assert golden.distance(mine) <= golden.tolerance()


@pytest.mark.filterwarnings("ignore::isoscan.errors.ConvergenceWarning")
@pytest.mark.parametrize("variance", ["REML", "MSR"])
def test_same_estimates_as_longcombat_on_simulated_data(variance):
    folder = shared_folder("golden/pooling")
    expected = json.loads((folder / "g13_longcombat.json").read_text())["res"][variance]
    people = pd.read_csv(folder / "longcombat_data.csv")
    names = [f"f{number}" for number in range(1, 11)]
    model = iso.LongitudinalComBat("age + dx*time", subject="id", variance=variance.lower())
    model.fit(people[names], sites=people.batch, covariates=people)
    effects = model.model_.effects
    np.testing.assert_allclose(effects.raw_shift, expected["gammahat"], atol=2e-6)
    np.testing.assert_allclose(effects.shift, expected["gammastar"], atol=2e-6)
    np.testing.assert_allclose(effects.variance, expected["delta2star"], rtol=2e-6)


def visits(n_subjects=120, n_features=20, seed=0, *, drift=0.0, shared=True):
    """People with levels and paces of their own, scanned three times at up to three sites."""
    rng = np.random.default_rng(seed)
    subject = np.repeat([f"person{number:03d}" for number in range(n_subjects)], 3)
    time = np.tile([0.0, 1.0, 2.0], n_subjects)
    site = rng.choice(["A", "B", "C"], n_subjects * (3 if shared else 1))
    site = site if shared else np.repeat(site, 3)
    people = pd.DataFrame(
        {"subject": subject, "time": time, "site": site},
        index=[f"scan{number:04d}" for number in range(3 * n_subjects)],
    )
    level = np.repeat(rng.normal(0, 1.5, (n_subjects, n_features)), 3, axis=0)
    pace = np.repeat(rng.normal(0, drift, (n_subjects, n_features)), 3, axis=0)
    noise = rng.normal(0, 0.5, level.shape)
    codes = np.unique(site, return_inverse=True)[1]
    shift = rng.normal(0, 1, (3, n_features))[codes]
    scale = np.array([0.7, 1.0, 1.5])[codes][:, None]
    clean = level + (pace - 0.3) * time[:, None] + noise
    measures = clean - noise + shift + scale * noise
    names = [f"r{number}" for number in range(n_features)]
    return people, *(pd.DataFrame(part, people.index, names) for part in (measures, clean))


def fit_transform(model, people, measures):
    return model.fit_transform(measures, sites=people.site, covariates=people)


def test_visits_are_closer_to_the_truth_than_after_combat():
    people, measures, clean = visits(n_subjects=30)

    def error(model):
        after = fit_transform(model, people, measures)
        return float(((after - clean) - (after - clean).mean()).std().mean())

    assert error(iso.LongitudinalComBat("time")) < 0.8 * error(iso.ComBat("time"))


def test_variances_between_and_within_subjects_are_recovered():
    people, measures, _ = visits(n_subjects=400, n_features=30)
    found = iso.LongitudinalComBat("time").fit(measures, sites=people.site, covariates=people)
    components = found.variance_components_
    assert components.subject.mean() == pytest.approx(1.5**2, rel=0.05)
    within = 0.25 * (0.7**2 + 1 + 1.5**2) / 3
    assert components.residual.mean() == pytest.approx(within, rel=0.08)


@pytest.mark.filterwarnings("ignore::isoscan.errors.ConvergenceWarning")
def test_variance_of_paces_is_recovered():
    people, measures, _ = visits(n_subjects=400, n_features=30, drift=0.8)
    model = iso.LongitudinalComBat("time", slope="time")
    model.fit(measures, sites=people.site, covariates=people)
    assert model.variance_components_.slope.mean() == pytest.approx(0.8**2, rel=0.15)


def test_new_people_and_new_visits_are_predicted_from_their_scans():
    people, measures, clean = visits(n_subjects=200)
    old = people.subject < "person150"
    model = iso.LongitudinalComBat("time").fit(
        measures[old], sites=people.site[old], covariates=people[old]
    )
    after = model.transform(measures[~old], sites=people.site, covariates=people)

    def error(table):
        gap = table - clean[~old]
        return float((gap - gap.mean()).std().mean())

    assert error(after) < 0.5 * error(measures[~old])


def test_other_people_in_the_call_change_nothing(tmp_path):
    people, measures, _ = visits()
    model = iso.LongitudinalComBat("time")
    harmonized = fit_transform(model, people, measures)
    shuffled = people.sample(frac=1, random_state=0)
    again = model.transform(measures.loc[shuffled.index], sites=people.site, covariates=shuffled)
    np.testing.assert_allclose(again.loc[harmonized.index], harmonized, rtol=1e-12, atol=1e-12)
    one = people.subject == "person007"
    alone = model.transform(measures[one], sites=people.site, covariates=people)
    np.testing.assert_allclose(alone, harmonized[one], rtol=1e-12, atol=1e-12)
    model.save(tmp_path / "model.isoscan")
    content = (tmp_path / "model.isoscan").read_bytes()
    assert b"person" not in content
    loaded = iso.load(tmp_path / "model.isoscan")
    pd.testing.assert_frame_equal(
        loaded.transform(measures, sites=people.site, covariates=people), harmonized
    )
    pd.testing.assert_frame_equal(loaded.variance_components_, model.variance_components_)


def test_missing_values_stay_missing_and_others_are_used():
    people, measures, _ = visits()
    holed = measures.copy()
    holed.iloc[::17, 3] = np.nan
    with pytest.warns(MissingValuesWarning):
        after = fit_transform(iso.LongitudinalComBat("time"), people, holed)
    pd.testing.assert_frame_equal(after.isna(), holed.isna())
    complete = fit_transform(iso.LongitudinalComBat("time"), people, measures)
    pd.testing.assert_frame_equal(after[["r0"]], complete[["r0"]], rtol=0.02, atol=0.05)


def test_a_feature_without_variance_between_people_is_named():
    people, measures, _ = visits(n_subjects=60)
    rng = np.random.default_rng(4)
    measures["r5"] = rng.normal(size=len(people)) - 3 * (
        measures.groupby(people.subject).cumcount() == 1
    )
    with pytest.warns(ConvergenceWarning, match=r"on the boundary .*'r5'"):
        after = fit_transform(iso.LongitudinalComBat("time"), people, measures)
    assert np.isfinite(after).all(axis=None)


def test_people_who_never_changed_scanner_are_warned_of():
    people, measures, _ = visits(shared=False)
    with pytest.warns(ConfoundingWarning, match="nobody was scanned at more than one site"):
        fit_transform(iso.LongitudinalComBat("time"), people, measures)


@pytest.mark.parametrize(
    ("change", "options", "error", "sentence"),
    [
        (
            lambda p: p.assign(subject=p.index),
            {},
            MixedModelError,
            r"every subject has 1 scan \(360 subjects in 'subject'\)",
        ),
        (
            lambda p: p.assign(baseline=p.groupby("subject").time.transform("min") + 1.0),
            {"slope": "baseline"},
            MixedModelError,
            "'baseline' does not change within any subject",
        ),
        (
            lambda p: p.assign(subject=p.subject.where(p.index != "scan0004")),
            {},
            MissingValuesError,
            "'subject' is missing for 1 of 360 scans: 'scan0004'",
        ),
        (lambda p: p, {"subject": "person"}, DataError, "'person'"),
        (lambda p: p, {"variance": "ml"}, DataError, "variance must be one of"),
    ],
)
def test_impossible_visits_are_refused_in_words(change, options, error, sentence):
    people, measures, _ = visits()
    people = change(people)
    with pytest.raises(error, match=sentence):
        fit_transform(iso.LongitudinalComBat("time", **options), people, measures)


def test_scans_of_unknown_sites_are_copied_if_asked():
    people, measures, _ = visits()
    model = iso.LongitudinalComBat("time", unknown_sites="skip")
    known = people.site != "C"
    model.fit(measures[known], sites=people.site[known], covariates=people[known])
    with pytest.warns(iso.errors.UnknownSiteWarning):
        after = model.transform(measures, sites=people.site, covariates=people)
    pd.testing.assert_frame_equal(after[~known], measures[~known], check_exact=True)
    expected = model.transform(measures[known], sites=people.site, covariates=people)
    np.testing.assert_allclose(after[known], expected, rtol=1e-12, atol=1e-12)
