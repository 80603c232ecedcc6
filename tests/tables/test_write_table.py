"""What is written reads back the same, and nothing that exists is lost."""

import json
import os
import stat

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoscan.errors import OutputExistsError, TableFormatError
from isoscan.tables import (
    read_measures,
    read_sidecar,
    read_table,
    write_atomically,
    write_table,
    write_text,
)

IDS = ["=1+1", "+a", "-b", "@c", "001", 'say "x"', "tab\there", "two\nlines", "a,b", "Zürich"]


def frame_with(ids, **columns):
    return pd.DataFrame(columns, index=pd.Index(ids, name="participant_id"))


@pytest.mark.parametrize("suffix", ["tsv", "csv", "parquet"])
def test_ids_read_back_unchanged(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    write_table(frame_with(IDS, x=range(len(IDS))), path)
    assert read_table(path, index="participant_id").index.tolist() == IDS


@pytest.mark.parametrize("suffix", ["tsv", "csv", "parquet"])
@given(values=st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=20))
def test_floats_read_back_to_the_last_bit(tmp_path_factory, suffix, values):
    path = tmp_path_factory.mktemp("floats") / f"a.{suffix}"
    write_table(frame_with([f"s{row}" for row in range(len(values))], x=values), path)
    read = read_table(path, index="participant_id")["x"]
    np.testing.assert_array_equal(read.to_numpy(float), values)


