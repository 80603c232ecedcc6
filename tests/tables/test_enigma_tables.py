"""Regions, summaries and covariates of ENIGMA files are told apart."""

import pandas as pd
import pytest
from known_truth import shared_folder

from isoscan.errors import NotNumericError, TableFormatError, UnmatchedRowsError
from isoscan.tables import enigma_summaries, read_enigma

COV = "SubjID,Dx,Age,Sex,Site,ICV\ns1,0,54,1,7,1684160\ns2,1,26,2,8,1198380\n"
SUBCORTICAL = "SubjID,LLatVent,Lhippo,ICV\ns2,3047.1,3633.2,1198380\ns1,11340.8,4209.5,1684160\n"
THICKNESS = (
    "SubjID,L_insula_thickavg,LThickness,LSurfArea,ICV\n"
    "s1,2.9,2.52526,92811.5,1684160\ns2,3.1,2.54472,66774.7,1198380\n"
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "cov.csv").write_text(COV)
    (tmp_path / "metr1_SubVol.csv").write_text(SUBCORTICAL)
    (tmp_path / "metr2_CortThick.csv").write_text(THICKNESS)
    return tmp_path


def test_regions_summaries_and_covariates_are_told_apart(folder):
    tables = read_enigma(folder)
    assert tables.measures.columns.tolist() == ["LLatVent", "Lhippo", "L_insula_thickavg"]
    assert tables.summaries.columns.tolist() == ["ICV", "LThickness", "LSurfArea"]
    assert tables.covariates.columns.tolist() == ["Dx", "Age", "Sex", "Site"]


def test_people_are_matched_by_id_not_by_order(folder):
    tables = read_enigma(folder)
    assert tables.measures.loc["s1"].tolist() == [11340.8, 4209.5, 2.9]
    assert tables.covariates.loc["s1", "Age"] == 54
    assert tables.measures.index.name == "SubjID"


def test_site_codes_stay_text(folder):
    assert read_enigma(folder).covariates["Site"].tolist() == ["7", "8"]


def test_intracranial_volumes_that_differ_are_refused(folder):
    (folder / "cov.csv").write_text(COV.replace("1684160", "1684161000"))
    with pytest.raises(TableFormatError, match=r"ICV differs between cov.csv and .* 's1'"):
        read_enigma(folder)


def test_person_without_covariates_is_named(folder):
    (folder / "cov.csv").write_text(COV.replace("s1", "s9"))
    with pytest.raises(UnmatchedRowsError, match=r"not in cov.csv: 's1'"):
        read_enigma(folder)


def test_metric_files_alone_have_no_covariates(folder):
    paths = [folder / "metr1_SubVol.csv", folder / "metr2_CortThick.csv"]
    assert read_enigma(paths).covariates is None


def test_one_file_with_everything_is_sorted_out_by_column(tmp_path):
    path = tmp_path / "all.csv"
    path.write_text("SubjID,Dx,Age,Scanner,Lhippo,ICV\ns1,0,30,GE,4000,1500000\n")
    tables = read_enigma(path)
    assert tables.covariates.columns.tolist() == ["Dx", "Age", "Scanner"]
    assert tables.measures.columns.tolist() == ["Lhippo"]


def test_region_that_is_no_number_is_not_taken_for_a_covariate(tmp_path):
    path = tmp_path / "metr1.csv"
    path.write_text("SubjID,Lhippo\ns1,fail\ns2,4000\n")
    with pytest.raises(NotNumericError, match=r"Lhippo: 1 value .* \(row s1\)"):
        read_enigma(path)


def test_table_without_subjid_and_empty_folder_are_refused(tmp_path):
    with pytest.raises(TableFormatError, match="holds no CSV files"):
        read_enigma(tmp_path)
    path = tmp_path / "a.csv"
    path.write_text("name,Lhippo\ns1,1\n")
    with pytest.raises(TableFormatError, match="no column SubjID"):
        read_enigma(path)


def test_summaries_are_known_by_name():
    summaries = ["ICV", "LThickness", "RSurfArea", "MeanThickness", "AverageFA"]
    assert enigma_summaries(["Lthal", *summaries, "R_insula_surfavg"]) == summaries


def test_real_files_of_20_people_are_joined():
    folder = shared_folder("data/enigma_example")
    tables = read_enigma(folder)
    assert tables.measures.shape == (20, 152)
    assert tables.summaries.columns.tolist() == [
        "ICV",
        "LThickness",
        "RThickness",
        "LSurfArea",
        "RSurfArea",
    ]
    raw = pd.read_csv(folder / "metr1_SubVol.csv", index_col="SubjID")
    assert tables.measures["Lhippo"].tolist() == raw.loc[tables.measures.index, "Lhippo"].tolist()
