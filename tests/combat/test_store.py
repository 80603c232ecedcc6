"""A model file gives the same numbers back, holds no subject, and cannot do harm."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import isoscan as iso
from isoscan.combat.store import pack_model, read_model
from isoscan.errors import ModelFileError, OutputExistsError
from isoscan.phantom import simulate_tables

pytestmark = pytest.mark.filterwarnings("ignore::isoscan.errors.ExtrapolationWarning")

FORMULA = "poly(age, 2) + C(sex)"


def _cohort():
    return simulate_tables(6, (20, 18, 15), random_state=0)


def _model(**options) -> iso.ComBat:
    cohort = _cohort()
    options = {"remove": "C(diagnosis)"} | options
    return iso.ComBat(FORMULA, **options).fit(
        cohort.measures, sites=cohort.people.site, covariates=cohort.people
    )


@pytest.mark.parametrize(
    "options", [{}, {"prior": None}, {"mean_only": True}, {"reference": "SITE01"}]
)
def test_loaded_model_gives_identical_numbers(tmp_path, options) -> None:
    cohort, model = _cohort(), _model(**options)
    model.save(tmp_path / "model.isoscan")
    loaded = iso.load(tmp_path / "model.isoscan")
    first, second = (
        m.transform(cohort.measures, sites=cohort.people.site, covariates=cohort.people)
        for m in (model, loaded)
    )
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    pd.testing.assert_frame_equal(model.site_effects_, loaded.site_effects_, check_exact=True)
    assert loaded.get_params() == model.get_params()
    assert loaded.scans_per_site_ == model.scans_per_site_


def test_loaded_model_can_be_adapted(tmp_path) -> None:
    cohort = simulate_tables(6, (20, 18, 15), random_state=0)
    is_new = cohort.people.site == "SITE03"
    model = iso.ComBat().fit(cohort.measures[~is_new], sites=cohort.people.site[~is_new])
    model.save(tmp_path / "model.isoscan")
    new = cohort.measures[is_new]
    one, other = (
        m.adapt(new, sites=cohort.people.site[is_new], prior="training").site_effects_
        for m in (model, iso.load(tmp_path / "model.isoscan"))
    )
    pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_a_new_process_gives_identical_numbers(tmp_path) -> None:
    cohort, model = _cohort(), _model()
    model.save(tmp_path / "model.isoscan")
    cohort.measures.to_pickle(tmp_path / "measures.pkl")
    cohort.people.to_pickle(tmp_path / "people.pkl")
    script = (
        "import isoscan as iso, pandas as pd\n"
        "X, people = pd.read_pickle('measures.pkl'), pd.read_pickle('people.pkl')\n"
        "model = iso.load('model.isoscan')\n"
        "model.transform(X, sites=people.site, covariates=people).to_pickle('mine.pkl')\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    mine = pd.read_pickle(tmp_path / "mine.pkl")
    here = model.transform(cohort.measures, sites=cohort.people.site, covariates=cohort.people)
    pd.testing.assert_frame_equal(mine, here, check_exact=True)


def test_same_model_same_bytes_and_no_subject_in_them(tmp_path) -> None:
    for name in ("a", "b"):
        _model().save(tmp_path / name)
    content = (tmp_path / "a").read_bytes()
    assert content == (tmp_path / "b").read_bytes()
    _, arrays = read_model(tmp_path / "a")
    assert b"sub-" not in content
    assert all(53 not in array.shape for array in arrays.values())


def test_existing_file_is_kept_unless_told_otherwise(tmp_path) -> None:
    path = tmp_path / "model.isoscan"
    _model().save(path)
    with pytest.raises(OutputExistsError, match=r"model\.isoscan"):
        _model().save(path)
    _model(prior=None).save(path, overwrite=True)
    assert iso.load(path).prior is None


def _packed(change_facts=None, change_arrays=None) -> bytes:
    from isoscan.combat.parts import to_parts

    facts, arrays = to_parts(_model())
    if change_facts:
        facts = json.loads(json.dumps(facts))
        change_facts(facts)
    if change_arrays:
        change_arrays(arrays)
    return pack_model(facts, arrays)


def _rezip(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return buffer.getvalue()


def _unzip(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _with_json(change) -> bytes:
    members = _unzip(_packed())
    return _rezip(model__json=change(members["model.json"]), arrays__npz=members["arrays.npz"])


def _object_array() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, sd=np.array([{"a": 1}], dtype=object))
    return buffer.getvalue()


def _bomb() -> bytes:
    """A few bytes whose header claims eight terabytes."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)}
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("sd.npy", header.getvalue())
    return buffer.getvalue()


