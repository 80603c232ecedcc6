"""Standard errors and degrees of freedom of fixed effects.

The variance of an estimate depends on a feature through its variance parameters only.
What depends on the design is computed once; no matrix is inverted per feature.

References
----------
.. [1] Fai & Cornelius (1996), J Stat Comput Simul 54:363, doi:10.1080/00949659608811740.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoscan.errors import DataError, count

Array = NDArray[np.float64]


class Covariance(Protocol):
    """How the covariance of estimates depends on variance parameters."""

    def variances(self, contrasts: Array, variance: Array, relative: Array) -> Array:
        """Variance of each contrast.

        Parameters
        ----------
        contrasts : ndarray of shape (n_contrasts, n_columns)
            Weights of the coefficients.
        variance : ndarray of shape (n_features,)
            Residual variance.
        relative : ndarray of shape (n_features, ...)
            Variance between groups over residual variance.

        Returns
        -------
        ndarray of shape (n_contrasts, n_features)
            Squared standard errors.
        """

    def gradients(self, contrasts: Array, variance: Array, relative: Array) -> Array:
        """Derivatives of the variances by the variance parameters.

        Parameters
        ----------
        contrasts : ndarray of shape (n_contrasts, n_columns)
            Weights of the coefficients.
        variance : ndarray of shape (n_features,)
            Residual variance.
        relative : ndarray of shape (n_features, ...)
            Variance between groups over residual variance.

        Returns
        -------
        ndarray of shape (n_contrasts, n_features, n_parameters)
            By the residual variance first, then by the relative variances.
        """


@dataclass(frozen=True)
class InterceptCovariance:
    """Covariance of estimates with a random intercept.

    Attributes
    ----------
    to_coefficients : ndarray of shape (n_columns, n_columns)
        Its product with its transpose is the covariance without groups, in units of the
        residual variance.
    effects : ndarray of shape (n_columns, n_directions)
        What a difference between groups along each direction adds to the coefficients.
    scales : ndarray of shape (n_directions,)
        Scans that share an effect along each direction.
    counts : ndarray of shape (n_scales,)
        How many directions have each of the scales below.
    all_scales : ndarray of shape (n_scales,)
        Scales, those of directions the design knows nothing about included.
    """

    to_coefficients: Array
    effects: Array
    scales: Array
    counts: Array
    all_scales: Array

    def variances(self, contrasts: Array, variance: Array, relative: Array) -> Array:
        """Variance of each contrast.

        Parameters
        ----------
        contrasts : ndarray of shape (n_contrasts, n_columns)
            Weights of the coefficients.
        variance : ndarray of shape (n_features,)
            Residual variance.
        relative : ndarray of shape (n_features,)
            Variance between groups over residual variance.

        Returns
        -------
        ndarray of shape (n_contrasts, n_features)
            Squared standard errors.
        """
        own = ((contrasts @ self.to_coefficients) ** 2).sum(axis=1)
        shared = relative / (1.0 + self.scales[:, None] * relative)
        return np.asarray(
            variance * (own[:, None] + (contrasts @ self.effects) ** 2 @ shared), dtype=np.float64
        )

    def gradients(self, contrasts: Array, variance: Array, relative: Array) -> Array:
        """Derivatives of the variances by residual variance and ratio.

        Parameters
        ----------
        contrasts : ndarray of shape (n_contrasts, n_columns)
            Weights of the coefficients.
        variance : ndarray of shape (n_features,)
            Residual variance.
        relative : ndarray of shape (n_features,)
            Variance between groups over residual variance.

        Returns
        -------
        ndarray of shape (n_contrasts, n_features, 2)
            By the residual variance, then by the ratio.
        """
        unit = np.ones_like(variance)
        change = 1.0 / (1.0 + self.scales[:, None] * relative) ** 2
        by_ratio = variance * ((contrasts @ self.effects) ** 2 @ change)
        return np.stack([self.variances(contrasts, unit, relative), by_ratio], axis=-1)


def satterthwaite(
    covariance: Covariance,
    contrasts: Array,
    variance: Array,
    relative: Array,
    uncertainty: Array,
) -> Array:
    """Degrees of freedom that match the uncertainty of each squared standard error.

    Parameters
    ----------
    covariance : Covariance
        How variances of estimates depend on variance parameters.
    contrasts : ndarray of shape (n_contrasts, n_columns)
        Weights of the coefficients.
    variance : ndarray of shape (n_features,)
        Residual variance.
    relative : ndarray of shape (n_features, ...)
        Variance between groups over residual variance.
    uncertainty : ndarray of shape (n_features, n_parameters, n_parameters)
        Covariance of the variance parameters.

    Returns
    -------
    ndarray of shape (n_contrasts, n_features)
        NaN where the uncertainty is.
    """
    found = covariance.variances(contrasts, variance, relative)
    slopes = covariance.gradients(contrasts, variance, relative)
    spread = np.einsum("cfi,fij,cfj->cf", slopes, uncertainty, slopes, optimize=True)
    usable = spread > 0
    return np.where(usable, 2.0 * found**2 / np.where(usable, spread, 1.0), np.nan)


def as_contrasts(contrast: ArrayLike | None, n_columns: int) -> Array:
    """Weights of the coefficients, one row per contrast.

    Parameters
    ----------
    contrast : array_like of shape (n_columns,) or (n_contrasts, n_columns), or None
        Weights; None for every coefficient on its own.
    n_columns : int
        Columns of the design.

    Returns
    -------
    ndarray of shape (n_contrasts, n_columns)
        Always two-dimensional.

    Raises
    ------
    DataError
        If the shape does not fit.

    Examples
    --------
    >>> as_contrasts([0, 1, -1], 3)
    array([[ 0.,  1., -1.]])
    """
    if contrast is None:
        return np.eye(n_columns)
    rows = np.atleast_2d(np.asarray(contrast, dtype=np.float64))
    if rows.ndim != 2 or rows.shape[1] != n_columns or not np.isfinite(rows).all():
        raise DataError(
            f"a contrast must give one number for each of {count(n_columns, 'column')} of the "
            f"design, got shape {np.shape(contrast)}."
        )
    return rows
