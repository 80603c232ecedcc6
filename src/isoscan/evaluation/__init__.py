"""Did harmonization work? Site effects before and after, and the biology that must survive.

`evaluate` returns one plain dict; `as_text` writes it for a terminal, `json.dumps` for a
program, the report for a reader. The tests behind it can be used on their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from isoscan.description.plain import Facts
from isoscan.evaluation.biology import compare_ranks, rank_facts, rank_order, slope_facts, slopes
from isoscan.evaluation.bounds import bound_facts
from isoscan.evaluation.changes import change_facts
from isoscan.evaluation.distributions import (
    PairTests,
    compare_pairs,
    distribution_facts,
    ks_pairs,
)
from isoscan.evaluation.findings import list_findings
from isoscan.evaluation.people import FirstAndLast, people_facts, times_of
from isoscan.evaluation.predictability import (
    Predictability,
    assign_folds,
    guess_sites,
    predictability_facts,
    site_predictability,
)
from isoscan.evaluation.sample import Sample, Table, gather_pair, require_sites
from isoscan.evaluation.site_effects import compare_sites, site_facts, site_tests
from isoscan.evaluation.text import as_text
from isoscan.evaluation.visit_effects import site_tests_of_visits

__all__ = [
    "PairTests",
    "Predictability",
    "as_text",
    "evaluate",
    "ks_pairs",
    "rank_order",
    "site_predictability",
    "site_tests",
    "site_tests_of_visits",
    "slopes",
]


def evaluate(
    before: Table,
    after: Table,
    *,
    sites: pd.Series[Any] | Any,
    covariates: pd.DataFrame | None = None,
    preserve: str | None = None,
    subject: str | None = None,
    time: str | None = None,
    model: Any = None,
    n_folds: int = 5,
    random_state: int | np.random.Generator | None = 0,
) -> Facts:
    """Compare measures before and after harmonization: is site gone, is biology still there?

    Parameters
    ----------
    before, after : DataFrame or array of shape (n_scans, n_features)
        Measures; NaN where missing. Frames are matched by index and column, arrays by
        position.
    sites : Series or sequence of shape (n_scans,)
        Site of each scan; a Series is matched by index.
    covariates : DataFrame, optional
        Covariates named in `preserve`, matched by index.
    preserve : str, optional
        Formula of what had to survive, such as ``"age + C(sex)"``. Every test of site is
        adjusted for it.
    subject : str, optional
        Covariate that says who was scanned, where people were scanned more than once; by
        default the `subject` of the model. Tests and slopes are then those of mixed models
        with a random intercept per person, all scans of a person are in one fold, and each
        person's change is compared before and after.
    time : str, optional
        Covariate that orders the scans of a person; by default the `slope` of the model,
        or else the rows are in order.
    model : estimator, optional
        The harmonization, such as ``ComBat(preserve="age + C(sex)")``, fitted or not. Copies
        of it are fitted to training folds, to see whether site can be guessed in scans that
        harmonization has not seen.
    n_folds : int
        Folds of the cross-validation that guesses site; the same for both tables.
    random_state : int, Generator or None
        Which scans go into which fold.

    Returns
    -------
    dict
        Facts in plain types, ready for JSON: scans, sites, features, values, bounds, site_effects,
        distributions, predictability, biology, people (None without subjects: counts and
        changes), and findings: sentences with a level
        (problem, warning, good, note) and a code, the most serious first.

    Raises
    ------
    TooFewSitesError
        If there is one site only.
    UnmatchedRowsError, FeatureMismatchError, DataError
        If the two tables do not hold the same scans and features.
    MixedModelError
        If nobody was scanned twice, though `subject` is given.
    FormulaError, MissingCovariateError, MissingValuesError
        If `preserve` and `covariates` do not fit together.

    Examples
    --------
    >>> from isoscan.phantom import simulate_tables
    >>> cohort = simulate_tables(n_features=8, site_shift=1.0, random_state=0)
    >>> facts = evaluate(
    ...     cohort.measures,
    ...     cohort.clean,
    ...     sites=cohort.people.site,
    ...     covariates=cohort.people,
    ...     preserve="age + C(sex)",
    ... )
    >>> facts["site_effects"]["summary"]["after"]["share_mean_significant"]
    0.0
    >>> facts["biology"]["terms"]["age"]["median_ratio"] > 0.8
    True
    """
    subject = subject or getattr(model, "subject", None)
    first, second = gather_pair(before, after, sites, covariates, preserve, subject)
    require_sites(first)
    folds = assign_folds(first.codes, n_folds, random_state, first.subjects)
    tests = compare_sites(first), compare_sites(second)
    facts: Facts = {
        "scans": len(first.codes),
        "sites": first.scans_per_site,
        "features": first.features,
        "values": _value_facts(first, second, tests),
        "bounds": bound_facts(first, second),
        "site_effects": site_facts(*tests),
        "distributions": distribution_facts(compare_pairs(first), compare_pairs(second)),
        "predictability": predictability_facts(
            guess_sites(first, folds),
            guess_sites(second, folds),
            None if model is None else guess_sites(first, folds, model),
        ),
        "biology": {
            "terms": slope_facts(first, second),
            "rank_order": rank_facts(compare_ranks(first, second)),
        },
        "people": _people_facts(first, second, subject, time or getattr(model, "slope", None)),
    }
    return facts | {"findings": list_findings(facts)}


def _people_facts(
    before: Sample, after: Sample, subject: str | None, time: str | None
) -> Facts | None:
    """Who was scanned repeatedly, and what became of their changes."""
    if subject is None or before.subjects is None:
        return None
    times = times_of(before.covariates, time)
    pairs = FirstAndLast.of(before.subjects, before.codes, times)
    counts = people_facts(before.subjects, before.codes, subject, time)
    return counts | {"changes": change_facts(before, after, pairs)}


def _value_facts(before: Sample, after: Sample, tests: tuple[pd.DataFrame, pd.DataFrame]) -> Facts:
    """What is missing, infinite, lost or unchanged."""
    absent = np.isnan(before.values), np.isnan(after.values)
    untested = tests[0].partial_r2.isna() | tests[1].partial_r2.isna()
    return {
        "missing": {"before": int(absent[0].sum()), "after": int(absent[1].sum())},
        "infinite": {"before": before.n_infinite, "after": after.n_infinite},
        "lost": int((absent[1] & ~absent[0]).sum()) - after.n_infinite,
        "identical": bool(np.array_equal(before.values, after.values, equal_nan=True)),
        "not_tested": [str(name) for name in untested.index[untested]],
    }
