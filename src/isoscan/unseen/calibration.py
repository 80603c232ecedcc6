"""Learn the shift and scale of one scanner from a few of its scans.

Scanners differ from each other in few ways, and so do people. Both covariances are known
from training: what a few scans show in common is divided between the scanner and the people.
While there are few scans, what the regression says of them, and of the scan that is to be
corrected, counts too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import digamma, polygamma

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
    predicted_bias : ndarray of shape (n_features,)
        Mean squared error of the mean prediction for a scanner left out.
    predicted_spread : ndarray of shape (n_features,)
        Variance of the predictions for scans of one scanner.
    """

    SHAPES: ClassVar[dict[str, tuple[str, ...]]] = {
        "between": ("features", "features"),
        "within": ("features", "features"),
        "log_scale": ("features",),
        "log_scale_variance": ("features",),
        "predicted_bias": ("features",),
        "predicted_spread": ("features",),
    }
    between: Array
    within: Array
    log_scale: Array
    log_scale_variance: Array
    predicted_bias: Array
    predicted_spread: Array


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
        Log of the factor by which its people are spread.
    log_scale_variance : ndarray of shape (n_features,)
        Posterior variance.
    predicted : ndarray of shape (n_features,) or None
        Sum over its scans of what the regression says.
    predicted_bias : ndarray of shape (n_features,)
        Mean squared error of the mean prediction for a scanner.
    predicted_spread : ndarray of shape (n_features,)
        Variance of the predictions for scans of one scanner.
    """

    SHAPES: ClassVar[dict[str, tuple[str, ...]]] = {
        "shift": ("features",),
        "shift_variance": ("features",),
        "log_scale": ("features",),
        "log_scale_variance": ("features",),
        "predicted": ("features",),
        "predicted_bias": ("features",),
        "predicted_spread": ("features",),
    }
    n_scans: int
    shift: Array
    shift_variance: Array
    log_scale: Array
    log_scale_variance: Array
    predicted: Array | None
    predicted_bias: Array
    predicted_spread: Array

    def correct(self, residuals: Array, predicted: Array | None) -> tuple[Array, Array]:
        """What is added to scans of this scanner, and its standard error.

        Parameters
        ----------
        residuals : ndarray of shape (n_scans, n_features)
            Measures minus expectation, in residual standard deviations.
        predicted : ndarray of shape (n_scans, n_features) or None
            What the regression says of the same scans.

        Returns
        -------
        corrections, errors : ndarray of shape (n_scans, n_features)
            In residual standard deviations.
        """
        shift, variance = self._blended(predicted)
        factor = np.exp(-self.log_scale)
        after = (residuals - shift) * factor
        errors = np.sqrt(variance * factor**2 + after**2 * self.log_scale_variance)
        return np.asarray(after - residuals), errors

    def _blended(self, predicted: Array | None) -> tuple[Array, Array]:
        """Weigh what the scans show against what the regression says, by their variances.

        The regression is believed less the more scans were seen: they rest on the same
        training, so that its error does not go away. Nor does it make the shift surer.
        """
        if predicted is None or self.predicted is None:
            return self.shift, self.shift_variance
        n_said = self.n_scans + 1
        said = (self.predicted + predicted) / n_said
        doubt = self.n_scans * (self.predicted_bias + self.predicted_spread / n_said)
        weight = doubt / (doubt + self.shift_variance)
        return weight * self.shift + (1 - weight) * said, self.shift_variance


def learn_prior(
    residuals: Array, scanners: NDArray[np.intp], log_scales: Array, left_out: Array
) -> ScannerPrior:
    """Learn how scanners and people differ.

    Parameters
    ----------
    residuals : ndarray of shape (n_scans, n_features)
        Measures minus expectation; NaN where missing.
    scanners : ndarray of int, shape (n_scans,)
        Scanner of each scan, from 0.
    log_scales : ndarray of shape (n_scanners, n_features)
        Log scale of each scanner.
    left_out : ndarray of shape (n_scans, n_features)
        What the regression says of each scan when its scanner is left out.

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
    bias = group_means(left_out, scanners) - means
    return ScannerPrior(
        _shrunk(between),
        _shrunk(within),
        log_scales.mean(axis=0),
        log_scales.var(axis=0),
        (bias**2).mean(axis=0),
        (within_groups(left_out, scanners) ** 2).mean(axis=0),
    )


def calibrate(prior: ScannerPrior, residuals: Array, predicted: Array | None = None) -> Calibration:
    """Divide what scans have in common between their scanner and their people.

    Parameters
    ----------
    prior : ScannerPrior
        How scanners and people differ.
    residuals : ndarray of shape (n_scans, n_features)
        Of scans of one scanner; NaN where missing.
    predicted : ndarray of shape (n_scans, n_features), optional
        What the regression says of these scans.

    Returns
    -------
    Calibration
        Posterior of the scanner's shift and scale.
    """
    n_scans = len(residuals)
    known = np.isfinite(residuals)
    mean = np.where(known, residuals, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    evidence = cho_factor(prior.between + prior.within / n_scans)
    shift = prior.between @ cho_solve(evidence, mean)
    shrunk = np.einsum("ij,ji->i", prior.between, cho_solve(evidence, prior.between))
    variance = np.maximum(np.diag(prior.between) - shrunk, 0.0)
    log_scale, log_variance = _scale(prior, residuals - mean)
    # A spread about a centre that is not known would be stretched with its error.
    sure = (1.0 - variance / np.diag(prior.between)) ** 2
    return Calibration(
        n_scans,
        shift,
        variance,
        sure * log_scale,
        log_variance,
        None if predicted is None else predicted.sum(axis=0),
        prior.predicted_bias,
        prior.predicted_spread,
    )


def _scale(prior: ScannerPrior, deviations: Array) -> tuple[Array, Array]:
    """Normal prior; the log of an observed spread has a known bias and variance."""
    free = np.maximum(np.isfinite(deviations).sum(axis=0) - 1, 0)
    spread = np.sqrt(np.nansum(deviations**2, axis=0) / np.maximum(free, 1))
    usable = (free > 0) & (spread > 0)
    half = np.maximum(free, 1) / 2
    own = np.log(np.where(usable, spread, 1.0)) - (digamma(half) - np.log(half)) / 2
    precision = np.where(usable, 4.0 / polygamma(1, half), 0.0)
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
