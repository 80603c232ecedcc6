"""Attacks on single people, run against our own messages: all are refused, naming the cell."""

import getpass
import io
import json
import socket
import zipfile

import numpy as np
import pandas as pd
import pytest
from federated_cohort import LAX, Consortium, make_consortium

from isoscan.errors import (
    DataError,
    DisclosureError,
    ExtrapolationError,
    MissingValuesWarning,
    UnseenLevelError,
)
from isoscan.federated import Ledger, Thresholds, prepare, summarize

STRICT = Thresholds()


def one_site(n=60, **levels) -> Consortium:
    people = make_consortium((n,), 6)
    for name, rare in levels.items():
        level, number = rare
        common = {"sex": "F", "diagnosis": "control"}[name]
        values = np.array([level] * number + [common] * (n - number), dtype=object)
        people.people[name] = values
    return people


def send(consortium, **options):
    study = {name: options.pop(name) for name in ("preserve", "smooth", "missing", "remove")
             if name in options}  # fmt: skip
    return consortium.message(consortium.study(thresholds=STRICT, **study), **options)


def test_without_the_check_the_only_woman_could_be_read_from_the_message() -> None:
    """What the refusal is for: her row of products is her measures."""
    people = one_site(sex=("M", 1))
    message = people.message(people.study(preserve="C(sex)"))
    moments = message.moments
    share = moments.covariate_mean[0, 0, 0]
    raw = moments.cross_products[0, 0] + 60 * share * moments.feature_mean[0]
    her = people.measures[people.people.sex == "M"].to_numpy()[0]
    np.testing.assert_allclose(raw, her, rtol=1e-9)


@pytest.mark.parametrize("mode", ["full", "sums"])
def test_level_of_few_people_is_refused_by_name(mode) -> None:
    for number in (1, 4):
        with pytest.raises(DisclosureError, match=rf"has {number} pe\w+ with sex = M \(at least 5"):
            send(one_site(sex=("M", number)), preserve="C(sex)", mode=mode)
    send(one_site(sex=("M", 5)), preserve="C(sex)", mode=mode)
    send(one_site(sex=("M", 0)), preserve="C(sex)", mode=mode)


def test_numbers_that_are_levels_are_treated_as_such() -> None:
    """Patients coded 0 and 1, or a comparison in the formula, isolate people as well."""
    people = one_site()
    people.people["age"] = [89.0, *np.resize([20.0, 30.0, 40.0], 59)]
    with pytest.raises(DisclosureError, match=r"1 person with a 'I\(age > 80\)' of their own"):
        send(people, preserve="I(age > 80)")
    people.people["age"] = [1.0 + 80 * (number < 3) for number in range(60)]
    people.people["age"] += 5
    with pytest.raises(DisclosureError, match="3 people with a 'age' of their own"):
        send(people, preserve="age")


def test_two_comparisons_that_differ_by_one_person_are_refused() -> None:
    people = one_site()
    people.people["age"] = [79.0] * 10 + [80.0] + [81.0] * 20 + [40.0] * 29
    with pytest.raises(DisclosureError, match=r"1 person with 'I\(age > 79\)' and 'I\(age > 80"):
        send(people, preserve="I(age > 79) + I(age > 80)")
    send(people, preserve="I(age > 79)")


def test_pair_of_levels_of_few_people_is_refused() -> None:
    people = one_site()
    people.people["sex"] = ["M"] * 20 + ["F"] * 40
    people.people["diagnosis"] = ["patient"] * 2 + ["control"] * 38 + ["patient"] * 20
    with pytest.raises(DisclosureError, match=r"2 people with .*sex = M") as caught:
        send(people, preserve="C(sex) + C(diagnosis)")
    assert "diagnosis = patient" in str(caught.value)
    with pytest.raises(DisclosureError, match="2 people with"):
        send(people, preserve="C(sex)", remove="C(diagnosis)")


