"""Site effects of people who were scanned repeatedly.

Every subject has a level of its own, and perhaps a slope; both are predicted from the
subject's visits, and stay in the harmonized values. The model keeps how much subjects
differ, never the subjects: those of a call are predicted from the visits in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.blocks import for_each_block
from isoscan.combat.flatten import require_finite
from isoscan.combat.mixed import MixedFit, fit_mixed, predict_groups
from isoscan.combat.model import SiteModel
from isoscan.combat.moments import Moments, Scans, collect, refuse_infinite
from isoscan.combat.regression import Deviations

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Visits:
    """Who each scan is of, in the order of the rows.

    Attributes
    ----------
    subjects : ndarray of shape (n_scans,)
        Label of the subject.
    slope : ndarray of shape (n_scans,) or None
        Values of the covariate along which subjects have slopes of their own.
    """

    subjects: NDArray[Any]
    slope: Array | None = None

    def at(self, rows: NDArray[np.intp]) -> Visits:
        """Some of the scans.

        Parameters
        ----------
        rows : ndarray of int
            Which scans.

        Returns
        -------
        Visits
            Only these.
        """
        return Visits(self.subjects[rows], None if self.slope is None else self.slope[rows])


@dataclass(frozen=True, kw_only=True)
class VisitModel(SiteModel):
    """Everything needed to harmonize visits; holds no subject.

    Attributes
    ----------
    site_levels : ndarray of shape (n_sites, n_features)
        Site effects of the mixed model, which average 0 over all scans; in the unit of the
        feature.
    residual_variance : ndarray of shape (n_features,)
        Variance within subjects.
    between : ndarray of shape (n_features, 1, 1) or (n_features, 2, 2)
        Variance of the subjects' levels, or covariance of their levels and slopes.
    singular : ndarray of bool, shape (n_features,)
        Where the estimate of `between` lies on the boundary.
    """

    SHAPES: ClassVar[dict[str, tuple[str, ...]]] = {
        **SiteModel.SHAPES,
        "site_levels": ("sites", "features"),
        "residual_variance": ("features",),
        "between": ("features", "random", "random"),
        "singular": ("features",),
    }
    site_levels: Array
    residual_variance: Array
    between: Array
    singular: NDArray[np.bool_]

    def random_part(self, block: slice) -> Array:
        """Variances between subjects as the mixed model takes them.

        Parameters
        ----------
        block : slice
            Features.

        Returns
        -------
        ndarray of shape (n_block,) or (n_block, 2, 2)
            Variance of levels, or covariance of levels and slopes.
        """
        between = self.between[block]
        return between[:, 0, 0] if between.shape[1] == 1 else between

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
        require_finite(
            name,
            site_levels=self.site_levels,
            residual_variance=self.residual_variance,
            between=self.between,
        )


def fit_visits(
    table: NDArray[Any], scans: Scans, visits: Visits, *, n_jobs: int | None = None
) -> MixedFit:
    """Fit a mixed model per feature, with one intercept per site.

    Parameters
    ----------
    table : ndarray of shape (n_scans, n_features)
        Measures of the training scans; NaN where missing.
    scans : Scans
        Rows grouped by site, with their covariates.
    visits : Visits
        Subjects, in the order of the rows.
    n_jobs : int, optional
        Number of threads.

    Returns
    -------
    MixedFit
        Coefficients of the sites come first.
    """
    design = np.zeros((len(table), len(scans.sites) + scans.covariates.shape[1]))
    for site, part in scans.present:
        design[scans.order[part], site] = 1.0
    design[scans.order, len(scans.sites) :] = scans.covariates
    return fit_mixed(table, design, visits.subjects, slope=visits.slope, n_jobs=n_jobs)


def deviations_of_visits(
    table: NDArray[Any],
    scans: Scans,
    visits: Visits,
    fit: MixedFit,
    *,
    mean_squares: bool,
    tolerance: float,
    n_jobs: int | None = None,
) -> tuple[Deviations, Array]:
    """Measure how sites deviate from what is expected of the subjects there.

    Parameters
    ----------
    table : ndarray of shape (n_scans, n_features)
        Measures of the training scans.
    scans : Scans
        Rows grouped by site, with their covariates.
    visits : Visits
        Subjects, in the order of the rows.
    fit : MixedFit
        From `fit_visits`.
    mean_squares : bool
        Standardize by the mean square of what is left, instead of by the residual variance.
    tolerance : float
        A residual SD smaller than this share of a feature's size is rounding noise.
    n_jobs : int, optional
        Number of threads.

    Returns
    -------
    deviations : Deviations
        Expected values, and standardized shift and variance of each site.
    site_levels : ndarray of shape (n_sites, n_features)
        Site effects of the mixed model about their mean over scans.
    """
    n_sites = len(scans.sites)
    coefficients = np.where(fit.solvable, fit.coefficients, 0.0)
    levels, slopes = coefficients[:n_sites], coefficients[n_sites:]
    intercept = scans.per_site @ levels / scans.per_site.sum()
    site_levels = levels - intercept
    no_covariates = replace(scans, covariates=scans.covariates[:, :0])
    parts = _left_over(table, scans, visits, fit, levels, slopes)

    def measure(block: slice) -> Moments:
        return collect(parts(block), no_covariates, first_column=block.start)

    moments = for_each_block(measure, len(table), table.shape[1], n_jobs)
    mean, squares = (
        np.concatenate([getattr(m, name) for m in moments], axis=1)
        for name in ("feature_mean", "feature_squares")
    )
    count = np.concatenate(
        [np.broadcast_to(m.count, m.feature_mean.shape) for m in moments], axis=1
    )
    sd = np.sqrt(_mean_squares(mean, squares, count) if mean_squares else fit.variance)
    size = _size(table)
    sd = np.where(fit.solvable & (sd > tolerance * size), sd, 0.0)
    unit = np.where(sd > 0, sd, 1.0)
    shift = np.where(count > 0, (mean + site_levels) / unit, np.nan)
    variance = np.where(count > 1, squares / np.maximum(count - 1, 1) / unit**2, np.nan)
    variance[(count > 1) & (squares <= count * (tolerance * size) ** 2)] = 1.0
    if (count == scans.per_site[:, None]).all():
        count = count[:, :1]
    found = Deviations(intercept, slopes, sd, shift, variance, count, size, fit.solvable)
    return found, site_levels


def _left_over(
    table: NDArray[Any], scans: Scans, visits: Visits, fit: MixedFit, levels: Array, slopes: Array
) -> Callable[[slice], Array]:
    """Residuals of a block of features, without what sites, covariates and subjects explain."""

    def left_over(block: slice) -> Array:
        residuals = table[:, block].astype(float)
        residuals[scans.order] -= scans.covariates @ slopes[:, block]
        for site, part in scans.present:
            residuals[scans.order[part]] -= levels[site, block]
        return residuals - _of_subjects(
            residuals, visits, np.nan_to_num(fit.variance[block]), np.nan_to_num(fit.between[block])
        )

    return left_over


def _of_subjects(residuals: Array, visits: Visits, variance: Array, between: Array) -> Array:
    """What each scan's subject adds, predicted from all its visits here."""
    effects = predict_groups(
        residuals, visits.subjects, variance=variance, between=between, slope=visits.slope
    )
    return effects.at_scans(visits.slope)


