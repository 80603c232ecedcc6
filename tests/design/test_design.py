"""A design gives the same columns every time, and names what it cannot use."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoscan.design import Design, find_confounding, require_identifiable
from isoscan.errors import (
    ConfoundedDesignError,
    ConstantTermError,
    ExtrapolationWarning,
    FormulaError,
    MissingCovariateError,
    NotNumericError,
    UnseenLevelError,
)

FORMULAS = [
    "age",
    "age + C(sex)",
    "age * sex",
    "poly(age, 3) + sex",
    "bs(age, df=5) + scanner",
    "cr(age, df=4, constraints='center') + sex:scanner",
    "np.log(age) + I(age**2) + center(`total volume`)",
    "C(sex, contr.sum) + C(level)",
]


def _people(n: int = 40, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": random.uniform(18, 80, n).round(1),
            "sex": random.choice(["F", "M"], n),
            "scanner": random.choice(["GE", "Philips", "Siemens"], n),
            "level": random.choice([1, 2, 10], n),
            "total volume": random.normal(1500, 100, n),
        },
        index=[f"sub-{i:02d}" for i in range(n)],
    )


@pytest.mark.parametrize("formula", FORMULAS)
@given(rows=st.lists(st.integers(0, 39), min_size=1, max_size=6))
def test_any_subset_gets_the_columns_it_had_in_training(formula, rows) -> None:
    people = _people()
    design = Design.fit(formula, people)
    whole = design.matrix(people)
    np.testing.assert_allclose(design.matrix(people.iloc[rows]), whole[rows], rtol=1e-12)
    assert whole.shape == (40, len(design.columns))


@pytest.mark.parametrize("formula", [*FORMULAS, None])
def test_json_round_trip_gives_identical_columns(formula) -> None:
    people = _people()
    design = Design.fit(formula, people)
    text = json.dumps(design.to_json(), allow_nan=False)
    again = Design.from_json(json.loads(text))
    np.testing.assert_array_equal(again.matrix(people), design.matrix(people))
    assert again.columns == design.columns
    assert again.terms == design.terms
    assert json.dumps(again.to_json()) == text


def test_columns_of_the_table_may_come_in_any_order_and_number() -> None:
    people = _people()
    design = Design.fit("age + C(sex)", people)
    shuffled = people.assign(other=1)[["sex", "other", "age"]]
    np.testing.assert_array_equal(design.matrix(shuffled), design.matrix(people))


@pytest.mark.parametrize(
    "formula",
    [
        "{__import__('os').system('touch pwned')}",
        "age.__class__",
        "I(age.sum())",
        "np.load('x.npy')",
        "I([x for x in age])",
        "I((lambda: age)())",
        "open('x')",
        "hashed(age, levels=10)",
        "I(age if True else 0)",
        "I(f'{age}')",
        "I(age[0])",
        "__builtins__",
        "lag(age)",
    ],
)
def test_formula_that_is_more_than_arithmetic_is_refused(formula, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((FormulaError, MissingCovariateError)):
        Design.fit(formula, _people())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("formula", "sentence"),
    [
        ("", "the formula is empty"),
        ("age +", "cannot be read"),
        ("thickness ~ age", "left-hand side"),
        ("np.log(age - 200)", "not a finite number"),
        ("age + height", "1 covariate of the formula not found: 'height'"),
    ],
)
def test_formula_that_makes_no_sense_is_refused(formula, sentence) -> None:
    with pytest.raises((FormulaError, MissingCovariateError), match=sentence):
        Design.fit(formula, _people())


def test_new_level_and_new_range_are_named() -> None:
    people = _people()
    design = Design.fit("age + scanner", people)
    changed = people.assign(scanner="Toshiba")
    with pytest.raises(UnseenLevelError, match=r"'scanner' is 'Toshiba' for 40 scans"):
        design.matrix(changed)
    older = people.assign(age=people.age + 50)
    with pytest.warns(ExtrapolationWarning, match=r"'age' of \d+ scans lies outside"):
        design.matrix(older, check_range=True)
    assert design.outside_range(older)["age"].sum() > 0


def test_a_level_that_is_absent_in_new_data_keeps_its_column() -> None:
    people = _people()
    design = Design.fit("scanner", people)
    only = people[people.scanner == "GE"]
    assert design.matrix(only).shape[1] == 2


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["30", "41.5"] * 20, "numbers"),
        ([True, False] * 20, "categories"),
        (pd.Categorical(["a", "b"] * 20), "categories"),
        ([1, 2] * 20, "numbers"),
    ],
)
def test_kind_of_a_covariate_follows_its_values(values, kind) -> None:
    people = _people().assign(x=values)
    is_category = Design.fit("x", people).covariates["x"].levels is not None
    assert is_category == (kind == "categories")


def test_mostly_numbers_is_not_a_category() -> None:
    people = _people().assign(age=["unknown", *(str(i) for i in range(39))])
    with pytest.raises(NotNumericError, match=r"age: 1 value not a number, e\.g\. 'unknown'"):
        Design.fit("age", people)


def test_integers_floats_and_text_are_one_category() -> None:
    people = _people()
    design = Design.fit("C(level)", people)
    for column in (people.level.astype(float), people.level.astype(str)):
        np.testing.assert_array_equal(
            design.matrix(people.assign(level=column)), design.matrix(people)
        )


SITES = np.repeat(["A", "B"], 20)


def _confounding(formula: str, **columns) -> list[str]:
    people = _people().assign(**columns)
    design = Design.fit(formula, people)
    found = find_confounding(design.matrix(people), design, SITES, people)
    return [item.sentence for item in found]


@pytest.mark.parametrize(
    ("formula", "columns", "sentence"),
    [
        ("age + sex", {"sex": np.repeat(["F", "M"], 20)}, r"'sex' is determined by site: all 20"),
        (
            "age",
            {"age": np.repeat([30.0, 40.0], 20)},
            r"one value per site \(30 at 'A', 40 at 'B'\)",
        ),
        ("age + dose", {"dose": _people().age * 2 + 1}, r"is determined by '\w+' and site"),
        (
            "age + dose",
            {"dose": _people().age * 2 + np.repeat([0, 7], 20)},
            r"is determined by '\w+' and site",
        ),
        (
            "C(scanner)",
            {"scanner": np.r_[["GE", "Philips"] * 10, ["Siemens"] * 20]},
            r"part of 'C\(scanner\)'|determined by",
        ),
    ],
)
def test_aliased_term_is_named(formula, columns, sentence) -> None:
    import re

    found = _confounding(formula, **columns)
    assert any(re.search(sentence, text) for text in found), found


def test_identifiable_design_passes() -> None:
    assert _confounding("age + C(sex) + C(scanner)") == []


@given(shift=st.floats(-1e6, 1e6), scale=st.floats(1e-3, 1e3))
def test_units_of_a_covariate_do_not_make_it_aliased(shift, scale) -> None:
    age = _people().age * scale + shift
    assert _confounding("age + C(sex)", age=age) == []


def test_refusal_joins_all_reasons() -> None:
    people = _people().assign(sex=np.repeat(["F", "M"], 20), dose=_people().age * 3)
    design = Design.fit("age + sex + dose", people)
    with pytest.raises(
        ConfoundedDesignError, match=r"(?s)'sex' is determined by site.*'dose'|'age'"
    ):
        require_identifiable(design.matrix(people), design, SITES, people)


def test_constant_column_is_named() -> None:
    with pytest.raises(ConstantTermError, match=r"'sex' is 'F' for all 40 scans"):
        Design.fit("sex", _people().assign(sex="F"))
    with pytest.raises(ConstantTermError, match=r"'age' is 30 for all 40 scans"):
        Design.fit("age", _people().assign(age=30))


def test_term_that_is_preserved_and_removed_is_refused() -> None:
    people = _people()
    first, second = Design.fit("age + sex", people), Design.fit("sex", people)
    with pytest.raises(FormulaError, match=r"'sex' is both preserved and removed"):
        first.join(second)