def test_piece_of_a_curve_that_rests_on_few_people_is_refused() -> None:
    people = one_site()
    people.people["age"] = [88.0, *np.linspace(20, 60, 59)]
    with pytest.raises(DisclosureError, match=r"1 person with s\(age\) between 77.\d and 90"):
        send(people, preserve=None, smooth=["age"])
    people.people["age"] = np.linspace(5, 90, 60)
    send(people, preserve=None, smooth=["age"])


@pytest.mark.parametrize("n", [2, 9])
def test_too_few_people_are_refused(n) -> None:
    with pytest.raises(DisclosureError, match=rf"'S1' has {n} people \(at least 10\)"):
        send(one_site(n), preserve=None)


def test_as_many_columns_as_people_are_refused() -> None:
    """With n <= q the products can be solved for every row."""
    people = one_site(14)
    terms = " + ".join(f"I(age ** {power})" for power in range(1, 6))
    with pytest.raises(DisclosureError, match="14 people for 5 design columns"):
        send(people, preserve=terms)
    with pytest.raises(DisclosureError, match="14 people for 9 design columns"):
        send(people, preserve=None, smooth=["age"])


def test_people_are_counted_not_scans() -> None:
    people = one_site(18)
    with pytest.raises(DisclosureError, match="6 people"):
        send(people, preserve=None, people=np.repeat(list("abcdef"), 3))


def test_measures_that_differ_by_few_people_are_refused() -> None:
    """The difference of two patterns of missing values is about those few."""
    people = one_site()
    people.measures.iloc[:3, 1] = np.nan
    for mode in ("full", "sums"):
        with pytest.raises(DisclosureError, match=r"with 'region2'.* differ by 3 people"):
            send(people, preserve="age", missing="pattern", mode=mode)
    with pytest.warns(MissingValuesWarning, match="3 scans of 'here' left out"):
        send(people, preserve="age", missing="drop")
    people.measures.iloc[:6, 1] = np.nan
    send(people, preserve="age", missing="pattern")


def test_second_release_that_differs_by_few_people_is_refused(tmp_path) -> None:
    people = one_site(60)
    study = people.study(thresholds=STRICT, preserve="age")

    def release(rows, **options):
        return people.at(rows).message(study, ledger=tmp_path / "ledger", **options)

    release(slice(0, 50))
    release(slice(0, 50))  # the same people again tell nothing new
    for rows in (slice(0, 51), slice(1, 50), slice(2, 52)):
        with pytest.raises(DisclosureError, match=r"would differ by . pe"):
            release(rows)
    with pytest.raises(DisclosureError, match="would differ by 1 person"):
        release(slice(0, 51), mode="sums")
    release(slice(0, 55))


def test_difference_that_could_be_solved_for_each_person_is_refused(tmp_path) -> None:
    """Six more people, and seven more sums of every measure."""
    people = one_site(60)
    powers = " + ".join(f"I(age ** {power} / 100)" for power in range(1, 7))
    study = people.study(thresholds=STRICT, preserve=powers)
    people.at(slice(0, 50)).message(study, ledger=tmp_path / "ledger")
    with pytest.raises(DisclosureError, match="would differ by 6 people"):
        people.at(slice(0, 56)).message(study, ledger=tmp_path / "ledger")
    people.at(slice(0, 58)).message(study, ledger=tmp_path / "ledger")


def test_many_studies_of_the_same_people_cannot_be_solved_for_them(tmp_path) -> None:
    people = one_site(30)

    def release(*powers):
        terms = " + ".join(f"I(age ** {power} / 100)" for power in powers)
        return people.message(
            people.study(thresholds=STRICT, preserve=terms), ledger=tmp_path / "ledger"
        )

    release(1, 2, 3, 4)
    release(1, 2, 3, 4)
    release(3, 4, 5, 6)
    with pytest.raises(DisclosureError, match="10 design columns would be known about 30 people"):
        release(7, 8, 9, 10)


def test_union_of_releases_counts_as_released(tmp_path) -> None:
    ledger = Ledger(tmp_path)
    ledger.record([range(20)], study="a")
    ledger.record([range(20, 40)], study="b")
    with pytest.raises(DisclosureError, match="two earlier releases together"):
        ledger.require_distant([range(41)], least=5)


