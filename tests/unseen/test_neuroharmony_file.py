"""A saved Neuroharmony gives the same bits in another process, and runs no code."""

import json
import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
from simulated_scanners import simulate_scanners
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

import isoscan as iso
from isoscan.combat.store import read_model, write_model
from isoscan.errors import ModelFileError, OutputExistsError
from isoscan.unseen import Neuroharmony

pytestmark = pytest.mark.filterwarnings("ignore::isoscan.errors.ExtrapolationWarning")
ELSEWHERE = """
import sys
import numpy as np
from simulated_scanners import simulate_scanners
from isoscan.unseen import Neuroharmony
volumes, quality, _, people = simulate_scanners(4, 15, 3, seed=4)
model = Neuroharmony.load(sys.argv[1])
after = model.transform(volumes[::-1], quality=quality, covariates=people)[::-1]
np.save(sys.argv[2], after.to_numpy())
"""


@pytest.fixture(scope="module")
def cohort():
    return simulate_scanners(4, 15, 3, seed=4)


@pytest.fixture(scope="module")
def fitted(cohort):
    volumes, quality, sites, people = cohort
    forest = RandomForestRegressor(6, min_samples_leaf=2)
    model = Neuroharmony(components=4, estimator=forest, search={"max_depth": (3, None)})
    model.set_params(min_per_split=5)
    return model.fit(volumes, quality=quality, sites=sites, covariates=people)


def test_another_process_gives_the_same_bits(cohort, fitted, tmp_path):
    volumes, quality, _, people = cohort
    path, result = tmp_path / "model.isoscan", tmp_path / "after.npy"
    fitted.save(path)
    command = [sys.executable, "-W", "ignore", "-c", ELSEWHERE, str(path), str(result)]
    here = str(pytest.importorskip("simulated_scanners").__file__).rsplit("/", 1)[0]
    subprocess.run(command, check=True, cwd=here)
    expected = fitted.transform(volumes, quality=quality, covariates=people).to_numpy()
    assert np.array_equal(np.load(result), expected)


def test_a_file_brings_back_all_but_the_training_sample(fitted, tmp_path):
    fitted.save(tmp_path / "model.isoscan")
    loaded = Neuroharmony.load(tmp_path / "model.isoscan")
    assert loaded.hash_ == fitted.hash_
    pd.testing.assert_frame_equal(loaded.importances_, fitted.importances_)
    assert loaded.scans_per_site_ == fitted.scans_per_site_
    assert loaded.search == {"max_depth": [3, None]}
    assert loaded.estimator.get_params() == fitted.estimator.get_params()
    assert loaded.combats_["site"].site_effects_.equals(fitted.combats_["site"].site_effects_)
    assert not hasattr(loaded, "corrections_")
    with pytest.raises(OutputExistsError):
        fitted.save(tmp_path / "model.isoscan")


def test_a_loaded_model_can_be_fitted_again_to_the_same(cohort, fitted, tmp_path):
    volumes, quality, sites, people = cohort
    fitted.save(tmp_path / "model.isoscan")
    loaded = Neuroharmony.load(tmp_path / "model.isoscan")
    loaded.fit(volumes, quality=quality, sites=sites, covariates=people)
    assert np.array_equal(loaded.forests_.value, fitted.forests_.value)


def test_no_scan_is_named_in_a_file(fitted, cohort, tmp_path):
    fitted.save(tmp_path / "model.isoscan")
    with zipfile.ZipFile(tmp_path / "model.isoscan") as archive:
        text = archive.read("model.json").decode()
    assert "sub-0" not in text
    assert json.loads(text)["method"] == "Neuroharmony"


def test_forests_that_cannot_be_named_are_kept_as_trees_only(cohort, tmp_path):
    class OwnForest(ExtraTreesRegressor):
        pass

    volumes, quality, sites, people = cohort
    model = Neuroharmony(components=4, estimator=OwnForest(4), random_state=None)
    model.fit(volumes, quality=quality, sites=sites, covariates=people)
    model.save(tmp_path / "model.isoscan")
    loaded = Neuroharmony.load(tmp_path / "model.isoscan")
    assert loaded.estimator is None
    pd.testing.assert_frame_equal(
        loaded.transform(volumes, quality=quality, covariates=people),
        model.transform(volumes, quality=quality, covariates=people),
        check_exact=True,
    )


def test_other_models_are_refused_by_name(cohort, tmp_path):
    volumes, _, sites, _ = cohort
    iso.ComBat().fit(volumes, sites=sites).save(tmp_path / "combat.isoscan")
    with pytest.raises(ModelFileError, match=r"combat\.isoscan: holds a ComBat"):
        Neuroharmony.load(tmp_path / "combat.isoscan")


def change(key, value):
    return lambda facts, arrays: facts.update({key: value})


def put(name, change):
    return lambda facts, arrays: arrays.update({name: change(arrays[name])})


@pytest.mark.parametrize(
    "damage",
    [
        change("n_trees", 7),
        change("n_trees", 10**9),
        change("ranges", ["cnr"]),
        change("feature_names", ["roi0", "roi1"]),
        change("inputs", {}),
        change("steps", []),
        change("estimator", {"class": "RandomForestRegressor"}),
        change("sites", None),
        put("trees.link", lambda link: link * 0),
        put("trees.value", lambda value: value[:3]),
        put("projection.weights", lambda weights: weights[:, :5]),
        put("projection.scale", lambda scale: scale * np.nan),
        put("ranges.low", lambda low: low[:4]),
        put("importances", lambda importances: importances[:, :2]),
        lambda facts, arrays: arrays.pop("projection.centre"),
        lambda facts, arrays: arrays.pop("trees.split"),
    ],
)
def test_files_that_do_not_fit_together_are_refused(fitted, tmp_path, damage):
    fitted.save(tmp_path / "model.isoscan")
    facts, arrays = read_model(tmp_path / "model.isoscan")
    for key in ("sha256", "arrays_sha256", "format", "format_version", "software"):
        facts.pop(key)
    damage(facts, arrays)
    write_model(tmp_path / "damaged.isoscan", facts, arrays)
    with pytest.raises(ModelFileError):
        Neuroharmony.load(tmp_path / "damaged.isoscan")
