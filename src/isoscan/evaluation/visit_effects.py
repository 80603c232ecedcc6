"""How much of each feature is site, where people were scanned more than once?"""

from __future__ import annotations

from typing import Any

import pandas as pd

from isoscan.evaluation.sample import Sample, Table, gather_sample, require_sites
from isoscan.evaluation.spread import fligner_statistic, levene_p, spread_p


def site_tests_of_visits(
    X: Table,
    *,
    sites: Any,
    covariates: pd.DataFrame,
    subject: str = "subject",
    preserve: str | None = None,
) -> pd.DataFrame:
    """Test every feature for differences of mean and variance between sites, within people.

    Both tests rest on a mixed model with a random intercept per person, by restricted
    maximum likelihood. Means: F test of all site coefficients together, with the scaling
    and degrees of freedom of Kenward and Roger [1]_. Variances: Fligner-Killeen and
    Brown-Forsythe of what site, covariates and person leave. These are the tests of
    longCombat [2]_. They are optimistic on scans to which harmonization was fitted.

    Parameters
    ----------
    X : DataFrame or array of shape (n_scans, n_features)
        Measures; NaN where missing. Each feature uses the scans it has.
    sites : Series or sequence of shape (n_scans,)
        Site of each scan; a Series is matched by index.
    covariates : DataFrame
        Who was scanned, and the covariates named in `preserve`, matched by index.
    subject : str
        Covariate that says who was scanned.
    preserve : str, optional
        Formula of the covariates to adjust for, such as ``"age_at_baseline + dx * time"``.

    Returns
    -------
    DataFrame of shape (n_features, 9)
        Columns partial_r2 (share of variance explained by site [3]_), expected_r2 (what
        chance alone explains), f, numerator and denominator (its degrees of freedom), p,
        levene_p, fligner_chi2, fligner_p; NaN where a feature does not vary within people
        or has too few values.

    Raises
    ------
    TooFewSitesError
        If there is one site only.
    MixedModelError
        If nobody was scanned twice.
    DataError
        If rows do not match.

    References
    ----------
    .. [1] Kenward & Roger (1997), Biometrics 53:983, doi:10.2307/2533558.
    .. [2] Beer et al. (2020), NeuroImage 220:117129, doi:10.1016/j.neuroimage.2020.117129.
    .. [3] Edwards et al. (2008), Stat Med 27:6137, doi:10.1002/sim.3429.

    Examples
    --------
    >>> import numpy as np
    >>> random = np.random.default_rng(0)
    >>> people = pd.DataFrame(
    ...     {"subject": np.repeat(np.arange(30), 2), "site": np.tile(["A", "B"], 30)}
    ... )
    >>> level = np.repeat(random.normal(0, 2.0, 30), 2)
    >>> thickness = level + (people.site == "B") + random.normal(0, 0.5, 60)
    >>> found = site_tests_of_visits(
    ...     thickness.to_frame("insula"), sites=people.site, covariates=people
    ... )
    >>> found[["numerator", "denominator"]].round(3).values.tolist()
    [[1.0, 29.0]]
    >>> bool(found.p["insula"] < 1e-6)
    True
    """
    sample = gather_sample(X, sites, covariates, preserve, subject)
    require_sites(sample)
    return compare_visits(sample)


def compare_visits(sample: Sample) -> pd.DataFrame:
    """Test the features of a sample whose rows are matched already.

    Parameters
    ----------
    sample : Sample
        The scans, and whose they are.

    Returns
    -------
    DataFrame of shape (n_features, 9)
        As from `site_tests_of_visits`.
    """
    model = sample.visits
    between = model.numerator * model.f
    chi2, n_sites = fligner_statistic(model.residuals, sample.codes)
    columns = {
        "partial_r2": between / (between + model.denominator),
        "expected_r2": model.numerator / (model.numerator + model.denominator),
        "f": model.f,
        "numerator": model.numerator,
        "denominator": model.denominator,
        "p": model.p,
        "levene_p": levene_p(model.residuals, sample.codes),
        "fligner_chi2": chi2,
        "fligner_p": spread_p(chi2, n_sites),
    }
    return pd.DataFrame(columns, pd.Index(sample.features, name="feature"))
