"""`isoscan pool` writes what the Python functions find, and says it in words."""

import re
import warnings
from contextlib import redirect_stdout
from io import StringIO

import pandas as pd
import pytest

import isoscan as iso
from cli.study import read_json, write_study
from isoscan.cli.main import main

ASK = ("--contrast", "diagnosis", "--groups", "control", "patient", "--adjust", "age + C(sex)")


@pytest.fixture(scope="module")
def pooled(tmp_path_factory):
    """A study, its pooled effects, and what was said; worked out once."""
    study = write_study(tmp_path_factory.mktemp("study"))
    out = study.folder / "pooled"
    words = ("--compare", "--mega", "slope", "--mega", "fixed", "--min-per-group", "3")
    with redirect_stdout(StringIO()) as said, warnings.catch_warnings():
        main([str(word) for word in ("pool", *study.words, *ASK, *words, "-o", out)])
    return study, out, said.getvalue()


def test_tables_are_those_of_python(pooled):
    study, out, _ = pooled
    people = iso.read_participants(study.people)
    measures = iso.read_freesurfer([study.aseg, study.aparc])
    measures = measures[[name for name in measures if "Total" not in name]]
    effects = iso.site_effects(
        measures,
        sites=people.site,
        covariates=people,
        contrast="diagnosis",
        groups=("control", "patient"),
        adjust="age + C(sex)",
        min_per_group=3,
    )
    expected = iso.meta_analysis(effects).table.set_index("feature")
    written = pd.read_csv(out / "pooled.tsv", sep="\t", index_col="feature")
    assert set(written.index) == set(expected.index)
    for name in ("effect", "se", "p_adjusted", "tau2"):
        assert written[name].to_dict() == pytest.approx(expected[name].to_dict(), rel=1e-6)
    assert pd.read_csv(out / "enigma.tsv", sep="\t").columns[1] == "d_icv"
    assert len(pd.read_csv(out / "strategies.tsv", sep="\t")) == 7 * len(expected)
    assert read_json(out / "strategies.json")["Reading"][0].startswith("Narrower")
    without = pd.read_csv(out / "leave_one_out.tsv", sep="\t")
    assert len(without) == len(pd.read_csv(out / "influence.tsv", sep="\t")) == 3 * len(expected)
    assert "left out" in read_json(out / "leave_one_out.json")["site"]["Description"]
    assert set(read_json(out / "site_effects.json")) >= {"Description", "effect", "beta_se", "n1"}


def test_figures_and_words_are_there(pooled):
    _, out, said = pooled
    files = {file.name for file in out.iterdir()}
    assert {"effects.svg", "agreement.svg", "mega_slope.tsv", "mega_fixed.json"} <= files
    assert sum(name.startswith("forest_") for name in files) == 1
    assert "patient minus control" in said and "Narrower is not better" in said
    assert "conventions of metafor" in said
    page = (out / "pool.html").read_text()
    assert page.count("<svg") == 3 and "Narrower is not better" in page
    assert "<td>mega slope</td>" in page and "leave_one_out.tsv" in page
    assert not any(word in page for word in ("src=", "@import", "<script", "<link"))
    marks = re.findall(r' id="([^"]+)"', page)
    assert len(marks) == len(set(marks))


def test_what_exists_is_kept_and_wrong_words_are_answered(pooled, isoscan):
    study, out, _ = pooled
    assert "--overwrite" in isoscan("pool", *study.words, *ASK, "-o", out, code=1).err
    other = study.folder / "other"
    wrong = isoscan("pool", *study.words, "--contrast", "diagnosis", "-o", other, code=1)
    assert "groups" in wrong.err and not other.exists()
    wrong = isoscan("pool", *study.words, *ASK, "--forest", "Cuneus", "-o", other, code=1)
    assert "no such measure" in wrong.err


def test_numbers_are_pooled_as_partial_correlations(study, isoscan):
    out = study.folder / "age"
    done = isoscan(
        "pool", *study.words, "--contrast", "age", "--preset", "enigma", "--p-adjust", "none",
        "--forest", "lh_insula_thickness", "-o", out,
    )  # fmt: skip
    assert "Fisher's z" in done.out and "Wald test" in done.out
    assert (out / "forest_lh_insula_thickness.svg").exists()
    assert not (out / "enigma.tsv").exists()
    assert "p_adjusted" not in pd.read_csv(out / "pooled.tsv", sep="\t")


