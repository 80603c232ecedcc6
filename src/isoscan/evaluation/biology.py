"""Is biology kept? Slopes of preserved covariates and the order of scans within sites."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit
from scipy.stats import rankdata

from isoscan.description.plain import Facts, plain
from isoscan.evaluation.facts import as_numbers
from isoscan.evaluation.multiplicity import share_discovered
from isoscan.evaluation.sample import Sample, Table, gather_pair, gather_sample

SMALLEST_SITE = 3
"""Scans a site needs for the order of its scans to be compared."""

Matrix = NDArray[np.float64]


def slopes(
    X: Table,
    sites: Any,
    covariates: pd.DataFrame,
    preserve: str,
    *,
    subject: str | None = None,
) -> pd.DataFrame:
    """Estimate the slope of every preserved covariate in every feature, within sites.

    Model ``feature ~ site + preserve``, least squares, t intervals. Sites are part of the
    model before and after harmonization alike, so that a slope is never a difference
    between sites. If people were scanned more than once, a mixed model with a random
    intercept per person takes its place, with the degrees of freedom of Satterthwaite.
    The intervals do not know about harmonization: after it they are a
    little too narrow.

    Parameters
    ----------
    X : DataFrame or array of shape (n_scans, n_features)
        Measures; NaN where missing. Each feature uses the scans it has.
    sites : Series or sequence of shape (n_scans,)
        Site of each scan; a Series is matched by index.
    covariates : DataFrame
        Covariates named in `preserve`, matched by index.
    preserve : str
        Formula of what must survive, such as ``"age + C(sex)"``.
    subject : str, optional
        Covariate that says who was scanned, where people were scanned more than once.

    Returns
    -------
    DataFrame
        One row per design column and feature: term, feature, slope, error (standard
        error), low and high (95 % interval), p. Slopes are in the unit of the feature per
        unit of the covariate; NaN where they cannot be told apart from site or from others.

    Raises
    ------
    DataError
        If rows do not match, or the formula does not fit the covariates.

    Examples
    --------
    >>> from isoscan.phantom import simulate_tables
    >>> cohort = simulate_tables(n_features=2, random_state=0)
    >>> found = slopes(cohort.measures, cohort.people.site, cohort.people, "age + C(sex)")
    >>> found.term.tolist()
    ['age', 'age', 'C(sex)[T.M]', 'C(sex)[T.M]']
    """
    return slopes_of_sample(gather_sample(X, sites, covariates, preserve, subject))


def slopes_of_sample(sample: Sample) -> pd.DataFrame:
    """Estimate slopes in a sample whose rows are matched already.

    Parameters
    ----------
    sample : Sample
        The scans.

    Returns
    -------
    DataFrame
        As from `slopes`.
    """
    model = sample.regression if sample.subjects is None else sample.visits
    reach = stdtrit(model.df_slopes, 0.975) * model.slope_errors
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(model.slopes / model.slope_errors)
    columns = {
        "slope": model.slopes,
        "error": model.slope_errors,
        "low": model.slopes - reach,
        "high": model.slopes + reach,
        "p": 2 * stdtr(model.df_slopes, -t),
    }
    names = pd.MultiIndex.from_product(
        [list(sample.terms), sample.features], names=["term", "feature"]
    )
    frame = pd.DataFrame({name: values.ravel() for name, values in columns.items()}, names)
    return frame.reset_index()


def rank_order(before: Table, after: Table, sites: Any) -> pd.DataFrame:
    """Compare the order of the scans of each site before and after harmonization.

    Spearman correlation; 1 if every scan kept its rank among the scans of its site. A
    shift and scale per site keep it; taking covariates into account moves it a little.

    Parameters
    ----------
    before, after : DataFrame or array of shape (n_scans, n_features)
        Measures; NaN where missing. Frames are matched by index and column.
    sites : Series or sequence of shape (n_scans,)
        Site of each scan; a Series is matched by index.

    Returns
    -------
    DataFrame of shape (n_sites, n_features)
        Rank correlations; NaN where a site has fewer than three values, or they are equal.

    Raises
    ------
    DataError
        If scans or features do not match.

    Examples
    --------
    >>> before = [[2.0, 5.0], [2.1, 4.0], [2.2, 3.0]]
    >>> after = [[1.0, 5.0], [1.1, 3.0], [1.2, 4.0]]
    >>> rank_order(before, after, sites=["A", "A", "A"])
       feature0  feature1
    A       1.0       0.5
    """
    return compare_ranks(*gather_pair(before, after, sites))


def compare_ranks(before: Sample, after: Sample) -> pd.DataFrame:
    """Compare the order of scans in samples whose rows are matched already.

    Parameters
    ----------
    before, after : Sample
        Same scans, same features.

    Returns
    -------
    DataFrame of shape (n_sites, n_features)
        As from `rank_order`.
    """
    missing = np.isnan(before.values) | np.isnan(after.values)
    first, second = (np.where(missing, np.nan, table.values) for table in (before, after))
    rows = [before.codes == code for code in range(len(before.sites))]
    correlations = [_spearman(first[own], second[own]) for own in rows]
    return pd.DataFrame(np.vstack(correlations), before.sites, before.features)


def _spearman(first: Matrix, second: Matrix) -> Matrix:
    """Rank correlation of each column; NaN where there is nothing to order."""
    x = _centred_ranks(first)
    y = _centred_ranks(second)
    with np.errstate(invalid="ignore"):
        correlation = (x * y).sum(axis=0) / np.sqrt(
            np.square(x).sum(axis=0) * np.square(y).sum(axis=0)
        )
    enough = (~np.isnan(first)).sum(axis=0) >= SMALLEST_SITE
    return np.asarray(np.where(enough, correlation, np.nan))


def _centred_ranks(values: Matrix) -> Matrix:
    """Ranks minus their mean, which is known; 0 where missing."""
    n = (~np.isnan(values)).sum(axis=0)
    ranks = rankdata(values, axis=0, nan_policy="omit") - (n + 1) / 2
    return np.where(np.isnan(values), 0.0, ranks)


def slope_facts(before: Sample, after: Sample) -> dict[str, Facts]:
    """Compare the slopes of every design column before and after.

    Slopes of different features have different units; for the correlation they are
    divided by their standard error before harmonization.

    Parameters
    ----------
    before, after : Sample
        Same scans, same features.

    Returns
    -------
    dict of {str: dict}
        Per design column: before and after (slope, low, high), correlation over features,
        median_ratio (after / before), share_interval_overlap, share_significant at a false
        discovery rate of 5 %.
    """
    first, second = slopes_of_sample(before), slopes_of_sample(after)
    return {
        term: _compare_slopes(first[first.term == term], second[second.term == term])
        for term in before.terms
    }


def _compare_slopes(before: pd.DataFrame, after: pd.DataFrame) -> Facts:
    tables = {"before": before, "after": after}
    facts: Facts = {
        when: {name: as_numbers(table[name].to_numpy()) for name in ("slope", "low", "high")}
        for when, table in tables.items()
    }
    x, y, error = (item.to_numpy() for item in (before.slope, after.slope, before.error))
    known = np.isfinite(x) & np.isfinite(y)
    overlap = (before.low.to_numpy() <= after.high.to_numpy()) & (
        after.low.to_numpy() <= before.high.to_numpy()
    )
    usable = known & (error > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = (y / x)[known & (x != 0)]
    facts["correlation"] = _correlation(x[usable] / error[usable], y[usable] / error[usable])
    facts["median_ratio"] = plain(np.median(ratios)) if ratios.size else None
    facts["share_interval_overlap"] = plain(overlap[known].mean()) if known.any() else None
    facts["share_significant"] = {
        when: plain(share_discovered(table.p.to_numpy())) for when, table in tables.items()
    }
    return facts


def _correlation(x: Matrix, y: Matrix) -> float | None:
    """Pearson correlation; None for fewer than three points or no spread."""
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return plain(np.corrcoef(x, y)[0, 1])


def rank_facts(correlations: pd.DataFrame) -> Facts:
    """Sum up the order of scans within sites.

    Parameters
    ----------
    correlations : DataFrame of shape (n_sites, n_features)
        From `rank_order`.

    Returns
    -------
    dict
        median; lowest (site, feature, value; None if there is none); by_site (medians).
    """
    values = correlations.to_numpy()
    known = values[~np.isnan(values)]
    if not known.size:
        return {"median": None, "lowest": None, "by_site": dict.fromkeys(correlations.index)}
    site, feature = divmod(int(np.nanargmin(values)), values.shape[1])
    return {
        "median": float(np.median(known)),
        "lowest": {
            "site": str(correlations.index[site]),
            "feature": str(correlations.columns[feature]),
            "value": float(values[site, feature]),
        },
        "by_site": {str(name): plain(row.median()) for name, row in correlations.iterrows()},
    }
