"""`isoscan apply` harmonizes new scans with a saved model, one at a time or in bulk."""

import pandas as pd
import pytest

from cli.study import read, read_json

FILES = ["flags.tsv", "harmonized.json", "harmonized.tsv"]


@pytest.fixture
def apply(harmonized, isoscan):
    study, folder = harmonized

    def run(out, *words, code=0):
        model = folder / "model.isoscan"
        return isoscan("apply", model, *study.words, "-o", study.folder / out, *words, code=code)

    return run


def keep(path, rows):
    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    table[rows(table)].to_csv(path, sep="\t", index=False)


def test_the_training_scans_come_back_as_they_were_harmonized(harmonized, apply):
    study, folder = harmonized
    apply("again")
    assert sorted(file.name for file in (study.folder / "again").iterdir()) == FILES
    again = study.folder / "again" / "harmonized.tsv"
    assert again.read_bytes() == (folder / "harmonized.tsv").read_bytes()


def test_one_scan_alone_equals_the_same_scan_in_bulk(harmonized, apply):
    study, folder = harmonized
    bulk = read(folder / "harmonized.tsv").loc[["sub-0041"]]
    for path in (study.aseg, study.aparc):
        keep(path, lambda table: table.iloc[:, 0] == "sub-0041")
    apply("alone")
    alone = read(study.folder / "alone" / "harmonized.tsv")
    pd.testing.assert_frame_equal(alone, bulk, check_exact=True)


def test_flags_name_scans_outside_what_the_model_has_seen(harmonized, apply):
    study, _ = harmonized
    people = read(study.people)
    people.loc["sub-0003", "age"] = 130.0
    people.to_csv(study.people, sep="\t")
    done = apply("new")
    flags = read(study.folder / "new" / "flags.tsv")
    assert list(flags.index[flags.flagged]) == ["sub-0003"]
    assert flags.age_outside_range.sum() == 1
    assert flags.site_known.all()
    assert flags.site.tolist() == people.site.loc[flags.index].tolist()
    assert "60 scans harmonized, 1 of them outside" in done.out


def test_a_new_site_is_refused_skipped_or_estimated(harmonized, apply):
    study, _ = harmonized
    people = read(study.people).replace({"site": {"SITE03": "OSLO"}})
    people.to_csv(study.people, sep="\t")
    refused = apply("a", code=1)
    assert "'OSLO' (16)" in refused.err
    assert "--new-site" in refused.err
    new = people.index[people.site == "OSLO"]
    before = read(study.aseg).join(read(study.aparc)).loc[new]
    apply("skipped", "--new-site", "skip")
    skipped = read(study.folder / "skipped" / "harmonized.tsv").loc[new]
    pd.testing.assert_frame_equal(skipped, before, check_names=False)
    apply("estimated", "--new-site", "estimate")
    estimated = read(study.folder / "estimated" / "harmonized.tsv").loc[new]
    assert not estimated.equals(before)
    for name in ("skipped", "estimated"):
        flags = read(study.folder / name / "flags.tsv")
        assert set(flags.index[flags.flagged]) == set(new)
        assert not flags.site_known.loc[new].any()


def test_the_sidecar_names_the_model(harmonized, apply):
    study, folder = harmonized
    apply("again")
    first, again = (
        read_json(path / "harmonized.json")["GeneratedBy"][0]["ModelSHA256"]
        for path in (folder, study.folder / "again")
    )
    assert first == again


def test_nothing_is_overwritten_unasked(harmonized, apply):
    study, _ = harmonized
    (study.folder / "new").mkdir()
    (study.folder / "new" / "flags.tsv").write_text("mine")
    assert "--overwrite" in apply("new", code=1).err
    assert [file.name for file in (study.folder / "new").iterdir()] == ["flags.tsv"]
    apply("new", "--overwrite")
    assert (study.folder / "new" / "flags.tsv").read_text() != "mine"


def test_a_measure_the_model_needs_is_missed_by_name(harmonized, apply):
    study, _ = harmonized
    table = read(study.aparc).drop(columns="lh_cuneus_thickness")
    table.rename_axis("lh.aparc.thickness").to_csv(study.aparc, sep="\t")
    assert "lh_cuneus_thickness" in apply("new", code=1).err


def test_a_file_that_is_no_model_is_refused(study, isoscan):
    refused = isoscan("apply", study.aseg, *study.words, "-o", study.folder / "x", code=1)
    assert "aseg.tsv" in refused.err
