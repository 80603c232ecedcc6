"""Which effect is asked for: two groups, or a number that varies from person to person."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.design import Design
from isoscan.design.formula import parse_formula, variables
from isoscan.errors import DesignError, MissingCovariateError, MissingValuesError, count, name_some
from isoscan.labels import as_labels

_CATEGORY = re.compile(r"^C\((\w+)\)$")


@dataclass(frozen=True)
class Contrast:
    """One column to test, and the columns to adjust for.

    Attributes
    ----------
    name : str
        Term of the formula.
    groups : tuple of (str, str) or None
        Reference and compared group.
    rows : ndarray of bool, shape (n_scans,)
        Scans that belong to one of the groups; all for a continuous predictor.
    column : ndarray of shape (n_rows,)
        What is tested; 0 and 1 for groups.
    others : ndarray of shape (n_rows, n_terms)
        What is adjusted for, without an intercept.
    other_names : list of str
        Names of the columns of `others`.
    formula : str
        The whole regression.
    """

    name: str
    groups: tuple[str, str] | None
    rows: NDArray[np.bool_]
    column: NDArray[np.float64]
    others: NDArray[np.float64]
    other_names: list[str]
    formula: str


def complete_rows(
    contrast: str, adjust: str | None, covariates: pd.DataFrame
) -> tuple[NDArray[np.bool_], dict[str, NDArray[np.bool_]]]:
    """Find the scans whose covariates are complete.

    Parameters
    ----------
    contrast : str
        What will be tested.
    adjust : str or None
        Formula of the covariates to adjust for.
    covariates : DataFrame of shape (n_scans, n_covariates)
        Covariates.

    Returns
    -------
    complete : ndarray of bool, shape (n_scans,)
        True where nothing is missing.
    missing : dict of {str: ndarray of bool}
        Scans that lack each covariate, for those that are lacking.
    """
    formulas = [contrast, adjust] if adjust else [contrast]
    names = {name for text in formulas for name in variables(parse_formula(text))}
    missing = {
        name: covariates[name].isna().to_numpy()
        for name in sorted(names)
        if name in covariates.columns and covariates[name].isna().any()
    }
    return ~np.any([np.zeros(len(covariates), dtype=bool), *missing.values()], axis=0), missing


def resolve_contrast(
    contrast: str,
    adjust: str | None,
    groups: tuple[str, str] | None,
    covariates: pd.DataFrame,
) -> Contrast:
    """Turn the question into design columns.

    Parameters
    ----------
    contrast : str
        A covariate, ``C(covariate)``, or a term such as ``age:dose``.
    adjust : str or None
        Formula of the covariates to adjust for.
    groups : tuple of (str, str) or None
        Reference and compared group.
    covariates : DataFrame of shape (n_scans, n_covariates)
        Covariates in the order of the scans.

    Returns
    -------
    Contrast
        The columns.

    Raises
    ------
    DesignError
        If groups are not two, or not named and not numbers; if the contrast is not one
        column.
    MissingValuesError
        If the contrast is missing for a scan.
    """
    category = _CATEGORY.match(contrast.strip())
    name = category.group(1) if category else contrast.strip()
    rows = np.ones(len(covariates), dtype=bool)
    if name in covariates.columns:
        groups = _find_groups(covariates[name], groups, is_category=category is not None)
        if groups is not None:
            labels = as_labels(_complete(covariates[name]), name, warn=False)
            rows = np.isin(labels, groups)
            compared = (labels[rows] == groups[1]).astype(float)
            covariates = covariates[rows].assign(**{name: compared})
            contrast = name
    elif groups is not None:
        raise MissingCovariateError(
            f"the groups {name_some(groups)} need a covariate '{name}', which is not there. The "
            f"table has {name_some(covariates.columns, 8)}.",
            covariates=[name],
        )
    formula = f"{adjust.strip().removeprefix('~').strip()} + {contrast}" if adjust else contrast
    design = Design.fit(formula, covariates)
    position = _position(design, contrast, formula)
    matrix = design.matrix(covariates)
    return Contrast(
        name=contrast,
        groups=groups,
        rows=rows,
        column=matrix[:, position],
        others=np.delete(matrix, position, axis=1),
        other_names=[column for at, column in enumerate(design.columns) if at != position],
        formula=formula,
    )


def _complete(values: pd.Series[Any]) -> pd.Series[Any]:
    missing = values.isna()
    if missing.any():
        raise MissingValuesError(
            f"'{values.name}' is missing for {int(missing.sum())} of {count(len(values), 'scan')}: "
            f"{name_some(values.index[missing])}. Fill it in, or leave these scans out "
            f"(drop_incomplete=True).",
            covariate=values.name,
            rows=list(values.index[missing]),
        )
    return values


def _find_groups(
    values: pd.Series[Any], groups: tuple[str, str] | None, *, is_category: bool
) -> tuple[str, str] | None:
    """Groups as given; 0 and 1, or any two numbers, in their order; None for other numbers."""
    _complete(values)
    numeric = pd.api.types.is_numeric_dtype(values)
    distinct = values.unique().tolist()
    if groups is None and numeric and not is_category and len(distinct) != 2:
        return None
    present = as_labels(distinct, str(values.name), warn=False)
    if groups is None and numeric and len(distinct) == 2:
        first, second = as_labels(sorted(distinct), str(values.name), warn=False)
        return str(first), str(second)
    sizes = pd.Series(as_labels(values, str(values.name), warn=False)).value_counts()
    listed = ", ".join(f"'{label}' ({sizes[label]})" for label in sorted(present)[:6])
    if groups is None:
        raise DesignError(
            f"'{values.name}' has the groups {listed}: say which is the reference and which is "
            f"compared with it, groups=(reference, compared) or --groups REFERENCE COMPARED."
        )
    wanted = as_labels(groups, str(values.name), warn=False)
    if len(set(wanted)) != 2 or not set(wanted) <= set(present):
        raise DesignError(
            f"groups={tuple(groups)!r} are not two groups of '{values.name}', which has {listed}."
        )
    return str(wanted[0]), str(wanted[1])


def _position(design: Design, contrast: str, formula: str) -> int:
    terms = [term for term in parse_formula(contrast) if str(term) != "1"]
    whole = parse_formula(formula)
    found = [str(term) for term in whole if len(terms) == 1 and term == terms[0]]
    columns = [position for term in found for position in design.terms.get(term, [])]
    if len(columns) != 1:
        raise DesignError(
            f"the contrast '{contrast}' is {count(columns, 'column')} of the regression "
            f"'{formula}'; it must be one: a number, two groups, or an interaction of these "
            f"whose main effects are in adjust."
        )
    return columns[0]
