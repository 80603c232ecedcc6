"""Neuroharmony corrects each scan on its own, by what it learned from other scanners."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor

import isoscan as iso
from isoscan import ComBat
from isoscan.unseen import Neuroharmony
from isoscan.unseen.metrics import METRICS

pytestmark = pytest.mark.filterwarnings("ignore::isoscan.errors.ExtrapolationWarning")


def simulate(n_sites=6, n_scans=30, n_features=4, seed=0):
    """Scanners whose image quality tells how much they enlarge every region."""
    rng = np.random.default_rng(seed)
    n = n_sites * n_scans
    ids = pd.Index([f"sub-{number:03d}" for number in range(n)], name="participant_id")
    sites = pd.Series(np.repeat([f"S{k}" for k in range(n_sites)], n_scans), index=ids)
    character = np.repeat(rng.normal(size=(n_sites, 3)), n_scans, axis=0)
    loadings = rng.normal(size=(3, len(METRICS)))
    metrics = 5 + character @ loadings + 0.3 * rng.normal(size=(n, len(METRICS)))
    people = pd.DataFrame(
        {"age": rng.integers(20, 24, n).astype(float), "sex": rng.choice(["F", "M"], n)}, ids
    )
    shift = character @ rng.normal(size=(3, n_features))
    true = rng.normal(size=(n, n_features))
    volumes = pd.DataFrame(
        1e-3 * (3 + 0.1 * (true + shift)), ids, [f"roi{k}" for k in range(n_features)]
    )
    return volumes, pd.DataFrame(metrics, ids, list(METRICS)), sites, people


@pytest.fixture(scope="module")
def cohort():
    return simulate()


def small(**options):
    return Neuroharmony(**{"components": 5, "estimator": RandomForestRegressor(10), **options})


@pytest.fixture(scope="module")
def fitted(cohort):
    volumes, quality, sites, people = cohort
    return small().fit(volumes, quality=quality, sites=sites, covariates=people)


def test_a_scan_alone_has_the_bits_it_has_among_others(cohort, fitted):
    volumes, quality, _, people = cohort
    everyone = fitted.transform(volumes, quality=quality, covariates=people)
    for rows in ([7], [100, 3, 55], list(range(179, -1, -1))):
        some = fitted.transform(
            volumes.iloc[rows], quality=quality.iloc[rows[::-1]], covariates=people
        )
        pd.testing.assert_frame_equal(some, everyone.iloc[rows], check_exact=True)


def test_a_loaded_model_gives_the_same_bits(cohort, fitted, tmp_path):
    volumes, quality, _, people = cohort
    fitted.save(tmp_path / "model.isoscan")
    loaded = Neuroharmony.load(tmp_path / "model.isoscan")
    pd.testing.assert_frame_equal(
        loaded.transform(volumes, quality=quality, covariates=people),
        fitted.transform(volumes, quality=quality, covariates=people),
        check_exact=True,
    )
    assert loaded.hash_ == fitted.hash_
    assert clone(loaded).get_params()["components"] == 5


def test_corrections_are_those_of_stepwise_combat(cohort, fitted):
    volumes, _, sites, people = cohort
    stepwise = iso.StepwiseComBat(["sex", "round(age)", "site"])
    expected = stepwise.fit_transform(volumes, sites=sites, covariates=people)
    assert np.allclose(volumes + fitted.corrections_, expected, rtol=0, atol=1e-15)


def test_shift_of_an_unseen_scanner_is_found_from_its_metrics():
    volumes, quality, sites, people = simulate(20, 30, 3, seed=3)
    new = (sites == "S7").to_numpy()
    model = small(steps=[("site", ComBat("age + C(sex)"))])
    model.fit(volumes[~new], quality=quality, sites=sites, covariates=people)
    corrected = model.transform(volumes[new], quality=quality, covariates=people)
    target = volumes[~new].mean()
    before, after = ((table.mean() - target).abs() for table in (volumes[new], corrected))
    assert after.sum() < 0.7 * before.sum()
