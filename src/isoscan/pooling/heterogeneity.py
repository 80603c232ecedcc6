"""Estimate how much true effects differ between sites: tau², by nine names.

The numbers are those of metafor 5.1. Truncation at 0 happens once, at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from isoscan.pooling.evidence import Evidence
from isoscan.pooling.likelihood import maximise_likelihood
from isoscan.pooling.weighted import cross_products, fit_weighted, inverse, trace_of_product

Numbers = NDArray[np.float64]
Method = Literal["fe", "dl", "he", "hs", "sj", "pm", "ml", "reml"]
METHODS: dict[str, str] = {
    "fe": "fixed effect",
    "dl": "DerSimonian-Laird",
    "he": "Hedges",
    "hs": "Hunter-Schmidt",
    "sj": "Sidik-Jonkman",
    "pm": "Paule-Mandel",
    "ml": "maximum likelihood",
    "reml": "restricted maximum likelihood",
}


def estimate_tau2(evidence: Evidence, method: str) -> tuple[Numbers, Numbers]:
    """Between-site variance and its standard error.

    Parameters
    ----------
    evidence : Evidence
        Effects and variances.
    method : {"fe", "dl", "he", "hs", "sj", "pm", "ml", "reml"}
        Estimator.

    Returns
    -------
    tau2, se : ndarray of shape (n_features,)
        Estimate, never negative, in squared units of the effect; NaN without residual
        degrees of freedom, and if the search did not end.

    References
    ----------
    .. [1] Viechtbauer (2005), J Educ Behav Stat 30:261, doi:10.3102/10769986030003261.
    .. [2] Veroniki et al. (2016), Res Synth Methods 7:55, doi:10.1002/jrsm.1164.
    """
    tau2, se = _ESTIMATORS[method](evidence)
    alone = evidence.df < 1
    return np.where(alone, np.nan, tau2), np.where(alone, np.nan, se)


def typical_variance(evidence: Evidence) -> Numbers:
    """Typical sampling variance within sites, against which I² and H² measure tau².

    Parameters
    ----------
    evidence : Evidence
        Effects and variances.

    Returns
    -------
    ndarray of shape (n_features,)
        (k - q) / trace P of the fixed-effect fit.
    """
    weights = evidence.weights()
    fit = fit_weighted(evidence.effects, weights, evidence.design)
    return evidence.df / _trace_p(weights, fit.covariance, evidence.design)


def tau2_interval(evidence: Evidence, level: float) -> tuple[Numbers, Numbers]:
    """Q-profile confidence interval of tau².

    Parameters
    ----------
    evidence : Evidence
        Effects and variances.
    level : float
        Coverage.

    Returns
    -------
    low, high : ndarray of shape (n_features,)
        Limits; both 0 if the effects differ less than their errors allow, NaN without
        degrees of freedom.

    References
    ----------
    .. [1] Viechtbauer (2007), Stat Med 26:37, doi:10.1002/sim.2514.
    """
    df = np.where(evidence.df < 1, np.nan, evidence.df)
    targets = (np.asarray(chi2.ppf(0.5 + side * level / 2, df)) for side in (1, -1))
    low, high = (solve_q(evidence, target) for target in targets)
    return low, high


def solve_q(evidence: Evidence, target: Numbers) -> Numbers:
    """Find the tau² at which Cochran's Q falls to a target.

    1/Q is concave in tau², so Newton's method on it, started at 0, never overshoots.

    Parameters
    ----------
    evidence : Evidence
        Effects and variances.
    target : ndarray of shape (n_features,)
        Values of Q; NaN for features to leave alone.

    Returns
    -------
    ndarray of shape (n_features,)
        tau²; 0 where Q is below the target from the start, NaN where there is no answer.
    """
    tau2 = np.where(np.isfinite(target), 0.0, np.nan)
    active = np.flatnonzero(np.isfinite(target))
    for _ in range(200):
        if not active.size:
            return tau2
        part = evidence.take(active)
        fit = fit_weighted(part.effects, part.weights(tau2[active]), part.design)
        q = fit.q
        slope = ((fit.weights * fit.residuals) ** 2).sum(axis=0)
        moving = q > target[active]
        step = np.zeros_like(q)
        np.divide(q * (q - target[active]), target[active] * slope, out=step, where=moving)
        tau2[active] += step
        scale = part.k / part.weights(tau2[active]).sum(axis=0)
        active = active[step > 1e-12 * scale]
    tau2[active] = np.nan
    return tau2


def _trace_p(weights: Numbers, covariance: Numbers, design: Numbers) -> Numbers:
    squares = cross_products(weights**2, design)
    return np.asarray(weights.sum(axis=0) - trace_of_product(covariance, squares))


def _trace_pp(weights: Numbers, covariance: Numbers, design: Numbers) -> Numbers:
    squares = covariance @ cross_products(weights**2, design)
    cubes = cross_products(weights**3, design)
    return np.asarray(
        (weights**2).sum(axis=0)
        - 2 * trace_of_product(covariance, cubes)
        + trace_of_product(squares, squares)
    )


def _fixed(evidence: Evidence) -> tuple[Numbers, Numbers]:
    nothing = np.zeros(evidence.effects.shape[1])
    return nothing, np.full_like(nothing, np.nan)


def _dersimonian_laird(evidence: Evidence) -> tuple[Numbers, Numbers]:
    weights, df = evidence.weights(), evidence.df
    fit = fit_weighted(evidence.effects, weights, evidence.design)
    trace = _trace_p(weights, fit.covariance, evidence.design)
    tau2 = np.maximum((fit.q - df) / trace, 0.0)
    trace_pp = _trace_pp(weights, fit.covariance, evidence.design)
    return tau2, np.sqrt(2 * df + 4 * tau2 * trace + 2 * tau2**2 * trace_pp) / trace


def _hunter_schmidt(evidence: Evidence) -> tuple[Numbers, Numbers]:
    weights, df = evidence.weights(), evidence.df
    fit = fit_weighted(evidence.effects, weights, evidence.design)
    total = weights.sum(axis=0)
    tau2 = np.maximum((fit.q - evidence.k) / total, 0.0)
    trace = _trace_p(weights, fit.covariance, evidence.design)
    trace_pp = _trace_pp(weights, fit.covariance, evidence.design)
    return tau2, np.sqrt(2 * df + 4 * tau2 * trace + 2 * tau2**2 * trace_pp) / total


def _hedges(evidence: Evidence) -> tuple[Numbers, Numbers]:
    fit = fit_weighted(evidence.effects, evidence.present, evidence.design)
    trace, trace_squared = _traces_with_variances(evidence, evidence.present, fit.covariance)
    df = evidence.df
    tau2 = np.maximum((fit.q - trace) / df, 0.0)
    return tau2, np.sqrt(2 * trace_squared + 4 * tau2 * trace + 2 * tau2**2 * df) / df


def _sidik_jonkman(evidence: Evidence) -> tuple[Numbers, Numbers]:
    k, df = evidence.k, evidence.df
    mean = (evidence.present * evidence.effects).sum(axis=0) / k
    start = (evidence.present * (evidence.effects - mean) ** 2).sum(axis=0) / k
    weights = evidence.weights(start)
    fit = fit_weighted(evidence.effects, weights, evidence.design)
    tau2 = start * fit.q / df
    _, trace_squared = _traces_with_variances(evidence, weights, fit.covariance)
    trace_pp = _trace_pp(weights, fit.covariance, evidence.design)
    spread = 2 * trace_squared + 4 * tau2 * _trace_pvp(evidence, weights, fit.covariance)
    return tau2, start / df * np.sqrt(spread + 2 * tau2**2 * trace_pp)


def _traces_with_variances(
    evidence: Evidence, weights: Numbers, covariance: Numbers
) -> tuple[Numbers, Numbers]:
    """Traces of PV and PVPV for the weights given."""
    design, v = evidence.design, evidence.variances
    once = covariance @ cross_products(weights**2 * v, design)
    twice = cross_products(weights**3 * v**2, design)
    trace = (weights * v).sum(axis=0) - np.einsum("fpp->f", once)
    squared = (
        ((weights * v) ** 2).sum(axis=0)
        - 2 * trace_of_product(covariance, twice)
        + trace_of_product(once, once)
    )
    return np.asarray(trace), np.asarray(squared)


def _trace_pvp(evidence: Evidence, weights: Numbers, covariance: Numbers) -> Numbers:
    design, v = evidence.design, evidence.variances
    squares = covariance @ cross_products(weights**2, design)
    once = covariance @ cross_products(weights**2 * v, design)
    cubes = cross_products(weights**3 * v, design)
    return np.asarray(
        (weights**2 * v).sum(axis=0)
        - 2 * trace_of_product(covariance, cubes)
        + trace_of_product(squares, once)
    )


def _paule_mandel(evidence: Evidence) -> tuple[Numbers, Numbers]:
    df = np.where(evidence.df < 1, np.nan, evidence.df)
    tau2 = solve_q(evidence, df)
    total = evidence.weights(tau2).sum(axis=0)
    return tau2, np.sqrt(2 * evidence.k**2 / df) / total


def _maximum_likelihood(evidence: Evidence) -> tuple[Numbers, Numbers]:
    tau2 = maximise_likelihood(evidence, restricted=False)
    return tau2, np.sqrt(2 / (evidence.weights(tau2) ** 2).sum(axis=0))


def _restricted(evidence: Evidence) -> tuple[Numbers, Numbers]:
    tau2 = maximise_likelihood(evidence, restricted=True)
    weights = evidence.weights(tau2)
    covariance = inverse(cross_products(weights, evidence.design))
    return tau2, np.sqrt(2 / _trace_pp(weights, covariance, evidence.design))


_ESTIMATORS: dict[str, Callable[[Evidence], tuple[Numbers, Numbers]]] = {
    "fe": _fixed,
    "dl": _dersimonian_laird,
    "he": _hedges,
    "hs": _hunter_schmidt,
    "sj": _sidik_jonkman,
    "pm": _paule_mandel,
    "ml": _maximum_likelihood,
    "reml": _restricted,
}
