"""`isoscan unseen` learns from many scanners, checks itself, and corrects scans of new ones."""

import re
import shutil
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from click import unstyle

import isoscan as iso
from cli.conftest import run_main
from cli.study import read, read_json
from cli.test_cli_demo import commands_in
from isoscan.phantom import simulate_scanners
from isoscan.tables import write_table

NEW = "SCANNER09"
FITTED = ["facts.json", "model.isoscan", "report.html", "scanners.json", "scanners.tsv"]
CHECKED = ["left_out.json", "left_out.tsv", "left_out_scanners.json", "left_out_scanners.tsv"]
CORRECTED = ["harmonized.json", "harmonized.tsv", "predictions.json", "predictions.tsv",
             "report.html"]  # fmt: skip
PRESERVE = ("--preserve", "age + C(sex)")


@pytest.fixture(scope="session")
def tables(tmp_path_factory):
    """Measures, quality and people of eight known scanners and of a new one; not to be changed."""
    folder = tmp_path_factory.mktemp("scanners")
    cohort = simulate_scanners(9, 12, 5, random_state=1)
    new = cohort.people.site == NEW
    for name in ("measures", "quality", "people"):
        table = getattr(cohort, name)
        write_table(table[~new].sample(frac=1, random_state=2), folder / f"{name}.tsv")
        table = table.drop(columns="site", errors="ignore")  # nobody need know the new scanner
        write_table(table[new], folder / f"new_{name}.tsv")
    return folder


@pytest.fixture(autouse=True)
def without_drawings(monkeypatch):
    """Write reports without drawing, which takes most of the time."""
    monkeypatch.setattr("isoscan.report.unseen_page._draw", lambda facts: {})


def words(folder, which=""):
    return (
        folder / f"{which}measures.tsv",
        "--quality",
        folder / f"{which}quality.tsv",
        "--participants",
        folder / f"{which}people.tsv",
    )


@pytest.fixture(scope="session")
def trained(tables, tmp_path_factory):
    """A model with its check, worked out once; not to be changed."""
    out = tmp_path_factory.mktemp("trained") / "model"
    with redirect_stdout(StringIO()) as printed:
        fit = ["unseen", "fit", *words(tables), *PRESERVE, "--draws", "1", "-o", out]
        assert run_main(fit) == 0
    (out.parent / "printed.txt").write_text(unstyle(printed.getvalue()))
    return out


def test_fit_writes_the_model_the_comparison_and_the_report(trained):
    assert sorted(file.name for file in trained.iterdir()) == sorted([*FITTED, *CHECKED])
    table = pd.read_csv(trained / "left_out.tsv", sep="\t", index_col="model", na_values="n/a")
    assert list(table.index[:4]) == ["nothing", "nearest scanner", "no image quality", "0 scans"]
    assert table.loc["known scanner", "error_ratio"] == 0
    assert table.loc["10 scans", "shift_left"] < table.loc["nothing", "shift_left"]
    assert set(read_json(trained / "left_out.json")) >= {"shift_left", "coverage", "effect of age"}
    scanners = read(trained / "scanners.tsv")
    assert list(scanners.index) == [f"SCANNER0{n}" for n in range(1, 9)]
    assert scanners.scans.eq(12).all()


def test_what_is_printed_is_said_in_words_of_a_researcher(trained):
    out = (trained.parent / "printed.txt").read_text()
    assert "96 scans, 8 scanners, 5 measures" in out
    for said in ("no correction", "as the most similar known scanner", "calibrated with 3 scans"):
        assert f"\n{said} " in out
    assert max(map(len, out.splitlines()[:-1])) <= 100


def test_without_a_check_nothing_is_claimed(tables, isoscan, tmp_path):
    done = isoscan("unseen", "fit", *words(tables), "--no-check", "-o", tmp_path / "out")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == FITTED
    assert "not checked on scanners left out" in done.out


