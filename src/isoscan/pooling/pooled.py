"""Pool the effects of many features: estimates, tests and intervals as plain arrays.

Conventions are those of metafor 5.1: I² and H² compare tau² with the typical variance
within sites (with Cochran's Q for a fixed effect); the prediction interval uses the
same distribution as the test, or Riley's t with one degree of freedom less.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, norm
from scipy.stats import t as student

from isoscan.combat.blocks import run_parallel
from isoscan.pooling.evidence import Evidence
from isoscan.pooling.heterogeneity import (
    estimate_tau2,
    of_distinct,
    tau2_interval,
    typical_variance,
)
from isoscan.pooling.weighted import WeightedFit, fit_weighted

Numbers = NDArray[np.float64]
TESTS: dict[str, str] = {
    "z": "Wald",
    "t": "Wald with t",
    "knha": "Knapp-Hartung",
    "knha-bounded": "bounded Knapp-Hartung",
}
BLOCK = 2048  # features at a time: what is computed on the way stays in the cache


@dataclass(frozen=True)
class Options:
    """How to pool.

    Attributes
    ----------
    method : str
        Estimator of tau².
    test : str
        "z", "t", "knha" or "knha-bounded".
    level : float
        Coverage of all intervals.
    prediction : str
        "as-test" or "riley".
    """

    method: str = "reml"
    test: str = "knha-bounded"
    level: float = 0.95
    prediction: str = "as-test"


def pool(evidence: Evidence, options: Options, *, intervals: bool = True) -> dict[str, Numbers]:
    """Pool each feature over sites; the design is a column of ones.

    Parameters
    ----------
    evidence : Evidence
        Effects and variances.
    options : Options
        How.
    intervals : bool
        Also the confidence interval of tau².

    Returns
    -------
    dict of {str: ndarray of shape (n_features,)}
        k, effect, se, low, high, statistic, df, p, log10_p, tau2, tau2_se, tau2_low,
        tau2_high, Q, Q_p, I2, H2, pi_low, pi_high; NaN for what cannot be known.
    """
    starts = range(0, evidence.effects.shape[1], BLOCK)
    blocks = run_parallel(
        lambda at: _pool_block(evidence.take(slice(at, at + BLOCK)), options, intervals), starts
    )
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _pool_block(evidence: Evidence, options: Options, intervals: bool) -> dict[str, Numbers]:
    with np.errstate(divide="ignore", invalid="ignore"):
        tau2, tau2_se = estimate_tau2(evidence, options.method)
        used = np.where(evidence.df < 1, 0.0, tau2)
        fit = fit_weighted(evidence.effects, evidence.weights(used), evidence.design)
        effect = fit.coefficients[0]
        se = np.sqrt(fit.covariance[:, 0, 0] * scale_of_variance(fit, evidence.df, options.test))
        df = degrees_of_freedom(evidence.df, options.test)
        found = {"k": evidence.k, "effect": effect, "se": se}
        found |= significance(effect, se, df, options.level)
        found |= {"tau2": tau2, "tau2_se": tau2_se}
        found |= _tau2_limits(evidence, tau2, options, intervals)
        found |= heterogeneity(evidence, tau2, options.method)
        return found | _prediction(effect, se, tau2, evidence, options)


def scale_of_variance(fit: WeightedFit, df: Numbers, test: str) -> Numbers:
    """Factor by which Knapp and Hartung widen or narrow the variance.

    Parameters
    ----------
    fit : WeightedFit
        Fit with weights 1 / (v + tau²).
    df : ndarray of shape (n_features,)
        Residual degrees of freedom.
    test : str
        See `TESTS`.

    Returns
    -------
    ndarray of shape (n_features,)
        1 for Wald tests and without degrees of freedom.
    """
    if not test.startswith("knha"):
        return np.ones_like(df)
    scale = np.where(df >= 1, fit.q / np.where(df >= 1, df, 1.0), 1.0)
    return np.maximum(scale, 1.0) if test == "knha-bounded" else scale


def degrees_of_freedom(df: Numbers, test: str) -> Numbers:
    """Degrees of freedom of the test: infinite for Wald's, NaN where there are none.

    Parameters
    ----------
    df : ndarray
        Residual degrees of freedom.
    test : str
        See `TESTS`.

    Returns
    -------
    ndarray
        Degrees of freedom.
    """
    return np.full_like(df, np.inf) if test == "z" else np.where(df >= 1, df, np.nan)


def significance(effect: Numbers, se: Numbers, df: Numbers, level: float) -> dict[str, Numbers]:
    """Two-sided test and confidence interval.

    Parameters
    ----------
    effect, se : ndarray
        Estimate and standard error.
    df : ndarray
        Degrees of freedom; infinite for a normal distribution.
    level : float
        Coverage.

    Returns
    -------
    dict of {str: ndarray}
        low, high, statistic, df, p and log10_p, which does not underflow. A standard error
        of 0 gives no test.
    """
    statistic = effect / np.where(se > 0, se, np.nan)
    margin = critical_value(df, level) * se
    normal = np.isinf(df)
    finite = np.where(normal, 1.0, df)
    log_p = np.where(
        normal,
        norm.logsf(np.abs(statistic)),
        student.logsf(np.abs(statistic), finite),
    ) + np.log(2)
    return {
        "low": effect - margin,
        "high": effect + margin,
        "statistic": statistic,
        "df": df,
        "p": np.exp(log_p),
        "log10_p": log_p / np.log(10),
    }


def critical_value(df: Numbers, level: float) -> Numbers:
    """Half width of an interval in standard errors.

    Parameters
    ----------
    df : ndarray
        Degrees of freedom; infinite for a normal distribution, below 1 for none (NaN).
    level : float
        Coverage.

    Returns
    -------
    ndarray
        Quantile of t.
    """
    known = np.where(df >= 1, df, np.nan)
    return of_distinct(partial(student.ppf, 0.5 + level / 2), known)


def heterogeneity(evidence: Evidence, tau2: Numbers, method: str) -> dict[str, Numbers]:
    """Cochran's Q, I² (percent) and H².

    Parameters
    ----------
    evidence : Evidence
        Effects and variances.
    tau2 : ndarray of shape (n_features,)
        Between-site variance.
    method : str
        Estimator; "fe" measures I² and H² by Q.

    Returns
    -------
    dict of {str: ndarray of shape (n_features,)}
        Q, Q_p, I2, H2.
    """
    df = evidence.df
    fixed = fit_weighted(evidence.effects, evidence.weights(), evidence.design)
    q = np.where(df == 0, 0.0, fixed.q)
    if method == "fe":
        inflation = np.where(df >= 1, q / df, np.nan)
        i2 = 100 * np.maximum(0.0, (q - df) / q)
        i2 = np.where(q == 0, 0.0, i2)
    else:
        inflation = 1 + tau2 / typical_variance(evidence, fixed)
        i2 = 100 * (1 - 1 / inflation)
    return {
        "Q": q,
        "Q_p": np.where(df == 0, 1.0, chi2.sf(q, df)),
        "I2": np.where(df >= 1, i2, np.nan),
        "H2": np.where(df >= 1, inflation, np.nan),
    }


def _tau2_limits(
    evidence: Evidence, tau2: Numbers, options: Options, intervals: bool
) -> dict[str, Numbers]:
    unknown = np.full(evidence.effects.shape[1], np.nan)
    if options.method == "fe" or not intervals:
        return {"tau2_low": unknown, "tau2_high": unknown}
    low, high = tau2_interval(evidence, options.level, near=tau2)
    return {"tau2_low": low, "tau2_high": high}


def _prediction(
    effect: Numbers, se: Numbers, tau2: Numbers, evidence: Evidence, options: Options
) -> dict[str, Numbers]:
    if options.prediction == "riley":
        df = evidence.df - 1
    else:
        df = degrees_of_freedom(evidence.df, options.test)
    margin = critical_value(df, options.level) * np.sqrt(se**2 + tau2)
    if options.method == "fe":  # one common effect: nothing to predict
        margin = np.full_like(margin, np.nan)
    return {"pi_low": effect - margin, "pi_high": effect + margin}
