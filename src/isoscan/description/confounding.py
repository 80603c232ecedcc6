"""Find what cannot, or can hardly, be told apart from site."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.description.covariates import SortedCovariates
from isoscan.description.plain import Facts, percent, plain
from isoscan.description.study import Study
from isoscan.design import Design, find_confounding
from isoscan.design.formula import parse_formula, variables_in_categories
from isoscan.errors import (
    ConstantTermError,
    FormulaError,
    InfiniteValuesError,
    MissingCovariateError,
    NotNumericError,
    SiteLabelError,
    count,
    name_some,
)

R2 = 0.9
"""Share of a design column explained by site from which the two are hard to separate."""
VIF = 10.0
"""Variance inflation by sites and other covariates from which a slope is hard to estimate."""


def covariates_of(formula: str | None, present: Collection[str]) -> tuple[set[str], set[str]]:
    """Name the covariates of a formula, and those it declares to be categories.

    Parameters
    ----------
    formula : str or None
        What is to be preserved.
    present : collection of str
        Covariates of the table.

    Returns
    -------
    used, declared : set of str
        All covariates of the formula, and those inside ``C(...)``.

    Raises
    ------
    FormulaError
        If the formula cannot be read.
    MissingCovariateError
        If a covariate is not in the table.

    Examples
    --------
    >>> sorted(covariates_of("age + C(sex)", ["age", "sex", "iq"])[0])
    ['age', 'sex']
    """
    if formula is None:
        return set(), set()
    parsed = parse_formula(formula)
    used = {str(name) for name in parsed.required_variables}
    absent = sorted(used - set(present))
    if absent:
        raise MissingCovariateError(
            f"{count(absent, 'covariate')} of '{formula}' not found: {name_some(absent)}. "
            f"The table has {name_some(present, 8) or 'no columns'}.",
            covariates=absent,
        )
    return used, variables_in_categories(parsed)


def examine_design(study: Study, formula: str | None) -> Facts:
    """Check each term of a formula against the sites and the other terms.

    Scans with an incomplete covariate are left out.

    Parameters
    ----------
    study : Study
        The scans.
    formula : str or None
        What is to be preserved.

    Returns
    -------
    dict
        formula, columns (number of design columns), incomplete (covariate, n, scans),
        unusable (why the formula cannot be applied, or None), aliased, near.
    """
    facts: Facts = {
        "formula": formula,
        "columns": 0,
        "incomplete": [],
        "unusable": None,
        "aliased": [],
        "near": [],
    }
    if formula is None:
        return facts
    used = sorted(covariates_of(formula, study.covariate_names)[0])
    missing = study.covariates[used].isna()
    facts["incomplete"] = [
        {"covariate": name, "n": int(missing[name].sum()), "scans": _named(study, missing[name])}
        for name in used
        if missing[name].any()
    ]
    complete = ~missing.any(axis=1).to_numpy()
    table, sites = study.covariates.loc[complete], study.sites[complete]
    if not len(table):
        return facts | {"unusable": "No scan has all covariates of the formula."}
    try:
        design = Design.fit(formula, table)
        matrix = design.matrix(table)
    except (
        ConstantTermError,
        FormulaError,
        InfiniteValuesError,
        NotNumericError,
        SiteLabelError,
    ) as error:
        return facts | {"unusable": str(error)}
    aliased = find_confounding(matrix, design, sites, table)
    facts["columns"] = len(design.columns)
    facts["aliased"] = [{"term": item.term, "sentence": item.sentence} for item in aliased]
    facts["near"] = _nearly_aliased(matrix, design, sites, {item.term for item in aliased})
    return facts


def _named(study: Study, rows: pd.Series[Any]) -> list[str]:
    return sorted(study.scans[row] for row in np.flatnonzero(rows))


def _nearly_aliased(
    matrix: NDArray[np.float64], design: Design, sites: NDArray[Any], aliased: set[str]
) -> list[Facts]:
    centred = matrix - matrix.mean(axis=0)
    frame = pd.DataFrame(matrix)
    within = (frame - frame.groupby(sites).transform("mean")).to_numpy()
    total = (centred**2).sum(axis=0)
    explained = 1 - (within**2).sum(axis=0) / total
    found = []
    for term, positions in design.terms.items():
        others = [at for other in _unrelated(term, design) for at in design.terms[other]]
        left = _residual(within[:, positions], within[:, others])
        with np.errstate(divide="ignore"):
            inflation = (total[positions] / left).max()
        r2 = explained[positions].max()
        if term not in aliased and (r2 > R2 or inflation > VIF):
            sentence = _near_sentence(term, r2, inflation, _unrelated(term, design))
            vif = plain(inflation)
            found.append(
                {"term": term, "r2_with_site": float(r2), "vif": vif, "sentence": sentence}
            )
    return found


def _unrelated(term: str, design: Design) -> list[str]:
    """Name the terms that share no covariate with this one; age and age² belong together."""
    own = _variables(term, design)
    return [other for other in design.terms if not own & _variables(other, design)]


def _variables(term: str, design: Design) -> set[str]:
    return {
        name for name in design.covariates if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", term)
    }


def _residual(columns: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of squares of each column that the others leave unexplained."""
    if others.shape[1]:
        size = np.linalg.norm(others, axis=0)
        unit = others[:, size > 0] / size[size > 0]
        columns = columns - unit @ np.linalg.lstsq(unit, columns, rcond=None)[0]
    return np.asarray((columns**2).sum(axis=0))


