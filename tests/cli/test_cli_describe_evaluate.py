"""`isoscan describe` and `isoscan evaluate` print what they find, and write it if asked."""

import pytest

from cli.study import read, read_json, write_study
from isoscan.evaluation import evaluate

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


def with_visits(measures, people):
    """Everybody was scanned twice, ten of thirty people at two sites."""
    person = [row // 2 for row in range(len(people))]
    for row in range(1, 10, 2):
        person[row], person[row + 24] = person[row + 24], person[row]
    people = people.assign(person=person, years=[row % 2 for row in range(len(people))])
    level = [1 + 0.02 * (one % 7) for one in person]
    return measures.mul(level, axis=0), people


@pytest.fixture
def visits(tmp_path):
    """A study of repeated scans, and a table as another program may have harmonized it."""
    study = write_study(tmp_path, with_visits)
    measures = read(study.aseg)
    measures.groupby(read(study.people).site).transform(lambda own: own - own.mean()).to_csv(
        tmp_path / "after.tsv", sep="\t"
    )
    return study, (study.aseg, tmp_path / "after.tsv", "--participants", study.people)


@pytest.mark.usefixtures("without_figures")
def test_an_evaluation_knows_whose_scans_they_are_and_when_they_were_made(visits, isoscan):
    study, words = visits
    own = ("--preserve", "age", "--subject", "person", "--time", "years")
    done = isoscan("evaluate", *words, *own, "-o", study.folder / "out")
    assert done.out.startswith("60 scans of 30 people, 4 features, 3 sites")
    facts = read_json(study.folder / "out" / "evaluate.json")
    counts = {"column": "person", "ordered_by": "years", "people": 30, "repeated": 30, "moved": 10}
    people, measures = read(study.people), read(study.aseg)[facts["features"]]
    expected = evaluate(
        measures,
        read(study.folder / "after.tsv")[facts["features"]],
        sites=people.site,
        covariates=people,
        preserve="age",
        subject="person",
        time="years",
    )["people"]
    assert counts.items() <= facts["people"].items()
    assert facts["people"]["changes"]["moved"]["summary"] == pytest.approx(
        expected["changes"]["moved"]["summary"], rel=1e-6
    )
    assert "Change within people" in (study.folder / "out" / "report.html").read_text()


@pytest.mark.usefixtures("without_figures")
def test_the_order_of_rows_says_nothing_where_time_is_given(visits, isoscan):
    study, words = visits
    own = ("--subject", "person", "--time", "years")
    isoscan("evaluate", *words, *own, "-o", study.folder / "a")
    read(study.aseg).sample(frac=1, random_state=2).to_csv(study.aseg, sep="\t")
    isoscan("evaluate", *words, *own, "-o", study.folder / "b")
    first, again = (
        read_json(study.folder / name / "evaluate.json")["people"]["changes"] for name in ("a", "b")
    )
    for part, key in (("moved", "before"), ("moved", "after"), ("all", "correlation")):
        assert again[part][key] == pytest.approx(first[part][key], rel=1e-6)


def test_time_without_people_is_wrong_usage(visits, isoscan):
    _, words = visits
    assert "--subject" in isoscan("evaluate", *words, "--time", "years", code=2).err


def test_a_column_of_people_that_is_missing_is_named(visits, isoscan):
    _, words = visits
    wrong = isoscan("evaluate", *words, "--subject", "nobody", code=1).err
    assert "no column 'nobody' to be --subject" in " ".join(wrong.split())


@pytest.mark.usefixtures("without_figures")
def test_sessions_of_any_name_tell_the_scans_of_both_tables_apart(visits, isoscan):
    study, _ = visits
    both = read(study.aseg).join(read(study.people)).rename(columns={"years": "wave"})
    both.insert(0, "participant_id", [f"sub-{one:02}" for one in both.pop("person")])
    for name in ("x.tsv", "y.tsv"):
        both.to_csv(study.folder / name, sep="\t", index=False)
    words = (study.folder / "x.tsv", study.folder / "y.tsv", "--session", "wave")
    done = isoscan("evaluate", *words, "--subject", "participant_id", "--feature", "*-*")
    assert done.out.startswith("60 scans of 30 people, 4 features")


def test_scans_that_were_lost_on_the_way_are_named(harmonized, isoscan):
    study, folder = harmonized
    after = read(folder / "harmonized.tsv").drop("sub-0013")
    after.rename_axis("participant_id").to_csv(study.folder / "after.tsv", sep="\t")
    words = (study.aseg, study.folder / "after.tsv", "--participants", study.people)
    assert "'sub-0013'" in isoscan("evaluate", *words, code=1).err
