"""Estimate how much true effects differ between sites: tau², by nine names.

The numbers are those of metafor 5.1. Truncation at 0 happens once, at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from isoscan.pooling.evidence import WORTH_COPYING, Evidence
from isoscan.pooling.likelihood import maximise_likelihood
from isoscan.pooling.weighted import (
    WeightedFit,
    cross_products,
    fit_weighted,
    inverse,
    sum_over_sites,
    trace_of_diagonal,
    trace_of_product,
)

Numbers = NDArray[np.float64]
_SMALL_STEP = 1e-7  # of Newton's method, in typical variances: what is left is its square
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


def typical_variance(evidence: Evidence, fixed: WeightedFit) -> Numbers:
    """Typical sampling variance within sites, against which I² and H² measure tau².

    Parameters
    ----------
    evidence : Evidence
        Effects and variances.
    fixed : WeightedFit
        Fixed-effect fit of the same.

    Returns
    -------
    ndarray of shape (n_features,)
        (k - q) / trace P of the fixed-effect fit.
    """
    return evidence.df / _trace_p(fixed.weights, fixed.covariance, evidence.design)


def tau2_interval(
    evidence: Evidence, level: float, near: Numbers | float = 0.0
) -> tuple[Numbers, Numbers]:
    """Q-profile confidence interval of tau².

    Parameters
    ----------
    evidence : Evidence
        Effects and variances.
    level : float
        Coverage.
    near : ndarray of shape (n_features,) or float
        Where to begin to search, such as the estimate of tau².

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
    near = np.where(np.isfinite(near), near, 0.0)
    most, least = (of_distinct(partial(chi2.ppf, 0.5 + side * level / 2), df) for side in (1, -1))
    return solve_q(evidence, most, near=near), solve_q(evidence, least, near=near)


def of_distinct(function: Callable[[Numbers], Any], values: Numbers) -> Numbers:
    """Evaluate a slow function once per distinct value.

    Parameters
    ----------
    function : callable
        Takes an array and returns one of its shape.
    values : ndarray
        Few of them differ.

    Returns
    -------
    ndarray
        One result per value.
    """
    distinct, which = np.unique(values, return_inverse=True)
    return np.asarray(function(distinct))[which].reshape(np.shape(values))


def solve_q(evidence: Evidence, target: Numbers, *, near: Numbers | float = 0.0) -> Numbers:
    """Find the tau² at which Cochran's Q falls to a target.

    1/Q is concave in tau², so Newton's method on it comes from below and never overshoots;
    begun above, its first step leads below.

    Parameters
    ----------
    evidence : Evidence
        Effects and variances.
    target : ndarray of shape (n_features,)
        Values of Q; NaN for features to leave alone.
    near : ndarray of shape (n_features,) or float
        Where to begin.

    Returns
    -------
    ndarray of shape (n_features,)
        tau²; 0 where Q is below the target from the start, NaN where there is no answer.
    """
    tau2 = np.where(np.isfinite(target), near, np.nan)
    moving = np.flatnonzero(np.isfinite(target))
    part, goal = evidence.take(moving), target[moving]
    for _ in range(200):
        if not moving.size:
            return tau2
        now = tau2[moving]
        fit = fit_weighted(part.effects, part.weights(now), part.design)
        pulled = fit.pulled
        q, slope = sum_over_sites(pulled, fit.residuals), sum_over_sites(pulled, pulled)
        step = np.zeros_like(q)
        np.divide(q * (q - goal), goal * slope, out=step, where=q > 0)
        moved = np.maximum(now + step, 0.0)
        tau2[moving] = moved
        left = np.flatnonzero(np.abs(moved - now) > _SMALL_STEP * part.k / fit.total)
        unfinished = moving[left]
        if left.size < WORTH_COPYING * moving.size:
            moving, part, goal = unfinished, part.take(left), goal[left]
    tau2[unfinished] = np.nan
    return tau2


def _trace_p(weights: Numbers, covariance: Numbers, design: Numbers) -> Numbers:
    squares = cross_products(design, weights, weights)
    return np.asarray(sum_over_sites(weights) - trace_of_product(covariance, squares))


def _trace_pp(weights: Numbers, covariance: Numbers, design: Numbers) -> Numbers:
    products = cross_products(design, weights, weights)
    squares = covariance @ products
    cubes = cross_products(design, weights, weights, weights)
    return np.asarray(
        trace_of_diagonal(design, products, weights, weights)
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
    design, shares = evidence.design, weights * evidence.variances
    once = covariance @ cross_products(design, weights, shares)
    twice = cross_products(design, weights, shares, shares)
    trace = sum_over_sites(shares) - np.einsum("fpp->f", once)
    squared = (
        sum_over_sites(shares, shares)
        - 2 * trace_of_product(covariance, twice)
        + trace_of_product(once, once)
    )
    return np.asarray(trace), np.asarray(squared)


def _trace_pvp(evidence: Evidence, weights: Numbers, covariance: Numbers) -> Numbers:
    design, shares = evidence.design, weights * evidence.variances
    squares = covariance @ cross_products(design, weights, weights)
    once = covariance @ cross_products(design, weights, shares)
    cubes = cross_products(design, weights, weights, shares)
    return np.asarray(
        sum_over_sites(weights, shares)
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
    weights = evidence.weights(tau2)
    return tau2, np.sqrt(2 / sum_over_sites(weights, weights))


def _restricted(evidence: Evidence) -> tuple[Numbers, Numbers]:
    tau2 = maximise_likelihood(evidence, restricted=True)
    weights = evidence.weights(tau2)
    covariance = inverse(cross_products(evidence.design, weights))
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
