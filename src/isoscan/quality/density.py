"""Density of a large sample: smoothed, and fitted by a chi-squared distribution."""

from __future__ import annotations

from math import ceil, factorial
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_ORDERS, _REACH, _FINE = 6, 9.0, 32
_PER_OUTLIER = 100 * np.log(np.finfo(float).max)


def smooth_density(values: Array, grid: Array, bandwidth: float) -> Array:
    r"""Estimate a density with a Gaussian kernel, in a time that hardly grows with the sample.

    Values are gathered at the nearest of evenly spaced centres. With :math:`d` the distance
    of a value from its centre in bandwidths, the kernel is expanded there in Hermite
    polynomials, :math:`\varphi(u - d) = \varphi(u) \sum_m He_m(u) d^m / m!`; six terms
    suffice for twelve digits.

    Parameters
    ----------
    values : ndarray of shape (n,)
        Sample.
    grid : ndarray of shape (m,)
        Evenly spaced points where the density is wanted.
    bandwidth : float
        Standard deviation of the kernel.

    Returns
    -------
    ndarray of shape (m,)
        Density.

    Examples
    --------
    >>> smooth_density(np.array([0.0]), np.array([0.0, 1.0]), 1.0).round(4)
    array([0.3989, 0.242 ])
    """
    between = float(grid[1] - grid[0])
    finer = ceil(_FINE * between / bandwidth)
    step = between / finer
    reach = ceil(_REACH * bandwidth / step)
    n_centres = (len(grid) - 1) * finer + 1 + 2 * reach
    place = (values - grid[0]) / step + reach
    near = place[(place > -0.5) & (place < n_centres - 0.5)]
    number = np.rint(near).astype(np.intp)
    apart = (near - number) * (step / bandwidth)
    away = np.arange(-reach, reach + 1) * (step / bandwidth)
    density = np.zeros((len(grid) - 1) * finer + 1)
    before, now = np.zeros_like(away), np.exp(-0.5 * away**2)
    for order in range(_ORDERS):
        moments = np.bincount(number, apart**order, n_centres) / factorial(order)
        density += np.convolve(moments, now, "valid")
        before, now = now, away * now - order * before
    return np.asarray(density[::finer] / (len(values) * bandwidth * np.sqrt(2 * np.pi)))


def fit_chi_squared(values: Array, start: float) -> tuple[float, float, float]:
    """Fit a shifted and scaled chi-squared distribution by maximum likelihood.

    The search starts and ends as that of ``scipy.stats.chi2.fit`` does, whose numbers it
    gives; the likelihood needs one logarithm per value only.

    Parameters
    ----------
    values : ndarray of shape (n,)
        Sample.
    start : float
        Degrees of freedom to begin with.

    Returns
    -------
    freedom, shift, scale : float
        Parameters, in the order in which scipy takes them.
    """
    from scipy.optimize import fmin
    from scipy.special import gammaln

    def unlikely(parameters: Array) -> float:
        freedom, shift, scale = parameters
        if freedom <= 0 or scale <= 0:
            return float("inf")
        inside = values if shift < lowest else values[values > shift]
        apart = inside - shift
        logarithms = np.log(apart).sum() - len(inside) * np.log(scale)
        constant = len(inside) * (freedom / 2 * np.log(2) + gammaln(freedom / 2))
        likelihood = (freedom / 2 - 1) * logarithms - apart.sum() / (2 * scale) - constant
        outliers = len(values) - len(inside)
        return float(_PER_OUTLIER * outliers - likelihood + len(values) * np.log(scale))

    lowest, highest = float(values.min()), float(values.max())
    scale = float(np.sqrt(values.var() / 2))
    shift = float(values.mean()) - scale
    if shift >= lowest:
        shift, scale = lowest - 0.1 * (highest - lowest), 1.0
    found = fmin(unlikely, (start, shift, scale), disp=False)
    return float(found[0]), float(found[1]), float(found[2])
