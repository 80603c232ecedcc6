"""Each image keeps its name; participant, session and run are read from it."""

import json

import numpy as np
import pandas as pd
import pytest
from known_truth import shared_folder

from isoscan.errors import (
    DuplicateIdsError,
    MissingFileError,
    NotNumericError,
    TableFormatError,
)
from isoscan.tables import read_mriqc


def image_json(cjv):
    return {
        "bids_meta": {"subject": "01", "MagneticFieldStrength": 3, "modality": "T1w"},
        "provenance": {"version": "24.0.2", "settings": {"fd_thres": 0.2}},
        "cjv": cjv,
        "efc": 0.55,
        "qi_1": None,
        "size_x": 176,
        "summary": {"bg": {"mean": 17.5}},
    }


def write_image(folder, name, cjv=0.4):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(image_json(cjv)))
    return path


@pytest.fixture
def mriqc_folder(tmp_path):
    write_image(tmp_path / "sub-02" / "anat", "sub-02_T1w", 0.42)
    write_image(tmp_path / "sub-01" / "ses-pre" / "anat", "sub-01_ses-pre_run-2_T1w", 0.41)
    write_image(tmp_path / "sub-01" / "ses-pre" / "anat", "sub-01_ses-pre_T2w", 0.9)
    (tmp_path / "dataset_description.json").write_text("{}")
    return tmp_path


def test_images_of_a_folder_are_read_with_their_entities(mriqc_folder):
    frame = read_mriqc(mriqc_folder)
    assert frame.index.tolist() == ["sub-01_ses-pre_run-2_T1w", "sub-02_T1w"]
    assert frame.index.name == "bids_name"
    assert frame["participant_id"].tolist() == ["sub-01", "sub-02"]
    assert frame["session"].fillna("-").tolist() == ["pre", "-"]
    assert frame["run"].fillna("-").tolist() == ["2", "-"]
    assert frame["cjv"].tolist() == [0.41, 0.42]


def test_metadata_are_no_metrics_and_null_is_missing(mriqc_folder):
    frame = read_mriqc(mriqc_folder)
    metrics = frame.columns[3:].tolist()
    assert metrics == ["cjv", "efc", "qi_1", "size_x", "summary_bg_mean"]
    assert (frame[metrics].dtypes == np.float64).all()
    assert frame["qi_1"].isna().all()


def test_modality_can_be_chosen(mriqc_folder):
    assert read_mriqc(mriqc_folder, modality="T2w")["cjv"].tolist() == [0.9]


def test_one_image_can_be_read(tmp_path):
    path = write_image(tmp_path, "sub-01_T1w")
    assert read_mriqc(path).loc["sub-01_T1w", "efc"] == 0.55


def test_group_table_equals_the_files_of_its_images(mriqc_folder, tmp_path):
    images = read_mriqc(mriqc_folder)
    group = images.drop(columns=["participant_id", "session", "run"])
    path = tmp_path / "table" / "group_T1w.tsv"
    path.parent.mkdir()
    group.to_csv(path, sep="\t")
    pd.testing.assert_frame_equal(read_mriqc(path), images)
    pd.testing.assert_frame_equal(read_mriqc(path.parent), images)


def test_older_table_without_prefix_and_name_is_understood(tmp_path):
    path = tmp_path / "aMRIQC.csv"
    path.write_text("subject_id,session_id,run_id,site,cjv\n50002,1,2,PITT,0.4\n0050003,,,UM,1\n")
    frame = read_mriqc(path)
    assert frame.index.tolist() == ["sub-50002_ses-1_run-2_T1w", "sub-0050003_T1w"]
    assert frame["participant_id"].tolist() == ["sub-50002", "sub-0050003"]
    assert frame["site"].tolist() == ["PITT", "UM"]
    assert frame.columns.tolist() == ["participant_id", "session", "run", "site", "cjv"]


def test_bare_ids_in_names_get_their_prefix(tmp_path):
    path = tmp_path / "group_T1w.tsv"
    path.write_text("bids_name\tcjv\n50002_T1w\t0.4\n")
    assert read_mriqc(path)["participant_id"].tolist() == ["sub-50002"]


def test_metric_that_is_no_number_is_refused(tmp_path):
    path = tmp_path / "group_T1w.tsv"
    path.write_text("bids_name\tcjv\nsub-1_T1w\tbad\n")
    with pytest.raises(NotNumericError, match=r"cjv: 1 value is not a number, e.g. 'bad'"):
        read_mriqc(path)


def test_image_that_occurs_twice_is_refused(tmp_path):
    write_image(tmp_path / "sub-01" / "anat", "sub-01_T1w")
    write_image(tmp_path, "sub-01_T1w")
    with pytest.raises(DuplicateIdsError, match="'sub-01_T1w'"):
        read_mriqc(tmp_path)


def test_raw_sidecars_are_not_taken_for_metrics(tmp_path):
    path = tmp_path / "sub-01_T1w.json"
    path.write_text(json.dumps({"RepetitionTime": 2.3}))
    with pytest.raises(TableFormatError, match="Is this the raw BIDS folder"):
        read_mriqc(tmp_path)


def test_folder_and_table_without_images_are_refused(tmp_path):
    with pytest.raises(MissingFileError, match="neither MRIQC's JSON files nor its group table"):
        read_mriqc(tmp_path)
    with pytest.raises(MissingFileError, match=r"sub-1_T1w\.json"):
        read_mriqc(tmp_path / "sub-1_T1w.json")
    path = tmp_path / "a.tsv"
    path.write_text("image\tcjv\n1\t2\n")
    with pytest.raises(TableFormatError, match="no column bids_name"):
        read_mriqc(path)


def test_real_group_table_of_799_images_is_read():
    frame = read_mriqc(shared_folder("data/abide") / "group_T1w.tsv")
    assert frame.shape == (799, 74)
    assert frame.loc["sub-0050003_T1w", "participant_id"] == "sub-0050003"
    assert frame.select_dtypes(exclude="number").columns.tolist() == [
        "participant_id",
        "session",
        "run",
    ]
