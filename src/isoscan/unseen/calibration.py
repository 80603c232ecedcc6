"""Learn the shift and scale of one scanner from a few of its scans.

Scanners differ from each other in few ways, and so do people. Both covariances are known
from training: what a few scans show in common is divided between the scanner and the people.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from isoscan.unseen.profile import group_means, within_groups

Array = NDArray[np.float64]
SHRINKAGE = 0.3
"""Share of a covariance between features that is not believed."""


@dataclass(frozen=True)
class ScannerPrior:
    """How scanners differ, and how people within scanners do.

    Attributes
    ----------
    between : ndarray of shape (n_features, n_features)
        Covariance of the shifts of scanners.
    within : ndarray of shape (n_features, n_features)
        Covariance of people of one scanner.
    log_scale : ndarray of shape (n_features,)
        Mean log scale of the scanners.
    log_scale_variance : ndarray of shape (n_features,)
        Variance of the log scales between scanners.
    """

    SHAPES: ClassVar[dict[str, tuple[str, ...]]] = {
        "between": ("features", "features"),
        "within": ("features", "features"),
        "log_scale": ("features",),
        "log_scale_variance": ("features",),
    }
    between: Array
    within: Array
    log_scale: Array
    log_scale_variance: Array


@dataclass(frozen=True)
class Calibration:
    """What is known of one scanner.

    Attributes
    ----------
    n_scans : int
        Number of its scans that were seen.
    shift : ndarray of shape (n_features,)
        Posterior mean of its shift.
    shift_variance : ndarray of shape (n_features,)
        Posterior variance.
    log_scale : ndarray of shape (n_features,)
        Posterior mean of its log scale.
    log_scale_variance : ndarray of shape (n_features,)
        Posterior variance.
    """

    SHAPES: ClassVar[dict[str, tuple[str, ...]]] = {
        "shift": ("features",),
        "shift_variance": ("features",),
        "log_scale": ("features",),
        "log_scale_variance": ("features",),
    }
    n_scans: int
    shift: Array
    shift_variance: Array
    log_scale: Array
    log_scale_variance: Array

    def correction(self, residuals: Array) -> Array:
        """What is added to scans of this scanner.

        Parameters
        ----------
        residuals : ndarray of shape (n_scans, n_features)
            Measures minus expectation, in residual standard deviations.

        Returns
        -------
        ndarray of shape (n_scans, n_features)
            In residual standard deviations.
        """
        return np.asarray((residuals - self.shift) * np.exp(-self.log_scale) - residuals)

    def uncertainty(self, residuals: Array) -> Array:
        """Standard error of the corrections.

        Parameters
        ----------
        residuals : ndarray of shape (n_scans, n_features)
            Measures minus expectation, in residual standard deviations.

        Returns
        -------
        ndarray of shape (n_scans, n_features)
            In residual standard deviations.
        """
        after = (residuals - self.shift) * np.exp(-self.log_scale)
        from_shift = self.shift_variance * np.exp(-2 * self.log_scale)
        return np.sqrt(from_shift + after**2 * self.log_scale_variance)


def learn_prior(residuals: Array, scanners: NDArray[np.intp], log_scales: Array) -> ScannerPrior:
    """Learn how scanners and people differ.

    Parameters
    ----------
    residuals : ndarray of shape (n_scans, n_features)
        Measures minus expectation; NaN where missing.
    scanners : ndarray of int, shape (n_scans,)
        Scanner of each scan, from 0.
    log_scales : ndarray of shape (n_scanners, n_features)
        Log scale of each scanner.

    Returns
    -------
    ScannerPrior
        Covariances, each shrunk towards its diagonal.
    """
    known = np.nan_to_num(residuals)
    sizes = np.bincount(scanners)
    people = within_groups(known, scanners)
    within = people.T @ people / max(len(known) - len(sizes), 1)
    means = group_means(known, scanners)
    between = _positive(means.T @ means / len(sizes) - within * (1 / sizes).mean())
    return ScannerPrior(
        _shrunk(between), _shrunk(within), log_scales.mean(axis=0), log_scales.var(axis=0)
    )


def calibrate(prior: ScannerPrior, residuals: Array) -> Calibration:
    """Divide what scans have in common between their scanner and their people.

    Parameters
    ----------
    prior : ScannerPrior
        How scanners and people differ.
    residuals : ndarray of shape (n_scans, n_features)
        Of scans of one scanner; NaN where missing.

    Returns
    -------
    Calibration
        Posterior of the scanner's shift and scale.
    """
    n_scans = len(residuals)
    mean = np.nan_to_num(residuals).mean(axis=0)
    evidence = cho_factor(prior.between + prior.within / n_scans)
    shift = prior.between @ cho_solve(evidence, mean)
    shrunk = np.einsum("ij,ji->i", prior.between, cho_solve(evidence, prior.between))
    variance = np.maximum(np.diag(prior.between) - shrunk, 0.0)
    log_scale, log_variance = _scale(prior, residuals)
    return Calibration(n_scans, shift, variance, log_scale, log_variance)


def _scale(prior: ScannerPrior, residuals: Array) -> tuple[Array, Array]:
    """Normal prior and normal approximation of the log of an observed spread."""
    known = np.isfinite(residuals).sum(axis=0)
    centred = np.nan_to_num(residuals - np.nan_to_num(residuals).mean(axis=0))
    free = np.maximum(known - 1, 0)
    spread = np.sqrt((centred**2).sum(axis=0) / np.maximum(free, 1))
    usable = (free > 0) & (spread > 0)
    precision = np.where(usable, 2.0 * free, 0.0)
    own = np.where(usable, np.log(np.where(usable, spread, 1.0)), 0.0)
    before = 1.0 / np.maximum(prior.log_scale_variance, 1e-6)
    total = before + precision
    return (before * prior.log_scale + precision * own) / total, 1.0 / total


def _shrunk(covariance: Array) -> Array:
    """Believe covariances less than variances; never a variance of 0."""
    diagonal = np.maximum(np.diag(covariance), 1e-8)
    return (1 - SHRINKAGE) * covariance + SHRINKAGE * np.diag(diagonal)


def _positive(covariance: Array) -> Array:
    """Nearest covariance: negative eigenvalues are noise."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    return np.asarray((vectors * np.maximum(values, 0.0)) @ vectors.T)
