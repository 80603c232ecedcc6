"""Do small sites report larger effects? Egger's regression."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import t as student

from isoscan.pooling.site_table import SiteEffects
from isoscan.pooling.studies import as_studies


def egger_test(
    effects: SiteEffects | pd.DataFrame | pd.Series[Any] | ArrayLike,
    se: pd.DataFrame | pd.Series[Any] | ArrayLike | None = None,
) -> pd.DataFrame:
    """Regress effects on their standard errors, weighted by inverse variance.

    With planned consortia a slope rather points to small sites being different than to
    unpublished ones. Under ten sites the test sees little.

    Parameters
    ----------
    effects : SiteEffects, DataFrame, Series or array
        As for `meta_analysis`.
    se : DataFrame, Series or array, optional
        As for `meta_analysis`.

    Returns
    -------
    DataFrame
        feature, k, slope, se, t, df, p, and limit: the effect expected of a site without
        error. NaN with fewer than three sites or equal standard errors.

    References
    ----------
    .. [1] Egger et al. (1997), BMJ 315:629, doi:10.1136/bmj.315.7109.629.

    Examples
    --------
    >>> egger_test([0.1, 0.2, 0.6, 0.9], [0.1, 0.15, 0.3, 0.4])[["slope", "p"]].round(3)
       slope      p
    0   2.58  0.003
    """
    studies = as_studies(effects, se)
    evidence = studies.evidence()
    weights, errors = evidence.weights(), np.sqrt(evidence.variances)
    with np.errstate(divide="ignore", invalid="ignore"):
        total = weights.sum(axis=0)
        mean = (weights * evidence.effects).sum(axis=0) / total
        centre = (weights * errors).sum(axis=0) / total
        away = evidence.present * (errors - centre)
        size = (weights * away**2).sum(axis=0)
        size = np.where(size > 1e-12 * (weights * errors**2).sum(axis=0), size, np.nan)
        slope = (weights * away * evidence.effects).sum(axis=0) / size
        residuals = evidence.effects - mean - slope * away
        df = np.where(evidence.k > 2, evidence.k - 2, np.nan)
        spread = np.sqrt((weights * residuals**2).sum(axis=0) / df / size)
        t = slope / spread
    return pd.DataFrame(
        {
            "feature": studies.features,
            "k": evidence.k.astype(int),
            "slope": slope,
            "se": spread,
            "t": t,
            "df": df,
            "p": 2 * student.sf(np.abs(t), df),
            "limit": mean - slope * centre,
        }
    )