def test_a_site_without_a_group_is_named(tmp_path, isoscan):
    def controls_only(measures, people):
        people.loc[people.site == "SITE03", "diagnosis"] = "control"
        return measures, people

    study = write_study(tmp_path, controls_only)
    out = tmp_path / "out"
    done = isoscan("pool", *study.words, *ASK, "--min-per-group", "3", "-o", out)
    assert "Left out: 8 measures at 1 site ('SITE03'): no scan of group 'patient'." in done.out
    reasons = pd.read_csv(out / "skipped.tsv", sep="\t").reason.unique().tolist()
    assert reasons == ["no scan of group 'patient'"]


def test_effects_found_at_each_site_are_pooled_without_subjects(study, isoscan):
    together = study.folder / "together"
    options = (*ASK, "--min-per-group", "3")
    isoscan("pool", *study.words, *options, "-o", together)
    tables = []
    for site, others in {"SITE01": "23", "SITE02": "13", "SITE03": "12"}.items():
        words = [word for other in others for word in ("--drop-site", f"SITE0{other}")]
        own = study.folder / site
        isoscan("pool", *study.words, *options, *words, "--effects-only", "-o", own)
        table = pd.read_csv(own / "site_effects.tsv", sep="\t").drop(columns="site")
        tables.append(study.folder / f"{site}.tsv")
        table.to_csv(tables[-1], sep="\t", index=False)
    apart = study.folder / "apart"
    done = isoscan("pool", *tables, "--forest", "Left-Amygdala", "-o", apart)
    assert "bounded Knapp-Hartung" in done.out
    assert {"enigma.tsv", "forest_Left-Amygdala.svg"} <= {file.name for file in apart.iterdir()}
    one, other = (pd.read_csv(out / "pooled.tsv", sep="\t") for out in (together, apart))
    pd.testing.assert_frame_equal(one.set_index("feature").loc[other.feature].reset_index(), other)
    assert "SITE02" in set(pd.read_csv(apart / "leave_one_out.tsv", sep="\t").site)
    lost = isoscan("pool", study.aseg, "-o", study.folder / "x", code=1)
    assert "no column 'effect'" in lost.err and "--contrast" in lost.err
    lost = isoscan("pool", *tables, "--compare", "-o", study.folder / "x", code=2)
    assert "say what to test" in lost.err


def test_sites_may_be_told_by_several_columns(tmp_path, isoscan):
    def two_columns(measures, people):
        hospital = people.site.map({"SITE01": "Oslo", "SITE02": "Oslo", "SITE03": "Kiel"})
        return measures, people.assign(hospital=hospital, scanner="T" + people.site.str[-1])

    study = write_study(tmp_path, two_columns)
    words = ("--site", "hospital", "--site", "scanner", "--min-per-group", "3")
    out = tmp_path / "out"
    isoscan("pool", *study.words, *ASK, *words, "--mega", "fixed", "--compare", "-o", out)
    effects = pd.read_csv(out / "site_effects.tsv", sep="\t")
    assert sorted(set(effects.site)) == ["Kiel / T3", "Oslo / T1", "Oslo / T2"]
    assert set(pd.read_csv(out / "mega_fixed.tsv", sep="\t").k) == {3}


def test_a_covariate_that_a_site_cannot_use_is_named(tmp_path, isoscan):
    def women_only(measures, people):
        people.loc[people.site == "SITE03", "sex"] = "F"
        return measures, people

    study = write_study(tmp_path, women_only)
    out = tmp_path / "out"
    done = isoscan("pool", *study.words, *ASK, "--min-per-group", "3", "-o", out)
    assert "Not adjusted for C(sex)[T.M] at 1 site ('SITE03'): it does not vary." in done.out
    assert pd.read_csv(out / "left_out.tsv", sep="\t").site.tolist() == ["SITE03"]