def test_ledger_holds_no_name_and_is_useless_without_its_secret(tmp_path) -> None:
    people = one_site(30)
    study = people.study(thresholds=STRICT, preserve="age")
    people.message(study, ledger=tmp_path / "ledger")
    text = (tmp_path / "ledger" / "ledger.json").read_text()
    assert "sub-" not in text
    (tmp_path / "ledger" / "secret").unlink()
    with pytest.raises(DataError, match="secret of the ledger is gone"):
        people.message(study, ledger=tmp_path / "ledger")
    (tmp_path / "ledger" / "ledger.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        people.message(study, ledger=tmp_path / "ledger")


def test_preview_releases_nothing(tmp_path) -> None:
    people = one_site()
    release = prepare(
        people.measures,
        people.study(thresholds=STRICT),
        sites=people.people.site,
        covariates=people.people,
        location="oslo",
        ledger=tmp_path / "ledger",
    )
    assert not (tmp_path / "ledger" / "ledger.json").exists()
    assert "60 people" in release.preview
    assert "no row of your table" in release.preview
    release.send()
    assert (tmp_path / "ledger" / "ledger.json").exists()


def test_study_laxer_than_the_site_is_refused() -> None:
    people = one_site()
    with pytest.raises(DisclosureError, match=r"fewer people.*people 1 \(10\)"):
        people.message(people.study(thresholds=LAX), thresholds=None)
    people.message(people.study(thresholds=Thresholds(people=20)), thresholds=None)


@pytest.mark.parametrize("mode", ["full", "sums"])
def test_message_bytes_hold_nobody(mode, tmp_path) -> None:
    """No id, row, covariate, smallest or largest value, path, host or user in the bytes."""
    people = one_site()
    study = people.study(thresholds=STRICT)
    message = people.message(study, "oslo", mode=mode, ledger=tmp_path / "ledger")
    path = tmp_path / "m.isoscan"
    message.save(path)
    assert path.read_bytes() == message.pack()
    with zipfile.ZipFile(path) as outer:
        text = outer.read("summary.json")
        with zipfile.ZipFile(io.BytesIO(outer.read("arrays.npz"))) as inner:
            arrays = {name: np.load(io.BytesIO(inner.read(name))) for name in inner.namelist()}
        assert {info.date_time[0] for info in outer.infolist()} == {1980}
    content = text + b"".join(array.tobytes() for array in arrays.values())
    secrets = [*people.people.index, getpass.getuser(), socket.gethostname(), str(tmp_path)]
    secrets = [word for word in secrets if len(word) > 2]
    assert not [word for word in secrets if word.encode() in content]
    known = np.concatenate([people.measures.to_numpy().ravel(), people.people.age])
    assert not set(known.tolist()) & {
        number for array in arrays.values() for number in array.ravel().tolist()
    }
    assert all(60 not in array.shape for array in arrays.values())
    assert set(json.loads(text)) <= {
        "sha256", "format", "format_version", "software", "arrays_sha256", "mode", "sender",
        "batches", "n_patterns",
    }  # fmt: skip


def test_data_that_do_not_fit_the_study_are_refused_in_words() -> None:
    people = one_site()
    study = people.study(thresholds=STRICT)
    older = people.people.assign(age=people.people.age * 12)
    with pytest.raises(ExtrapolationError, match="outside 5 to 90"):
        Consortium(people.measures, older).message(study)
    other = people.people.assign(sex=people.people.sex.replace("F", "female"))
    with pytest.raises(UnseenLevelError, match="female"):
        Consortium(people.measures, other).message(study)
    with pytest.raises(DataError, match="1 feature of the study not found: 'region3'"):
        Consortium(people.measures.drop(columns="region3"), people.people).message(study)
    with pytest.raises(DataError, match="must be a frame"):
        summarize(people.measures.to_numpy(), study, sites=people.people.site, location="a",
                  ledger=None)  # fmt: skip
    with pytest.raises(DataError, match="people must be named"):
        people.message(study, people=pd.Series(["a"]))
