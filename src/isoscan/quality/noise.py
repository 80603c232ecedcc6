"""Noise and ghosts: entropy, artefacts in the air, and how the noise is distributed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoscan.quality.density import fit_chi_squared, smooth_density

Array = NDArray[Any]

_SEED, _MOST, _LEAST = 1191935, 300_000, 1000
_POINTS = 1000


def focus(values: Array) -> float:
    """Entropy focus criterion: entropy of the intensities over its largest value [1]_.

    Parameters
    ----------
    values : ndarray
        Intensities, not negative.

    Returns
    -------
    float
        Lower is better; ghosting and blurring raise it. NaN without signal.

    References
    ----------
    .. [1] Atkinson et al. (1997), IEEE Trans Med Imaging 16:903, doi:10.1109/42.650886.
    """
    signal = values.astype(np.float64).ravel()
    energy = float(np.sqrt(np.dot(signal, signal)))
    if energy == 0:
        return float("nan")
    root = np.sqrt(signal.size)
    bright = signal[signal > 0]
    entropy = -np.dot(bright / energy, np.log((bright + 1e-16) / energy))
    return float(entropy / (root * np.log(root)))


def artifact_share(air: Array, artifacts: Array) -> float:
    """Share of artefacts in the air around the head: QI1 [1]_.

    Parameters
    ----------
    air : ndarray of bool
        Air without artefacts.
    artifacts : ndarray of bool
        Air with artefacts.

    Returns
    -------
    float
        Lower is better; -1 without air.

    References
    ----------
    .. [1] Mortamet et al. (2009), Magn Reson Med 62:365, doi:10.1002/mrm.21992.
    """
    n_air, n_artifacts = int(air.sum()), int(artifacts.sum())
    return n_artifacts / (n_air + n_artifacts) if n_air else -1.0


def noise_misfit(intensities: Array, *, scaled: bool) -> float:
    """Distance of the noise from a chi-squared distribution: QI2 [1]_.

    Parameters
    ----------
    intensities : ndarray of shape (n_voxels,)
        Raw intensities in the air.
    scaled : bool
        Divide by the 99th percentile first, as MRIQC does since 23.1; else intensities keep
        their unit, zeros are left out, and the result has the inverse of that unit.

    Returns
    -------
    float
        Mean difference of the densities above their flank; 0 if fewer than 1000 voxels are
        positive.

    References
    ----------
    .. [1] Mortamet et al. (2009), Magn Reson Med 62:365, doi:10.1002/mrm.21992.
    """
    noise = np.nan_to_num(intensities.astype(np.float64), posinf=0.0, neginf=0.0)
    positive = noise > 0
    if int(positive.sum()) < _LEAST:
        return 0.0
    noise = np.where(positive, noise, 0.0) if scaled else noise[positive]
    high = np.percentile(noise, [95, 98, 99])
    if high[2] <= 0:
        return 0.0
    if scaled:
        noise *= 100 / high[2]
        return _distance(_sample(noise), 110.0, 4.0, np.inf)
    return _distance(_sample(noise), high[2], 0.05 * high[1], high[0])


def _sample(noise: Array) -> Array:
    """Draw from what is too much, always in the same way."""
    if len(noise) < _MOST:
        return noise
    draw: Array = np.random.RandomState(_SEED).choice(noise, size=_MOST)
    return draw


def _distance(noise: Array, end: float, bandwidth: float, fit_below: float) -> float:
    """Mean difference between density and fit, beyond where the density is half as high."""
    from scipy.stats import chi2

    grid = np.linspace(0.0, end, _POINTS)
    density = smooth_density(noise, grid, bandwidth)
    beyond = int(np.argmax(density[::-1] > density.max() * 0.5))
    fitted = chi2.pdf(grid, *fit_chi_squared(noise[noise < fit_below], start=32))
    return float(np.abs(density[-beyond:] - fitted[-beyond:]).mean())
