"""Scans are chosen by conditions, and conditions can do nothing else."""

import pandas as pd
import pytest

from isoscan.design.rows import choose_rows
from isoscan.errors import FormulaError, MissingCovariateError

PEOPLE = pd.DataFrame(
    {"dx": ["control", "patient", None, "control"], "age": [30, 40, 50, None]},
    index=["a", "b", "c", "d"],
)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("dx == 'control'", [1, 0, 0, 1]),
        ("dx == 'control' and age > 20", [1, 0, 0, 0]),
        ("not dx == 'patient' or age == 40", [1, 1, 1, 1]),
        ("dx in ['patient', 'control']", [1, 1, 0, 1]),
        ("20 < age < 45", [1, 1, 0, 0]),
    ],
)
def test_rows_fulfil_the_condition(condition, expected):
    assert choose_rows(condition, PEOPLE).tolist() == [bool(value) for value in expected]


@pytest.mark.parametrize(
    "condition",
    ["dx.str.len() > 1", "__import__('os')", "@age > 1", "age > (lambda: 1)()", "age", "age >"],
)
def test_anything_but_a_condition_is_refused(condition):
    with pytest.raises(FormulaError):
        choose_rows(condition, PEOPLE)


def test_absent_columns_are_named():
    with pytest.raises(MissingCovariateError, match="needs 'group'"):
        choose_rows("group == 1", PEOPLE)


def test_a_condition_nobody_fulfils_is_refused():
    with pytest.raises(FormulaError, match="none of 4 scans"):
        choose_rows("age > 90", PEOPLE)
