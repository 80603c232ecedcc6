"""Tell numbers from categories among the covariates, and tabulate both by site."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.description.plain import Facts, plain
from isoscan.description.study import Study

LEVEL_CODES = ("-99999", "-9999", "-999", "-99", "-9", "99", "999", "9999", "99999")
"""Numbers among coded categories that commonly stand for a missing value."""
MOST_LEVELS = 20
"""A column with more categories is not tabulated unless the formula uses it."""

_IDENTIFIER = re.compile(r"(^|[_\s])(id|sub|subject|participant|scan|session|uid)($|[_\s])", re.I)


@dataclass(frozen=True)
class SortedCovariates:
    """The covariates worth a table, sorted by what they hold.

    Attributes
    ----------
    numeric : dict of {str: Series of float}
        Numbers; NaN where missing.
    categories : dict of {str: Series of str}
        Levels as text; None where missing.
    unreadable : list of dict
        column, n and example of columns that are numbers but for a few entries.
    """

    numeric: dict[str, pd.Series[Any]] = field(default_factory=dict)
    categories: dict[str, pd.Series[Any]] = field(default_factory=dict)
    unreadable: list[Facts] = field(default_factory=list)


def sort_covariates(
    study: Study, *, used: Collection[str] = (), declared: Collection[str] = ()
) -> SortedCovariates:
    """Decide for each covariate whether it is a number, a category, or neither.

    Parameters
    ----------
    study : Study
        The scans.
    used : collection of str
        Covariates of the formula; they are always kept.
    declared : collection of str
        Covariates that the formula declares to be categories, ``C(...)``.

    Returns
    -------
    SortedCovariates
        The site column, identifiers and free text are left out.
    """
    found = SortedCovariates()
    for name in study.covariate_names:
        column = study.covariates[name]
        levels = _levels(column)
        if _equals(levels, study.sites) or not levels.notna().any():
            continue
        numbers = None if name in declared else _numbers(column)
        if numbers is None or (name not in used and _is_code(numbers)):
            _keep_category(found, name, levels, wanted=name in used)
        elif name in used or not _is_identifier(name, numbers):
            found.numeric[name] = numbers
    return found


def _keep_category(
    found: SortedCovariates, name: str, levels: pd.Series[Any], wanted: bool
) -> None:
    spelled = pd.to_numeric(levels.str.replace(",", ".", regex=False), errors="coerce")
    wrong = levels.notna() & pd.to_numeric(levels, errors="coerce").isna()
    if levels.nunique() > 2 and spelled.notna().sum() > 0.5 * levels.notna().sum() and wrong.any():
        example = str(sorted(levels[wrong])[0])
        found.unreadable.append({"column": name, "n": int(wrong.sum()), "example": example})
    elif wanted or levels.nunique() <= MOST_LEVELS:
        found.categories[name] = levels


def _levels(column: pd.Series[Any]) -> pd.Series[Any]:
    texts = column.astype(object).map(_level, na_action="ignore")
    return texts.where(column.notna() & (texts != ""), None)


def _level(value: object) -> str:
    whole = isinstance(value, float | np.floating) and float(value).is_integer()
    return str(int(value)) if whole else str(value).strip()  # type: ignore[call-overload]


def _equals(levels: pd.Series[Any], sites: Any) -> bool:
    return bool((levels.to_numpy() == np.array([site.strip() for site in sites])).all())


def _numbers(column: pd.Series[Any]) -> pd.Series[Any] | None:
    """Read a column as floats; None if it is boolean or holds anything else."""
    if pd.api.types.is_bool_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
        return None
    plain_column = column.astype(object)
    numbers = pd.to_numeric(plain_column, errors="coerce").astype(float)
    blank = plain_column.isna() | plain_column.map(lambda value: not str(value).strip())
    if not numbers.notna().any() or (numbers.isna() & ~blank).any():
        return None
    return numbers.where(np.isfinite(numbers))


def _is_code(numbers: pd.Series[Any]) -> bool:
    """Two whole numbers, as in 0/1 or 1/2, stand for categories; codes for missing aside."""
    values = numbers.dropna()
    values = values[~values.isin([float(code) for code in LEVEL_CODES])]
    return values.nunique() <= 2 and bool((values % 1 == 0).all())


def _is_identifier(name: str, numbers: pd.Series[Any]) -> bool:
    return bool(_IDENTIFIER.search(name)) and bool(numbers.dropna().is_unique)


def tabulate_covariates(study: Study, covariates: SortedCovariates) -> Facts:
    """Summarize each covariate by site.

    Parameters
    ----------
    study : Study
        The scans.
    covariates : SortedCovariates
        Numbers and categories.

    Returns
    -------
    dict
        Per covariate its kind and, by site, quantiles or counts of levels.
    """
    tables: Facts = {}
    for name in study.covariate_names:
        if name in covariates.numeric:
            values = covariates.numeric[name].to_numpy()
            by_site = {site: _summary(values[rows]) for site, rows in study.rows_of.items()}
            tables[name] = {"kind": "numeric", "by_site": by_site}
        elif name in covariates.categories:
            tables[name] = {
                "kind": "categorical",
                **_level_counts(study, covariates.categories[name]),
            }
    return tables


def _summary(values: NDArray[np.float64]) -> Facts:
    present = values[~np.isnan(values)]
    facts: Facts = {"n": len(present), "missing": len(values) - len(present)}
    names = ("min", "q05", "median", "q95", "max", "mean", "sd")
    if not len(present):
        return facts | dict.fromkeys(names)
    quantiles = np.quantile(present, [0, 0.05, 0.5, 0.95, 1])
    spread = present.std(ddof=1) if len(present) > 1 else np.nan
    numbers = [*quantiles, present.mean(), spread]
    return facts | {name: plain(number) for name, number in zip(names, numbers, strict=True)}


def _level_counts(study: Study, levels: pd.Series[Any]) -> Facts:
    names = sorted(levels.dropna().unique())
    values = levels.to_numpy()
    return {
        "levels": names,
        "missing": int(levels.isna().sum()),
        "by_site": {
            site: {name: int((values[rows] == name).sum()) for name in names}
            for site, rows in study.rows_of.items()
        },
    }
