"""Predict the shift of a scanner from the profile of one of its scans.

A ridge regression with two kinds of error: profiles of a scanner should on average give its
shift, and differences between people of one scanner should change the prediction as little
as possible. A profile far from those of training is believed less.

The slopes are the mean over several ridge penalties.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from isoscan.unseen.profile import by_row, group_means, within_groups

Array = NDArray[np.float64]
PENALTIES = (10.0, 40.0, 160.0)
"""Ridge penalties; predictions are averaged over them, as few scanners cannot tell the best. Weak
ones correct more, strong ones do less harm to scanners that need little correction."""
WITHIN_WEIGHTS = (0.5, 0.6, 0.7, 0.85, 1.0, 1.4, 2.0)
"""Weights of differences between people of one scanner, relative to the mean of the scanner."""
DECAY = 0.075
"""How fast belief falls with the distance of a profile: exp(-0.075) for one of training."""


@dataclass(frozen=True)
class ShiftRidge:
    """A fitted regression; holds no scan.

    Attributes
    ----------
    slopes : ndarray of shape (n_columns, n_features)
        Effect of each column of the profile on the shift of each feature.
    """

    SHAPES: ClassVar[dict[str, tuple[str, ...]]] = {"slopes": ("profile", "features")}
    slopes: Array

    def predict(self, profiles: Array) -> Array:
        """Shift of the scanner of each scan.

        Parameters
        ----------
        profiles : ndarray of shape (n_scans, n_columns)
            Profiles.

        Returns
        -------
        ndarray of shape (n_scans, n_features)
            In residual standard deviations; the same for a scan alone or among others.
        """
        return by_row(believed(profiles), self.slopes)


def believed(profiles: Array) -> Array:
    """Scale profiles down that are far from those of training.

    Parameters
    ----------
    profiles : ndarray of shape (n_scans, n_columns)
        Profiles.

    Returns
    -------
    ndarray of shape (n_scans, n_columns)
        Profiles times exp(-0.075 d²), with d their root mean square.
    """
    return np.asarray(profiles * np.exp(-DECAY * distance(profiles) ** 2)[:, None])


def distance(profiles: Array) -> Array:
    """Root mean square of each profile; about 1 for scans like those of training.

    Parameters
    ----------
    profiles : ndarray of shape (n_scans, n_columns)
        Profiles.

    Returns
    -------
    ndarray of shape (n_scans,)
        Distances.
    """
    squares = np.ascontiguousarray(profiles) ** 2
    return np.array([np.sqrt(row.mean()) for row in squares])


class ShiftProblem:
    """Profiles and shifts of training, ready to be solved for many weights.

    With W the scatter of profiles within scanners and m their means, the slopes are
    (m'm + w W + p)⁻¹ m' g. As there are few scanners, that is A m' (m A m' + 1)⁻¹ g with
    A = (w W + p)⁻¹, and one eigendecomposition of W serves all weights
    and penalties.

    Parameters
    ----------
    profiles : ndarray of shape (n_scans, n_columns)
        Profiles of training.
    scanners : ndarray of int, shape (n_scans,)
        Scanner of each scan, from 0.
    shifts : ndarray of shape (n_scanners, n_features)
        What is to be predicted.
    """

    def __init__(self, profiles: Array, scanners: NDArray[np.intp], shifts: Array) -> None:
        self.scanners, self.shifts = scanners, shifts
        self.profiles = believed(profiles)
        self._means = group_means(self.profiles, scanners)
        within = within_groups(self.profiles, scanners)
        sizes = np.bincount(scanners)
        self._within = [
            part.T @ part / sizes[scanner]
            for scanner in range(len(shifts))
            for part in [within[scanners == scanner]]
        ]

    def solve(self, weight: float) -> ShiftRidge:
        """Fit the regression to all scanners.

        Parameters
        ----------
        weight : float
            Weight of differences between people of one scanner.

        Returns
        -------
        ShiftRidge
            The fitted regression.
        """
        values, vectors = np.linalg.eigh(sum(self._within))
        slopes = vectors @ _slopes(values, self._means @ vectors, self.shifts, weight)
        return ShiftRidge(np.ascontiguousarray(slopes))

    def predict_left_out(self, weights: Sequence[float]) -> list[Array]:
        """Predict every scan from the other scanners.

        Parameters
        ----------
        weights : sequence of float
            Weights of differences between people of one scanner.

        Returns
        -------
        list of ndarray of shape (n_scans, n_features)
            Predicted shifts, one array per weight.
        """
        total = sum(self._within)
        predicted = [np.empty((len(self.profiles), self.shifts.shape[1])) for _ in weights]
        for scanner in range(len(self.shifts)):
            rows, kept = self.scanners == scanner, np.arange(len(self.shifts)) != scanner
            values, vectors = np.linalg.eigh(total - self._within[scanner])
            means, held = self._means[kept] @ vectors, self.profiles[rows] @ vectors
            for weight, result in zip(weights, predicted, strict=True):
                result[rows] = held @ _slopes(values, means, self.shifts[kept], weight)
        return predicted


def _slopes(values: Array, means: Array, shifts: Array, weight: float) -> Array:
    """Slopes along the eigenvectors of the scatter within scanners, averaged over penalties."""
    scatter = weight * np.maximum(values, 0.0)
    return np.asarray(
        np.mean([_solved(means / (scatter + penalty), means, shifts) for penalty in PENALTIES], 0)
    )


def _solved(damped: Array, means: Array, shifts: Array) -> Array:
    gram = damped @ means.T
    gram[np.diag_indices_from(gram)] += 1.0
    return np.asarray(damped.T @ cho_solve(cho_factor(gram), shifts))