@given(values=st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=20))
def test_single_precision_is_written_with_its_own_digits(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("floats") / "a.tsv"
    single = np.array(values, dtype=np.float32)
    write_table(frame_with([f"s{row}" for row in range(len(values))], x=single), path)
    np.testing.assert_array_equal(read_table(path)["x"].astype(np.float32), single)


def test_single_precision_has_no_spurious_digits(tmp_path):
    write_table(frame_with(["a"], x=np.array([0.1], np.float32)), tmp_path / "a.tsv")
    assert (tmp_path / "a.tsv").read_text() == "participant_id\tx\na\t0.1\n"


def test_bids_table_is_written_without_quotes_and_with_n_a(tmp_path):
    frame = frame_with(["=1", "b"], site=["NA", None], age=[1.5, np.nan], n=[1, 2])
    write_table(frame, tmp_path / "a.tsv")
    expected = "participant_id\tsite\tage\tn\n=1\tNA\t1.5\t1\nb\tn/a\tn/a\t2\n"
    assert (tmp_path / "a.tsv").read_text() == expected


def test_text_like_a_formula_is_quoted_in_csv_but_numbers_are_not(tmp_path):
    write_table(frame_with(["=1", "b"], x=[-1.5, np.nan]), tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == 'participant_id,x\n"=1",-1.5\nb,\n'


def test_whole_table_survives_writing_and_reading(tmp_path):
    frame = frame_with(
        ["001", "002"],
        site=["NA", "2"],
        age=[20.25, np.nan],
        count=[3, 4],
        group=pd.Categorical(["x", "y"]),
    )
    write_table(frame, tmp_path / "a.tsv")
    read = read_table(tmp_path / "a.tsv", index="participant_id")
    assert read.astype(object).equals(frame.astype(object))


@pytest.mark.parametrize(
    ("index", "columns", "first"),
    [
        (pd.RangeIndex(2), ["x"], "x"),
        (pd.Index(["a", "b"]), ["x"], "participant_id"),
        (pd.Index(["a", "b"]), ["participant_id"], "scan"),
        (pd.Index(["a", "b"], name="scan"), ["x"], "scan"),
        (pd.MultiIndex.from_tuples([("a", 1), ("b", 1)], names=["sub", "ses"]), ["x"], "sub"),
    ],
)
def test_index_becomes_a_named_column_unless_it_only_counts(tmp_path, index, columns, first):
    write_table(pd.DataFrame(1.0, index=index, columns=columns), tmp_path / "a.tsv")
    assert (tmp_path / "a.tsv").read_text().split("\t")[0].split("\n")[0] == first


def test_sidecar_stands_beside_the_table(tmp_path):
    sidecar = {"age": {"Description": "Alter in Jahren — ä", "Units": "years"}}
    write_table(frame_with(["a"], age=[1]), tmp_path / "a.tsv", sidecar=sidecar)
    assert read_sidecar(tmp_path / "a.tsv") == sidecar
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == sidecar


@pytest.mark.parametrize("existing", ["a.tsv", "a.json"])
def test_existing_results_are_refused_by_name_and_left_alone(tmp_path, existing):
    (tmp_path / existing).write_text("precious")
    with pytest.raises(OutputExistsError, match=existing) as caught:
        write_table(frame_with(["a"], x=[1]), tmp_path / "a.tsv", sidecar={})
    assert caught.value.paths == [tmp_path / existing]
    assert [path.name for path in tmp_path.iterdir()] == [existing]
    assert (tmp_path / existing).read_text() == "precious"


def test_existing_results_are_replaced_on_request(tmp_path):
    write_text(tmp_path / "a.txt", "old")
    write_text(tmp_path / "a.txt", "new ü", overwrite=True)
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "new ü"


def test_folder_is_never_replaced(tmp_path):
    with pytest.raises(OutputExistsError):
        write_text(tmp_path, "x", overwrite=True)


def test_missing_folders_are_made(tmp_path):
    write_atomically(tmp_path / "new" / "deep" / "a.bin", b"\0\1")
    assert (tmp_path / "new" / "deep" / "a.bin").read_bytes() == b"\0\1"


def test_failed_writing_leaves_the_old_file_and_no_rest(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def disk_full(_):
        raise OSError("No space left on device")

    monkeypatch.setattr("isoscan.tables.write.os.fsync", disk_full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new", overwrite=True)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"old"


def test_what_need_not_last_is_whole_all_the_same(tmp_path, monkeypatch):
    waited = []
    monkeypatch.setattr(os, "fsync", waited.append)
    write_atomically(tmp_path / "a.json", b"{}", durable=False)
    assert (tmp_path / "a.json").read_bytes() == b"{}" and not waited
    write_atomically(tmp_path / "b.json", b"{}")
    assert len(waited) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b.json"]


def test_results_can_be_read_by_the_group_as_usual(tmp_path):
    usual = tmp_path / "usual"
    usual.write_text("")
    write_text(tmp_path / "a.txt", "x")
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == stat.S_IMODE(usual.stat().st_mode)


@pytest.mark.parametrize("name", ["a.xlsx", "a.tsv.gz", "a"])
def test_unknown_format_is_refused(tmp_path, name):
    with pytest.raises(TableFormatError, match="are written as"):
        write_table(frame_with(["a"], x=[1]), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_repeated_columns_are_refused(tmp_path):
    frame = pd.DataFrame([[1, 2]], columns=["x", "x"])
    with pytest.raises(TableFormatError, match="'x'"):
        write_table(frame, tmp_path / "a.tsv")


def test_inputs_are_not_modified_by_writing(tmp_path):
    frame = frame_with(["a"], x=[1.0])
    before = frame.copy()
    for suffix in ("tsv", "csv", "parquet"):
        write_table(frame, tmp_path / f"a.{suffix}")
    pd.testing.assert_frame_equal(frame, before)


def test_scans_beside_a_column_called_scan_are_written_and_read_back(tmp_path):
    path = tmp_path / "scans.tsv"
    path.write_text("participant_id\tsession\tscan\tx\ns\t1\ta\t1.5\ns\t1\tb\t2.5\n")
    scans = read_measures(path)
    write_table(scans, tmp_path / "again.tsv")
    again = read_measures(tmp_path / "again.tsv")
    assert again.index.tolist() == scans.index.tolist() == ["s_ses-1_scan-a", "s_ses-1_scan-b"]
    assert again.columns.tolist() == scans.columns.tolist()
