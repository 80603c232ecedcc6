"""Walk over missing-value patterns and blocks of features, and put the answers together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.blocks import column_blocks, count_workers, run_parallel
from isoscan.combat.mixed.design import Basis, Pattern
from isoscan.combat.mixed.inference import Covariance
from isoscan.errors import DataError

Array = NDArray[np.float64]
FEATURES_AT_A_TIME = 2048


@dataclass(frozen=True)
class BlockFit:
    """What was found for a block of features.

    Attributes
    ----------
    coefficients : ndarray of shape (n_columns, n_features)
        Of the design.
    variance : ndarray of shape (n_features,)
        Residual variance; 0 where the design explains a feature.
    between : ndarray of shape (n_features,) or (n_features, 2, 2)
        Variance between groups.
    minus_two_log_likelihood : ndarray of shape (n_features,)
        Minus infinity where the design explains a feature.
    singular : ndarray of bool, shape (n_features,)
        Whether the optimum lies on the boundary.
    uncertainty : ndarray of shape (n_features, n_parameters, n_parameters)
        Covariance of the residual variance and of the relative variances.
    """

    coefficients: Array
    variance: Array
    between: Array
    minus_two_log_likelihood: Array
    singular: NDArray[np.bool_]
    uncertainty: Array


class Model(Protocol):
    """What all features of a pattern share."""

    @property
    def basis(self) -> Basis:
        """The design."""

    @property
    def terms(self) -> int:
        """Numbers per feature that a fit works on at a time."""

    @property
    def covariance(self) -> Covariance:
        """What inference needs."""

    def group_sums(self, residuals: Array) -> Array:
        """Sum residuals within groups.

        Parameters
        ----------
        residuals : ndarray of shape (n_scans, n_features)
            Residuals of ordinary least squares.

        Returns
        -------
        ndarray of shape (..., n_features)
            Sums.
        """

    def fit(self, sums: Array, weights: Array, squares: Array) -> BlockFit:
        """Fit a block of features.

        Parameters
        ----------
        sums : ndarray of shape (..., n_features)
            Group sums of the residuals.
        weights : ndarray of shape (n_columns, n_features)
            Ordinary least squares, in the basis.
        squares : ndarray of shape (n_features,)
            Residual squares; 0 where the design explains a feature.

        Returns
        -------
        BlockFit
            The optimum of each feature.
        """


@dataclass(frozen=True)
class PatternFit:
    """All features of one pattern.

    Attributes
    ----------
    features : ndarray of int
        Columns of the table.
    model : Model or None
        What the features share; None where they cannot be fitted.
    blocks : list of BlockFit
        Consecutive features.
    """

    features: NDArray[np.intp]
    model: Model | None
    blocks: list[BlockFit]


def fit_patterns(
    measures: NDArray[Any],
    patterns: list[Pattern],
    prepare: Callable[[NDArray[np.intp]], Model],
    tolerance: float,
    n_jobs: int | None,
) -> list[PatternFit]:
    """Fit all features, pattern by pattern.

    Parameters
    ----------
    measures : ndarray of shape (n_scans, n_features)
        Measures; NaN where missing.
    patterns : list of Pattern
        Features that have values for the same scans.
    prepare : callable
        Takes numbers of scans and returns their model.
    tolerance : float
        Residuals smaller than this share of a feature's size are rounding noise.
    n_jobs : int or None
        Number of threads.

    Returns
    -------
    list of PatternFit
        In the order of the patterns. Features that lack the scans for this model have
        no model, unless all features lack nothing: then the error is raised.

    Raises
    ------
    DataError
        If no feature can be fitted.
    """
    apart = len(patterns) >= 2 * count_workers(n_jobs)

    def fit(pattern: Pattern) -> PatternFit:
        try:
            model = prepare(pattern.scans)
        except DataError:
            if pattern.complete or len(patterns) == 1:
                raise
            return PatternFit(pattern.features, None, [])
        jobs = 1 if apart else n_jobs
        return PatternFit(
            pattern.features, model, _fit_blocks(measures, pattern, model, tolerance, jobs)
        )

    return run_parallel(fit, patterns, n_jobs if apart else 1)


def _fit_blocks(
    measures: NDArray[Any], pattern: Pattern, model: Model, tolerance: float, n_jobs: int | None
) -> list[BlockFit]:
    n_features = len(pattern.features)

    def work(features: slice) -> BlockFit:
        return model.fit(*_project(measures, pattern, features, model, tolerance))

    width = min(FEATURES_AT_A_TIME, -(-n_features // (4 * count_workers(n_jobs))))
    width = max(64, min(width, (1 << 20) // model.terms))
    starts = range(0, n_features, width)
    return run_parallel(work, [slice(start, start + width) for start in starts], n_jobs)


def _project(
    measures: NDArray[Any], pattern: Pattern, features: slice, model: Model, tolerance: float
) -> tuple[Array, Array, Array]:
    """Group sums and squares of the residuals of ordinary least squares, and its weights."""
    chosen = pattern.features[features]
    sums, weights, squares = [], [], []
    for part in column_blocks(len(pattern.scans), len(chosen)):
        values = _gather(measures, pattern, chosen[part])
        size = np.einsum("sf,sf->f", values, values)
        basis = model.basis.columns
        weight = basis.T @ values
        values -= basis @ weight
        left = basis.T @ values  # what rounding left behind
        values -= basis @ left
        square = np.einsum("sf,sf->f", values, values)
        square[square <= tolerance**2 * size] = 0.0
        sums.append(model.group_sums(values))
        weights.append(weight + left)
        squares.append(square)
    return np.concatenate(sums, axis=-1), np.hstack(weights), np.concatenate(squares)


def _gather(measures: NDArray[Any], pattern: Pattern, features: NDArray[np.intp]) -> Array:
    first, last = features[0], features[-1]
    together = last - first == len(features) - 1
    columns = measures[:, first : last + 1] if together else measures[:, features]
    return np.array(columns if pattern.complete else columns[pattern.scans], dtype=np.float64)


def spread(fits: list[PatternFit], name: str, n_features: int, fill: Any = np.nan) -> NDArray[Any]:
    """Put one result of all patterns in the order of the table.

    Parameters
    ----------
    fits : list of PatternFit
        Results.
    name : str
        Attribute of the blocks.
    n_features : int
        Columns of the table.
    fill : object
        Value of features that could not be fitted.

    Returns
    -------
    ndarray of shape (..., n_features) for coefficients, (n_features, ...) otherwise
        One array.

    Raises
    ------
    DataError
        If no feature could be fitted.
    """
    axis = -1 if name == "coefficients" else 0
    found = [(fit.features, [getattr(block, name) for block in fit.blocks]) for fit in fits]
    parts = [(features, np.concatenate(values, axis=axis)) for features, values in found if values]
    if not parts:
        raise DataError(
            f"none of {n_features} features has enough values for a mixed model. "
            f"Leave out features or scans that lack many values."
        )
    shape = list(parts[0][1].shape)
    shape[axis] = n_features
    out = np.full(shape, fill, dtype=parts[0][1].dtype)
    for features, values in parts:
        if axis == 0:
            out[features] = values
        else:
            out[..., features] = values
    return out
