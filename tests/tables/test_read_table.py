"""Nothing in a table is guessed, lost or reordered while it is read."""

import gzip
import warnings

import numpy as np
import pandas as pd
import pytest

from isoscan.errors import (
    DuplicateIdsError,
    MissingColumnError,
    MissingFileError,
    MissingPackageError,
    NotNumericError,
    TableFormatError,
    TableFormatWarning,
)
from isoscan.tables import read_table, require_numbers


@pytest.fixture
def write(tmp_path):
    def write_file(text, name="people.tsv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write_file


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1", "2"], [1, 2]),
        (["1.5", "-2e-3"], [1.5, -0.002]),
        (["5.30484982633e-06", "0"], [5.30484982633e-06, 0.0]),
        (["1", "n/a"], [1.0, np.nan]),
        (["1", ""], [1.0, np.nan]),
        (["1", "NA"], [1.0, np.nan]),
        (["1", "nan"], [1.0, np.nan]),
        (["1", "NaN"], [1.0, np.nan]),
        ([" 1.5", "2 "], [1.5, 2.0]),
        (["1", "-Inf"], [1.0, -np.inf]),
        (["n/a", "n/a"], [np.nan, np.nan]),
    ],
)
def test_column_of_plain_numerals_becomes_numbers(write, cells, expected):
    rows = "".join(f"sub-{row}\t{cell}\n" for row, cell in enumerate(cells))
    frame = read_table(write("participant_id\tx\n" + rows))
    np.testing.assert_array_equal(frame["x"], expected)
    assert frame["x"].dtype in (np.int64, np.float64)


@pytest.mark.parametrize(
    "cells",
    [
        ["001", "002"],
        ["51,3", "40"],
        ["1_000", "2"],
        ["١", "٢"],
        ["1-2", "3"],
        ["-", "3"],
        ["0x1F", "3"],
        ["12345678901234567", "3"],
        ["true", "3"],
        ["None", "3"],
        ["N/A", "3"],
    ],
)
def test_anything_else_stays_the_text_it_is(write, cells):
    rows = "".join(f"sub-{row}\t{cell}\n" for row, cell in enumerate(cells))
    assert read_table(write("participant_id\tx\n" + rows))["x"].tolist() == cells


def test_every_float_reads_back_to_the_last_bit(write):
    values = np.random.default_rng(0).normal(size=500) * 10.0 ** np.arange(-250, 250)
    text = "x\ty\n" + "".join(f"a\t{value!r}\n" for value in values.tolist())
    np.testing.assert_array_equal(read_table(write(text))["y"], values)


def test_ids_and_sites_stay_text_even_if_they_are_numbers(write):
    frame = read_table(write("SubjID\tsite\tScanner ID\tsession_id\tage\n01\t1\t7\t2\t30\n"))
    assert frame.iloc[0].tolist() == ["01", "1", "7", "2", 30]


def test_site_called_na_stays_a_site(write):
    text = "participant_id\tsite\nsub-1\tNA\nsub-2\tNone\nsub-3\tn/a\nsub-4\tnan\nsub-5\t\n"
    site = read_table(write(text), index="participant_id")["site"]
    assert site.dropna().to_dict() == {"sub-1": "NA", "sub-2": "None", "sub-4": "nan"}


def test_na_in_other_text_is_kept_with_a_warning_that_names_the_column(write):
    with pytest.warns(TableFormatWarning, match=r"'NA' is kept as text .* 'sex'"):
        frame = read_table(write("participant_id\tsex\nsub-1\tM\nsub-2\tNA\n"))
    assert frame["sex"].tolist() == ["M", "NA"]


def test_labels_stay_text_on_request(write):
    frame = read_table(write("id\twhere\n1\t7\n"), labels=["where"])
    assert frame["where"].tolist() == ["7"]


def test_decimal_commas_become_numbers_only_when_asked(write):
    path = write('id;age;x\nsub-1;51,3;1\nsub-2;"40,25";2\n', "people.txt")
    assert read_table(path)["age"].tolist() == ["51,3", "40,25"]
    assert read_table(path, decimal=",")["age"].tolist() == [51.3, 40.25]


def test_points_stay_text_where_commas_are_the_decimal_sign(write):
    frame = read_table(write("id;x\na;1.234\n", "x.txt"), decimal=",")
    assert frame["x"].tolist() == ["1.234"]


def test_decimal_sign_must_be_point_or_comma(write):
    with pytest.raises(TableFormatError, match="decimal is ';'"):
        read_table(write("id\tx\n"), decimal=";")


