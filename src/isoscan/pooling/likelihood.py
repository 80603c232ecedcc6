"""Maximise the likelihood, or the restricted likelihood, over tau² for many features.

Newton's method on the score, kept inside an interval where the score changes sign.
Those intervals come from a grid, so that a likelihood with several maxima, which
happens when few sites have very unequal variances, gives its highest one. Features
leave the iteration as soon as they have converged.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isoscan.pooling.evidence import Evidence
from isoscan.pooling.weighted import cross_products, fit_weighted, trace_of_product

Numbers = NDArray[np.float64]
Chosen = NDArray[np.intp]

_GRID = np.array([0.0, *(4.0 ** np.arange(-8, 0)), 1.0])
_PRECISION = 1e-10
_MOST_STEPS = 200


def maximise_likelihood(evidence: Evidence, *, restricted: bool) -> Numbers:
    """Find the between-site variance of highest likelihood.

    Parameters
    ----------
    evidence : Evidence
        Effects and variances.
    restricted : bool
        REML; otherwise ML.

    Returns
    -------
    ndarray of shape (n_features,)
        tau², 0 if the likelihood is highest there; NaN if the search did not end.
    """
    enough = np.flatnonzero(evidence.df >= 1)
    tau2 = np.full(evidence.effects.shape[1], np.nan)
    if enough.size:
        tau2[enough] = _maximise(evidence.take(enough), restricted)
    return tau2


def _maximise(evidence: Evidence, restricted: bool) -> Numbers:
    grid, rising = _scores_on_grid(evidence, restricted)
    peaks = rising[:-1] & ~rising[1:]  # a maximum lies between two neighbours on the grid
    n_peaks = peaks.sum(axis=0)
    tau2 = np.zeros(evidence.effects.shape[1])
    last = peaks.shape[0] - 1 - np.argmax(peaks[::-1], axis=0)
    inside = np.flatnonzero(n_peaks)
    tau2[inside] = _climb(evidence, grid, inside, last[inside], restricted)
    several = np.flatnonzero(n_peaks + ~rising[0] > 1)
    if several.size:
        tau2[several] = _highest(evidence, grid, peaks, several, tau2, restricted)
    return tau2


def _scores_on_grid(evidence: Evidence, restricted: bool) -> tuple[Numbers, NDArray[np.bool_]]:
    """Grid of shape (n_points, n_features), and where the likelihood still rises.

    Beyond the residual sum of squares of unweighted regression it can only fall.
    """
    fit = fit_weighted(evidence.effects, evidence.present, evidence.design)
    grid = _GRID[:, None] * fit.q
    rising = np.array([_slope(evidence, tau2, restricted)[0] > 0 for tau2 in grid[:-1]])
    return grid, np.vstack([rising, np.zeros_like(rising[:1])])


def _slope(evidence: Evidence, tau2: Numbers, restricted: bool) -> tuple[Numbers, Numbers]:
    """Twice the derivative of the log likelihood, and the sum of squared weights in it."""
    fit = fit_weighted(evidence.effects, evidence.weights(tau2), evidence.design)
    slope = ((fit.weights * fit.residuals) ** 2).sum(axis=0) - fit.weights.sum(axis=0)
    if restricted:
        squares = cross_products(fit.weights**2, evidence.design)
        slope += trace_of_product(fit.covariance, squares)
    return slope, fit.weights


def _newton_step(evidence: Evidence, tau2: Numbers, restricted: bool) -> tuple[Numbers, Numbers]:
    """Slope and step; Fisher scoring where the likelihood curves upward."""
    design = evidence.design
    fit = fit_weighted(evidence.effects, evidence.weights(tau2), design)
    weights, covariance = fit.weights, fit.covariance
    pulled = weights * fit.residuals
    projected = design.T @ (weights * pulled)
    slope = (pulled**2).sum(axis=0) - weights.sum(axis=0)
    squared = weights**2
    fisher = squared.sum(axis=0)
    if restricted:
        squares = cross_products(squared, design)
        slope += trace_of_product(covariance, squares)
        cubes = cross_products(squared * weights, design)
        share = covariance @ squares
        fisher += trace_of_product(share, share) - 2 * trace_of_product(covariance, cubes)
    observed = (weights * pulled**2).sum(axis=0)
    observed -= np.einsum("pf,fpq,qf->f", projected, covariance, projected)
    observed = 2 * observed - fisher
    return slope, slope / np.where(observed > 0.1 * fisher, observed, fisher)


def _climb(
    evidence: Evidence, grid: Numbers, features: Chosen, intervals: Chosen, restricted: bool
) -> Numbers:
    """Follow the slope to the maximum inside one interval per feature."""
    low, high = grid[intervals, features], grid[intervals + 1, features]
    tau2 = np.where(low > 0, np.sqrt(low * high), high / 4)
    active = np.arange(features.size)
    for _ in range(_MOST_STEPS):
        part = evidence.take(features[active])
        slope, step = _newton_step(part, tau2[active], restricted)
        low[active] = np.where(slope > 0, tau2[active], low[active])
        high[active] = np.where(slope > 0, high[active], tau2[active])
        moved = tau2[active] + step
        inside = (moved >= low[active]) & (moved <= high[active])
        moved = np.where(inside, moved, (low[active] + high[active]) / 2)
        scale = part.k / part.weights(moved).sum(axis=0)
        done = np.abs(moved - tau2[active]) <= _PRECISION * scale
        tau2[active] = moved
        active = active[~done]
        if not active.size:
            return tau2
    tau2[active] = np.nan
    return tau2


def _highest(
    evidence: Evidence,
    grid: Numbers,
    peaks: NDArray[np.bool_],
    features: Chosen,
    tau2: Numbers,
    restricted: bool,
) -> Numbers:
    """Compare all maxima of the features that have several."""
    part = evidence.take(features)
    candidates = [tau2[features], np.zeros(features.size)]
    for interval, has_peak in enumerate(peaks[:, features]):
        found = np.flatnonzero(has_peak)
        candidate = tau2[features].copy()
        intervals = np.full(found.size, interval)
        candidate[found] = _climb(part, grid[:, features], found, intervals, restricted)
        candidates.append(candidate)
    heights = [log_likelihood(part, candidate, restricted=restricted) for candidate in candidates]
    best = np.argmax(np.nan_to_num(np.array(heights), nan=-np.inf), axis=0)
    return np.asarray(np.array(candidates)[best, np.arange(features.size)])


def log_likelihood(evidence: Evidence, tau2: Numbers, *, restricted: bool) -> Numbers:
    """Log likelihood of each feature at a given tau².

    Parameters
    ----------
    evidence : Evidence
        Effects and variances.
    tau2 : ndarray of shape (n_features,)
        Between-site variance.
    restricted : bool
        REML; otherwise ML.

    Returns
    -------
    ndarray of shape (n_features,)
        Log likelihood, up to a constant that depends on the design alone if restricted.
    """
    fit = fit_weighted(evidence.effects, evidence.weights(tau2), evidence.design)
    logs = (evidence.present * np.log(evidence.variances + tau2)).sum(axis=0)
    terms = logs + fit.q + np.log(2 * np.pi) * (evidence.df if restricted else evidence.k)
    if restricted:
        terms -= np.linalg.slogdet(fit.covariance)[1]
    return np.asarray(-terms / 2)
