"""Methods by name, the options each of them has, and the columns they need."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from isoscan.combat.base import SiteHarmonizer
from isoscan.combat.estimators import ComBat
from isoscan.combat.methods import METHODS, estimator_of
from isoscan.combat.stepwise import SITES, Step, StepwiseComBat
from isoscan.design.formula import parse_formula, variables
from isoscan.errors import DataError, name_some

Method = SiteHarmonizer | StepwiseComBat
_FORMULAS = ("preserve", "remove", "scale")
_COLUMNS = ("subject", "slope")


def unknown_options(method: str, names: Iterable[str]) -> list[str]:
    """Name the options that a method does not have.

    Parameters
    ----------
    method : str
        One of `METHODS`.
    names : iterable of str
        Options.

    Returns
    -------
    list of str
        Those the method does not know.

    Examples
    --------
    >>> unknown_options("covbat", ["robust", "n_components"])
    ['robust']
    """
    known = _options(method)
    return [name for name in names if name not in known]


def _options(method: str) -> list[str]:
    """Options of the estimator; those of every step too, if there are steps."""
    own = list(inspect.signature(estimator_of(method)).parameters)
    return own + (_options("combat") if "steps" in own else [])


def methods_with(option: str) -> list[str]:
    """Name the methods that have an option.

    Parameters
    ----------
    option : str
        An option.

    Returns
    -------
    list of str
        Methods.

    Examples
    --------
    >>> methods_with("robust")
    ['combat', 'stepwise']
    """
    return [name for name in METHODS if not unknown_options(name, [option])]


def make_model(method: str, options: Mapping[str, Any]) -> Method:
    """Make an unfitted estimator.

    Parameters
    ----------
    method : str
        One of `METHODS`.
    options : mapping
        Its options.

    Returns
    -------
    SiteHarmonizer or StepwiseComBat
        The estimator. Of a method with steps, steps without an estimator get one with the
        other options.

    Raises
    ------
    DataError
        If the method has no such option.
    """
    kind: type[Method] = estimator_of(method)
    unknown = unknown_options(method, options)
    if unknown:
        known = _options(method)
        alike = get_close_matches(unknown[0], known, 1)
        hint = f"Did you mean '{alike[0]}'?" if alike else f"It has {name_some(known, len(known))}."
        raise DataError(f"{kind.__name__} has no option {name_some(unknown)}. {hint}")
    if issubclass(kind, StepwiseComBat):
        return kind(_steps(**options))
    return kind(**options)


def _steps(steps: Sequence[Step] = (SITES,), **options: Any) -> list[Step]:
    """Steps that are named only get an estimator with the options."""
    named = [steps] if isinstance(steps, str) else steps
    return [(step, ComBat(**options)) if isinstance(step, str) else step for step in named]


def covariates_of(model: Any) -> set[str]:
    """Name the columns that a model needs of every scan.

    Parameters
    ----------
    model : estimator
        Fitted or not.

    Returns
    -------
    set of str
        Covariates of its formulas and curves, and the columns that tell people apart.

    Examples
    --------
    >>> from isoscan.combat import ComBat
    >>> sorted(covariates_of(ComBat("C(sex)", smooth=["age:sex"])))
    ['age', 'sex']
    >>> from isoscan.combat import StepwiseComBat
    >>> sorted(covariates_of(StepwiseComBat(["sex", "round(age)", "site"])))
    ['age', 'sex']
    """
    names = named_in(*(getattr(model, name, None) for name in _FORMULAS))
    names |= {part for pair in curves_of(model) for part in pair if part}
    names |= {column for name in _COLUMNS if (column := getattr(model, name, None))}
    return names.union(*(_of_step(step) for step in getattr(model, "steps", ())))


def _of_step(step: Any) -> set[str]:
    """Column that a step removes, and those that the estimator of the step needs."""
    column, model = (step, None) if isinstance(step, str) else step
    rounded = re.fullmatch(r"round\((.+)\)", column)
    own = set() if column == SITES else {rounded[1] if rounded else column}
    return own | (set() if model is None else covariates_of(model))


def columns_of(model: Any) -> set[str]:
    """Name all columns that a model reads, those that choose scans for the fit too.

    Parameters
    ----------
    model : estimator
        Fitted or not.

    Returns
    -------
    set of str
        Covariates and the columns of `fit_on`.
    """
    steps = [step[1] for step in getattr(model, "steps", ()) if not isinstance(step, str)]
    conditions = [getattr(part, "fit_on", None) for part in (model, *steps)]
    return covariates_of(model).union(*(_compared(text) for text in conditions if text))


def curves_of(model: Any) -> list[tuple[str, str]]:
    """Covariates that enter as curves, each with the category that has a curve per level.

    Parameters
    ----------
    model : estimator
        Fitted or not.

    Returns
    -------
    list of (str, str)
        Covariate and category; the latter is empty for one curve of all scans.
    """
    smooth = getattr(model, "smooth", ())
    terms = [smooth] if isinstance(smooth, str) else list(smooth)
    split = (term.partition(":") for term in terms)
    return [(name.strip(), category.strip()) for name, _, category in split]


def last_of(model: Any) -> SiteHarmonizer:
    """Pick the estimator that speaks for a model: its last step, or itself.

    Parameters
    ----------
    model : estimator
        A fitted model.

    Returns
    -------
    SiteHarmonizer
        The last of its steps, if it has steps.
    """
    last: SiteHarmonizer = getattr(model, "models_", [model])[-1]
    return last


def named_in(*formulas: str | None) -> set[str]:
    """Name the covariates of formulas.

    Parameters
    ----------
    *formulas : str or None
        Formulas; None is one without covariates.

    Returns
    -------
    set of str
        Columns.

    Examples
    --------
    >>> sorted(named_in("poly(age, 2) + C(sex)", None))
    ['age', 'sex']
    """
    return {name for text in formulas if text for name in variables(parse_formula(text))}


def _compared(condition: str) -> set[str]:
    """Columns of a condition; none if it cannot be read, which the fit will say."""
    try:
        tree = ast.parse(condition.strip(), mode="eval")
    except SyntaxError:
        return set()
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
