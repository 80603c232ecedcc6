"""`isoscan harmonize` does the whole job on tables of FreeSurfer and a table of people."""

import os
import re

import pandas as pd
import pytest

import isoscan as iso
from cli.study import read, read_json, write_study
from isoscan.harmonizing import FILES

PRESERVE = ("--preserve", "age + C(sex)")


def measures_of(study):
    return read(study.aseg).join(read(study.aparc))


def test_tables_become_one_harmonized_table_of_the_same_columns_and_scans(harmonized):
    study, folder = harmonized
    before, after = measures_of(study), read(folder / "harmonized.tsv")
    assert sorted(file.name for file in folder.iterdir()) == sorted(FILES)
    assert list(after.columns) == list(before.columns)
    assert list(after.index) == list(before.index)
    total = "EstimatedTotalIntraCranialVol"
    pd.testing.assert_series_equal(after[total], before[total], check_names=False)


def test_numbers_are_those_of_the_library(harmonized):
    study, folder = harmonized
    before, people = measures_of(study)[study.features], read(study.people)
    people = people.loc[before.index]
    expected = iso.ComBat("age + C(sex)").fit_transform(
        before, sites=people.site, covariates=people
    )
    found = read(folder / "harmonized.tsv")[study.features]
    pd.testing.assert_frame_equal(found, expected, rtol=1e-12, check_names=False)


def test_the_verdict_is_printed_in_lines_that_fit(study, isoscan):
    done = isoscan("harmonize", *study.words, *PRESERVE, "-o", study.folder / "out")
    assert max(map(len, done.out.splitlines())) <= 100 + len(str(study.folder))
    assert "in scans\n  it had not seen" in done.out or "in scans it had not seen" in done.out
    assert "1 total ('EstimatedTotalIntraCranialVol')" in done.err


@pytest.mark.usefixtures("without_figures")
def test_totals_are_harmonized_if_asked(study, isoscan):
    isoscan("harmonize", *study.words, "--with-totals", "-o", study.folder / "out")
    model = iso.load(study.folder / "out" / "model.isoscan")
    assert "EstimatedTotalIntraCranialVol" in model.get_feature_names_out()


@pytest.mark.usefixtures("without_figures")
def test_features_are_chosen_by_pattern(study, isoscan):
    isoscan("harmonize", *study.words, "--feature", "*_thickness", "-o", study.folder / "out")
    model = iso.load(study.folder / "out" / "model.isoscan")
    assert set(model.get_feature_names_out()) == {
        name for name in study.features if name.endswith("_thickness")
    }


def test_nothing_is_overwritten_and_no_work_is_done_for_it(harmonized, isoscan, monkeypatch):
    study, folder = harmonized
    kept = {file.name: file.read_bytes() for file in folder.iterdir()}
    monkeypatch.setattr("isoscan.cli.cohort.read_measures", lambda *_, **__: pytest.fail("read"))
    refused = isoscan("harmonize", *study.words, "-o", folder, code=1)
    assert refused.err.startswith("Error: ")
    assert "--overwrite" in refused.err
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == kept


@pytest.mark.usefixtures("without_figures")
def test_results_are_replaced_if_asked(harmonized, isoscan):
    study, folder = harmonized
    before = read(folder / "harmonized.tsv")
    isoscan("harmonize", *study.words, "--mean-only", "-o", folder, "--overwrite")
    assert not read(folder / "harmonized.tsv").equals(before)


@pytest.mark.parametrize("failing", [1, 2, 5])
def test_a_full_disk_leaves_no_half_written_file(
    harmonized, isoscan, monkeypatch, tmp_path, failing
):
    study, whole = harmonized
    writes = iter(range(1, 99))

    def fsync(descriptor, sync=os.fsync):
        if next(writes) == failing:
            raise OSError(28, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    folder = tmp_path / "full"
    stopped = isoscan("harmonize", *study.words, *PRESERVE, "-o", folder, code=1)
    assert "No space left" in stopped.err
    written = sorted(file.name for file in folder.iterdir())
    assert len(written) == failing - 1
    assert all((folder / name).stat().st_size == (whole / name).stat().st_size for name in written)


def test_an_interrupt_leaves_nothing_half_written(study, isoscan, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    stopped = isoscan("harmonize", *study.words, "-o", study.folder / "out", code=130)
    assert "nothing half-written" in stopped.err
    assert list((study.folder / "out").iterdir()) == []


@pytest.mark.usefixtures("without_figures")
def test_a_single_scan_site_is_dropped_by_name_if_asked(tmp_path, isoscan):
    def one_alone(measures, people):
        return measures, people.replace({"site": {"SITE03": "S"}}).assign(
            site=lambda p: p.site.where(p.index != "sub-0004", "ALONE")
        )

    study = write_study(tmp_path, one_alone)
    refused = isoscan("harmonize", *study.words, "-o", tmp_path / "a", code=1)
    assert "site 'ALONE' has 1 scan" in refused.err
    done = isoscan("harmonize", *study.words, "--small-sites", "drop", "-o", tmp_path / "b")
    assert "'sub-0004', of 'ALONE'" in done.err
    assert "sub-0004" not in read(tmp_path / "b" / "harmonized.tsv").index


@pytest.mark.usefixtures("without_figures")
def test_missing_measures_stay_missing_or_are_refused(tmp_path, isoscan):
    def with_gaps(measures, people):
        measures.iloc[:3, 0] = None
        return measures, people

    study = write_study(tmp_path, with_gaps)
    refused = isoscan("harmonize", *study.words, "--missing", "error", "-o", tmp_path / "a", code=1)
    assert "3 of 480 values missing" in refused.err
    isoscan("harmonize", *study.words, "-o", tmp_path / "b")
    text = (tmp_path / "b" / "harmonized.tsv").read_text()
    assert len(re.findall("n/a", text)) == 3


def test_no_individuals_leaves_ids_out_of_report_and_facts(tmp_path, isoscan):
    def with_error(measures, people):
        measures.iloc[2, 0] = 1e6
        measures.iloc[5, -1] = 10.0
        return measures, people

    study = write_study(tmp_path, with_error)
    done = isoscan("harmonize", *study.words, "--no-individuals", "-o", tmp_path / "out")
    texts = [(tmp_path / "out" / name).read_text() for name in ("report.html", "facts.json")]
    assert not any("sub-00" in text for text in [done.out, *texts])


@pytest.mark.usefixtures("without_figures")
def test_units_of_a_sidecar_come_through(study, isoscan):
    study.aseg.with_suffix(".json").write_text('{"Left-Hippocampus": {"Units": "mm^3"}}')
    isoscan("harmonize", *study.words, "-o", study.folder / "out")
    sidecar = read_json(study.folder / "out" / "harmonized.json")
    assert sidecar["Left-Hippocampus"]["Units"] == "mm^3"
    assert sidecar["Left-Hippocampus"]["Harmonized"] is True
    assert "Harmonized" not in sidecar.get("EstimatedTotalIntraCranialVol", {})


@pytest.mark.usefixtures("without_figures")
def test_a_reference_site_comes_back_unchanged(study, isoscan):
    isoscan("harmonize", *study.words, "--reference", "SITE02", "-o", study.folder / "out")
    after, people = read(study.folder / "out" / "harmonized.tsv"), read(study.people)
    same = people.index[people.site == "SITE02"]
    before = measures_of(study)
    pd.testing.assert_frame_equal(after.loc[same], before.loc[same], check_names=False)
    assert not after.equals(before)
