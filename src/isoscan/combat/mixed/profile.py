"""How much of the variance lies between groups? One number per feature, found exactly.

For one random intercept the likelihood of a feature depends on its data through a few
energies: the squared differences between groups along directions that no term of the
design explains. What is left is a curve in one unknown, the ratio of the variance
between groups to the residual variance. The curve may have several minima: the slopes on
a grid of ratios find its valleys, then each feature follows its curve to the bottom.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
GRID = np.arange(-12.0, 18.1, 0.5)
"""Logarithms of the ratio of variances that are tried for every feature."""
SMALLEST, LARGEST = -40.0, float(GRID[-1])
STEPS = 80
PRECISION = 1e-11


@dataclass(frozen=True)
class Profile:
    """The curve of each feature: twice the negative log-likelihood, up to a constant.

    Attributes
    ----------
    energies : ndarray of shape (n_directions, n_features)
        Squared differences between groups along each direction.
    scales : ndarray of shape (n_directions, 1)
        Scans that share one group's effect along each direction.
    residual : ndarray of shape (n_features,)
        Squares within groups.
    penalty_scales, penalty_counts : ndarray of shape (n_penalties, 1)
        Terms of the log-determinant, and how often each occurs.
    degrees : float
        Scans less columns of the design (REML), or scans (ML).
    """

    energies: Array
    scales: Array
    residual: Array
    penalty_scales: Array
    penalty_counts: Array
    degrees: float

    def of(self, features: NDArray[np.intp]) -> Profile:
        """Curves of some of the features.

        Parameters
        ----------
        features : ndarray of int
            Which.

        Returns
        -------
        Profile
            Their curves.
        """
        return Profile(
            self.energies[:, features],
            self.scales,
            self.residual[features],
            self.penalty_scales,
            self.penalty_counts,
            self.degrees,
        )

    def squares(self, ratio: Array) -> Array:
        """Weighted residual squares at one ratio per feature.

        Parameters
        ----------
        ratio : ndarray of shape (n_features,)
            Variance between groups over residual variance.

        Returns
        -------
        ndarray of shape (n_features,)
            Squares that estimate the residual variance.
        """
        shared = self.energies / (1.0 + self.scales * ratio)
        return np.asarray(self.residual + shared.sum(axis=0), dtype=np.float64)

    def log_determinant(self, ratio: Array) -> Array:
        """Penalty on the ratio.

        Parameters
        ----------
        ratio : ndarray of shape (n_features,)
            Variance between groups over residual variance.

        Returns
        -------
        ndarray of shape (n_features,)
            Sum of the logarithms.
        """
        logs = np.log1p(self.penalty_scales * ratio)
        return np.asarray((self.penalty_counts * logs).sum(axis=0), dtype=np.float64)

    def value(self, ratio: Array) -> Array:
        """Height of the curve.

        Parameters
        ----------
        ratio : ndarray of shape (n_features,)
            Variance between groups over residual variance.

        Returns
        -------
        ndarray of shape (n_features,)
            Twice the negative log-likelihood, up to a constant.
        """
        return self.degrees * np.log(self.squares(ratio)) + self.log_determinant(ratio)

    def derivatives(self, ratio: Array) -> tuple[Array, Array, Array, Array, Array]:
        """Derivatives of the weighted squares and of the penalty.

        Parameters
        ----------
        ratio : ndarray of shape (n_features,)
            Variance between groups over residual variance.

        Returns
        -------
        tuple of ndarray of shape (n_features,)
            Squares, their first and second derivative, first and second derivative of
            the log-determinant.
        """
        shrink = 1.0 / (1.0 + self.scales * ratio)
        part = self.energies * shrink
        squares = self.residual + part.sum(axis=0)
        shrink *= self.scales
        part *= shrink
        first = -part.sum(axis=0)
        part *= shrink
        second = 2.0 * part.sum(axis=0)
        share = self.penalty_scales / (1.0 + self.penalty_scales * ratio)
        slope = (self.penalty_counts * share).sum(axis=0)
        bend = -(self.penalty_counts * share * share).sum(axis=0)
        return squares, first, second, slope, bend

    def gradient(self, ratio: Array) -> tuple[Array, Array]:
        """First and second derivative of the curve by the ratio.

        Parameters
        ----------
        ratio : ndarray of shape (n_features,)
            Variance between groups over residual variance.

        Returns
        -------
        tuple of ndarray of shape (n_features,)
            Slope and curvature.
        """
        squares, first, second, slope, bend = self.derivatives(ratio)
        first = first / squares
        return (
            self.degrees * first + slope,
            self.degrees * (second / squares - first * first) + bend,
        )


def best_ratio(profile: Profile) -> Array:
    """Lowest point of each curve, 0 included.

    Parameters
    ----------
    profile : Profile
        Curves; the squares of every feature must be positive.

    Returns
    -------
    ndarray of shape (n_features,)
        Variance between groups over residual variance.
    """
    found = np.zeros(len(profile.residual))
    features, low, high = _valleys(profile)
    some = profile.of(features)
    ratio = np.exp(_descend(some, low, high))
    height = some.value(ratio)
    order = np.argsort(-height, kind="stable")  # the lowest valley of a feature comes last
    order = order[height[order] < profile.value(found)[features[order]]]
    found[features[order]] = ratio[order]
    return found


def _valleys(profile: Profile) -> tuple[NDArray[np.intp], Array, Array]:
    """Feature and ends of every stretch of the grid in which a curve turns upwards."""
    ratios = np.concatenate([[0.0], np.exp(GRID)])[:, None]
    shrink = 1.0 / (1.0 + ratios * profile.scales.T)
    squares = profile.residual + shrink @ profile.energies
    slope = (-profile.degrees * profile.scales.T * shrink**2) @ profile.energies
    slope /= squares
    share = profile.penalty_scales.T / (1.0 + ratios * profile.penalty_scales.T)
    slope += (share @ profile.penalty_counts.ravel())[:, None]
    falls = slope < 0
    turns = falls.copy()
    turns[:-1] &= ~falls[1:]  # the last stretch has no end: the curve may fall for ever
    stretch, features = np.nonzero(turns)
    ends = np.concatenate([[SMALLEST], GRID, [LARGEST]])
    return features, ends[stretch], ends[stretch + 1]


def _descend(profile: Profile, low: Array, high: Array) -> Array:
    """Newton's steps towards a slope of 0, halving the stretch where they lead out of it."""
    place = 0.5 * (low + high)
    active, some = np.arange(len(low)), profile
    for _ in range(STEPS):
        here = place[active]
        ratio = np.exp(here)
        slope, bend = some.gradient(ratio)
        slope, bend = slope * ratio, (slope + bend * ratio) * ratio
        low[active] = np.where(slope < 0, here, low[active])
        high[active] = np.where(slope > 0, here, high[active])
        step = -slope / np.where(bend > 0, bend, 1.0)
        inside = (bend > 0) & (here + step > low[active]) & (here + step < high[active])
        middle = 0.5 * (low[active] + high[active])
        place[active] = np.where(slope == 0, here, np.where(inside, here + step, middle))
        arrived = np.abs(place[active] - here) < PRECISION
        if arrived.all():
            break
        if arrived.sum() > 0.2 * len(active):
            active, some = active[~arrived], some.of(np.flatnonzero(~arrived))
    return place
