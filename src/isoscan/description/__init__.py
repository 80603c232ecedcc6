"""Can these data be harmonized? Facts about sites, covariates and measures, and what they mean.

`describe` returns one plain dict; `as_text` writes it for a terminal, `json.dumps` for a
program, the report for a reader. Nothing is changed, removed or imputed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from isoscan.description.confounding import covariates_of, examine_categories, examine_design
from isoscan.description.counts import (
    count_missing,
    count_scans,
    find_constant,
    find_identical_scans,
    list_infinite,
)
from isoscan.description.covariates import SortedCovariates, sort_covariates, tabulate_covariates
from isoscan.description.extremes import find_extremes
from isoscan.description.findings import list_findings
from isoscan.description.outliers import scan_for_outliers
from isoscan.description.overlap import find_overlap
from isoscan.description.plain import Facts
from isoscan.description.sentinels import find_sentinels, without_sentinels
from isoscan.description.study import Study, gather_study
from isoscan.description.text import as_text
from isoscan.description.units import find_unit_mixups
from isoscan.labels import find_lookalikes

__all__ = ["as_text", "describe"]


def describe(
    X: pd.DataFrame | ArrayLike,
    *,
    sites: pd.Series[Any] | Iterable[Any],
    covariates: pd.DataFrame | None = None,
    preserve: str | None = None,
) -> Facts:
    """Describe multi-site measures: can they be harmonized, and what stands in the way?

    Parameters
    ----------
    X : DataFrame or array of shape (n_scans, n_features)
        Measures; NaN where missing. Frames are matched by index, arrays by position.
    sites : Series or array of shape (n_scans,)
        Site of each scan.
    covariates : DataFrame of shape (n_scans, n_covariates), optional
        Age, sex, diagnosis and the like. Numbers, and categories with at most 20 levels, are
        tabulated; a column equal to the sites, identifiers and free text are left out.
    preserve : str, optional
        Formula of what harmonization must keep, such as ``"age + C(sex)"``.

    Returns
    -------
    dict
        Facts in plain types, ready for JSON: scans, features, sites, missing, infinite,
        constant_features, constant_within_site, identical_scans, covariates, overlap,
        confounding, outliers, extremes, units, sentinels, lookalike_sites, lookalike_levels,
        unreadable_covariates, and findings: sentences with a level (problem, warning, note,
        good) and a code, the most serious first.

    Raises
    ------
    SiteLabelError
        If a scan has no site.
    UnmatchedRowsError, DuplicateIdsError
        If rows cannot be matched.
    NotNumericError
        If a feature holds anything but numbers.
    FormulaError, MissingCovariateError
        If `preserve` cannot be read, or names a covariate that is not there.

    Examples
    --------
    >>> from isoscan.phantom import simulate_tables
    >>> cohort = simulate_tables(random_state=0)
    >>> facts = describe(
    ...     cohort.measures,
    ...     sites=cohort.people.site,
    ...     covariates=cohort.people,
    ...     preserve="age + C(sex)",
    ... )
    >>> facts["sites"]
    {'SITE01': 60, 'SITE02': 45, 'SITE03': 30, 'SITE04': 24}
    >>> facts["findings"][-1]["sentence"]
    '...'
    """
    study = gather_study(X, sites, covariates)
    used, declared = covariates_of(preserve, study.covariate_names)
    with np.errstate(all="ignore"):  # numbers near the limits of floats are data too
        return _facts_of(study, sort_covariates(study, used=used, declared=declared), preserve)


def _facts_of(study: Study, covariates: SortedCovariates, preserve: str | None) -> Facts:
    facts = _facts_about_measures(study) | _facts_about_covariates(study, covariates)
    numeric = without_sentinels(covariates.numeric, facts["sentinels"])
    categories = examine_categories(study, covariates)
    spread = {name: numeric[name] for name in numeric if name not in categories["fixed_by_site"]}
    facts["overlap"] = find_overlap(study, spread)
    facts["confounding"] = examine_design(study, preserve) | categories
    facts["extremes"] = find_extremes(study, spread, _explained(facts))
    facts["findings"] = list_findings(facts)
    return facts


def _explained(facts: Facts) -> set[tuple[str, str]]:
    """Scan and column of codes for missing values, site and column of other units."""
    codes = {(scan, item["column"]) for item in facts["sentinels"] for scan in item["scans"]}
    return codes | {(item["site"], name) for item in facts["units"] for name in item["names"]}


def _facts_about_measures(study: Study) -> Facts:
    constant, within_site = find_constant(study)
    return {
        "scans": len(study.scans),
        "features": len(study.features),
        "sites": count_scans(study),
        "lookalike_sites": find_lookalikes(study.rows_of),
        "missing": count_missing(study),
        "infinite": list_infinite(study),
        "constant_features": constant,
        "constant_within_site": within_site,
        "identical_scans": find_identical_scans(study),
        "outliers": scan_for_outliers(study),
        "units": find_unit_mixups(study),
    }


def _facts_about_covariates(study: Study, covariates: SortedCovariates) -> Facts:
    alike = {
        name: find_lookalikes(levels.dropna()) for name, levels in covariates.categories.items()
    }
    return {
        "covariates": tabulate_covariates(study, covariates),
        "unreadable_covariates": covariates.unreadable,
        "lookalike_levels": {name: groups for name, groups in alike.items() if groups},
        "sentinels": find_sentinels(study, covariates),
    }
