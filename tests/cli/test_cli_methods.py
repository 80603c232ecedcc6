"""`isoscan harmonize` offers every method, and refuses options that the method does not have."""

import inspect

import pandas as pd
import pytest
from click import unstyle

import isoscan as iso
from cli.study import read
from isoscan.cli import harmonize as verb
from isoscan.cli.method_options import METHODS, OPTIONS
from isoscan.harmonizing import METHODS as KNOWN
from isoscan.phantom import simulate_tables

CONTROLS = "diagnosis == 'control'"
METHOD_WORDS = {
    "curves": ("--preserve", "C(sex)", "--smooth", "age", "--smooth-bounds", "age=5,95"),
    "curve per sex": ("--preserve", "C(sex)", "--smooth", "age:sex", "--robust"),
    "covbat": ("--method", "covbat", "--preserve", "age", "--components", "2"),
    "combat-ls": ("--method", "combat-ls", "--preserve", "C(sex)", "--scale", "age"),
    "steps": ("--method", "stepwise", "--step", "sex", "--step", "site", "--preserve", "age"),
    "controls": ("--preserve", "age", "--fit-on", CONTROLS, "--prior", "nonparametric"),
}

pytestmark = pytest.mark.usefixtures("without_figures")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def write_visits(path):
    """Two visits of each person, at one site and at the next."""
    cohort = simulate_tables(6, (24, 24, 20), random_state=5)
    first = cohort.people.join(cohort.measures).reset_index(drop=True)
    person = [f"sub-{row // 2:02d}" for row in first.index]
    for name in ("age", "sex", "diagnosis"):
        first[name] = first[name].groupby(person).transform("first")
    first.insert(0, "participant_id", person)
    first.insert(1, "session", [str(row % 2 + 1) for row in first.index])
    first.loc[::2, "site"] = first["site"].shift(-1)[::2].replace("SITE03", "SITE01")
    first["years"] = [float(row % 2) for row in first.index]
    first.to_csv(path, sep="\t", index=False)
    return path


@pytest.mark.parametrize("words", METHOD_WORDS.values(), ids=METHOD_WORDS)
def test_a_saved_model_of_any_method_gives_its_training_scans_again(study, out, isoscan, words):
    isoscan("harmonize", *study.words, *words, "-o", out / "first")
    isoscan("apply", out / "first" / "model.isoscan", *study.words, "-o", out / "again")
    first, again = (read(out / name / "harmonized.tsv") for name in ("first", "again"))
    pd.testing.assert_frame_equal(first, again, rtol=1e-12)
    assert not first[study.features].equals(
        read(study.aseg).join(read(study.aparc))[study.features]
    )


def test_repeated_scans_are_those_of_a_participant_unless_a_column_says_so(tmp_path, isoscan):
    table = write_visits(tmp_path / "visits.tsv")
    words = ("--method", "longitudinal", "--preserve", "age + years")
    isoscan("harmonize", table, *words, "-o", tmp_path / "a")
    named = ("--subject", "participant_id", "--variance", "msr")
    isoscan("harmonize", table, *words, *named, "-o", tmp_path / "b")
    first, second = (iso.load(tmp_path / name / "model.isoscan") for name in ("a", "b"))
    assert first.subject == second.subject == "participant_id"
    assert "years" not in first.get_feature_names_out()
    assert second.variance == "msr"
    isoscan("apply", tmp_path / "a" / "model.isoscan", table, "-o", tmp_path / "again")
    pd.testing.assert_frame_equal(
        *(read(tmp_path / name / "harmonized.tsv") for name in ("a", "again")), rtol=1e-12
    )


def test_numbers_of_curves_are_those_of_the_library(study, out, isoscan):
    isoscan("harmonize", *study.words, *METHOD_WORDS["curves"], "-o", out)
    before, people = read(study.aseg).join(read(study.aparc)), read(study.people)
    model = iso.ComBat("C(sex)", smooth=["age"], smooth_bounds={"age": (5, 95)})
    expected = model.fit_transform(before[study.features], sites=people.site, covariates=people)
    found = read(out / "harmonized.tsv")[study.features]
    pd.testing.assert_frame_equal(found, expected, rtol=1e-9, check_names=False)


@pytest.mark.parametrize(
    ("method", "flag", "value", "having"),
    [
        ("covbat", "--robust", None, "combat, stepwise"),
        ("combat", "--components", "3", "covbat"),
        ("combat-ls", "--smooth", "age", "combat, covbat, stepwise"),
        ("combat", "--scale", "age", "combat-ls"),
        ("covbat", "--subject", "person", "longitudinal"),
    ],
)
def test_an_option_of_another_method_is_wrong_usage(
    study, out, isoscan, method, flag, value, having
):
    words = (flag,) if value is None else (flag, value)
    wrong = isoscan("harmonize", *study.words, "--method", method, *words, "-o", out, code=2)
    assert f"--method {method} has no {flag}; it goes with {having}" in unstyle(wrong.err)
    assert not out.exists()


