"""People are found by their ids, whatever the column is called."""

import json

import pandas as pd
import pytest

from isoscan.errors import DuplicateIdsError, TableFormatError, TableFormatWarning
from isoscan.tables import read_participants, read_sidecar
from isoscan.tables.bids import parse_entities, scan_name


@pytest.mark.parametrize("name", ["participant_id", "SubjID", "subject_id", "ID", "Subject ID"])
def test_ids_are_found_under_their_usual_names(tmp_path, name):
    path = tmp_path / "people.csv"
    path.write_text(f"age,{name}\n30,001\n31,010\n")
    people = read_participants(path)
    assert people.index.tolist() == ["001", "010"]
    assert people.index.name == "participant_id"
    assert people.columns.tolist() == ["age"]


def test_folder_stands_for_its_participants_table(tmp_path):
    (tmp_path / "participants.tsv").write_text("participant_id\tage\nsub-1\tn/a\n")
    assert read_participants(tmp_path)["age"].isna().all()


def test_table_without_ids_is_refused(tmp_path):
    path = tmp_path / "people.tsv"
    path.write_text("age\tsex\n30\tM\n")
    with pytest.raises(TableFormatError, match="no column of ids"):
        read_participants(path)


def test_repeated_people_are_refused_by_name(tmp_path):
    path = tmp_path / "people.tsv"
    path.write_text("participant_id\tage\nsub-1\t30\nsub-1\t31\n")
    with pytest.raises(DuplicateIdsError, match="'sub-1'"):
        read_participants(path)


@pytest.mark.parametrize(
    ("columns", "rows", "expected"),
    [
        ("session", ["1", "ses-2"], ["sub-1_ses-1", "sub-1_ses-2"]),
        ("session_id", ["ses-pre", "ses-post"], ["sub-1_ses-pre", "sub-1_ses-post"]),
        ("ses\trun", ["1\t1", "1\t2"], ["sub-1_ses-1_run-1", "sub-1_ses-1_run-2"]),
        ("run", ["1", "2"], ["sub-1_run-1", "sub-1_run-2"]),
        ("session\tscan", ["1\tb", "1\ta"], ["sub-1_ses-1_scan-b", "sub-1_ses-1_scan-a"]),
    ],
)
def test_repeated_scans_of_a_person_get_ids_of_their_own(tmp_path, columns, rows, expected):
    path = tmp_path / "people.tsv"
    body = "".join(f"sub-1\t{row}\t30\n" for row in rows)
    path.write_text(f"participant_id\t{columns}\tage\n{body}")
    scans = read_participants(path)
    assert scans.index.tolist() == expected
    assert scans.index.name == "scan"
    assert scans.columns.tolist() == ["participant_id", *columns.split("\t"), "age"]
    assert scans["participant_id"].tolist() == ["sub-1", "sub-1"]


def test_session_column_is_kept_if_nobody_is_repeated(tmp_path):
    path = tmp_path / "people.tsv"
    path.write_text("participant_id\tsession\nsub-1\t1\nsub-2\t1\n")
    assert read_participants(path).index.tolist() == ["sub-1", "sub-2"]


def test_repeated_sessions_are_refused(tmp_path):
    path = tmp_path / "people.tsv"
    path.write_text("participant_id\tsession\nsub-1\t1\nsub-1\t1\n")
    with pytest.raises(DuplicateIdsError, match="'sub-1_ses-1'"):
        read_participants(path)


def test_sidecar_describes_the_columns(tmp_path):
    path = tmp_path / "participants.tsv"
    assert read_sidecar(path) == {}
    path.with_suffix(".json").write_text(json.dumps({"age": {"Units": "years"}}))
    assert read_sidecar(path) == {"age": {"Units": "years"}}


@pytest.mark.parametrize(("text", "what"), [("[1]", "no JSON object"), ("{", "not valid JSON")])
def test_damaged_sidecar_is_refused(tmp_path, text, what):
    (tmp_path / "participants.json").write_text(text)
    with pytest.raises(TableFormatError, match=what):
        read_sidecar(tmp_path / "participants.tsv")


def test_entities_survive_naming_and_parsing():
    name = scan_name("sub-01", ses="a", run=None, acq="x")
    assert name == "sub-01_ses-a_acq-x"
    assert parse_entities(f"/data/{name}_T1w.nii.gz") == {"sub": "01", "ses": "a", "acq": "x"}


def test_order_of_rows_in_the_file_is_kept(tmp_path):
    path = tmp_path / "people.tsv"
    path.write_text("participant_id\tage\nsub-9\t1\nsub-10\t2\nsub-1\t3\n")
    people = read_participants(path)
    expected = pd.Series({"sub-9": 1, "sub-10": 2, "sub-1": 3}, name="age")
    pd.testing.assert_series_equal(people["age"], expected.rename_axis("participant_id"))


def test_sessions_may_be_told_by_a_column_of_any_name(tmp_path):
    path = tmp_path / "people.tsv"
    path.write_text("participant_id\tvisit\tage\nsub-1\t1\t30\nsub-1\t2\t31\n")
    with pytest.raises(DuplicateIdsError, match="--session"):
        read_participants(path)
    people = read_participants(path, session="visit")
    assert people.index.tolist() == ["sub-1_ses-1", "sub-1_ses-2"]
    assert people["visit"].tolist() == ["1", "2"]


def test_repeated_scans_named_in_the_first_column_are_indexed_by_it(tmp_path):
    path = tmp_path / "scans.tsv"
    path.write_text("scan\tSubjID\tage\na\tsub-1\t30\nb\tsub-1\t31\n")
    people = read_participants(path)
    assert people.index.tolist() == ["a", "b"]
    assert people["participant_id"].tolist() == ["sub-1", "sub-1"]


def test_a_scan_column_of_people_scanned_once_is_a_column(tmp_path):
    path = tmp_path / "people.tsv"
    path.write_text("scan\tparticipant_id\na\tsub-1\nb\tsub-2\n")
    assert read_participants(path).index.tolist() == ["sub-1", "sub-2"]


def test_copies_of_a_row_are_told_from_different_rows_of_one_id(tmp_path):
    path = tmp_path / "people.tsv"
    path.write_text("participant_id\tage\nsub-1\t30\nsub-2\t31\nsub-1\t30\n")
    with pytest.raises(DuplicateIdsError, match=r"1 row.*identical in every cell.*--drop-dup"):
        read_participants(path)
    with pytest.warns(TableFormatWarning, match="1 copy of rows left out"):
        people = read_participants(path, drop_duplicates=True)
    assert people.index.tolist() == ["sub-1", "sub-2"]
    path.write_text("participant_id\tage\nsub-1\t30\nsub-1\t31\nsub-1\t31\n")
    with pytest.raises(DuplicateIdsError, match="--session"):
        read_participants(path)
