"""Tables and files are those of MRIQC: what is written reads back as it was."""

import json

import numpy as np
import pandas as pd
import pytest

from isoscan.errors import DataError, DuplicateIdsError, MissingColumnError, TableFormatError
from isoscan.quality import METRICS, sentinels_to_missing
from isoscan.quality.table import gather_images, read_image, write_group, write_image
from isoscan.tables import read_mriqc


def metrics(name="sub-01_T1w", definition="corrected", **values):
    random = np.random.default_rng(len(name))
    found = pd.Series(random.uniform(0.1, 9, 68), index=[*METRICS], name=name)
    found[[f"size_{axis}" for axis in "xyz"]] = 176.0, 256.0, 240.0
    for metric, value in values.items():
        found[metric] = value
    found.attrs = {
        "definition": definition,
        "software": "isoscan 1.2",
        "provenance": {"brain": "isoscan"},
        "notes": ["brain: 1400 mL"],
    }
    return found


def images(**options):
    names = "sub-02_ses-1_run-2_T1w", "sub-01_T1w"
    return [metrics(name, **options) for name in names]


def test_group_table_reads_back_with_its_definition(tmp_path):
    frame = gather_images(images(fwhm_x=np.nan))
    write_group(frame, tmp_path / "group_T1w.tsv")
    found = read_mriqc(tmp_path / "group_T1w.tsv")
    assert found.attrs["definition"] == "corrected"
    assert found.index.tolist() == ["sub-01_T1w", "sub-02_ses-1_run-2_T1w"]
    pd.testing.assert_frame_equal(found[[*METRICS]], frame, check_exact=True)
    assert found["session"].tolist()[1] == "1"


def test_group_table_is_laid_out_as_by_mriqc(tmp_path):
    write_group(gather_images(images(fwhm_x=np.nan)), tmp_path / "group_T1w.tsv")
    header, first, _ = (tmp_path / "group_T1w.tsv").read_text().splitlines()
    assert header.split("\t") == ["bids_name", *METRICS]
    row = dict(zip(header.split("\t"), first.split("\t"), strict=True))
    assert row["size_x"] == "176" and row["fwhm_x"] == "n/a"
    sidecar = json.loads((tmp_path / "group_T1w.json").read_text())
    assert sidecar["definition"] == "corrected"
    assert sidecar["GeneratedBy"] == [{"Name": "isoscan", "Version": "1.2"}]
    assert sidecar["provenance"]["sub-01_T1w"]["inputs"] == {"brain": "isoscan"}


def test_files_of_images_read_back_as_the_group_table(tmp_path):
    folder = tmp_path / "out"
    for one in images(snr_csf=np.nan):
        subject = one.name.split("_")[0]
        write_image(one, folder / subject / "anat" / f"{one.name}.json", bids_meta={"run": 1})
    write_group(gather_images(images(snr_csf=np.nan)), folder / "group_T1w.tsv")
    from_images, from_table = read_mriqc(folder), read_mriqc(folder / "group_T1w.tsv")
    pd.testing.assert_frame_equal(from_images, from_table, check_exact=True)
    assert from_images.attrs == from_table.attrs == {"definition": "corrected"}


