"""How far do we trust a site's deviation? Empirical Bayes across features.

Within a site, shifts of all features are draws from one normal distribution and
variances from one inverse gamma distribution, both fitted by moments [1]_.

References
----------
.. [1] Johnson, Li & Rabinovic (2007), Biostatistics 8:118, doi:10.1093/biostatistics/kxj037.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

STOP = 1e-4
"""Relative change at which the reference implementations stop iterating."""
FIXED_POINT = 1e-13
"""Relative change at which nothing changes any more in double precision."""
MOST_SWEEPS = 10_000
SquaresAbout = Callable[[slice, Array], Array]
CHUNK = 1 << 16
"""Features that are updated together: few steps, so that threads seldom wait."""


@dataclass(frozen=True)
class Prior:
    """Distribution of a site's true shifts and variances over features.

    Attributes
    ----------
    shift_mean, shift_variance : float
        Normal distribution of shifts.
    shape, rate : float
        Inverse gamma distribution of variances; infinite shape if all are equal.
    """

    shift_mean: float
    shift_variance: float
    shape: float
    rate: float

    @property
    def variance_mean(self) -> float:
        """Mean of the inverse gamma distribution."""
        return self.rate / (self.shape - 1.0) if np.isfinite(self.shape) else self.rate


def fit_prior(shift: Array, variance: Array) -> Prior:
    """Fit one site's prior by the method of moments, over features.

    Parameters
    ----------
    shift : ndarray of shape (n_features,)
        Raw shifts; NaN is left out.
    variance : ndarray of shape (n_features,)
        Raw variances; NaN is left out.

    Returns
    -------
    Prior
        The fitted distributions.

    Examples
    --------
    >>> fit_prior(np.array([0.1, 0.3]), np.array([0.9, 1.1])).shift_mean
    0.2
    """
    shift, variance = _without_missing(shift), _without_missing(variance)
    return prior_from_moments(
        float(shift.mean()), float(shift.var(ddof=1)), float(variance.mean()), variance.var(ddof=1)
    )


def _without_missing(values: Array) -> Array:
    missing = np.isnan(values)
    return values[~missing] if missing.any() else values


def prior_from_moments(
    shift_mean: float, shift_variance: float, mean: float, spread: float
) -> Prior:
    """Prior with given means and variances of shifts and of variances.

    Parameters
    ----------
    shift_mean, shift_variance : float
        Moments of the shifts.
    mean, spread : float
        Mean and variance of the variances.

    Returns
    -------
    Prior
        Distributions with these moments.
    """
    if spread <= (1e-12 * mean) ** 2:
        return Prior(shift_mean, shift_variance, np.inf, mean)
    shape = (2 * spread + mean**2) / spread
    return Prior(shift_mean, shift_variance, float(shape), float(mean * (shape - 1.0)))


def shrink(
    shift: Array,
    variance: Array,
    count: Array,
    prior: Prior,
    *,
    to_fixed_point: bool = False,
    squares_about: SquaresAbout | None = None,
) -> tuple[Array, Array]:
    """Posterior shifts and variances of one site.

    Sweeps over all features in lock step: the posterior mean shift given the variance,
    then the posterior mean variance given that shift. The reference implementations stop
    at a *signed* relative change of 1e-4, which features with a negative shift never
    hold up; `to_fixed_point` goes on until nothing changes.

    Parameters
    ----------
    shift : ndarray of shape (n_features,)
        Raw mean standardized residuals; NaN without scans.
    variance : ndarray of shape (n_features,)
        Raw variances; NaN below two scans.
    count : ndarray of shape (1,) or (n_features,)
        Scans behind each estimate.
    prior : Prior
        Distribution to shrink to.
    to_fixed_point : bool
        Iterate to the fixed point instead of the reference's stop.
    squares_about : callable, optional
        Sum of squares of some features about given centres, if it does not follow from
        `shift`, `variance` and `count`.

    Returns
    -------
    shift, variance : ndarray of shape (n_features,)
        Posterior estimates.
    """
    start_shift = np.where(count > 0, shift, 0.0)
    start_variance = np.where(np.isnan(variance), prior.variance_mean, variance)
    squares = np.where(count > 1, (count - 1.0) * variance, 0.0)
    chunks = [
        _Chunk(
            part.start,
            start_shift[part],
            start_variance[part],
            squares[part],
            count if count.size == 1 else count[part],
            prior,
            None if squares_about is None else partial(squares_about, part),
        )
        for part in _parts(start_shift.size)
    ]
    tolerance = FIXED_POINT if to_fixed_point else STOP
    for _ in range(MOST_SWEEPS):
        settled = True
        for chunk in chunks:
            # Once one chunk has moved, the others need no check in this sweep.
            chunk.sweep(tolerance if settled else None, signed=not to_fixed_point)
            settled = settled and not chunk.moved
        if settled:
            break
        # Next time, look first where something moved.
        chunks.sort(key=lambda chunk: not chunk.moved)
    chunks.sort(key=lambda chunk: chunk.start)
    return (
        np.concatenate([chunk.shift for chunk in chunks]),
        np.concatenate([chunk.variance for chunk in chunks]),
    )


def _parts(n_features: int) -> list[slice]:
    edges = [*range(0, n_features, CHUNK), n_features]
    return [slice(*pair) for pair in pairwise(edges)]


class _Chunk:
    """Features that fit into the cache together.

    With one count for all features most of the arrays below are single numbers. The two
    estimates change places with buffers, so that a sweep allocates nothing.
    """

    def __init__(
        self,
        start: int,
        shift: Array,
        variance: Array,
        squares: Array,
        count: Array,
        prior: Prior,
        squares_about: Callable[[Array], Array] | None,
    ) -> None:
        self.start, self.prior, self.squares_about = start, prior, squares_about
        self.raw_shift, self.shift, self.variance = shift, shift, variance
        self.new_shift, self.new_variance = np.empty_like(shift), np.empty_like(shift)
        self.precision = count * prior.shift_variance
        self.weighted_shift = self.precision * shift
        self.degrees = 0.5 * count + (prior.shape - 1.0)
        self.share = 0.5 * count / self.degrees
        self.base = (0.5 * squares + prior.rate) / self.degrees
        self.moved = True

    def sweep(self, tolerance: float | None, *, signed: bool) -> None:
        """Update once; with a tolerance, note whether anything changed by more."""
        shift, variance = self.new_shift, self.new_variance
        np.multiply(self.variance, self.prior.shift_mean, out=shift)
        shift += self.weighted_shift
        np.add(self.variance, self.precision, out=variance)
        shift /= variance
        self._put_variance_given(shift, variance)
        if tolerance is not None:
            self.moved = _changed(shift, self.shift, tolerance, signed) or _changed(
                variance, self.variance, tolerance, signed
            )
        keep = self.shift is self.raw_shift
        self.new_shift = np.empty_like(shift) if keep else self.shift
        self.shift, self.variance, self.new_variance = shift, variance, self.variance

    def _put_variance_given(self, shift: Array, variance: Array) -> None:
        if not np.isfinite(self.prior.shape):
            variance[...] = self.prior.rate
        elif self.squares_about is not None:
            variance[...] = (0.5 * self.squares_about(shift) + self.prior.rate) / self.degrees
        else:
            np.subtract(self.raw_shift, shift, out=variance)
            variance *= variance
            variance *= self.share
            variance += self.base


def _changed(new: Array, old: Array, tolerance: float, signed: bool) -> bool:
    change = np.abs(new - old)
    if signed:
        return bool(((change > tolerance * old) & (old > 0)).any())
    return bool((change > tolerance * np.maximum(np.abs(old), 1e-300)).any())


def shrink_simultaneously(
    shift: Array, variance: Array, count: Array, prior: Prior, *, n_sweeps: int
) -> tuple[Array, Array]:
    """Posterior shifts and variances of one site, by a fixed number of sweeps.

    In every sweep both are computed from those of the sweep before, as in longCombat. The
    fixed point is that of `shrink`.

    Parameters
    ----------
    shift : ndarray of shape (n_features,)
        Raw mean standardized residuals; NaN without scans.
    variance : ndarray of shape (n_features,)
        Raw variances; NaN below two scans.
    count : ndarray of shape (1,) or (n_features,)
        Scans behind each estimate.
    prior : Prior
        Distribution to shrink to.
    n_sweeps : int
        Number of sweeps.

    Returns
    -------
    shift, variance : ndarray of shape (n_features,)
        Posterior estimates.
    """
    measured = np.where(count > 0, shift, 0.0)
    start = np.where(np.isnan(variance), prior.variance_mean, variance)
    squares = np.where(count > 1, (count - 1.0) * start, 0.0)
    precision, degrees = count * prior.shift_variance, count / 2 + prior.shape - 1.0

    def shift_given(variance: Array) -> Array:
        return (precision * measured + variance * prior.shift_mean) / (precision + variance)

    def variance_given(shift: Array) -> Array:
        if not np.isfinite(prior.shape):
            return np.full_like(shift, prior.rate)
        return (0.5 * (squares + count * (measured - shift) ** 2) + prior.rate) / degrees

    new_shift = shift_given(start)
    new_variance = variance_given(new_shift)
    for _ in range(n_sweeps):
        new_shift, new_variance = shift_given(new_variance), variance_given(new_shift)
    return new_shift, new_variance


def shrink_shift_only(shift: Array, prior: Prior) -> Array:
    """Posterior shifts where variances are taken to be equal, as the references define it.

    Parameters
    ----------
    shift : ndarray of shape (n_features,)
        Raw shifts; NaN without scans.
    prior : Prior
        Distribution to shrink to.

    Returns
    -------
    ndarray of shape (n_features,)
        Posterior shifts, with the weight of one scan whatever the size of the site.
    """
    posterior = (prior.shift_variance * shift + prior.shift_mean) / (prior.shift_variance + 1.0)
    return np.where(np.isnan(shift), prior.shift_mean, posterior)


def posterior_errors(
    shift_prior_variance: Array, shape: Array, variance: Array, count: Array
) -> tuple[Array, Array]:
    """Standard errors of posterior shift and scale.

    The shift is normal given the variance; the variance is inverse gamma, and the error
    of its square root follows by the delta method.

    Parameters
    ----------
    shift_prior_variance : ndarray, broadcastable
        Prior variance of shifts; infinite without a prior.
    shape : ndarray, broadcastable
        Prior shape of variances; 3/2 without a prior, infinite if the scale is fixed.
    variance : ndarray
        Posterior variances.
    count : ndarray, broadcastable
        Scans behind each estimate.

    Returns
    -------
    shift_error, scale_error : ndarray
        In residual standard deviations, and as a ratio.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = count / variance + 1.0 / shift_prior_variance
        degrees = count / 2.0 + shape - 2.0
        scale_error = np.sqrt(variance) / (2 * np.sqrt(np.where(degrees > 0, degrees, np.nan)))
    return 1.0 / np.sqrt(precision), np.where(np.isinf(shape), 0.0, scale_error)
