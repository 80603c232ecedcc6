"""Whatever comes in as a message: a sentence, never a traceback, never more than announced."""

import copy
import hashlib
import io
import json
import tracemalloc
import zipfile

import numpy as np
import pytest
from federated_cohort import make_consortium
from hypothesis import given
from hypothesis import strategies as st

from isoscan.combat.container import Container, hash_facts
from isoscan.errors import IsoscanError, MessageFileError, ModelFileError
from isoscan.federated import Thresholds, combine, read_coefficients, read_message, read_study
from isoscan.federated.messages import SUMMARY

PEOPLE = make_consortium((40, 45, 50), 5)
PEOPLE.measures.iloc[::8, 2] = np.nan
STUDY = PEOPLE.study(missing="pattern", preserve="age + C(sex)", thresholds=Thresholds.none())
MESSAGES = {mode: PEOPLE.messages(STUDY, mode=mode) for mode in ("full", "sums")}


def parts(mode):
    facts, arrays = {}, {}
    with zipfile.ZipFile(io.BytesIO(MESSAGES[mode][0].pack())) as outer:
        facts = json.loads(outer.read("summary.json"))
        with zipfile.ZipFile(io.BytesIO(outer.read("arrays.npz"))) as inner:
            for name in inner.namelist():
                arrays[name.removesuffix(".npy")] = np.load(io.BytesIO(inner.read(name)))
    for key in ("sha256", "format", "format_version", "software", "arrays_sha256"):
        facts.pop(key)
    return facts, arrays


def read(folder, content):
    path = folder / "message.isoscan"
    path.write_bytes(content)
    return read_message(path, STUDY)


def changed(mode="full", facts=None, arrays=None, container=SUMMARY):
    own, numbers = parts(mode)
    if facts:
        facts(own)
    if arrays:
        arrays(numbers)
    return container.pack(own, numbers)


def put(name, *place, value):
    def change(arrays):
        arrays[name] = arrays[name].copy()
        arrays[name][place] = value

    return change


def within(*path, value):
    def change(facts):
        for key in path[:-1]:
            facts = facts[key]
        facts[path[-1]] = value

    return change


def sheared(arrays):
    arrays["covariate_products"][0, 0, 1] *= 3


