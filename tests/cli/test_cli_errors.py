"""The command line answers in one sentence and with an exit code a script can use."""

import pytest
from click import unstyle

import isoscan as package
from isoscan.cli.main import VERBS


def test_every_verb_is_listed_and_has_help(isoscan):
    listed = isoscan("--help").out
    for verb in VERBS:
        assert f"  {verb} " in listed
        assert isoscan(verb, "-h").out.startswith(f"Usage: isoscan {verb}")


def test_the_version_is_that_of_the_package(isoscan):
    assert package.__version__ in isoscan("--version").out


@pytest.mark.parametrize(
    "words",
    [
        ("unknown",),
        ("harmonize",),
        ("harmonize", "absent.tsv", "-o", "out"),
        ("harmonize", "--method", "magic"),
        ("apply", "absent.isoscan"),
    ],
)
def test_wrong_usage_exits_with_2(words, isoscan):
    wrong = isoscan(*words, code=2)
    assert "Usage: " in wrong.err
    assert wrong.out == ""


def test_wrong_data_exit_with_1_and_one_sentence(study, isoscan):
    study.people.write_text(study.people.read_text().replace("SITE02", "").replace("SITE03", ""))
    wrong = isoscan("harmonize", *study.words, "-o", study.folder / "out", code=1)
    assert wrong.out == ""
    assert unstyle(wrong.err).startswith("Error: ")
    assert len(wrong.err.strip().splitlines()) == 1
    assert not (study.folder / "out").exists()


def test_confounding_is_explained_in_words(study, isoscan):
    text = study.people.read_text().replace("\tM\t", "\tF\t")
    study.people.write_text(text)
    wrong = isoscan("harmonize", *study.words, "--preserve", "C(sex)", "-o", "x", code=1)
    assert "sex" in wrong.err


def test_a_covariate_that_is_not_there_is_named(study, isoscan):
    wrong = isoscan("harmonize", *study.words, "--preserve", "iq", "-o", "x", code=1)
    assert "'iq'" in wrong.err


def test_a_folder_that_is_a_file_is_wrong_usage(study, isoscan):
    wrong = isoscan("harmonize", *study.words, "-o", study.aseg, code=2)
    assert "is a file" in wrong.err


def test_other_packages_warnings_are_not_shown(study, isoscan, monkeypatch):
    import warnings

    from isoscan import harmonizing

    def noisy(*args, **options):
        warnings.warn("inner detail", DeprecationWarning, stacklevel=2)
        return describe(*args, **options)

    describe = harmonizing.describe
    monkeypatch.setattr(harmonizing, "describe", noisy)
    done = isoscan("harmonize", *study.words, "-o", study.folder / "out")
    assert "inner detail" not in done.err
