"""Maximum likelihood of means and standard deviations that both depend on covariates.

All features of a block are solved at once: the mean by weighted least squares with
one level per site, the logarithm of the SD by Newton's method, in turn. Each round
finds the best mean for the SD of the moment. Features that have arrived drop out.

Values and covariates come without their site means and divided by their spread, so
that a feature of 1e6 keeps its digits and years and 0/1 are comparable. The last axis
runs over features.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

CLOSE_ENOUGH = 1e-9
"""Distance to the maximum, in standard errors, at which a feature has arrived."""

FAR_AWAY = 10.0
"""Squared distance beyond which steps are taken with the mean held."""

MOST_ROUNDS = 60

LARGEST_STEP = 2.0
"""Largest change of the logarithm of the SD of any scan in one round."""

LARGEST_CHANGE = 30.0
"""Where the logarithm of the SD moves further than this, the likelihood has no maximum."""

SINGULAR = 1e-12


@dataclass(frozen=True)
class Problem:
    """Values of a block of features, and what their means and SD may depend on.

    Attributes
    ----------
    values : ndarray of shape (n_scans, n_features)
        Measures without their site means, in units of their residual SD; 0 where missing.
    seen : ndarray of shape (n_scans, n_features) or None
        1 where there is a value, 0 where it is missing; None if none is missing.
    sites : list of (int, slice)
        Number and rows of every site that has scans.
    n_sites : int
        Number of sites.
    covariates : ndarray of shape (n_scans, 1 + n_covariates)
        What the mean depends on; the first column is 1.
    scale_covariates : ndarray of shape (n_scans, 1 + n_scale_covariates)
        What the SD depends on; the first column is 1.
    solvable : ndarray of bool, shape (n_features,)
        False where the covariates cannot be told apart; their slopes stay 0.
    """

    values: Array
    seen: Array | None
    sites: list[tuple[int, slice]]
    n_sites: int
    covariates: Array
    scale_covariates: Array
    solvable: Flags

    def take(self, kept: Flags) -> Problem:
        """Keep some of the features.

        Parameters
        ----------
        kept : ndarray of bool, shape (n_features,)
            Which.

        Returns
        -------
        Problem
            The same problem for fewer features.
        """
        seen = None if self.seen is None else self.seen[:, kept]
        return replace(self, values=self.values[:, kept], seen=seen, solvable=self.solvable[kept])


@dataclass(frozen=True)
class Estimates:
    """Estimates of all features, and the slope and bend of the likelihood there.

    Attributes
    ----------
    coefficients : ndarray of shape (1 + n_scale_covariates, n_features)
        Intercept and slopes of the logarithm of the SD.
    levels : ndarray of shape (n_sites, n_features)
        Mean of each site where all covariates are 0.
    slopes : ndarray of shape (n_covariates, n_features)
        Effects of the covariates on the mean.
    objective : ndarray of shape (n_features,)
        Minus the log likelihood, without its constant.
    gradient : ndarray of shape (1 + n_scale_covariates, n_features)
        Derivatives of the log likelihood by `coefficients`.
    information : ndarray of shape (1 + n_scale_covariates, 1 + n_scale_covariates, n_features)
        Second derivatives with the opposite sign, the mean held.
    profile : ndarray of the shape of `information`
        The same where the mean follows the SD.
    """

    coefficients: Array
    levels: Array
    slopes: Array
    objective: Array
    gradient: Array
    information: Array
    profile: Array

    def take(self, kept: Flags) -> Estimates:
        """Keep some of the features.

        Parameters
        ----------
        kept : ndarray of bool, shape (n_features,)
            Which.

        Returns
        -------
        Estimates
            Of fewer features.
        """
        return Estimates(**{f.name: getattr(self, f.name)[..., kept] for f in fields(self)})

    def put(self, places: NDArray[np.intp], others: Estimates) -> None:
        """Overwrite some of the features.

        Parameters
        ----------
        places : ndarray of int
            Numbers of the features to overwrite.
        others : Estimates
            Their new estimates.
        """
        for field in fields(self):
            getattr(self, field.name)[..., places] = getattr(others, field.name)


def maximize(problem: Problem) -> tuple[Estimates, Flags]:
    """Find the maximum of the likelihood of every feature.

    Parameters
    ----------
    problem : Problem
        Values and covariates.

    Returns
    -------
    estimates : Estimates
        Where no maximum was found: those of one SD for all scans.
    converged : ndarray of bool, shape (n_features,)
        Whether a maximum was found.

    References
    ----------
    .. [1] Aitkin (1987), Applied Statistics 36:332, doi:10.2307/2347792.
    """
    n_features = problem.values.shape[1]
    here = _estimate(problem, np.zeros((problem.scale_covariates.shape[1], n_features)))
    found = here.take(np.ones(n_features, dtype=bool))
    converged = np.zeros(n_features, dtype=bool)
    places = np.arange(n_features)
    share = np.ones(n_features)
    for _ in range(MOST_ROUNDS):
        step, distance = _newton(problem, here)
        arrived = distance <= CLOSE_ENOUGH**2
        found.put(places[arrived], here.take(arrived))
        converged[places[arrived]] = True
        under_way = np.isfinite(distance) & (_reach(problem, here.coefficients) < LARGEST_CHANGE)
        under_way &= ~arrived
        if not under_way.any():
            break
        if not under_way.all():
            problem, here = problem.take(under_way), here.take(under_way)
            places, share = places[under_way], share[under_way]
            step, distance = step[:, under_way], distance[under_way]
        here, share = _advance(problem, here, step, distance, share)
    return found, converged


def _advance(
    problem: Problem, here: Estimates, step: Array, distance: Array, share: Array
) -> tuple[Estimates, Array]:
    """Go a share of the step; where that does not help, stay and halve the share."""
    there = _estimate(problem, here.coefficients + share * step)
    rounding = 1e-12 * (len(problem.values) + np.abs(here.objective))
    better = there.objective <= here.objective - 1e-4 * share * distance + rounding
    if not better.all():
        improved = here.take(np.ones(len(better), dtype=bool))
        improved.put(np.flatnonzero(better), there.take(better))
        there = improved
    return there, np.where(better, 1.0, share / 2)


def _newton(problem: Problem, here: Estimates) -> tuple[Array, Array]:
    """Step towards the maximum, and the squared distance to it in standard errors."""
    step, distance = _solve_step(here.profile, here.gradient)
    far = ~(distance < FAR_AWAY)  # only near the maximum the profile is sure to be concave
    if far.any():
        step[:, far], distance[far] = _solve_step(here.information[..., far], here.gradient[:, far])
    reach = _reach(problem, step)
    return step * np.minimum(1.0, LARGEST_STEP / np.maximum(reach, LARGEST_STEP)), distance


def _solve_step(information: Array, gradient: Array) -> tuple[Array, Array]:
    step = solve_each(information, gradient[:, None])[:, 0]
    distance = np.einsum("kv,kv->v", step, gradient)
    distance[distance < 0] = np.nan
    return step, distance


def _reach(problem: Problem, coefficients: Array) -> Array:
    """Bound of the change that coefficients make to the log SD of any scan."""
    return np.asarray(np.abs(problem.scale_covariates).max(axis=0) @ np.abs(coefficients))


def _estimate(problem: Problem, coefficients: Array) -> Estimates:
    """Best means for given SD, and the likelihood there."""
    weights = np.exp(problem.scale_covariates @ (-2.0 * coefficients))
    if problem.seen is not None:
        weights *= problem.seen
    means = _weighted_means(problem, weights)
    residuals = problem.values - problem.covariates[:, 1:] @ means.slopes
    for site, rows in problem.sites:
        residuals[rows] -= means.levels[site]
    weights *= residuals
    bend = _bend(problem, means, weights)
    weights *= residuals
    products = sum_products(problem.scale_covariates, weights)
    expected = _sum_of_scale_covariates(problem)
    return Estimates(
        coefficients=coefficients,
        levels=means.levels,
        slopes=means.slopes,
        objective=(expected * coefficients).sum(axis=0) + products[0, 0] / 2,
        gradient=products[0] - expected,
        information=2 * products,
        profile=2 * products - 4 * bend,
    )


def _sum_of_scale_covariates(problem: Problem) -> Array:
    if problem.seen is None:
        return np.asarray(problem.scale_covariates.sum(axis=0)[:, None])
    return np.asarray(problem.scale_covariates.T @ problem.seen)


@dataclass(frozen=True)
class _Means:
    """Weighted least squares with one level per site, and what it was solved from.

    `weight` is the total weight of each site, `centre` its weighted mean of the
    covariates, `products` the weighted products of the covariates without it.
    """

    levels: Array
    slopes: Array
    weight: Array
    centre: Array
    products: Array


def _weighted_means(problem: Problem, weights: Array) -> _Means:
    n_covariates, n_features = problem.covariates.shape[1] - 1, weights.shape[1]
    weighted = weights * problem.values
    left = np.zeros((n_covariates, n_covariates, n_features))
    right = np.zeros((n_covariates, n_features))
    total, levels = np.ones((2, problem.n_sites, n_features))
    centre = np.zeros((problem.n_sites, n_covariates, n_features))
    for site, rows in problem.sites:
        products = sum_products(problem.covariates[rows], weights[rows])
        cross = problem.covariates[rows].T @ weighted[rows]
        total[site] = np.where(products[0, 0] > 0, products[0, 0], 1.0)
        levels[site] = cross[0] / total[site]
        centre[site] = products[0, 1:] / total[site]
        left += products[1:, 1:] - products[0, 1:, None] * centre[site]
        right += cross[1:] - products[0, 1:] * levels[site]
    if not problem.solvable.all():
        left[..., ~problem.solvable] = np.eye(n_covariates)[..., None]
        right[:, ~problem.solvable] = 0.0
    slopes = solve_each(left, right[:, None])[:, 0]
    levels -= np.einsum("bqv,qv->bv", centre, slopes)
    return _Means(levels, slopes, total, centre, left)


def _bend(problem: Problem, means: _Means, weighted_residuals: Array) -> Array:
    """How much flatter the likelihood is where the mean follows the SD.

    S' M S, where S are the sums of weighted residuals times covariates of mean and SD,
    and M is the inverse of the weighted products of the covariates of the mean.
    """
    columns, scale_columns = problem.covariates, problem.scale_covariates
    pairs = (columns[:, :, None] * scale_columns[:, None]).reshape(len(columns), -1)
    shape = (columns.shape[1], scale_columns.shape[1], -1)
    bend = np.zeros((shape[1], shape[1], weighted_residuals.shape[1]))
    across = np.zeros((shape[0] - 1, *bend.shape[1:]))
    for site, rows in problem.sites:
        sums = (pairs[rows].T @ weighted_residuals[rows]).reshape(shape)
        bend += sums[0, :, None] * (sums[0] / means.weight[site])
        across += sums[1:] - means.centre[site][:, None] * sums[0]
    across[..., ~problem.solvable] = 0.0
    bend += np.einsum("qkv,qlv->klv", across, solve_each(means.products, across))
    return bend


def sum_products(columns: Array, weights: Array) -> Array:
    """Weighted sums of products of columns, one symmetric matrix per feature.

    Parameters
    ----------
    columns : ndarray of shape (n_scans, n_columns)
        Covariates.
    weights : ndarray of shape (n_scans, n_features)
        Weights.

    Returns
    -------
    ndarray of shape (n_columns, n_columns, n_features)
        Sums over scans.

    Examples
    --------
    >>> sum_products(np.array([[1.0, 2.0]]), np.array([[3.0]]))[..., 0].tolist()
    [[3.0, 6.0], [6.0, 12.0]]
    """
    first, second, place = _pairs(columns.shape[1])
    return np.asarray(((columns[:, first] * columns[:, second]).T @ weights)[place])


@cache
def _pairs(n_columns: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Pairs of columns, and where each stands in a symmetric matrix."""
    first, second = np.triu_indices(n_columns)
    place = np.zeros((n_columns, n_columns), dtype=np.intp)
    place[first, second] = place[second, first] = np.arange(len(first))
    return first, second, place


def solve_each(matrices: Array, right: Array) -> Array:
    """Solve one small positive definite system per feature.

    Parameters
    ----------
    matrices : ndarray of shape (n, n, n_features)
        Symmetric matrices.
    right : ndarray of shape (n, n_right, n_features)
        Right-hand sides.

    Returns
    -------
    ndarray of shape (n, n_right, n_features)
        Solutions; NaN where a matrix is not positive definite.

    Examples
    --------
    >>> solve_each(np.full((1, 1, 1), 4.0), np.full((1, 1, 1), 2.0)).item()
    0.5
    """
    left, solution = matrices.copy(), right.copy()
    smallest = SINGULAR * np.einsum("qqv->qv", matrices)
    for row in range(len(left)):
        pivot = np.where(left[row, row] > smallest[row], left[row, row], np.nan)
        left[row] /= pivot
        solution[row] /= pivot
        factors = left[:, row].copy()
        factors[row] = 0.0
        left -= factors[:, None] * left[row]
        solution -= factors[:, None] * solution[row]
    return solution
