"""A study fixes every column before anybody has seen data."""

import numpy as np
import pandas as pd
import pytest
from federated_cohort import make_consortium

import isoscan as iso
from isoscan.combat.container import hash_facts
from isoscan.design import Design
from isoscan.errors import (
    DataError,
    FormulaError,
    MessageFileError,
    MissingCovariateError,
    MissingFileError,
    SmoothTermError,
)
from isoscan.federated import Study, agreed_covariates, read_study, study_of

FEATURES = {"hippocampus": "mm3"}
KNOWN = {"age": (5, 90), "sex": ("F", "M"), "group": ("a", "b", "c")}


@pytest.mark.parametrize(
    "formula", ["age", "age * C(sex)", "np.log(age) + group", "C(group):age + C(sex, contr.sum)"]
)
def test_columns_are_those_learned_from_data(formula) -> None:
    random = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "age": random.uniform(5, 90, 50),
            "sex": random.choice(["F", "M"], 50),
            "group": random.choice(list("abc"), 50),
        }
    )
    fixed = Study("x", FEATURES, KNOWN, preserve=formula).preserve_design
    learned = Design.fit(formula, table)
    assert fixed.columns == learned.columns
    np.testing.assert_array_equal(fixed.matrix(table), learned.matrix(table))
    few = table.iloc[:1]
    np.testing.assert_array_equal(fixed.matrix(few), learned.matrix(table)[:1])


@pytest.mark.parametrize(
    "formula", ["poly(age, 2)", "scale(age)", "center(age)", "bs(age, df=5)", "cr(age, df=4)"]
)
def test_what_would_be_learned_from_data_is_refused(formula) -> None:
    with pytest.raises(FormulaError, match="learned from each site's data"):
        Study("x", FEATURES, KNOWN, preserve=formula)


def test_first_level_is_the_one_to_compare_with() -> None:
    study = Study("x", FEATURES, {"sex": ("M", "F")}, preserve="C(sex)")
    assert study.columns == ("C(sex)[T.F]",)


def test_parts_that_do_not_fit_are_refused() -> None:
    for error, words, options in [
        (MissingCovariateError, "does not say what 'bmi' may be", {"preserve": "bmi"}),
        (FormulaError, "'age' is a category", {"preserve": "C(age)"}),
        (FormulaError, "both preserved and removed", {"preserve": "age", "remove": "age"}),
        (SmoothTermError, "is a category; a curve", {"smooth": ["sex"]}),
        (SmoothTermError, "in preserve and in smooth", {"preserve": "age", "smooth": ["age"]}),
        (SmoothTermError, "add C.sex. to preserve", {"smooth": ["age:sex"]}),
        (DataError, "missing must be one of", {"missing": "guess"}),
        (DataError, "prior must be one of", {"prior": "flat"}),
        (DataError, "two different levels", {"covariates": {"sex": ["F"]}}),
        (DataError, "lowest and a highest", {"covariates": {"age": (9, 5)}}),
        (DataError, "at least one feature", {"features": {}}),
    ]:
        with pytest.raises(error, match=words):
            Study(**{"name": "x", "features": FEATURES, "covariates": KNOWN} | options)


def test_study_file_gives_the_same_study(tmp_path) -> None:
    study = Study(
        "x", FEATURES, KNOWN, preserve="C(sex)", remove="group", smooth=["age:sex"], reference="A"
    )
    study.save(tmp_path / "study.json")
    again = read_study(tmp_path / "study.json")
    assert again == study
    assert again.sha256 == study.sha256 == hash_facts(study._facts())


def test_altered_or_foreign_file_is_refused(tmp_path) -> None:
    path = tmp_path / "study.json"
    with pytest.raises(MissingFileError):
        read_study(path)
    Study("x", FEATURES, KNOWN, preserve="age").save(path)
    text = path.read_text()
    for old, new, words in [
        ('"people": 10', '"people": 1', "the file was altered"),
        ('"format_version": 1', '"format_version": 3', "reads format 1"),
        ('"isoscan-study"', '"other"', "not a study file"),
        ('"low": 5.0', '"low": NaN', "which is not a number"),
        ('"name": "x"', '"name": "x", "name": "y"', "names a key twice"),
        ("{", "[", "damaged study file"),
    ]:
        path.write_text(text.replace(old, new, 1))
        with pytest.raises(MessageFileError, match=words):
            read_study(path)


def test_ranges_taken_from_a_table_show_nobodys_value() -> None:
    people = make_consortium().people
    people["age"] += 0.123
    known = agreed_covariates(people, ["age", "sex"])
    assert known["sex"].levels == ("F", "M")
    assert known["age"].low < people.age.min() <= people.age.max() < known["age"].high
    with pytest.raises(MissingCovariateError):
        agreed_covariates(people, ["bmi"])


def test_options_of_a_model_are_taken_over() -> None:
    model = iso.ComBat("C(sex)", smooth=["age"], prior="nonparametric", reference="A")
    study = study_of(model, "x", FEATURES, KNOWN, missing="pattern")
    assert (study.preserve, study.smooth, study.prior) == ("C(sex)", ("age",), "nonparametric")
    assert (study.reference, study.missing) == ("A", "pattern")


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (iso.ComBat(robust=True), "medians and biweight midvariances need every scan"),
        (iso.ComBat(fit_on="diagnosis == 'control'"), "chooses scans, which the centre does not"),
        (iso.ComBat(small_sites="mean-only"), "is not sent at all"),
        (iso.CovBat(), "CovBat cannot be fitted from sums.*pairs of measures"),
        (iso.ComBatLS(), "scan by scan"),
        (iso.LongitudinalComBat(), "sums per person"),
    ],
)
def test_what_sums_cannot_give_is_refused_with_the_reason(model, reason) -> None:
    with pytest.raises(DataError, match=reason):
        study_of(model, "x", FEATURES, KNOWN)
