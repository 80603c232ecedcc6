"""How mean and spread of every feature depend on site and covariates.

Each feature is normal with one level per site and covariate effects in its mean, and
covariate effects, sites left out, in the logarithm of its SD. Rows of scale covariates
come in the order of ``scans.order``, as those of covariates do.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.blocks import for_each_block
from isoscan.combat.likelihood import Estimates, Problem, maximize, solve_each
from isoscan.combat.moments import Moments, Scans, collect
from isoscan.combat.regression import Deviations, regress

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class LocationScale:
    """Maximum likelihood estimates of mean and SD of every feature.

    Attributes
    ----------
    site_levels : ndarray of shape (n_sites, n_features)
        Mean of each site where all covariates are 0; NaN without scans.
    slopes : ndarray of shape (n_covariates, n_features)
        Effects of the covariates on the mean.
    log_sd : ndarray of shape (n_features,)
        Logarithm of the SD where all scale covariates are 0; 0 for constant features.
    scale_slopes : ndarray of shape (n_scale_covariates, n_features)
        Effects of the scale covariates on the logarithm of the SD.
    scale_slopes_se : ndarray of shape (n_scale_covariates, n_features)
        Their standard errors, from the observed information; NaN where there is no estimate.
    minus_two_log_likelihood : ndarray of shape (n_features,)
        At the estimates; minus infinity for constant features.
    converged : ndarray of bool, shape (n_features,)
        False where no maximum was found. These features have one SD for all scans.
    sd : ndarray of shape (n_features,)
        SD at the mean of the scale covariates; 0 for features constant within sites.
    count : ndarray of shape (n_sites, 1 or n_features)
        Number of scans behind the estimates.
    size : ndarray of shape (n_features,)
        Root mean square of the feature about zero.
    solvable : ndarray of bool, shape (n_features,)
        False where missing values leave covariates that cannot be told apart.
    """

    site_levels: Array
    slopes: Array
    log_sd: Array
    scale_slopes: Array
    scale_slopes_se: Array
    minus_two_log_likelihood: Array
    converged: Flags
    sd: Array
    count: Array
    size: Array
    solvable: Flags


def fit_location_scale(
    table: NDArray[Any],
    scans: Scans,
    scale_covariates: Array,
    *,
    tolerance: float = 1e-10,
    n_jobs: int | None = None,
) -> LocationScale:
    """Fit mean and SD of all features.

    Parameters
    ----------
    table : ndarray of shape (n_scans, n_features)
        Measures; NaN where missing. Not modified.
    scans : Scans
        Rows grouped by site, with their covariates.
    scale_covariates : ndarray of shape (n_scans, n_scale_covariates)
        What the SD depends on, in the order of `scans.order`; no column of ones.
    tolerance : float
        A residual SD smaller than this share of a feature's size is rounding noise.
    n_jobs : int, optional
        Number of threads.

    Returns
    -------
    LocationScale
        Estimates of all features.

    Raises
    ------
    InfiniteValuesError
        If a measure is infinite.

    References
    ----------
    .. [1] Aitkin (1987), Applied Statistics 36:332, doi:10.2307/2347792.
    .. [2] Rigby & Stasinopoulos (2005), Applied Statistics 54:507,
       doi:10.1111/j.1467-9876.2005.00510.x.
    """
    scale = _Standard.of(scale_covariates)

    def fit_block(block: slice) -> LocationScale:
        values = table[:, block]
        moments = collect(values, scans, first_column=block.start)
        start = regress(moments, scans.per_site, reference=None, tolerance=tolerance)
        return _fit_block(values, scans, scale, moments, start)

    parts = for_each_block(fit_block, len(scans.order), table.shape[1], n_jobs)
    return _join(parts)


@dataclass(frozen=True)
class _Standard:
    """Design columns without their means, divided by their spread, behind a column of ones."""

    columns: Array
    mean: Array
    spread: Array

    @classmethod
    def of(cls, covariates: Array) -> _Standard:
        mean = covariates.mean(axis=0)
        spread = covariates.std(axis=0)
        spread = np.where(spread > 0, spread, 1.0)
        ones = np.ones(len(covariates))
        return cls(np.column_stack([ones, (covariates - mean) / spread]), mean, spread)


def _fit_block(
    table: NDArray[Any], scans: Scans, scale: _Standard, moments: Moments, start: Deviations
) -> LocationScale:
    """Fit the features that vary; the others keep what least squares found."""
    unit = np.where(start.sd > 0, start.sd, 1.0)
    n_features = len(unit)
    fit = LocationScale(
        site_levels=start.intercept + start.shift * unit,
        slopes=start.slopes.copy(),
        log_sd=np.zeros(n_features),
        scale_slopes=np.zeros((len(scale.mean), n_features)),
        scale_slopes_se=np.full((len(scale.mean), n_features), np.nan),
        minus_two_log_likelihood=np.full(n_features, -np.inf),
        converged=np.ones(n_features, dtype=bool),
        sd=start.sd.copy(),
        count=start.count,
        size=start.size,
        solvable=start.solvable,
    )
    varies = np.flatnonzero(start.sd > 0)
    if varies.size:
        problem, covariate_spread = _pose(table, scans, scale, moments, start, varies)
        estimates, converged = maximize(problem)
        _put_means(fit, varies, estimates, scans, moments, unit, covariate_spread)
        _put_scales(fit, varies, estimates, scale, unit)
        fit.converged[varies] = converged
        fit.scale_slopes_se[:, varies[~converged]] = np.nan
    return fit


def _pose(
    table: NDArray[Any],
    scans: Scans,
    scale: _Standard,
    moments: Moments,
    start: Deviations,
    varies: NDArray[np.intp],
) -> tuple[Problem, Array]:
    """Centre values by site and scale them, and the covariates by their spread."""
    values = np.empty((len(scans.order), len(varies)))
    for site, part in scans.present:
        values[part] = scans.gather(table, site)[:, varies] - moments.feature_mean[site, varies]
    values /= start.sd[varies]
    seen = None
    if moments.has_missing:
        seen = (~np.isnan(values)).astype(float)
        values[seen == 0] = 0.0
    covariates = scans.centred.values.copy()
    spread = covariates[:, 1:].std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    covariates[:, 1:] /= spread
    problem = Problem(
        values=values,
        seen=seen,
        sites=scans.present,
        n_sites=len(scans.sites),
        covariates=covariates,
        scale_covariates=scale.columns,
        solvable=start.solvable[varies],
    )
    return problem, spread


def _put_means(
    fit: LocationScale,
    varies: NDArray[np.intp],
    estimates: Estimates,
    scans: Scans,
    moments: Moments,
    unit: Array,
    spread: Array,
) -> None:
    """Bring levels and slopes back to the units of features and covariates."""
    slopes = estimates.slopes * unit[varies] / spread[:, None]
    fit.slopes[:, varies] = slopes
    levels = moments.feature_mean[:, varies] + estimates.levels * unit[varies]
    levels -= scans.centred.mean[..., 0] @ slopes
    count = np.broadcast_to(moments.count, fit.site_levels.shape)[:, varies]
    fit.site_levels[:, varies] = np.where(count > 0, levels, np.nan)


def _put_scales(
    fit: LocationScale,
    varies: NDArray[np.intp],
    estimates: Estimates,
    scale: _Standard,
    unit: Array,
) -> None:
    """Bring SD back to the units of features and scale covariates; add what is known of them."""
    slopes = estimates.coefficients[1:] / scale.spread[:, None]
    log_unit = np.log(unit[varies])
    fit.scale_slopes[:, varies] = slopes
    fit.log_sd[varies] = estimates.coefficients[0] + log_unit - scale.mean @ slopes
    fit.sd[varies] = unit[varies] * np.exp(estimates.coefficients[0])
    scans = fit.count.sum(axis=0)
    scans = np.broadcast_to(scans, len(unit))[varies]
    constant = scans * (np.log(2 * np.pi) + 2 * log_unit)
    fit.minus_two_log_likelihood[varies] = 2 * estimates.objective + constant
    identity = np.eye(len(estimates.profile))[..., None] + np.zeros(varies.size)
    variances = np.einsum("kkv->kv", solve_each(estimates.profile, identity))[1:]
    fit.scale_slopes_se[:, varies] = np.sqrt(variances) / scale.spread[:, None]


def _join(parts: list[LocationScale]) -> LocationScale:
    """Put blocks side by side; one count per site if no block had missing values."""
    arrays = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts], axis=-1)
        for field in fields(LocationScale)
        if field.name != "count"
    }
    count = parts[0].count
    if any(part.count.shape[1] != 1 for part in parts):
        widths = [(len(count), len(part.sd)) for part in parts]
        pairs = zip(parts, widths, strict=True)
        count = np.concatenate([np.broadcast_to(p.count, shape) for p, shape in pairs], axis=1)
    return LocationScale(count=count, **arrays)
