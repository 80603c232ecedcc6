"""Site effects of measures whose spread depends on covariates, as their mean does.

ComBat gives all scans of a feature one residual SD. If older brains differ more from
each other than younger ones, a site of older people looks noisy, and ComBat would take
that away. Here every scan has its own expected SD; site effects are estimated and
removed in units of it. Rows of scale covariates come in the order of ``scans.order``,
as those of covariates do.

References
----------
.. [1] Gardner et al. (2024), ComBatLS, bioRxiv, doi:10.1101/2024.06.21.599875.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.blocks import for_each_block
from isoscan.combat.flatten import require_finite
from isoscan.combat.location_scale import LocationScale
from isoscan.combat.model import SiteModel
from isoscan.combat.moments import Scans, refuse_infinite
from isoscan.combat.regression import Deviations

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Expectation:
    """Mean and SD that are expected of a scan, sites left out.

    Attributes
    ----------
    intercept : ndarray of shape (n_features,)
        Expected value where all covariates are 0.
    slopes : ndarray of shape (n_covariates, n_features)
        Effects of the covariates.
    log_sd : ndarray of shape (n_features,)
        Logarithm of the SD where all scale covariates are 0.
    scale_slopes : ndarray of shape (n_scale_covariates, n_features)
        Effects of the scale covariates on it.
    """

    intercept: Array
    slopes: Array
    log_sd: Array
    scale_slopes: Array


@dataclass(frozen=True, kw_only=True)
class ScaleModel(SiteModel):
    """Everything needed to harmonize new scans whose SD depends on covariates.

    `sd` is the SD at the mean of the scale covariates, 0 for features that are passed
    through.

    Attributes
    ----------
    log_sd : ndarray of shape (n_features,)
        Logarithm of the SD where all scale covariates are 0.
    scale_slopes : ndarray of shape (n_scale_covariates, n_features)
        Effects of the scale covariates on the logarithm of the SD.
    scale_slopes_se : ndarray of shape (n_scale_covariates, n_features)
        Their standard errors; NaN where there is no estimate.
    """

    SHAPES: ClassVar[dict[str, tuple[str, ...]]] = {
        **SiteModel.SHAPES,
        "log_sd": ("features",),
        "scale_slopes": ("scale_columns", "features"),
        "scale_slopes_se": ("scale_columns", "features"),
    }
    log_sd: Array
    scale_slopes: Array
    scale_slopes_se: Array

    @property
    def expectation(self) -> Expectation:
        """Mean and SD that are expected of a scan."""
        return Expectation(self.intercept, self.slopes, self.log_sd, self.scale_slopes)

    def require_sound(self, name: str) -> None:
        """Refuse numbers that no fit can give.

        Parameters
        ----------
        name : str
            Name of the model in messages.

        Raises
        ------
        ModelFileError
            If a number is not finite or a variance is not positive.
        """
        super().require_sound(name)
        require_finite(name, log_sd=self.log_sd, scale_slopes=self.scale_slopes)


def expected_sd(log_sd: Array, scale_slopes: Array, scale_covariates: Array) -> Array:
    """SD of every scan; a row has the same bits alone and in bulk.

    Parameters
    ----------
    log_sd : ndarray of shape (n_features,)
        Logarithm of the SD where all scale covariates are 0.
    scale_slopes : ndarray of shape (n_scale_covariates, n_features)
        Effects of the scale covariates on it.
    scale_covariates : ndarray of shape (n_scans, n_scale_covariates)
        Design columns.

    Returns
    -------
    ndarray of shape (n_scans, n_features)
        In the unit of the feature.

    Examples
    --------
    >>> expected_sd(np.zeros(1), np.full((1, 1), np.log(2.0)), np.array([[0.0], [1.0]]))
    array([[1.],
           [2.]])
    """
    log_sds = np.einsum("sc,cf->sf", scale_covariates, scale_slopes)
    log_sds += log_sd
    return np.asarray(np.exp(log_sds, out=log_sds))


def deviations(
    table: NDArray[Any],
    scans: Scans,
    scale_covariates: Array,
    fit: LocationScale,
    *,
    reference: int | None = None,
    tolerance: float = 1e-10,
    n_jobs: int | None = None,
) -> Deviations:
    """Measure how sites deviate from what is expected, in units of each scan's SD.

    The SD has no part that depends on the site, with a reference site too.

    Parameters
    ----------
    table : ndarray of shape (n_scans, n_features)
        Measures of the training scans.
    scans : Scans
        Rows grouped by site, with their covariates.
    scale_covariates : ndarray of shape (n_scans, n_scale_covariates)
        What the SD depends on, in the order of `scans.order`.
    fit : LocationScale
        Mean and SD of the same scans.
    reference : int, optional
        Number of the site that defines the expected value.
    tolerance : float
        A deviation smaller than this share of a feature's size is rounding noise.
    n_jobs : int, optional
        Number of threads.

    Returns
    -------
    Deviations
        Expected values, and standardized shift and variance of each site.
    """
    intercept = _grand_level(fit, scans, reference)
    expectation = Expectation(intercept, fit.slopes, fit.log_sd, fit.scale_slopes)
    shift, variance, _ = site_deviations(
        table, scans, scale_covariates, expectation, noise=tolerance * fit.size, n_jobs=n_jobs
    )
    return Deviations(
        intercept=intercept,
        slopes=fit.slopes,
        sd=fit.sd,
        shift=shift,
        variance=variance,
        count=fit.count,
        size=fit.size,
        solvable=fit.solvable,
    )


def _grand_level(fit: LocationScale, scans: Scans, reference: int | None) -> Array:
    """Level of the reference, or of all sites that have values, weighted by all their scans."""
    if reference is not None:
        return np.asarray(fit.site_levels[reference])
    weights = np.where(fit.count > 0, scans.per_site[:, None], 0.0)
    total = np.maximum(weights.sum(axis=0), 1.0)
    return np.asarray((weights * np.nan_to_num(fit.site_levels)).sum(axis=0) / total)


def in_units_of_reference(
    found: Deviations, log_sd: Array, reference: int
) -> tuple[Deviations, Array]:
    """Make the spread of the reference site the unit, as ComBat does.

    Without this the other sites would be brought to the spread of all sites together.

    Parameters
    ----------
    found : Deviations
        What `deviations` gives.
    log_sd : ndarray of shape (n_features,)
        Logarithm of the SD where all scale covariates are 0.
    reference : int
        Number of the reference site.

    Returns
    -------
    found : Deviations
        In the new unit.
    log_sd : ndarray of shape (n_features,)
        Of the reference site.
    """
    scans = np.maximum(found.count[reference], 2.0)
    ratio = found.variance[reference] * (scans - 1.0) / scans
    ratio = np.where((found.sd > 0) & (ratio > 0), ratio, 1.0)
    unit = np.sqrt(ratio)
    rescaled = replace(
        found, sd=found.sd * unit, shift=found.shift / unit, variance=found.variance / ratio
    )
    return rescaled, log_sd + np.log(unit)


def site_deviations(
    table: NDArray[Any],
    scans: Scans,
    scale_covariates: Array,
    expectation: Expectation,
    *,
    noise: Array,
    n_jobs: int | None = None,
) -> tuple[Array, Array, Array]:
    """Standardized shift and variance of sites, of training or new ones.

    Parameters
    ----------
    table : ndarray of shape (n_scans, n_features)
        Measures; NaN where missing. Not modified.
    scans : Scans
        Rows grouped by site, with their covariates.
    scale_covariates : ndarray of shape (n_scans, n_scale_covariates)
        What the SD depends on, in the order of `scans.order`.
    expectation : Expectation
        Mean and SD from training.
    noise : ndarray of shape (n_features,)
        Size of rounding noise. A site whose scans differ less has variance 1.
    n_jobs : int, optional
        Number of threads.

    Returns
    -------
    shift, variance : ndarray of shape (n_sites, n_features)
        NaN where there are too few scans.
    count : ndarray of shape (n_sites, n_features)
        Number of scans with a value.
    """
    shape = (len(scans.sites), table.shape[1])
    shift, variance, count = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape)

    def measure(block: slice) -> None:
        slopes, scale_slopes = expectation.slopes[:, block], expectation.scale_slopes[:, block]
        for site, part in scans.present:
            residuals = scans.gather(table[:, block], site)
            residuals -= expectation.intercept[block]
            residuals -= scans.covariates[part] @ slopes
            sd = expected_sd(expectation.log_sd[block], scale_slopes, scale_covariates[part])
            count[site, block], _, spread = _mean_and_variance(residuals)
            _, shift[site, block], variance[site, block] = _mean_and_variance(residuals / sd)
            still = spread <= noise[block] ** 2
            variance[site, block][still] = 1.0

    for_each_block(measure, scans.rows_at_a_time, table.shape[1], n_jobs)
    return shift, variance, count


def _mean_and_variance(values: Array) -> tuple[Array, Array, Array]:
    """Count, mean and variance (divisor n - 1) of each column; NaN where there are too few."""
    seen = ~np.isnan(values)
    count = seen.sum(axis=0).astype(float)
    some, more = np.where(count > 0, count, np.nan), np.where(count > 1, count - 1, np.nan)
    mean = np.where(seen, values, 0.0).sum(axis=0) / some
    rest = np.where(seen, values - mean, 0.0)
    return count, mean, np.einsum("sf,sf->f", rest, rest) / more


def harmonize_scaled(
    table: NDArray[Any],
    scans: Scans,
    scale_covariates: Array,
    model: ScaleModel,
    *,
    n_jobs: int | None = None,
) -> NDArray[Any]:
    """Take site effects out of measures whose SD depends on covariates.

    Parameters
    ----------
    table : ndarray of shape (n_scans, n_features)
        Measures; NaN stays NaN. Not modified.
    scans : Scans
        Rows grouped by the sites of `model`, with their covariates; those of a site beyond
        the last one are copied.
    scale_covariates : ndarray of shape (n_scans, n_scale_covariates)
        What the SD depends on, in the order of `scans.order`.
    model : ScaleModel
        Fitted numbers.
    n_jobs : int, optional
        Number of threads.

    Returns
    -------
    ndarray of shape (n_scans, n_features)
        Harmonized measures, of the type of `table`.

    Raises
    ------
    InfiniteValuesError
        If a measure is infinite.
    """
    result = np.empty(table.shape, dtype=table.dtype)

    def apply_block(block: slice) -> None:
        maps = _maps(model, block)
        for site, part in scans.present:
            rows = scans.rows[site]
            if site == model.reference or site >= len(model.effects.shift):
                result[rows, block] = table[rows, block]
                continue
            values = scans.gather(table[:, block], site)
            _adjust(values, scans.covariates[part], scale_covariates[part], maps, site)
            if not np.isfinite(np.vdot(values, values)):
                refuse_infinite(values, scans.order[part], block.start)
            result[rows, block] = values

    for_each_block(apply_block, scans.rows_at_a_time, table.shape[1], n_jobs)
    passed = np.flatnonzero(model.passed_through)
    if passed.size:
        result[:, passed] = table[:, passed]
    return result


@dataclass(frozen=True)
class _Maps:
    """How the measures of a block change at every site.

    With m what is expected of a scan, s its SD, and g and d a site's shift and scale,
    y becomes ((y - m)/s - g)/d s + m' = y/d - s g/d + m' - m/d, where m' leaves removed
    covariates at their mean.
    """

    factor: Array
    shift: Array
    addend: Array
    weights: Array
    log_sd: Array
    scale_slopes: Array


def _maps(model: ScaleModel, block: slice) -> _Maps:
    slopes = model.slopes[:, block]
    factor = 1.0 / np.sqrt(model.effects.variance[:, block])
    addend = model.intercept[block] * (1.0 - factor)
    addend += (model.removed_mean[:, None] * slopes)[model.removed].sum(axis=0)
    kept = np.where(model.removed, 0.0, 1.0)[:, None, None]
    return _Maps(
        factor=factor,
        shift=model.effects.shift[:, block] * factor,
        addend=addend,
        weights=slopes[:, None] * (kept - factor),
        log_sd=model.log_sd[block],
        scale_slopes=model.scale_slopes[:, block],
    )


def _adjust(
    values: Array, covariates: Array, scale_covariates: Array, maps: _Maps, site: int
) -> None:
    """Harmonize the scans of one site in place, element by element as `apply` does."""
    values *= maps.factor[site]
    values += maps.addend[site]
    if len(maps.weights):
        values += np.einsum("sc,cf->sf", covariates, maps.weights[:, site])
    sd = expected_sd(maps.log_sd, maps.scale_slopes, scale_covariates)
    sd *= maps.shift[site]
    values -= sd
