"""One regression per feature at one site, all features at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
BLOCK = 4096  # features at a time: what is computed on the way stays in the cache
TOLERANCE = 1e-7
"""A column whose part not explained by the others is smaller than this share is aliased."""


@dataclass(frozen=True)
class SlopeFit:
    """The coefficient of one column, given the others.

    Attributes
    ----------
    beta, se, t : ndarray of shape (n_features,)
        Estimate, standard error, their ratio; NaN if it cannot be estimated, and t and se
        where the measure does not vary beyond the regression.
    df : int
        Residual degrees of freedom.
    aliased : bool
        The column is determined by the others.
    dropped : list of int
        Other columns that are determined by those before them.
    """

    beta: Numbers
    se: Numbers
    t: Numbers
    df: int
    aliased: bool
    dropped: list[int]


def fit_slope(measures: Numbers, column: Numbers, others: Numbers) -> SlopeFit:
    """Regress each feature on an intercept, the other columns and the one asked for.

    Parameters
    ----------
    measures : ndarray of shape (n_scans, n_features)
        Measures without missing values.
    column : ndarray of shape (n_scans,)
        The column asked for.
    others : ndarray of shape (n_scans, n_others)
        Columns to adjust for, without an intercept.

    Returns
    -------
    SlopeFit
        Coefficient of `column`.
    """
    basis, dropped = orthonormal(others - others.mean(axis=0))
    df = len(column) - 2 - basis.shape[1]
    centred = column - column.mean()
    left = centred - basis @ (basis.T @ centred)
    size = float(left @ left)
    unknown = np.full(measures.shape[1], np.nan)
    if size <= TOLERANCE**2 * float(centred @ centred) or df < 1:
        return SlopeFit(unknown, unknown, unknown, df, df >= 1, dropped)
    deviations = measures - measures.mean(axis=0)
    residuals = deviations - basis @ (basis.T @ deviations)
    beta = left @ residuals / size
    noise = ((residuals - np.outer(left, beta)) ** 2).sum(axis=0)
    total = (deviations**2).sum(axis=0)
    floor = (1e-14 * np.abs(measures).max(axis=0)) ** 2 * len(column)
    exact = noise <= np.maximum(1e-24 * total, floor)
    se = np.where(exact, np.nan, np.sqrt(noise / df / size))
    return SlopeFit(beta, se, beta / se, df, False, dropped)


def orthonormal(columns: Numbers) -> tuple[Numbers, list[int]]:
    """Find an orthonormal basis of the columns, and those that add nothing to the ones before.

    Parameters
    ----------
    columns : ndarray of shape (n_scans, n_columns)
        Centred columns.

    Returns
    -------
    basis : ndarray of shape (n_scans, n_independent)
        Orthonormal columns.
    dropped : list of int
        Positions of columns that follow from those before.
    """
    basis = np.empty((len(columns), 0))
    dropped = []
    for position, column in enumerate(columns.T):
        left = column - basis @ (basis.T @ column)
        left -= basis @ (basis.T @ left)  # twice is enough
        length = float(scipy.linalg.norm(left))
        if length <= TOLERANCE * float(scipy.linalg.norm(column)):
            dropped.append(position)
        else:
            basis = np.column_stack([basis, left / length])
    return basis, dropped


def same_scans(measured: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.intp]]]:
    """Group features that were measured in the same scans, complete ones in blocks.

    Parameters
    ----------
    measured : ndarray of bool, shape (n_scans, n_features)
        False where a measure is missing.

    Yields
    ------
    scans : ndarray of bool, shape (n_scans,)
        Scans that have these features.
    features : ndarray of int
        Positions of the features.
    """
    groups: dict[bytes, list[int]] = {}
    for start in range(0, measured.shape[1], BLOCK):
        block = measured[:, start : start + BLOCK]
        complete = block.all(axis=0)
        if complete.any():
            yield np.ones(len(measured), dtype=bool), start + np.flatnonzero(complete)
        for feature in np.flatnonzero(~complete):
            groups.setdefault(block[:, feature].tobytes(), []).append(start + int(feature))
    for features in groups.values():
        yield measured[:, features[0]], np.array(features)
