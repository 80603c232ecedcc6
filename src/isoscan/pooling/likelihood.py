"""Maximise the likelihood, or the restricted likelihood, over tau² for many features.

Newton's method on the score, kept inside an interval where the score changes sign.
Those intervals come from a grid, so that a likelihood with several maxima, which
happens when few sites have very unequal variances, gives its highest one. Features
are searched in blocks, so that what is computed on the way stays in the cache.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoscan.pooling.evidence import WORTH_COPYING, Evidence
from isoscan.pooling.weighted import (
    cross_products,
    fit_weighted,
    sum_over_sites,
    trace_of_diagonal,
    trace_of_product,
)

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]
Chosen = NDArray[np.intp]

BLOCK = 2048  # features at a time
_RATIO = 2.0
_SMALLEST = _RATIO**-50
_PRECISION = 1e-10
_SQUARED = 1e-6  # the error after a Newton step is about the square of the step
_MOST_STEPS = 200
_HALVING = 20  # steps after which every other one halves the interval


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
    for start in range(0, enough.size, BLOCK):
        block = enough[start : start + BLOCK]
        together = block[-1] - block[0] < block.size
        part = evidence.take(slice(block[0], block[-1] + 1) if together else block)
        tau2[block] = _maximise(part, restricted)
    return tau2


@dataclass(frozen=True)
class _Grid:
    """Values of tau², shape (n_points, n_features), and how steep the likelihood is there.

    From point to point the variance of every site, tau² included, is doubled at most, and
    beyond the last point the likelihood only falls.
    """

    tau2: Numbers
    slope: Numbers
    base: Numbers

    @classmethod
    def over(cls, evidence: Evidence, restricted: bool) -> _Grid:
        """Grid from 0 to beyond the largest tau² that can be a maximum."""
        spread = fit_weighted(evidence.effects, evidence.present, evidence.design).q
        least = np.where(evidence.present > 0, evidence.variances, np.inf).min(axis=0)
        base = np.maximum(least, _SMALLEST * spread)
        tau2, slopes = [np.zeros_like(base)], []
        while True:
            slope, falling = _slope(evidence, tau2[-1], least, restricted)
            slopes.append(slope)
            if falling.all():
                return cls(np.array(tau2), np.array(slopes), base)
            tau2.append(base * (_RATIO ** len(tau2) - 1))

    @property
    def rising(self) -> Flags:
        """Where the likelihood grows with tau²."""
        return np.asarray(self.slope > 0)

    def start(self, at: tuple[Chosen, Chosen]) -> tuple[Numbers, Numbers, Numbers]:
        """Ends of intervals with a maximum inside, and where a straight line has its zero.

        The line is that of the slope along log(base + tau²), in which it bends little.
        """
        interval, features = at
        base = self.base[features]
        low, high = (base + self.tau2[end, features] for end in (interval, interval + 1))
        below = low * self.slope[interval, features]
        above = high * self.slope[interval + 1, features]
        guess = low * (high / low) ** (below / (below - above))
        return low - base, high - base, guess - base


def _maximise(evidence: Evidence, restricted: bool) -> Numbers:
    grid = _Grid.over(evidence, restricted)
    peaks = grid.rising[:-1] & ~grid.rising[1:]  # a maximum lies between two neighbours
    n_peaks = peaks.sum(axis=0)
    tau2 = np.zeros(evidence.effects.shape[1])
    inside = np.flatnonzero(n_peaks)
    if inside.size:
        last = peaks.shape[0] - 1 - np.argmax(peaks[::-1], axis=0)
        tau2[inside] = _climb(evidence, grid, (last[inside], inside), restricted)
    several = np.flatnonzero(n_peaks + ~grid.rising[0] > 1)
    if several.size:
        tau2[several] = _highest(evidence, grid, peaks, several, restricted)
    return tau2


def _slope(
    evidence: Evidence, tau2: Numbers, least: Numbers, restricted: bool
) -> tuple[Numbers, Flags]:
    """Twice the derivative of the log likelihood, and whether it is negative from here on.

    It is y'PPy - trace P, and y'PPy <= y'Py |P|, where |P| is at most trace P and at most the
    largest weight. With tau², y'Py falls and trace P grows relative to the largest weight, so
    that an inequality that holds once holds ever after. ML has trace W instead of trace P.
    """
    fit = fit_weighted(evidence.effects, evidence.weights(tau2), evidence.design)
    pulled, trace = fit.pulled, fit.total
    q = sum_over_sites(pulled, fit.residuals)
    if restricted:
        squares = cross_products(evidence.design, fit.weights, fit.weights)
        trace = trace - trace_of_product(fit.covariance, squares)
    steep = (q >= 1) & (q >= trace * (least + tau2))
    return sum_over_sites(pulled, pulled) - trace, ~steep


def _newton_step(
    evidence: Evidence, tau2: Numbers, restricted: bool
) -> tuple[Numbers, Numbers, Numbers]:
    """Slope, typical variance, and step; NaN where the likelihood curves upward."""
    design = evidence.design
    fit = fit_weighted(evidence.effects, evidence.weights(tau2), design)
    weights, covariance, pulled = fit.weights, fit.covariance, fit.pulled
    squares = cross_products(design, weights, weights)
    slope = sum_over_sites(pulled, pulled) - fit.total
    fisher = trace_of_diagonal(design, squares, weights, weights)
    if restricted:
        cubes = cross_products(design, weights, weights, weights)
        share = covariance @ squares
        slope += trace_of_product(covariance, squares)
        fisher = fisher + trace_of_product(share, share) - 2 * trace_of_product(covariance, cubes)
    twice = weights * pulled
    projected = design.T @ twice
    curvature = sum_over_sites(twice, pulled)
    curvature -= np.einsum("pf,fpq,qf->f", projected, covariance, projected)
    observed = 2 * curvature - fisher
    step = slope / np.where(observed > 0, observed, np.nan)
    return slope, evidence.k / fit.total, step


def _climb(evidence: Evidence, grid: _Grid, at: tuple[Chosen, Chosen], restricted: bool) -> Numbers:
    """Follow the slope to the maximum inside one interval per feature."""
    low, high, tau2 = grid.start(at)
    moving, part = np.arange(tau2.size), evidence.take(at[1])
    for number in range(_MOST_STEPS):
        now = tau2[moving]
        slope, scale, step = _newton_step(part, now, restricted)
        least = np.where(slope > 0, now, low[moving])
        most = np.where(slope > 0, high[moving], now)
        newton = (now + step >= least) & (now + step <= most)
        newton &= number < _HALVING or number % 2 == 0
        moved = np.where(newton, now + step, (least + most) / 2)
        near = np.where(newton, _SQUARED, _PRECISION) * scale
        tau2[moving], low[moving], high[moving] = moved, least, most
        left = np.flatnonzero(np.abs(moved - now) > near)
        if not left.size:
            return tau2
        unfinished = moving[left]
        if left.size < WORTH_COPYING * moving.size:
            moving, part = unfinished, part.take(left)
    tau2[unfinished] = np.nan
    return tau2


def _highest(
    evidence: Evidence, grid: _Grid, peaks: Flags, features: Chosen, restricted: bool
) -> Numbers:
    """Compare all maxima of the features that have several."""
    part = evidence.take(features)
    candidates = [np.zeros(features.size)]
    for interval, has_peak in enumerate(peaks[:, features]):
        found = np.flatnonzero(has_peak)
        candidate = np.zeros(features.size)
        intervals = np.full(found.size, interval)
        candidate[found] = _climb(evidence, grid, (intervals, features[found]), restricted)
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