HOSTILE = {
    "pickle": (lambda: b"\x80\x04...", "pickled summaries are not supported"),
    "html": (lambda: b"<html>", "not a summary file"),
    "model": (
        lambda: changed(container=Container("isoscan-model", 1, "model", "models")),
        "a summary file holds",
    ),
    "newer": (
        lambda: changed(container=Container("isoscan-summary", 7, "summary", "summaries")),
        "this isoscan reads format 1",
    ),
    "no sender": (lambda: changed(facts=lambda f: f.pop("sender")), "does not say who"),
    "long name": (
        lambda: changed(facts=within("sender", "location", value="x" * 999)),
        "not a short text",
    ),
    "other study": (
        lambda: changed(facts=within("sender", "study_sha256", value="0" * 64)),
        "hash 000000000000..., this is 'demo' with hash",
    ),
    "other mode": (lambda: changed(facts=within("mode", value="x")), "unknown mode 'x'"),
    "text storage": (lambda: changed(facts=within("sender", "dtype", value="O")), "stored as 'O'"),
    "no batches": (lambda: changed(facts=within("batches", value=[])), "names no batches"),
    "batch twice": (lambda: changed(facts=within("batches", value=["a", "a"])), "named twice"),
    "batch not text": (lambda: changed(facts=within("batches", value=[3])), "no proper name"),
    "many batches": (
        lambda: changed(facts=within("batches", value=[str(n) for n in range(9)])),
        "has shape",
    ),
    "patterns": (lambda: changed(facts=within("n_patterns", value=10**9)), "are impossible"),
    "true patterns": (lambda: changed(facts=within("n_patterns", value=True)), "are impossible"),
    "missing array": (lambda: changed(arrays=lambda a: a.pop("scans")), "expected"),
    "further array": (lambda: changed(arrays=lambda a: a.update(ids=np.ones(3))), "expected"),
    "shape": (
        lambda: changed(arrays=lambda a: a.update(scans=np.ones((1, 1)))),
        r"'scans' has shape \(1, 1\), expected \(1,\)",
    ),
    "storage": (
        lambda: changed(arrays=lambda a: a.update(scans=np.ones(1, dtype=np.float32))),
        "stored as float32",
    ),
    "nan": (lambda: changed(arrays=put("feature_mean", 0, 0, value=np.nan)), "not finite"),
    "inf": (lambda: changed(arrays=put("feature_squares", 0, 0, value=np.inf)), "not finite"),
    "huge": (lambda: changed(arrays=put("feature_squares", 0, 0, value=1e200)), "not finite"),
    "half a scan": (lambda: changed(arrays=put("scans", 0, value=40.5)), "not a whole number"),
    "no scans": (lambda: changed(arrays=put("scans", 0, value=0)), "not a whole number"),
    "more measures than scans": (
        lambda: changed(arrays=put("pattern_scans", 0, value=41)),
        "more scans than its batch",
    ),
    "pattern not sent": (lambda: changed(arrays=put("pattern_of", 0, 0, value=7)), "not sent"),
    "negative squares": (
        lambda: changed(arrays=put("feature_squares", 0, 1, value=-1.0)),
        "squares of 'region2' at 'S",
    ),
    "lopsided": (lambda: changed(arrays=sheared), "not symmetric"),
    "no squares": (
        lambda: changed(arrays=put("covariate_products", 0, 0, 0, value=-5.0)),
        "cannot be sums of squares",
    ),
    "Cauchy-Schwarz": (
        lambda: changed(arrays=put("cross_products", 0, 0, 3, value=1e6)),
        "products with covariates of 'region4' at 'S.' are larger",
    ),
    "age in days": (
        lambda: changed(arrays=put("covariate_mean", 0, 0, value=12000.0)),
        "mean of 'age' at 'S.' is 12000, outside 5 to 90",
    ),
    "sums: negative": (
        lambda: changed("sums", arrays=put("feature_squares", 0, value=-1.0)),
        "are negative",
    ),
    "sums: too many": (
        lambda: changed("sums", arrays=put("measured", 0, value=1e6)),
        "more scans than there are",
    ),
    "sums: ages": (
        lambda: changed("sums", arrays=put("covariates", 0, value=1e9)),
        "mean of 'age'",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_message_is_refused_with_a_sentence(name, tmp_path) -> None:
    make, sentence = HOSTILE[name]
    with pytest.raises(MessageFileError, match=sentence):
        read(tmp_path, make())


def test_message_below_the_thresholds_is_refused_by_the_centre(tmp_path) -> None:
    strict = PEOPLE.study(missing="pattern", thresholds=Thresholds(people=50))
    own, numbers = parts("full")
    own["sender"]["study_sha256"] = strict.sha256
    path = tmp_path / "m.isoscan"
    path.write_bytes(SUMMARY.pack(own, numbers))
    with pytest.raises(MessageFileError, match="fewer than the 50 of the study"):
        read_message(path, strict)


def test_no_more_memory_is_used_than_announced(tmp_path) -> None:
    """A message of some kilobytes that would inflate to 64 megabytes."""
    arrays = parts("full")[1]
    arrays["feature_mean"] = np.zeros((1, 1 << 23))
    numbers = io.BytesIO()
    np.savez_compressed(numbers, **arrays)
    facts = json.loads(zipfile.ZipFile(io.BytesIO(changed())).read("summary.json"))
    facts["arrays_sha256"] = hashlib.sha256(numbers.getvalue()).hexdigest()
    facts["sha256"] = hash_facts(facts)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("summary.json", json.dumps(facts))
        archive.writestr("arrays.npz", numbers.getvalue())
    content = buffer.getvalue()
    assert len(content) < 1 << 17
    tracemalloc.start()
    try:
        with pytest.raises(MessageFileError, match="has shape"):
            read(tmp_path, content)
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


def refused_or_sound(folder, content) -> None:
    try:
        message = read(folder, content)
        combine(STUDY, [message, *MESSAGES["full"][1:]])
    except IsoscanError as error:
        assert len(str(error)) > 15


@pytest.mark.filterwarnings("ignore::isoscan.errors.IsoscanWarning")
@pytest.mark.parametrize("mode", ["full", "sums"])
@given(data=st.data())
def test_any_changed_bytes_are_refused(mode, data, tmp_path_factory) -> None:
    content = bytearray(MESSAGES[mode][0].pack())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        kind = data.draw(st.sampled_from(["flip", "cut", "insert"]))
        if kind == "flip":
            content[place] ^= data.draw(st.integers(1, 255))
        elif kind == "cut":
            del content[place : place + data.draw(st.integers(1, 50))]
        else:
            content[place:place] = data.draw(st.binary(min_size=1, max_size=20))
    refused_or_sound(tmp_path_factory.mktemp("fuzz"), bytes(content))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@pytest.mark.filterwarnings("ignore::isoscan.errors.IsoscanWarning")
@pytest.mark.parametrize("mode", ["full", "sums"])
@given(data=st.data())
def test_any_facts_in_a_sealed_message_are_refused_or_harmless(
    mode, data, tmp_path_factory
) -> None:
    facts, arrays = parts(mode)
    target = data.draw(st.sampled_from([facts, facts["sender"]]))
    target[data.draw(st.sampled_from(sorted(target)))] = data.draw(ANYTHING)
    try:
        content = SUMMARY.pack(facts, arrays)
    except (ValueError, TypeError):
        return
    refused_or_sound(tmp_path_factory.mktemp("fuzz"), content)


@pytest.mark.filterwarnings("ignore::isoscan.errors.IsoscanWarning")
@pytest.mark.parametrize("mode", ["full", "sums"])
@given(data=st.data())
def test_any_numbers_in_a_sealed_message_are_refused_or_harmless(
    mode, data, tmp_path_factory
) -> None:
    facts, arrays = parts(mode)
    name = data.draw(st.sampled_from(sorted(arrays)))
    array = copy.deepcopy(arrays[name])
    if data.draw(st.booleans()) and array.size:
        place = data.draw(st.integers(0, array.size - 1))
        value = data.draw(st.floats() if array.dtype.kind == "f" else st.integers(-9, 9))
        array.flat[place] = value
    else:
        shape = tuple(data.draw(st.lists(st.integers(0, 4), max_size=4)))
        array = np.ones(shape, dtype=data.draw(st.sampled_from(["f8", "f4", "i8", "?", "c16"])))
    arrays[name] = array
    with np.errstate(all="ignore"):
        refused_or_sound(tmp_path_factory.mktemp("fuzz"), SUMMARY.pack(facts, arrays))


@given(data=st.data())
def test_any_changed_study_file_is_refused(data, tmp_path_factory) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    STUDY.save(folder / "study.json")
    facts = json.loads((folder / "study.json").read_text())
    target = data.draw(st.sampled_from([facts, facts["thresholds"], facts["covariates"]]))
    target[data.draw(st.sampled_from(sorted(target)))] = data.draw(ANYTHING)
    reseal = data.draw(st.booleans())
    if reseal:
        facts["sha256"] = hash_facts(facts)
    (folder / "other.json").write_text(json.dumps(facts))
    try:
        study = read_study(folder / "other.json")
    except IsoscanError as error:
        assert len(str(error)) > 15
    else:
        assert study.sha256 == facts["sha256"]


def test_coefficients_of_another_study_or_broken_are_refused(tmp_path) -> None:
    common = combine(STUDY, MESSAGES["sums"])
    path = tmp_path / "c.isoscan"
    common.save(path)
    read_coefficients(path, STUDY)
    with pytest.raises(MessageFileError, match="made for the study with hash"):
        read_coefficients(path, PEOPLE.study(preserve="age"))
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ModelFileError, match="cut off"):
        read_coefficients(path, STUDY)
    common.sd[0] = np.nan
    common.save(path, overwrite=True)
    with pytest.raises(MessageFileError, match="'sd' holds"):
        read_coefficients(path, STUDY)