@pytest.mark.parametrize(
    "data",
    [
        b"participant_id\tage\nsub-1\t30\n",
        b"\xef\xbb\xbfparticipant_id\tage\nsub-1\t30\n",
        b"participant_id\tage\r\nsub-1\t30\r\n",
        b"participant_id\tage\rsub-1\t30\r",
        b"participant_id\tage\nsub-1\t30",
        b"participant_id\tage\n\nsub-1\t30\n\n   \n",
        b'"participant_id"\t"age"\n"sub-1"\t"30"\n',
        "participant_id\tage\nsub-1\t30\n".encode("utf-16"),
        b" participant_id \tage\nsub-1 \t30\n",
        gzip.compress(b"participant_id\tage\nsub-1\t30\n"),
    ],
    ids="plain bom crlf cr no_end blank quoted utf16 spaces gzip".split(),
)
def test_file_reads_the_same_whatever_program_wrote_it(write, data):
    name = "people.tsv.gz" if data[:2] == b"\x1f\x8b" else "people.tsv"
    frame = read_table(write(data, name), index="participant_id")
    expected = pd.DataFrame({"age": [30]}, index=pd.Index(["sub-1"], name="participant_id"))
    pd.testing.assert_frame_equal(frame, expected)


def test_latin_1_is_read_with_a_warning(write):
    with pytest.warns(TableFormatWarning, match="is not UTF-8"):
        frame = read_table(write("site\tage\nKöln\t3\n".encode("latin-1")))
    assert frame["site"].tolist() == ["Köln"]


def test_warning_points_at_the_line_that_reads(write):
    with pytest.warns(TableFormatWarning) as caught:
        read_table(write("id;sex\né;M\n;\né;NA\n".encode("latin-1"), "a.csv"))
    assert [warning.filename for warning in caught] == [__file__] * 4


@pytest.mark.parametrize(
    ("name", "sign", "kind"),
    [("a.csv", "\t", "tab"), ("a.csv", ";", "semicolon"), ("a.tsv", ",", "comma")],
)
def test_delimiter_that_does_not_fit_the_name_is_found_with_a_warning(write, name, sign, kind):
    text = "id\tage\nsub-1\t30\n".replace("\t", sign)
    with pytest.warns(TableFormatWarning, match=f"is delimited by {kind}"):
        frame = read_table(write(text, name))
    assert frame.columns.tolist() == ["id", "age"]


@pytest.mark.parametrize("sign", ["\t", ",", ";", " "])
def test_text_file_may_have_any_delimiter(write, sign):
    frame = read_table(write("id\tage\nsub-1\t30\n".replace("\t", sign), "a.txt"))
    assert frame["age"].tolist() == [30]


def test_ambiguous_delimiter_is_refused_until_given(write):
    path = write("id,age;x\nsub-1,30;1\n", "a.csv")
    with pytest.raises(TableFormatError, match="comma or semicolon") as caught:
        read_table(path)
    assert caught.value.delimiters == [",", ";"]
    assert read_table(path, delimiter=",").columns.tolist() == ["id", "age;x"]


def test_decimal_commas_do_not_hide_the_delimiter(write):
    frame = read_table(write("id\tage\nsub-1\t51,3\n"), decimal=",")
    assert frame["age"].tolist() == [51.3]


def test_repeated_column_names_are_refused_by_name(write):
    with pytest.raises(TableFormatError, match="'age'") as caught:
        read_table(write("id\tage\tage\nsub-1\t1\t2\n"))
    assert caught.value.columns == ["age"]


def test_row_of_another_length_is_refused_by_its_id(write):
    with pytest.raises(
        TableFormatError, match=r"has 3 cells, but 1 of 2 rows .* 'sub-2' has 2"
    ) as caught:
        read_table(write("id\tage\tx\nsub-1\t1\t2\nsub-2\t1\n"))
    assert caught.value.rows == ["sub-2"]


def test_empty_rows_and_columns_of_spreadsheets_are_left_out(write):
    with pytest.warns(TableFormatWarning, match="2 rows without any value"):
        frame = read_table(write("id,age,\nsub-1,30,\n,,\n,,\n", "a.csv"))
    assert frame.to_dict("list") == {"id": ["sub-1"], "age": [30]}


def test_first_column_without_a_name_holds_ids(write):
    frame = read_table(write('"","x"\n"001",2\n', "a.csv"))
    assert frame.to_dict("list") == {"id": ["001"], "x": [2]}


def test_other_column_without_a_name_is_refused(write):
    with pytest.raises(TableFormatError, match="column 2 has no name"):
        read_table(write("x,\n1,2\n", "a.csv"))


