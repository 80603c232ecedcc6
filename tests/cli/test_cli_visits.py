"""Scans of several visits are harmonized, applied one visit at a time, and read back."""

import pandas as pd
import pytest

from cli.study import read, read_json
from isoscan.phantom import simulate_tables

pytestmark = pytest.mark.usefixtures("without_figures")
PEOPLE = ["ID", "session", "site", "age", "sex", "diagnosis"]


@pytest.fixture
def visits(tmp_path):
    """Two visits of each person, half of them at another site; ids in a column called ID."""
    cohort = simulate_tables(4, (24, 24, 20), random_state=5)
    scans = cohort.people.join(cohort.measures).reset_index(drop=True)
    person = [f"sub-{row // 2:02d}" for row in scans.index]
    for name in ("age", "sex", "diagnosis"):
        scans[name] = scans[name].groupby(person).transform("first")
    scans.insert(0, "ID", person)
    scans.insert(1, "session", [str(row % 2 + 1) for row in scans.index])
    scans.loc[::4, "site"] = "SITE01"
    write(scans, tmp_path / "visits.tsv")
    return tmp_path


def write(scans, path):
    scans.to_csv(path, sep="\t", index=False)


@pytest.fixture
def longitudinal(visits, isoscan):
    words = ("--method", "longitudinal", "--subject", "ID", "--preserve", "C(sex)")
    isoscan("harmonize", visits / "visits.tsv", *words, "-o", visits / "out")
    return visits


def test_one_visit_alone_finds_whose_scans_they_are(longitudinal, isoscan):
    scans = pd.read_csv(longitudinal / "visits.tsv", sep="\t", dtype={"session": str})
    write(scans[scans.session == "1"], longitudinal / "first.tsv")
    model = longitudinal / "out" / "model.isoscan"
    isoscan("apply", model, longitudinal / "first.tsv", "-o", longitudinal / "new")
    assert read(longitudinal / "new" / "harmonized.tsv").index[1] == "sub-01"
    plain = ("--method", "longitudinal", "--preserve", "C(sex)")
    isoscan("harmonize", longitudinal / "visits.tsv", *plain, "-o", longitudinal / "by_name")
    model = longitudinal / "by_name" / "model.isoscan"
    isoscan("apply", model, longitudinal / "first.tsv", "-o", longitudinal / "again")
    pd.testing.assert_frame_equal(
        *(read(longitudinal / name / "harmonized.tsv") for name in ("new", "again"))
    )


def test_harmonized_visits_are_read_back_evaluated_and_applied_to(longitudinal, isoscan):
    before, after = longitudinal / "visits.tsv", longitudinal / "out" / "harmonized.tsv"
    assert read(after).index.name == "scan"
    out = longitudinal / "evaluated"
    isoscan("evaluate", before, after, "--subject", "ID", "-o", out)
    assert read_json(out / "evaluate.json")["people"]["people"] == 34
    model = longitudinal / "out" / "model.isoscan"
    again = isoscan("apply", model, after, "-o", longitudinal / "twice")
    assert "harmonized before" in again.err


def test_harmonized_visits_are_read_back_beside_their_people(visits, isoscan):
    scans = pd.read_csv(visits / "visits.tsv", sep="\t")
    write(scans[PEOPLE], visits / "people.tsv")
    write(scans.drop(columns=PEOPLE[2:]), visits / "measures.tsv")
    people = ("--participants", visits / "people.tsv")
    words = ("--method", "longitudinal", "-o", visits / "out")
    isoscan("harmonize", visits / "measures.tsv", *people, *words)
    after = visits / "out" / "harmonized.tsv"
    done = isoscan("evaluate", visits / "measures.tsv", after, *people, "--subject", "ID")
    assert "68 scans of 34 people" in done.out
    isoscan("apply", visits / "out" / "model.isoscan", after, *people, "-o", visits / "twice")


def test_harmonizing_twice_is_noticed_and_the_model_named(longitudinal, isoscan):
    after = longitudinal / "out" / "harmonized.tsv"
    made = read_json(after.with_suffix(".json"))["GeneratedBy"][0]["ModelSHA256"]
    again = isoscan("harmonize", after, "-o", longitudinal / "twice")
    assert "4 measures have been harmonized before, in harmonized.tsv by Longit" in again.err
    assert made[:12] in again.err
    after.with_suffix(".json").unlink()
    silent = isoscan("harmonize", after, "-o", longitudinal / "silent")
    assert "harmonized before" not in silent.err


def test_repeated_scans_are_said_on_the_command_line(visits, isoscan):
    done = isoscan("harmonize", visits / "visits.tsv", "-o", visits / "out")
    assert "34 people were scanned repeatedly" in done.err
    assert "--method longitudinal" in done.err