def _mean_squares(mean: Array, squares: Array, count: Array) -> Array:
    """Mean square of the residuals about their mean over all sites."""
    scans = np.maximum(count.sum(axis=0), 1)
    centre = (count * mean).sum(axis=0) / scans
    return np.asarray((squares + count * (mean - centre) ** 2).sum(axis=0) / scans)


def _size(table: NDArray[Any]) -> Array:
    """Root mean square of each feature about zero."""
    squares = np.einsum("sf,sf->f", table, table, dtype=np.float64)
    if np.isfinite(squares).all():
        return np.asarray(np.sqrt(squares / len(table)))
    seen = np.maximum((~np.isnan(table)).sum(axis=0), 1)
    return np.asarray(np.sqrt(np.nansum(np.square(table, dtype=np.float64), axis=0) / seen))


def harmonize_visits(
    table: NDArray[Any],
    scans: Scans,
    visits: Visits,
    model: VisitModel,
    *,
    n_jobs: int | None = None,
) -> NDArray[Any]:
    """Take site effects out of visits; the level of each subject stays.

    Parameters
    ----------
    table : ndarray of shape (n_scans, n_features)
        Measures; NaN stays NaN. Not modified.
    scans : Scans
        Rows grouped by the sites of `model`, with their covariates; those of a site beyond
        the last one are copied, and say nothing about their subjects.
    visits : Visits
        Subjects, in the order of the rows.
    model : VisitModel
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
    kept = model.kept(scans.covariates)

    def apply_block(block: slice) -> None:
        values = table[:, block].astype(float)
        if not np.isfinite(np.vdot(values, values)):
            refuse_infinite(values, first_column=block.start)
        left, slopes = np.full_like(values, np.nan), model.slopes[:, block]
        expected = np.empty_like(values)
        expected[scans.order] = np.einsum("sc,cf->sf", kept, slopes) + model.intercept[block]
        explained = np.einsum("sc,cf->sf", scans.covariates, slopes) + model.intercept[block]
        for site, part in _known(scans, model):
            rows = scans.order[part]
            left[rows] = values[rows] - explained[part] - model.site_levels[site, block]
        of_subjects = _of_subjects(
            left, visits, model.residual_variance[block], model.random_part(block)
        )
        expected += of_subjects
        left -= of_subjects
        for site, part in _known(scans, model):
            rows = scans.order[part]
            shift = model.site_levels[site, block]
            shift = shift - model.effects.shift[site, block] * model.sd[block]
            left[rows] += shift
            left[rows] /= np.sqrt(model.effects.variance[site, block])
            values[rows] = left[rows] + expected[rows]
        result[:, block] = values

    for_each_block(apply_block, len(table), table.shape[1], n_jobs)
    passed = np.flatnonzero(model.passed_through)
    if passed.size:
        result[:, passed] = table[:, passed]
    return result


def _known(scans: Scans, model: VisitModel) -> list[tuple[int, slice]]:
    return [(site, part) for site, part in scans.present if site < len(model.effects.shift)]
