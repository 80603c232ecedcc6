"""How much of each feature is site? Tests of means and variances, adjusted for covariates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import fdtrc

from isoscan.description.plain import Facts, plain
from isoscan.evaluation.facts import as_numbers
from isoscan.evaluation.multiplicity import share_discovered
from isoscan.evaluation.sample import Sample, Table, gather_sample, require_sites
from isoscan.evaluation.spread import fligner_p, levene_p
from isoscan.evaluation.visit_effects import compare_visits


def site_tests(
    X: Table,
    sites: Any,
    covariates: pd.DataFrame | None = None,
    preserve: str | None = None,
) -> pd.DataFrame:
    """Test every feature for differences of mean and variance between sites.

    Means: F test of site added to the covariates (nested linear models), and the share of
    variance it explains, partial R². Variances: Brown-Forsythe (Levene with medians) and
    Fligner-Killeen on the residuals of site and covariates.

    After ComBat on the same scans these tests are optimistic by construction: it removed
    exactly what they look for, and they do not know how many parameters it took. A large p
    is no proof that new scans of these sites would agree.

    Parameters
    ----------
    X : DataFrame or array of shape (n_scans, n_features)
        Measures; NaN where missing. Each feature uses the scans it has.
    sites : Series or sequence of shape (n_scans,)
        Site of each scan; a Series is matched by index.
    covariates : DataFrame, optional
        Covariates named in `preserve`, matched by index.
    preserve : str, optional
        Formula of the covariates to adjust for, such as ``"age + C(sex)"``.

    Returns
    -------
    DataFrame of shape (n_features, 6)
        Columns partial_r2, expected_r2 (what chance alone explains), f, p, levene_p,
        fligner_p; NaN where a feature does not vary or has too few values.

    Raises
    ------
    TooFewSitesError
        If there is one site only.
    DataError
        If rows do not match.

    References
    ----------
    .. [1] Fortin et al. (2018), NeuroImage 167:104, doi:10.1016/j.neuroimage.2017.11.024.

    Examples
    --------
    >>> from isoscan.phantom import simulate_tables
    >>> cohort = simulate_tables(n_features=3, site_shift=1.0, random_state=0)
    >>> tests = site_tests(cohort.measures, cohort.people.site, cohort.people, "age + C(sex)")
    >>> bool(tests.p.min() < 0.001), tests.index.name
    (True, 'feature')
    """
    sample = gather_sample(X, sites, covariates, preserve)
    require_sites(sample)
    return compare_sites(sample)


def compare_sites(sample: Sample) -> pd.DataFrame:
    """Test the features of a sample whose rows are matched already.

    Parameters
    ----------
    sample : Sample
        The scans.

    Returns
    -------
    DataFrame of shape (n_features, 6) or (n_features, 9)
        As from `site_tests`; from `site_tests_of_visits` if people are known.
    """
    if sample.subjects is not None:
        return compare_visits(sample)
    model = sample.regression
    explained = np.maximum(model.sse_covariates - model.sse_full, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        partial_r2 = explained / model.sse_covariates
        f = explained / model.df_sites / (model.sse_full / model.df_residual)
        expected = model.df_sites / (model.df_sites + model.df_residual)
        p = fdtrc(model.df_sites, model.df_residual, f)
    columns = {
        "partial_r2": partial_r2,
        "expected_r2": expected,
        "f": f,
        "p": p,
    }
    for name, values in columns.items():
        columns[name] = np.where(model.df_sites > 0, values, np.nan)
    columns["levene_p"] = levene_p(model.residuals, sample.codes)
    columns["fligner_p"] = fligner_p(model.residuals, sample.codes)
    return pd.DataFrame(columns, pd.Index(sample.features, name="feature"))


def summarize_tests(tests: pd.DataFrame) -> Facts:
    """Sum up the tests of all features in a few numbers.

    Parameters
    ----------
    tests : DataFrame
        From `site_tests`.

    Returns
    -------
    dict
        median_partial_r2, max_partial_r2, worst_feature, share_mean_significant and
        share_variance_significant (Brown-Forsythe), both at a false discovery rate of 5 %.
    """
    known = tests.partial_r2.dropna()
    return {
        "median_partial_r2": plain(known.median()),
        "max_partial_r2": plain(known.max()),
        "worst_feature": None if known.empty else str(known.idxmax()),
        "share_mean_significant": plain(share_discovered(tests.p.to_numpy())),
        "share_variance_significant": plain(share_discovered(tests.levene_p.to_numpy())),
    }


def site_facts(before: pd.DataFrame, after: pd.DataFrame) -> Facts:
    """Write the tests of both tables as plain facts.

    Parameters
    ----------
    before, after : DataFrame
        From `site_tests`.

    Returns
    -------
    dict
        before and after (lists over features), summary, and expected_partial_r2: what site
        would explain by chance.
    """
    tables = {"before": before, "after": after}
    columns = ("partial_r2", "f", "p", "levene_p", "fligner_p")
    facts: Facts = {
        when: {name: as_numbers(table[name].to_numpy()) for name in columns}
        for when, table in tables.items()
    }
    facts["summary"] = {when: summarize_tests(table) for when, table in tables.items()}
    facts["expected_partial_r2"] = plain(before.expected_r2.dropna().median())
    return facts