def _near_sentence(term: str, r2: float, inflation: float, others: list[str]) -> str:
    factor = f"{inflation:.0f}" if inflation < 1e6 else "over a million"
    if r2 > R2:
        cause = f"site explains {percent(r2)} of it (VIF {factor})"
        remedy = "Its effect is estimated from few scans; check the table of sites"
    else:
        cause = f"site and {name_some(others)} explain {percent(1 - 1 / inflation)} of it " + (
            f"(VIF {factor})"
        )
        remedy = "Their effects are hard to separate; keep one of them"
    return f"'{term}' nearly follows from the rest: {cause}. {remedy}, or drop it from preserve."


def examine_categories(study: Study, covariates: SortedCovariates) -> Facts:
    """Find sites that lack a category, and categories that only one site has.

    Parameters
    ----------
    study : Study
        The scans.
    covariates : SortedCovariates
        Numbers and categories.

    Returns
    -------
    dict
        table (column → levels and, for sites that lack one, counts), single_level (column,
        level, sites that have no other), level_at_one_site (column, level, site, n),
        fixed_by_site (covariates that are the same for all scans of a site).

    Examples
    --------
    >>> from isoscan.description.covariates import sort_covariates
    >>> from isoscan.description.study import gather_study
    >>> people = pd.DataFrame({"sex": ["F", "M", "M", "M"]})
    >>> study = gather_study(np.ones((4, 1)), list("AABB"), people)
    >>> examine_categories(study, sort_covariates(study))["single_level"]
    [{'column': 'sex', 'level': 'M', 'sites': ['B']}]
    """
    facts: Facts = {"table": {}, "single_level": [], "level_at_one_site": []}
    facts["fixed_by_site"] = fixed_by_site(study, covariates)
    if len(study.rows_of) < 2:
        return facts
    for name, levels in covariates.categories.items():
        table = pd.crosstab(study.sites, levels.to_numpy())
        if name in facts["fixed_by_site"] or not (table == 0).any(axis=None):
            continue
        facts["table"][name] = _table(table)
        facts["single_level"] += _single_levels(name, table)
        facts["level_at_one_site"] += _levels_at_one_site(name, table)
    return facts


def fixed_by_site(study: Study, covariates: SortedCovariates) -> list[str]:
    """Name covariates that differ between sites but not within any, such as field strength.

    Parameters
    ----------
    study : Study
        The scans.
    covariates : SortedCovariates
        Numbers and categories.

    Returns
    -------
    list of str
        Sorted names.
    """
    columns = {**covariates.numeric, **covariates.categories}
    fixed = []
    for name, column in columns.items():
        by_site = pd.Series(column.to_numpy()).groupby(study.sites).nunique()
        if column.nunique() > 1 and by_site.max() == 1 and len(study.scans) > len(study.rows_of):
            fixed.append(name)
    return sorted(fixed)


def _table(table: pd.DataFrame) -> Facts:
    lacking = table[(table == 0).any(axis=1)]
    return {
        "levels": [str(level) for level in table.columns],
        "sites": {
            str(site): {str(level): int(n) for level, n in row.items()}
            for site, row in lacking.iterrows()
        },
    }


def _single_levels(name: str, table: pd.DataFrame) -> list[Facts]:
    only = (table > 0).sum(axis=1) == 1
    judged = table[only & (table.sum(axis=1) >= 2)]
    sites_of = judged.idxmax(axis=1)
    return [
        {"column": name, "level": str(level), "sites": sorted(sites_of.index[sites_of == level])}
        for level in table.columns
        if (sites_of == level).any()
    ]


def _levels_at_one_site(name: str, table: pd.DataFrame) -> list[Facts]:
    return [
        {"column": name, "level": str(level), "site": str(n.idxmax()), "n": int(n.max())}
        for level, n in table.items()
        if (n > 0).sum() == 1
    ]
