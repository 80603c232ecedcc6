"""What one scan tells about its scanner: its volumes and its image quality, both adjusted.

Every column is a deviation from what is expected of that person, in standard deviations of
training. A number that is missing counts as expected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
LARGEST = 4.0
"""Deviations beyond this count as this large, so that no single metric decides."""


@dataclass(frozen=True)
class MetricScale:
    """How metrics become deviations; learned in training, never again.

    Attributes
    ----------
    intercept : ndarray of shape (n_metrics,)
        Expected signed logarithm where all covariates are 0.
    slopes : ndarray of shape (n_covariates, n_metrics)
        Effects of the covariates within scanners.
    spread : ndarray of shape (n_metrics,)
        Standard deviation over all scans of training.
    """

    SHAPES: ClassVar[dict[str, tuple[str, ...]]] = {
        "intercept": ("metrics",),
        "slopes": ("columns", "metrics"),
        "spread": ("metrics",),
    }
    intercept: Array
    slopes: Array
    spread: Array

    def deviations(self, metrics: Array, covariates: Array) -> Array:
        """Deviations of scans from what is expected.

        Parameters
        ----------
        metrics : ndarray of shape (n_scans, n_metrics)
            As computed; NaN where missing.
        covariates : ndarray of shape (n_scans, n_covariates)
            Design columns.

        Returns
        -------
        ndarray of shape (n_scans, n_metrics)
            In standard deviations, at most 4 in size; 0 where missing.
        """
        expected = self.intercept + by_row(covariates, self.slopes)
        return _limited((_signed_log(metrics) - expected) / self.spread)


def learn_metric_scale(
    metrics: Array, covariates: Array, scanners: NDArray[np.intp]
) -> MetricScale:
    """Learn what is expected of metrics, from differences within scanners.

    Parameters
    ----------
    metrics : ndarray of shape (n_scans, n_metrics)
        Metrics that vary; NaN where missing.
    covariates : ndarray of shape (n_scans, n_covariates)
        Design columns.
    scanners : ndarray of int, shape (n_scans,)
        Scanner of each scan, from 0.

    Returns
    -------
    MetricScale
        Expectation and spread.
    """
    values = _signed_log(metrics)
    centre = np.nanmean(values, axis=0)
    filled = np.where(np.isnan(values), centre, values)
    own = within_groups(covariates, scanners)
    slopes = np.linalg.lstsq(own, within_groups(filled, scanners), rcond=None)[0].astype(np.float64)
    rest = filled - covariates @ slopes
    spread = rest.std(axis=0)
    return MetricScale(
        np.asarray(rest.mean(axis=0), np.float64), slopes, np.where(spread > 0, spread, np.inf)
    )


def profile_of(residuals: Array | None, metrics: Array | None) -> Array:
    """Join what volumes and metrics tell of each scan.

    Parameters
    ----------
    residuals : ndarray of shape (n_scans, n_features) or None
        Volumes minus what is expected, in residual standard deviations; NaN where missing.
    metrics : ndarray of shape (n_scans, n_metrics) or None
        Deviations of the metrics.

    Returns
    -------
    ndarray of shape (n_scans, n_columns)
        The profile of each scan.
    """
    parts = [] if residuals is None else [np.where(np.isnan(residuals), 0.0, residuals)]
    return np.hstack(parts if metrics is None else [*parts, metrics])


def within_groups(values: Array, groups: NDArray[np.intp]) -> Array:
    """Values minus the mean of their group.

    Parameters
    ----------
    values : ndarray of shape (n_scans, n_columns)
        Any numbers.
    groups : ndarray of int, shape (n_scans,)
        Group of each row, from 0; none is empty.

    Returns
    -------
    ndarray of shape (n_scans, n_columns)
        Deviations.
    """
    return np.asarray(values - group_means(values, groups)[groups])


def group_means(values: Array, groups: NDArray[np.intp]) -> Array:
    """Mean of each group.

    Parameters
    ----------
    values : ndarray of shape (n_scans, n_columns)
        Any numbers.
    groups : ndarray of int, shape (n_scans,)
        Group of each row, from 0; none is empty.

    Returns
    -------
    ndarray of shape (n_groups, n_columns)
        Means.
    """
    member = (groups == np.arange(groups.max() + 1)[:, None]).astype(np.float64)
    return np.asarray(member @ values / member.sum(axis=1, keepdims=True))


def by_row(rows: Array, matrix: Array) -> Array:
    """Multiply each row with a matrix on its own.

    A product of whole matrices rounds differently for different numbers of rows; here a
    scan gets the same bits whoever else is in the table.

    Parameters
    ----------
    rows : ndarray of shape (n_scans, n_columns)
        Left side.
    matrix : ndarray of shape (n_columns, n_features)
        Right side.

    Returns
    -------
    ndarray of shape (n_scans, n_features)
        Product.
    """
    rows = np.ascontiguousarray(rows)
    product = np.empty((len(rows), matrix.shape[1]))
    for number, row in enumerate(rows):
        product[number] = row @ matrix
    return product


def _signed_log(values: Array) -> Array:
    return np.asarray(np.sign(values) * np.log1p(np.abs(values)))


def _limited(deviations: Array) -> Array:
    return np.clip(np.where(np.isnan(deviations), 0.0, deviations), -LARGEST, LARGEST)
