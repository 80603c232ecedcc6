"""`isoscan describe` and `isoscan evaluate` print what they find, and write it if asked."""

import pytest

from cli.study import read, read_json, write_study

PRESERVE = ("--preserve", "age + C(sex)")


def test_a_description_prints_sites_and_writes_nothing_by_itself(study, isoscan):
    before = set(study.folder.iterdir())
    done = isoscan("describe", *study.words, *PRESERVE)
    assert done.out.startswith("60 scans, 9 features, 3 sites")
    assert "SITE02" in done.out
    assert set(study.folder.iterdir()) == before


def test_a_description_is_written_as_json_and_report(study, isoscan):
    out = study.folder / "out"
    isoscan("describe", *study.words, *PRESERVE, "-o", out)
    assert sorted(file.name for file in out.iterdir()) == ["describe.json", "report.html"]
    assert read_json(out / "describe.json")["scans"] == 60
    assert "--overwrite" in isoscan("describe", *study.words, "-o", out, code=1).err


def test_a_description_may_leave_individuals_out(tmp_path, isoscan):
    def with_error(measures, people):
        measures.iloc[2, 0] = 1e6
        people.loc["sub-0009", "age"] = None
        return measures, people

    study = write_study(tmp_path, with_error)
    done = isoscan("describe", *study.words, *PRESERVE, "-o", tmp_path / "a", "--no-individuals")
    texts = [(tmp_path / "a" / name).read_text() for name in ("describe.json", "report.html")]
    assert "missing for 1 of 60 scans. Fill in" in " ".join(done.out.split())
    assert not any("sub-00" in text for text in [done.out, *texts])


def test_an_evaluation_compares_tables_of_any_program(harmonized, isoscan):
    study, folder = harmonized
    both = read(study.aseg).join(read(study.aparc)).rename_axis("participant_id")
    both.to_csv(study.folder / "before.tsv", sep="\t")
    words = (study.folder / "before.tsv", folder / "harmonized.tsv", "--participants", study.people)
    done = isoscan("evaluate", *words, *PRESERVE, "-o", study.folder / "out")
    facts = read_json(study.folder / "out" / "evaluate.json")
    whole = read_json(folder / "facts.json")["evaluate"]
    for when in ("before", "after"):
        found, expected = (part["site_effects"]["summary"][when] for part in (facts, whole))
        assert found == pytest.approx(expected)
    assert facts["features"] == study.features
    assert "site guessed right" in done.out
    assert (study.folder / "out" / "report.html").exists()


def test_scans_that_were_lost_on_the_way_are_named(harmonized, isoscan):
    study, folder = harmonized
    after = read(folder / "harmonized.tsv").drop("sub-0013")
    after.rename_axis("participant_id").to_csv(study.folder / "after.tsv", sep="\t")
    words = (study.aseg, study.folder / "after.tsv", "--participants", study.people)
    assert "'sub-0013'" in isoscan("evaluate", *words, code=1).err