@pytest.mark.parametrize("bounds", ["18,90", "age=90,18", "age=18", "age=a,b"])
def test_bounds_that_are_none_are_wrong_usage(study, out, isoscan, bounds):
    words = ("--smooth", "age", "--smooth-bounds", bounds)
    wrong = isoscan("harmonize", *study.words, *words, "-o", out, code=2)
    assert "NAME=LOW,HIGH" in wrong.err


@pytest.fixture
def with_coils(study):
    """The study, with a second batch variable."""
    people = read(study.people)
    people["coil"] = ["8ch" if row % 3 else "32ch" for row in range(len(people))]
    people.to_csv(study.people, sep="\t")
    return study


def test_several_batch_variables_are_removed_and_applied(with_coils, out, isoscan):
    study, both = with_coils, ("--site", "site", "--site", "coil")
    isoscan("harmonize", *study.words, *both, "--preserve", "age", "-o", out / "first")
    model = iso.load(out / "first" / "model.isoscan")
    assert list(model.batches_.levels) == ["site", "coil"]
    isoscan("apply", out / "first" / "model.isoscan", *study.words, "-o", out / "again")
    first, again = (read(out / name / "harmonized.tsv") for name in ("first", "again"))
    pd.testing.assert_frame_equal(first, again, rtol=1e-12)
    flags = read(out / "again" / "flags.tsv")
    assert flags.site_known.all()
    assert set(flags.site) == {f"SITE0{n} / {coil}" for n in (1, 2, 3) for coil in ("8ch", "32ch")}


def test_sites_are_merged_and_dropped_in_any_batch_variable(with_coils, out, isoscan):
    words = ("--site", "site", "--site", "coil", "--merge-site", "8ch=old", "--drop-site", "SITE03")
    done = isoscan("harmonize", *with_coils.words, *words, "-o", out)
    assert "16 scans of" in done.err
    levels = iso.load(out / "model.isoscan").batches_.levels
    assert {name: list(found) for name, found in levels.items()} == {
        "site": ["SITE01", "SITE02"],
        "coil": ["32ch", "old"],
    }


def test_new_levels_of_several_variables_are_not_estimated(with_coils, out, isoscan):
    both = ("--site", "site", "--site", "coil")
    isoscan("harmonize", *with_coils.words, *both, "-o", out)
    words = ("--new-site", "estimate", "-o", out / "new")
    wrong = isoscan("apply", out / "model.isoscan", *with_coils.words, *words, code=2)
    assert "ComBat of several batch variables cannot estimate" in wrong.err


def test_new_sites_are_estimated_only_by_methods_that_can(study, out, isoscan):
    isoscan("harmonize", *study.words, *METHOD_WORDS["covbat"], "-o", out)
    words = ("--new-site", "estimate", "-o", out / "new")
    wrong = isoscan("apply", out / "model.isoscan", *study.words, *words, code=2)
    assert "CovBat cannot estimate new sites" in wrong.err


def test_ages_beyond_the_bounds_of_a_curve_are_flagged(study, out, isoscan):
    words = ("--preserve", "C(sex)", "--smooth", "age")
    isoscan("harmonize", *study.words, *words, "-o", out)
    people = read(study.people)
    people.loc["sub-0003", "age"] = 130.0
    people.to_csv(study.people, sep="\t")
    done = isoscan("apply", out / "model.isoscan", *study.words, "-o", out / "new")
    flags = read(out / "new" / "flags.tsv")
    assert list(flags.index[flags.age_outside_range]) == ["sub-0003"]
    assert list(flags.index[flags.flagged]) == ["sub-0003"]
    assert "'sub-0003'" in done.err


def test_a_covariate_of_a_curve_or_of_the_spread_is_no_measure(tmp_path, isoscan):
    cohort = simulate_tables(4, (20, 20), random_state=3)
    table = cohort.people.join(cohort.measures).rename(columns={"age": "years"})
    table["score"] = [float(row % 7) for row in range(40)]
    path = tmp_path / "table.tsv"
    table.rename_axis("participant_id").to_csv(path, sep="\t")
    for method, words in {
        "combat": ("--smooth", "years", "--fit-on", "score < 6"),
        "combat-ls": ("--preserve", "score", "--scale", "years"),
    }.items():
        out = tmp_path / method
        isoscan("harmonize", path, "--method", method, *words, "-o", out)
        features = list(iso.load(out / "model.isoscan").get_feature_names_out())
        assert features == list(cohort.measures.columns)


def test_every_method_of_the_library_can_be_chosen():
    assert tuple(KNOWN) == METHODS


def test_every_option_of_the_methods_is_a_parameter_of_the_command():
    assert set(OPTIONS) <= {item.name for item in verb.command.params}
    assert "smooth" in inspect.signature(iso.ComBat).parameters


def test_help_lists_options_under_headings(isoscan):
    text = isoscan("harmonize", "--help").out
    places = [text.index(f"\n{name}:\n") for name in ("Data", "Model", "Curves", "Fit", "Results")]
    assert places == sorted(places)