def test_rows_are_matched_by_id_and_the_table_equals_that_of_python(
    tables, trained, isoscan, tmp_path
):
    isoscan("unseen", "apply", trained / "model.isoscan", *words(tables, "new_"), "-o", tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == CORRECTED
    model = iso.load(trained / "model.isoscan")
    quality, people = (
        iso.read_table(tables / f"new_{name}.tsv", index="participant_id")
        for name in ("quality", "people")
    )
    measures = iso.read_measures(tables / "new_measures.tsv")
    direct = model.transform(measures, quality=quality, covariates=people)
    pd.testing.assert_frame_equal(read(tmp_path / "harmonized.tsv"), direct, check_names=False)
    told = model.predict(measures, quality=quality, covariates=people)
    written = pd.read_csv(tmp_path / "predictions.tsv", sep="\t")
    pd.testing.assert_frame_equal(written, told, check_dtype=False)


def test_one_scan_alone_is_corrected_as_in_bulk(tables, trained, isoscan, tmp_path):
    measures = read(tables / "new_measures.tsv")
    write_table(measures.iloc[[4]], tmp_path / "one.tsv")
    rest = words(tables, "new_")[1:]
    model = trained / "model.isoscan"
    isoscan("unseen", "apply", model, tmp_path / "one.tsv", *rest, "-o", tmp_path / "one")
    isoscan("unseen", "apply", model, *words(tables, "new_"), "-o", tmp_path / "all")
    alone, bulk = (read(tmp_path / name / "harmonized.tsv") for name in ("one", "all"))
    pd.testing.assert_frame_equal(alone, bulk.iloc[[4]], check_exact=True)


def test_a_scan_unlike_training_is_named_and_left_nearly_as_it_was(
    tables, trained, isoscan, tmp_path
):
    measures = read(tables / "new_measures.tsv")
    odd = measures.index[3]
    measures.loc[odd] += 40 * measures.std()
    write_table(measures, tmp_path / "odd.tsv")
    done = isoscan(
        "unseen", "apply", trained / "model.isoscan", tmp_path / "odd.tsv",
        *words(tables, "new_")[1:], "-o", tmp_path / "out",
    )  # fmt: skip
    assert f"  {odd}: shift score" in done.out
    predicted = pd.read_csv(tmp_path / "out" / "predictions.tsv", sep="\t")
    assert set(predicted.scan[predicted.abstained]) == {odd}


def test_names_of_scans_can_be_kept_out_of_the_report(tables, trained, isoscan, tmp_path):
    model = trained / "model.isoscan"
    for flag, named in (("--individuals", True), ("--no-individuals", False)):
        isoscan("unseen", "apply", model, *words(tables, "new_"), flag, "-o", tmp_path / flag)
        assert ("sub-01" in (tmp_path / flag / "report.html").read_text()) == named


def test_calibrating_makes_another_model_and_says_what_was_learned(
    tables, trained, isoscan, tmp_path
):
    before = (trained / "model.isoscan").read_bytes()
    measures = read(tables / "new_measures.tsv")
    write_table(measures.iloc[:3], tmp_path / "three.tsv")
    rest = words(tables, "new_")[1:]
    done = isoscan(
        "unseen", "calibrate", trained / "model.isoscan", tmp_path / "three.tsv", *rest,
        "-o", tmp_path / "new",
    )  # fmt: skip
    assert "Learned from 3 scans of the new scanner" in done.out
    learned = read(tmp_path / "new" / "learned.tsv")
    assert (learned.shift_se > 0).all()
    assert list(learned.index) == list(measures.columns)
    assert (trained / "model.isoscan").read_bytes() == before
    done = isoscan(
        "unseen", "apply", tmp_path / "new" / "model.isoscan", tables / "new_measures.tsv",
        "--participants", tables / "new_people.tsv", "-o", tmp_path / "out",
    )  # fmt: skip
    assert "12 scans corrected by a model that has seen 3 scans of their scanner" in done.out
    made = read_json(tmp_path / "out" / "harmonized.json")["GeneratedBy"][0]
    assert made["CalibratedWith"] == 3


def test_scans_of_several_scanners_are_no_scanner(tables, trained, isoscan, tmp_path):
    done = isoscan(
        "unseen", "calibrate", trained / "model.isoscan", *words(tables), "-o", tmp_path / "new"
    )
    assert "96 scans carry 8 labels in 'site': 'SCANNER" in done.err


def test_learning_from_nothing_is_wrong_usage(tables, isoscan):
    measures, _, _, *people = words(tables)
    for flags in (("--no-volumes",), ("--method", "neuroharmony")):
        wrong = isoscan("unseen", "fit", measures, *people, *flags, "-o", "x", code=2)
        assert "give --quality" in wrong.err


def test_a_fit_names_no_scan_if_it_may_not(tables, isoscan, tmp_path):
    people = read(tables / "people.tsv")
    young = people.age.idxmin()
    quality = read(tables / "quality.tsv")
    quality.loc[young, "fber"] = -1
    write_table(quality, tmp_path / "quality.tsv")
    measures, _, _, *rest = words(tables)
    fit = ("unseen", "fit", measures, "--quality", tmp_path / "quality.tsv", *rest, "--no-check")
    isoscan(*fit, "--no-individuals", "-o", tmp_path / "out")
    for name in ("facts.json", "report.html"):
        assert young not in (tmp_path / "out" / name).read_text()


def test_results_are_not_overwritten_unless_asked_for(tables, trained, isoscan, tmp_path):
    shutil.copytree(trained, tmp_path / "copy")
    copy = tmp_path / "copy"
    fit = ("unseen", "fit", *words(tables), "--no-check", "-o", copy)
    assert "--overwrite" in isoscan(*fit, code=1).err
    model = copy / "model.isoscan"
    calibrate = ("unseen", "calibrate", model, *words(tables, "new_"), "-o", copy)
    assert "--overwrite" in isoscan(*calibrate, code=1).err
    assert model.read_bytes() == (trained / "model.isoscan").read_bytes()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--method", "neuroharmony", "--keep", "0.5"), "--keep is no option of"),
        (("--jobs", "2"), "--jobs is no option of --method unseen"),
        (("--interval", "1.5"), "--interval"),
        (("--on-shift", "hope"), "--on-shift"),
        (("--drop-site", "OSLO"), "there is no such site"),
        (("--keep", "1"), "--keep"),
    ],
)
def test_wrong_usage_exits_with_2(tables, isoscan, flags, said):
    assert said in isoscan("unseen", "fit", *words(tables), *flags, "-o", "x", code=2).err