def test_file_of_an_image_gives_back_its_metrics(tmp_path):
    path = tmp_path / "sub-01_T1w.json"
    write_image(metrics(), path, provenance={"run": "abc"})
    content = json.loads(path.read_text())
    assert content["provenance"]["software"] == "isoscan" and content["size_x"] == 176
    found = read_image(path, content)
    pd.testing.assert_series_equal(found, metrics())
    assert found.attrs == metrics().attrs


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        ({"fber": -1.0}, {"fber"}),
        ({"fber": 0.0, "qi_2": 0.0}, {"fber", "qi_2"}),
        ({"snrd_gm": -1.0, "snrd_total": -1.0}, {"snrd_gm", "snrd_total"}),
        ({"qi_1": -1.0}, {"qi_1"}),
        ({"qi_1": 0.0}, set()),
        ({"fwhm_y": -1.25}, {"fwhm_y", "fwhm_avg"}),
        (
            {"summary_bg_mean": 0.0},
            {name for name in METRICS if name.startswith(("summary_bg", "snrd"))} - {"summary_bg_n"}
            | {"cnr"},
        ),
    ],
)
def test_what_stands_for_missing_becomes_missing(values, missing):
    frame = pd.DataFrame([metrics(**values), metrics(name="b")]).assign(site="KCL")
    clean = sentinels_to_missing(frame)
    assert {name for name in METRICS if clean[name].isna().iloc[0]} == missing
    pd.testing.assert_series_equal(clean.iloc[1], frame.iloc[1])
    assert frame.notna().all(axis=None)
    row = sentinels_to_missing(metrics(**values))
    assert set(row.index[row.isna()]) == missing
    assert row.attrs == metrics().attrs


@pytest.mark.parametrize(
    ("definition", "lost"),
    [
        ("mriqc-24", True),
        ("MRIQC 24.0.2", True),
        ("MRIQC 23.1.0", True),
        ("MRIQC 23.0.1", False),
        ("MRIQC 0.15.1", False),
        ("mriqc-0.15", False),
        ("corrected", False),
    ],
)
def test_lost_artifacts_are_missing_where_mriqc_loses_them(definition, lost):
    clean = sentinels_to_missing(metrics(definition=definition, qi_1=0.0))
    assert np.isnan(clean["qi_1"]) == lost


def test_sentinels_are_kept_on_request(tmp_path):
    frame = gather_images(images(definition="mriqc-24", fber=-1.0, qi_1=0.0))
    write_group(frame, tmp_path / "clean.tsv")
    write_group(frame, tmp_path / "kept.tsv", keep_sentinels=True)
    assert read_mriqc(tmp_path / "clean.tsv")[["fber", "qi_1"]].isna().all(axis=None)
    assert read_mriqc(tmp_path / "kept.tsv")["fber"].tolist() == [-1.0, -1.0]


def mriqc_file(folder, name, version):
    content = {"cjv": 0.4, "qi_1": 0.0, "provenance": {"version": version, "software": "mriqc"}}
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(content))


def test_version_of_mriqc_is_kept(tmp_path):
    mriqc_file(tmp_path, "sub-01_T1w", "24.0.2")
    mriqc_file(tmp_path, "sub-02_T1w", "24.0.2")
    found = read_mriqc(tmp_path)
    assert found.attrs["definition"] == "MRIQC 24.0.2"
    assert sentinels_to_missing(found)["qi_1"].isna().all()


def test_mixed_versions_are_refused_with_numbers(tmp_path):
    mriqc_file(tmp_path, "sub-01_T1w", "24.0.2")
    mriqc_file(tmp_path, "sub-02_T1w", "24.0.2")
    mriqc_file(tmp_path, "sub-03_T1w", "0.15.1")
    write_image(metrics("sub-04_T1w"), tmp_path / "sub-04_T1w.json")
    sentence = r"3 versions: 'MRIQC 24.0.2' \(2\), 'MRIQC 0.15.1' \(1\), 'corrected' \(1\)"
    with pytest.raises(TableFormatError, match=sentence):
        read_mriqc(tmp_path)


def test_mixed_or_unknown_definitions_are_not_written(tmp_path):
    with pytest.raises(DataError, match=r"'corrected' \(1\), 'mriqc-24' \(1\)"):
        gather_images([metrics("a"), metrics("b", definition="mriqc-24")])
    with pytest.raises(DuplicateIdsError):
        gather_images([metrics("a"), metrics("a")])
    with pytest.raises(DataError, match=r"share one definition"):
        write_group(pd.DataFrame([metrics()]).copy(), tmp_path / "group_T1w.tsv")
    frame = gather_images([metrics()]).drop(columns=["cjv", "qi_2"])
    with pytest.raises(MissingColumnError, match="2 of 68 metrics"):
        write_group(frame, tmp_path / "group_T1w.tsv")