@pytest.mark.parametrize(
    ("data", "name", "what"),
    [
        (b"", "a.tsv", "is empty"),
        (b"PK\x03\x04\x00\x00\xff", "a.csv", "is not a text file"),
        (b"abc", "a.tsv.gz", "cannot be decompressed"),
        (b"abc", "a.xlsx", "not from '.xlsx'. Export it"),
        (b"id\tx\n", "a.parquet", "is not a Parquet file"),
        (b"a,b\n" + b"x" * 200_000 + b",1\n", "a.csv", "cannot be read"),
    ],
)
def test_what_is_no_table_is_refused_in_one_sentence(write, data, name, what):
    with pytest.raises(TableFormatError, match=what):
        read_table(write(data, name))


def test_missing_file_is_named(tmp_path):
    for name in ("none.tsv", "none.parquet"):
        with pytest.raises(MissingFileError, match=name):
            read_table(tmp_path / name)


def test_folder_is_refused(tmp_path):
    with pytest.raises(TableFormatError, match="is a folder"):
        read_table(tmp_path)


def test_table_without_rows_keeps_its_columns(write):
    assert read_table(write("id\tage\n")).columns.tolist() == ["id", "age"]


def test_repeated_ids_are_refused_by_name(write):
    with pytest.raises(DuplicateIdsError, match="'sub-1'") as caught:
        read_table(write("id\tage\nsub-1\t1\nsub-1\t2\n"), index="id")
    assert caught.value.ids == ["sub-1"]


def test_missing_id_is_refused_by_its_row(write):
    with pytest.raises(TableFormatError, match="1 row without id") as caught:
        read_table(write("id\tage\nsub-1\t1\nn/a\t2\n"), index="id")
    assert caught.value.rows == [2]


def test_missing_index_column_is_named(write):
    with pytest.raises(MissingColumnError, match="no column 'scan'"):
        read_table(write("id\tage\nsub-1\t1\n"), index="scan")


def test_parquet_keeps_types_and_reads_ids_as_text(tmp_path):
    frame = pd.DataFrame({"site": [1, 2], "age": [30.5, np.nan], "sex": ["M", None]})
    frame.to_parquet(tmp_path / "a.parquet")
    read = read_table(tmp_path / "a.parquet")
    assert read["site"].tolist() == ["1", "2"]
    assert read["age"].dtype == np.float64
    assert read["sex"].isna().tolist() == [False, True]


@pytest.mark.parametrize("name", [None, "participant_id"])
def test_index_of_a_parquet_frame_holds_the_ids(tmp_path, name):
    frame = pd.DataFrame({"age": [30]}, index=pd.Index(["sub-1"], name=name))
    frame.to_parquet(tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet").columns.tolist() == [name or "id", "age"]


def test_parquet_without_pyarrow_says_what_to_install(write, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'isoscan\[parquet\]'"):
        read_table(write(b"PAR1", "a.parquet"))


def test_reading_a_clean_table_does_not_warn(write):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_table(write("participant_id\tage\nsub-1\tn/a\n"))


def test_values_that_are_no_numbers_are_refused_with_column_count_and_row():
    people = pd.DataFrame({"age": ["51,3", "40", "41,5"]}, index=["sub-01", "sub-02", "sub-03"])
    with pytest.raises(NotNumericError) as caught:
        require_numbers(people, ["age"], "people.tsv")
    assert str(caught.value) == (
        "people.tsv: age: 2 values are not numbers, e.g. '51,3' (row sub-01); "
        "decimal comma? use decimal=',' (--decimal ,)."
    )
    assert caught.value.rows == ["sub-01", "sub-03"]
    assert caught.value.column == "age"


def test_numbers_are_taken_from_text_integers_and_missing_values():
    frame = pd.DataFrame(
        {"a": ["08", "n/a"], "b": [1, 2], "c": [True, False], "d": ["1e3", "inf"]}, index=["x", "y"]
    )
    frame["e"] = pd.array([1, None], dtype="Int64")
    frame["f"] = np.array([1.5, None], dtype=object)
    numbers = require_numbers(frame)
    assert (numbers.dtypes == np.float64).all()
    expected = [[8, np.nan], [1, 2], [1, 0], [1000, np.inf], [1, np.nan], [1.5, np.nan]]
    np.testing.assert_array_equal(numbers.T, expected)


def test_column_that_is_asked_for_and_absent_is_named():
    with pytest.raises(MissingColumnError, match="1 column not in the table: 'height'"):
        require_numbers(pd.DataFrame({"age": [1]}), ["age", "height"])