def test_wrong_data_exit_with_1_and_a_sentence(tables, trained, harmonized, isoscan, tmp_path):
    model = trained / "model.isoscan"
    measures, _, quality, _, people = words(tables, "new_")
    out = ("-o", tmp_path / "out")
    assert (
        "quality is needed"
        in isoscan("unseen", "apply", model, measures, "--participants", people, *out, code=1).err
    )
    assert (
        "no column 'site'"
        in isoscan("unseen", "fit", measures, "--quality", quality, *out, code=1).err
    )
    known = harmonized[1] / "model.isoscan"
    assert "use 'isoscan apply'" in isoscan("unseen", "apply", known, measures, *out, code=1).err
    assert not (tmp_path / "out").exists()


@pytest.fixture
def heads(tables, tmp_path):
    """Volumes with their intracranial volume, which one registration got wrong."""
    random = np.random.default_rng(0)
    measures = read(tables / "measures.tsv").add_suffix("_volume") * 1000
    measures["eTIV"] = random.normal(1.5e6, 1e5, len(measures))
    measures.iloc[0, -1] = 2e5
    write_table(measures, tmp_path / "volumes.tsv")
    return tmp_path / "volumes.tsv", measures


def test_volumes_are_divided_by_the_total_and_impossible_heads_are_named(
    tables, heads, isoscan, tmp_path
):
    path, measures = heads
    fit = ("unseen", "fit", path, *words(tables)[1:], "--total", "eTIV", "--no-check")
    refused = isoscan(*fit, "-o", tmp_path / "out", code=1)
    assert f"'{measures.index[0]}'" in refused.err
    assert "--drop-implausible" in refused.err
    done = isoscan(*fit, "--drop-implausible", "-o", tmp_path / "out")
    assert "95 scans" in done.out
    done = isoscan(
        "unseen", "apply", tmp_path / "out" / "model.isoscan", path, *words(tables)[1:],
        "--drop-implausible", "-o", tmp_path / "new",
    )  # fmt: skip
    assert "shares of eTIV" in done.out
    after = read(tmp_path / "new" / "harmonized.tsv")
    assert "eTIV" not in after
    assert after.to_numpy().max() < 0.01
    assert read_json(tmp_path / "new" / "harmonized.json")[after.columns[0]]["Units"] == (
        "share of eTIV"
    )


def test_a_total_that_is_not_there_is_named_with_those_that_are(tables, isoscan, tmp_path):
    fit = ("unseen", "fit", *words(tables), "--total", "ICV", "-o", tmp_path / "out")
    assert "no column 'ICV'" in isoscan(*fit, code=1).err


