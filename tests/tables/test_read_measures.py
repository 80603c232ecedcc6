"""Tables are recognised by their columns and joined by id."""

import json

import pandas as pd
import pytest
from known_truth import shared_folder

from isoscan.errors import (
    MissingFileError,
    TableFormatError,
    TableFormatWarning,
    UnmatchedRowsError,
)
from isoscan.tables import read_measures, summary_columns
from isoscan.tables.measures import recognise


@pytest.mark.parametrize(
    ("columns", "kind"),
    [
        (["Measure:volume", "Left-Hippocampus"], "FreeSurfer"),
        (["lh.aparc.a2009s.thickness", "lh_insula_thickness"], "FreeSurfer"),
        (["rh.aparc.DKTatlas.area"], "FreeSurfer"),
        (["bids_name", "cjv"], "MRIQC"),
        (["SubjID", "Lhippo"], "ENIGMA"),
        (["participant_id", "age"], "people"),
        (["age", "subject_id"], "people"),
        (["scanner", "insula"], "other"),
        ([], "other"),
    ],
)
def test_kind_of_a_table_is_recognised(columns, kind):
    assert recognise(columns) == kind


@pytest.mark.parametrize(
    ("name", "text", "row", "columns"),
    [
        ("a.tsv", "Measure:volume\tCSF\n01\t3\n", "01", ["CSF"]),
        (
            "g.tsv",
            "bids_name\tcjv\nsub-1_T1w\t3\n",
            "sub-1_T1w",
            ["participant_id", "session", "run", "cjv"],
        ),
        ("e.csv", "SubjID,Dx,Lhippo,ICV\n01,0,3,9\n", "01", ["Dx", "Lhippo", "ICV"]),
        ("p.tsv", "participant_id\tinsula\n01\t3\n", "01", ["insula"]),
        ("o.csv", "patient,insula\n01,3\n", "01", ["insula"]),
        ("w.csv", ",insula\n01,3\n", "01", ["insula"]),
    ],
)
def test_every_kind_is_indexed_by_id_and_loses_no_column(tmp_path, name, text, row, columns):
    path = tmp_path / name
    path.write_text(text)
    frame = read_measures(path)
    assert frame.index.tolist() == [row]
    assert frame.columns.tolist() == columns


def test_files_are_joined_by_id_whatever_their_kind(tmp_path):
    (tmp_path / "people.tsv").write_text("participant_id\tage\ns2\t20\ns1\t10\n")
    (tmp_path / "aseg.tsv").write_text("Measure:volume\tCSF\ns1\t1\ns2\t2\n")
    frame = read_measures([tmp_path / "people.tsv", tmp_path / "aseg.tsv"])
    assert frame.loc["s1"].to_dict() == {"age": 10, "CSF": 1}
    (tmp_path / "aseg.tsv").write_text("Measure:volume\tCSF\ns1\t1\n")
    with pytest.raises(UnmatchedRowsError, match=r"not in aseg.tsv: 's2'"):
        read_measures([tmp_path / "people.tsv", tmp_path / "aseg.tsv"])


def test_folder_with_tables_of_several_kinds_is_refused_by_their_names(tmp_path):
    (tmp_path / "people.tsv").write_text("participant_id\tage\ns2\t20\n")
    (tmp_path / "aseg.tsv").write_text("Measure:volume\tCSF\ns1\t1\n")
    with pytest.raises(TableFormatError, match=r"FreeSurfer: 'aseg\.tsv'; people: 'people"):
        read_measures(tmp_path)


def test_folders_of_stats_files_of_images_and_of_tables_are_read(tmp_path):
    stats = tmp_path / "fs" / "sub-1" / "stats"
    stats.mkdir(parents=True)
    (stats / "aseg.stats").write_text("# ColHeaders StructName Volume_mm3\nCSF 691.0\n")
    assert read_measures(tmp_path / "fs")["CSF"].to_dict() == {"sub-1": 691.0}
    images = tmp_path / "mriqc" / "sub-1" / "anat"
    images.mkdir(parents=True)
    (images / "sub-1_T1w.json").write_text(json.dumps({"cjv": 0.4}))
    for where in (tmp_path / "mriqc", images / "sub-1_T1w.json"):
        assert read_measures(where)["cjv"].to_dict() == {"sub-1_T1w": 0.4}
    (tmp_path / "tables").mkdir()
    for name in ("lh", "rh"):
        (tmp_path / "tables" / f"{name}.csv").write_text(f"id,{name}\n1,2\n")
    assert read_measures(tmp_path / "tables").columns.tolist() == ["lh", "rh"]


def test_each_warning_is_given_once(tmp_path):
    (tmp_path / "a.csv").write_bytes("participant_id;insula\né;2\n".encode("latin-1"))
    with pytest.warns(TableFormatWarning) as caught:
        read_measures(tmp_path)
    assert len(caught) == 2


def test_hidden_files_are_left_alone(tmp_path):
    (tmp_path / "lh.csv").write_text("id,lh\n1,2\n")
    (tmp_path / "._lh.csv").write_bytes(b"\0\1")
    assert read_measures(tmp_path).columns.tolist() == ["lh"]


def test_table_whose_first_column_holds_measures_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("insula,code\n2.5,a\n3.0,b\n")
    with pytest.raises(TableFormatError, match=r"'insula' holds numbers such as '2.5', not ids"):
        read_measures(path)
    assert read_measures(path, index="code").index.tolist() == ["a", "b"]


def test_decimal_commas_and_labels_are_passed_on(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('participant_id,where,x\n1,2,"2,5"\n')
    frame = read_measures(path, decimal=",", labels=("where",))
    assert frame.loc["1"].tolist() == ["2", 2.5]


def test_nothing_to_read_is_refused(tmp_path):
    for nothing in ([], tmp_path, tmp_path / "none.tsv"):
        with pytest.raises(MissingFileError):
            read_measures(nothing)


def test_summaries_of_both_programs_are_named():
    columns = ["lh_insula_thickness", "eTIV", "ICV", "LThickness", "age"]
    assert summary_columns(columns) == ["eTIV", "ICV", "LThickness"]


@pytest.mark.parametrize(
    ("file", "shape", "first"),
    [
        ("ixi_fs/ixi_fs.csv", (576, 82), "sub-IXI002"),
        ("fcon1000_fs/fcon1000_fs.csv.gz", (1078, 217), "AnnArbor_a_sub04111"),
        ("ds030_mriqc/ds030_mriqc.csv", (265, 71), "10159"),
        ("corr_qap_t1w/corr_qap_t1w.csv.gz", (3112, 28), "0003001_ses-1_scan-anat_1"),
    ],
)
def test_real_tables_are_read_as_pandas_reads_their_numbers(file, shape, first):
    folder, name = file.split("/")
    path = shared_folder(f"data/{folder}") / name
    frame = read_measures(path)
    assert frame.shape == shape
    assert frame.index[0] == first
    numbers = frame.select_dtypes("number")
    expected = pd.read_csv(path)[numbers.columns]
    pd.testing.assert_frame_equal(
        numbers.reset_index(drop=True), expected, rtol=1e-14, check_column_type=False
    )


def test_measures_whose_first_column_names_scans_are_indexed_by_it(tmp_path):
    path = tmp_path / "harmonized.tsv"
    path.write_text("scan\tparticipant_id\tinsula\na\tsub-1\t3.5\nb\tsub-1\t3.1\n")
    frame = read_measures(path)
    assert frame.index.tolist() == ["a", "b"]
    assert frame.columns.tolist() == ["participant_id", "insula"]