def _with_arrays(numbers: bytes) -> bytes:
    facts = json.loads(_unzip(_packed())["model.json"])
    facts["arrays_sha256"] = hashlib.sha256(numbers).hexdigest()
    del facts["sha256"]
    canonical = json.dumps(facts, sort_keys=True, ensure_ascii=False)
    facts["sha256"] = hashlib.sha256(canonical.encode()).hexdigest()
    return _rezip(model__json=json.dumps(facts).encode(), arrays__npz=numbers)


def _set(*path, value):
    def change(facts):
        for key in path[:-1]:
            facts = facts[key]
        facts[path[-1]] = value

    return change


HOSTILE = {
    "pickle": (lambda: pickle.dumps({"a": 1}), "pickled models are not supported"),
    "text": (lambda: b"<html>not found</html>", "not a model file"),
    "empty": (lambda: b"", "not a model file"),
    "truncated": (lambda: _packed()[:-200], "not a model file, or cut off"),
    "other zip": (lambda: _rezip(readme__txt=b"hello"), "a model file holds"),
    "path": (
        lambda: _rezip(**{"../../evil__json": b"{}", "arrays__npz": b""}),
        "a model file holds",
    ),
    "newer": (
        lambda: _with_json(lambda t: t.replace(b'"format_version": 1', b'"format_version": 9')),
        "this isoscan reads format 1",
    ),
    "altered numbers": (
        lambda: _rezip(
            model__json=_unzip(_packed())["model.json"],
            arrays__npz=_unzip(_packed(change_arrays=lambda a: a["model.sd"].__imul__(2)))[
                "arrays.npz"
            ],
        ),
        "checksum of its numbers differs",
    ),
    "edited by hand": (
        lambda: _with_json(lambda t: t.replace(b'"mean_only": false', b'"mean_only": true')),
        r"checksum of model.json differs",
    ),
    "nan in json": (
        lambda: _with_json(lambda t: t.replace(b'"n_features": 6', b'"n_features": NaN')),
        "which is not a number",
    ),
    "huge number": (
        lambda: _with_json(lambda t: t.replace(b'"n_features": 6', b'"n_features": 1e999')),
        "damaged model file",
    ),
    "key twice": (
        lambda: _with_json(lambda t: t.replace(b'"n_features"', b'"sites": [], "n_features"')),
        "names a key twice",
    ),
    "objects": (lambda: _with_arrays(_object_array()), "only numbers are allowed"),
    "bomb": (lambda: _with_arrays(_bomb()), "claims an impossible size"),
    "code in formula": (
        lambda: _packed(
            _set("designs", "preserve", "formula", value="{__import__('os').system('touch pwned')}")
        ),
        "is not allowed",
    ),
    "unknown method": (lambda: _packed(_set("method", value="Evil")), "unknown method"),
    "unknown option": (
        lambda: _packed(_set("options", value={"shell": "rm"})),
        "inconsistent model file",
    ),
    "sites": (lambda: _packed(_set("sites", value=["A"])), "inconsistent"),
    "features": (lambda: _packed(_set("feature_names", value=["a"] * 6)), "inconsistent"),
    "reference": (lambda: _packed(_set("model", "reference", value=99)), "reference site"),
    "negative variance": (
        lambda: _packed(change_arrays=lambda a: a["model.effects.variance"].__imul__(-1)),
        "a variance is not positive",
    ),
    "nan": (
        lambda: _packed(change_arrays=lambda a: a["model.effects.shift"].__imul__(np.nan)),
        "not finite",
    ),
    "shape": (
        lambda: _packed(change_arrays=lambda a: a.update({"model.sd": a["model.sd"][:3]})),
        "has shape",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_damaged_or_hostile_file_is_refused_with_a_sentence(name, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    make, sentence = HOSTILE[name]
    path = tmp_path / "model.isoscan"
    path.write_bytes(make())
    with pytest.raises(ModelFileError, match=sentence):
        iso.load(path)
    assert [file.name for file in tmp_path.iterdir()] == ["model.isoscan"]


@pytest.fixture(scope="module")
def packed() -> bytes:
    return _packed()


@given(data=st.data())
def test_any_changed_bytes_are_refused_or_harmless(data, packed, tmp_path_factory) -> None:
    """Flip, cut or insert anywhere: either a sentence, or the very same model."""
    content = bytearray(packed)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        kind = data.draw(st.sampled_from(["flip", "cut", "insert"]))
        if kind == "flip":
            content[place] ^= data.draw(st.integers(1, 255))
        elif kind == "cut":
            del content[place : place + data.draw(st.integers(1, 50))]
        else:
            content[place:place] = data.draw(st.binary(min_size=1, max_size=20))
    path = tmp_path_factory.mktemp("fuzz") / "model.isoscan"
    path.write_bytes(bytes(content))
    try:
        model = iso.load(path)
    except ModelFileError as error:
        assert len(str(error)) > 20
    else:
        assert model.sites_ == ["SITE01", "SITE02", "SITE03"]