def test_scans_without_image_quality_are_refused_or_left_out(tables, isoscan, tmp_path):
    write_table(read(tables / "quality.tsv").iloc[2:], tmp_path / "quality.tsv")
    measures, _, _, *people = words(tables)
    fit = ("unseen", "fit", measures, "--quality", tmp_path / "quality.tsv", *people, "--no-check")
    isoscan(*fit, "-o", tmp_path / "out", code=1)
    done = isoscan(*fit, "--unmatched", "drop", "-o", tmp_path / "out")
    assert "Left out: 2 scans without image quality metrics" in done.err
    assert "94 scans" in done.out


def test_metrics_by_image_are_matched_to_scans_by_session(tables, isoscan, tmp_path):
    renamed = {}
    for name in ("measures", "quality", "people"):
        table = read(tables / f"{name}.tsv")
        renamed[name] = table.set_axis(table.index + "_ses-1", axis=0)
    quality = renamed["quality"]
    renamed["quality"] = quality.set_axis(quality.index + "_T1w", axis=0).rename_axis("bids_name")
    for name, table in renamed.items():
        write_table(table.rename_axis(table.index.name or "scan_id"), tmp_path / f"{name}.tsv")
    done = isoscan("unseen", "fit", *words(tmp_path), "--no-check", "-o", tmp_path / "out")
    assert "96 scans" in done.out


def test_the_published_method_is_fitted_and_applied_too(
    tables, heads, isoscan, tmp_path, monkeypatch
):
    from sklearn.ensemble import RandomForestRegressor

    few, (path, measures) = RandomForestRegressor(2), heads
    monkeypatch.setattr("isoscan.unseen.neuroharmony.default_forest", lambda: few)
    dropped = [word for n in range(5, 9) for word in ("--drop-site", f"SCANNER0{n}")]
    rest = (*words(tables)[1:], "--total", "eTIV", "--drop-implausible")
    fit = ("unseen", "fit", path, *rest, *dropped, "--method", "neuroharmony", *PRESERVE)
    done = isoscan(*fit, "--draws", "1", "-o", tmp_path / "out")
    assert "\nNeuroharmony " in unstyle(done.out)
    model = tmp_path / "out" / "model.isoscan"
    isoscan("unseen", "apply", model, path, *rest, "-o", tmp_path / "new")
    assert "out_of_range" in read(tmp_path / "new" / "predictions.tsv")
    assert list(read(tmp_path / "new" / "harmonized.tsv")) == list(measures.columns[:-1])
    refused = isoscan(
        "unseen", "calibrate", model, *words(tables, "new_"), "-o", tmp_path / "c", code=1
    )
    assert "cannot be calibrated" in refused.err


def test_the_demo_shows_where_nothing_transfers_and_where_something_does(
    isoscan, tmp_path, monkeypatch
):
    pytest.importorskip("mriqc_learn", reason="needs the package mriqc-learn")
    from isoscan.cli import unseen_fit

    learn = unseen_fit.learn

    def check_real_scans_only(method, model, scans, **settings):
        return learn(method, model, scans, **settings | {"check": scans.people is None})

    monkeypatch.setattr(unseen_fit, "learn", check_real_scans_only)
    monkeypatch.setattr("isoscan.cli.demo_unseen.TREES", 2)
    out = unstyle(isoscan("demo", "unseen", "-o", tmp_path).out)
    assert "\nNo transfer" in out
    assert "as the most similar known scanner" in out
    before, alone, calibrated = (
        float(re.search(rf"^   {words}: ([0-9.]+)$", out, re.MULTILINE)[1])
        for words in ("as they were", "corrected without .*", "calibrated with 3 .*")
    )
    assert calibrated < alone < before / 2
    for folder in ("no-transfer", "model", "new"):
        assert (tmp_path / folder / "report.html").is_file()
    assert "--overwrite" in isoscan("demo", "unseen", "-o", tmp_path, code=1).err
    monkeypatch.chdir(tmp_path / "input")
    commands = [words for words in commands_in("docs/unseen.md") if words[0] != "demo"]
    assert [words[1] for words in commands] == ["fit", "apply", "calibrate", "apply"]
    for words in commands:
        isoscan(*words, *(["--no-check"] if words[1] == "fit" else []))
    assert len(read("new-taught/harmonized.tsv")) == 20


def test_apply_for_known_sites_refuses_a_model_of_unknown_scanners(tables, trained, capsys):
    words_of_new = (tables / "new_measures.tsv", "--participants", tables / "new_people.tsv")
    model = trained / "model.isoscan"
    assert run_main(["apply", model, *words_of_new, "-o", trained.parent / "wrong"]) == 1
    assert "use 'isoscan unseen apply'" in capsys.readouterr().err
