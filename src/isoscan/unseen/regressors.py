"""Predict shifts with another regression than the ridge, by name or as an estimator."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from isoscan.errors import DataError

Array = NDArray[np.float64]
RIDGE = "ridge"
NAMES = (RIDGE, "kernel-ridge", "forest", "neighbors")


@dataclass(frozen=True)
class OtherRegression:
    """A fitted regression of scikit-learn.

    Attributes
    ----------
    fitted : estimator
        Fitted to profiles and to the shifts of their scanners.
    """

    fitted: Any

    def predict(self, profiles: Array) -> Array:
        """Shift of the scanner of each scan.

        Parameters
        ----------
        profiles : ndarray of shape (n_scans, n_columns)
            Profiles.

        Returns
        -------
        ndarray of shape (n_scans, n_features)
            In residual standard deviations; row by row, so that a scan alone gets the same.
        """
        rows = [self.fitted.predict(row[None]).reshape(1, -1) for row in profiles]
        return np.concatenate(rows) if rows else np.zeros((0, 0))


def find_regressor(estimator: Any, random_state: Any = None) -> Any:
    """Look up a regression by name.

    Parameters
    ----------
    estimator : str or estimator
        One of the names, or any regression of scikit-learn for several outputs.
    random_state : int, optional
        Seed of the forest.

    Returns
    -------
    estimator or None
        Unfitted; None for the ridge.

    Raises
    ------
    DataError
        If there is no such name.
    """
    if not isinstance(estimator, str):
        if not hasattr(estimator, "fit") or not hasattr(estimator, "predict"):
            raise DataError(f"estimator must be one of {NAMES} or have fit and predict.")
        return estimator
    if estimator not in NAMES:
        raise DataError(f"estimator must be one of {NAMES} or an estimator, got {estimator!r}.")
    if estimator == "forest":
        from sklearn.ensemble import RandomForestRegressor

        return RandomForestRegressor(200, min_samples_leaf=5, random_state=random_state)
    if estimator == "kernel-ridge":
        from sklearn.kernel_ridge import KernelRidge

        return KernelRidge(alpha=1.0, kernel="rbf", gamma=None)
    if estimator == "neighbors":
        from sklearn.neighbors import KNeighborsRegressor

        return KNeighborsRegressor(30)
    return None


def fit_regressor(
    regressor: Any, profiles: Array, scanners: NDArray[np.intp], shifts: Array
) -> OtherRegression:
    """Fit a regression in which every scanner counts the same, if it takes weights.

    Parameters
    ----------
    regressor : estimator
        Unfitted.
    profiles : ndarray of shape (n_scans, n_columns)
        Profiles.
    scanners : ndarray of int, shape (n_scans,)
        Scanner of each scan.
    shifts : ndarray of shape (n_scanners, n_features)
        Shift of each scanner.

    Returns
    -------
    OtherRegression
        The fitted regression.
    """
    weighted = "sample_weight" in signature(regressor.fit).parameters
    weights = 1.0 / np.bincount(scanners)[scanners]
    options = {"sample_weight": weights} if weighted else {}
    return OtherRegression(clone(regressor).fit(profiles, shifts[scanners], **options))


def predict_left_out(
    regressor: Any, profiles: Array, scanners: NDArray[np.intp], shifts: Array
) -> Array:
    """Predict every scan from the other scanners.

    Parameters
    ----------
    regressor : estimator
        Unfitted.
    profiles : ndarray of shape (n_scans, n_columns)
        Profiles.
    scanners : ndarray of int, shape (n_scans,)
        Scanner of each scan.
    shifts : ndarray of shape (n_scanners, n_features)
        Shift of each scanner.

    Returns
    -------
    ndarray of shape (n_scans, n_features)
        Predicted shifts.
    """
    predicted = np.empty((len(profiles), shifts.shape[1]))
    for scanner in range(len(shifts)):
        own = scanners == scanner
        fitted = fit_regressor(regressor, profiles[~own], scanners[~own], shifts).fitted
        predicted[own] = fitted.predict(profiles[own]).reshape(own.sum(), -1)
    return predicted
