"""Designs that are known before anybody has looked at data.

Every site must turn covariates into the same columns. So levels, ranges and bounds come from
the study file, and a transformation that learns from data is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from formulaic import ModelSpec

from isoscan.design import Design, SmoothDesign
from isoscan.design.covariates import Covariate
from isoscan.design.formula import parse_formula, variables, variables_in_categories
from isoscan.design.splines import Spline
from isoscan.errors import FormulaError, MissingCovariateError, SmoothTermError, name_some

_ROWS = 400  # enough for any formula to be evaluated


def fixed_design(formula: str | None, covariates: Mapping[str, Covariate]) -> Design:
    """Columns of a formula, from levels and ranges alone.

    Parameters
    ----------
    formula : str or None
        Which covariates enter, and how.
    covariates : mapping of {str: Covariate}
        Levels and ranges, agreed upon.

    Returns
    -------
    Design
        As if learned from data.

    Raises
    ------
    MissingCovariateError
        If a covariate of the formula was not agreed upon.
    FormulaError
        If a transformation would learn from data.

    Examples
    --------
    >>> known = {"age": Covariate("age", None, 5.0, 90.0), "sex": Covariate("sex", ("F", "M"))}
    >>> fixed_design("age + C(sex)", known).columns
    ('age', 'C(sex)[T.M]')
    >>> fixed_design("center(age)", known)
    Traceback (most recent call last):
    isoscan.errors.FormulaError: 'center(age)' would be learned from each site's data, ...
    """
    if formula is None:
        return Design()
    parsed = parse_formula(formula)
    used = _choose(variables(parsed), covariates)
    for name in sorted(variables_in_categories(parsed)):
        if used[name].levels is None:
            raise FormulaError(
                f"'{name}' is a category in the formula '{formula}', but the study gives a range "
                f"of numbers. Give its levels.",
                formula=formula,
            )
    first, second = (Design.fit(formula, _invented(used, bend)) for bend in (1.0, 2.0))
    learned = [name for name in first.state if repr(first.state[name]) != repr(second.state[name])]
    if learned:
        raise FormulaError(
            f"{name_some(learned)} would be learned from each site's data, so sites would not "
            f"mean the same by it. Write constants, such as I((age - 40) / 10), give knots and "
            f"bounds, or name the covariate in smooth.",
            formula=formula,
        )
    return _with_columns(formula, used, first.state)


def _with_columns(formula: str, covariates: dict[str, Covariate], state: dict[str, Any]) -> Design:
    """Columns in the order of the levels agreed upon, whichever that is."""
    table = _invented(covariates, 1.0)
    encoded = pd.DataFrame({name: item.encode(table[name]) for name, item in covariates.items()})
    spec = ModelSpec(formula=parse_formula(formula), transform_state=state)
    spec = spec.get_model_matrix(encoded, na_action="raise", output="numpy").model_spec
    return Design(
        formula=formula,
        covariates=covariates,
        columns=tuple(str(name) for name in spec.column_names[1:]),
        terms={
            str(term): [position - 1 for position in positions]
            for term, positions in spec.term_indices.items()
            if positions != [0]
        },
        state=state,
    )


def fixed_curves(
    smooth: Sequence[str], covariates: Mapping[str, Covariate], preserve: Design, outside: str
) -> SmoothDesign:
    """Columns of curves, from bounds and levels alone.

    Parameters
    ----------
    smooth : sequence of str
        Continuous covariates; ``"age:sex"`` for a curve per level of sex.
    covariates : mapping of {str: Covariate}
        Ranges, which are the bounds of the curves, and levels.
    preserve : Design
        The formula; a category with curves must be in it.
    outside : {"clamp", "error"}
        What to do with values beyond the bounds.

    Returns
    -------
    SmoothDesign
        As if learned from data.

    Raises
    ------
    SmoothTermError
        If a covariate is no number, or enters twice.
    """
    pairs = [tuple(part.strip() for part in term.partition(":")[::2]) for term in smooth]
    _choose([name for pair in pairs for name in pair if name], covariates)
    splines: list[Spline] = []
    for name, by in pairs:
        known = covariates[name]
        if known.levels is not None:
            raise SmoothTermError(f"'{name}' is a category; a curve needs a number.")
        if name in preserve.covariates:
            raise SmoothTermError(
                f"'{name}' is in preserve and in smooth; a curve includes the straight line. "
                f"Drop it from preserve."
            )
        if by and (by not in preserve.covariates or covariates[by].levels is None):
            raise SmoothTermError(
                f"smooth='{name}:{by}' needs the level of each {by} too: add C({by}) to preserve."
            )
        levels = [(by, level) for level in covariates[by].levels or ()] if by else [None]
        splines += [Spline(name, known.low, known.high, level) for level in levels]
    groups = {by: covariates[by] for _, by in pairs if by}
    return SmoothDesign(tuple(splines), groups, refuse_outside=outside == "error")


def _choose(names: Sequence[str], covariates: Mapping[str, Covariate]) -> dict[str, Covariate]:
    absent = [name for name in names if name not in covariates]
    if absent:
        raise MissingCovariateError(
            f"the study does not say what {name_some(absent)} may be. Give its levels, or its "
            f"lowest and highest value.",
            covariates=absent,
        )
    return {name: covariates[name] for name in names}


def _invented(covariates: Mapping[str, Covariate], bend: float) -> pd.DataFrame:
    """People of all levels and of the whole range; what they do not decide is data-free."""
    random = np.random.default_rng(0)
    table = {}
    for name, covariate in covariates.items():
        if covariate.levels is not None:
            levels = np.array(covariate.levels, dtype=object)
            number = int(np.ceil(_ROWS / len(levels)))
            table[name] = random.permutation(np.tile(levels, number))[:_ROWS]
        else:
            steps = random.permutation(np.linspace(0.05, 0.95, _ROWS)) ** bend
            table[name] = covariate.low + steps * (covariate.high - covariate.low)
    return pd.DataFrame(table)
