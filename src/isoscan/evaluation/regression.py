"""Regress every feature on site and covariates at once, missing values included.

Features with the same missing scans are solved together. Sites enter as within-site
centring, which gives the same numbers as one indicator per site and never needs them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ALIASED = 1e-7
"""Directions of the design smaller than this share of a column count as absent."""
CONSTANT = 1e-13
"""A residual smaller than this share of the values is rounding, not variation."""

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Regression:
    """The model ``feature ~ site + covariates`` and the one without site.

    All arrays have one column or entry per feature; NaN where a feature has too few
    values or does not vary.

    Attributes
    ----------
    residuals : ndarray of shape (n_scans, n_features)
        Residuals of the full model; NaN where the feature is missing.
    coefficients : ndarray of shape (n_columns, n_features)
        Within-site slopes; 0 for what cannot be told apart from site.
    slopes : ndarray of shape (n_columns, n_features)
        The same; NaN for what cannot be told apart.
    slope_errors : ndarray of shape (n_columns, n_features)
        Standard errors of the slopes.
    sse_full, sse_covariates : ndarray of shape (n_features,)
        Sums of squared residuals with site, and of covariates alone.
    df_sites, df_residual : ndarray of shape (n_features,)
        Degrees of freedom that site takes, and those left to the noise.
    varies : ndarray of bool, shape (n_features,)
        False for features without values or without variation.
    """

    residuals: Matrix
    coefficients: Matrix
    slopes: Matrix
    slope_errors: Matrix
    sse_full: Matrix
    sse_covariates: Matrix
    df_sites: Matrix
    df_residual: Matrix
    varies: NDArray[np.bool_]

    @property
    def df_slopes(self) -> Matrix:
        """Degrees of freedom of every slope."""
        return self.df_residual


def regress(values: Matrix, codes: NDArray[np.intp], design: Matrix) -> Regression:
    """Fit site and covariates to every feature by least squares.

    Parameters
    ----------
    values : ndarray of shape (n_scans, n_features)
        Measures; NaN where missing. Each feature uses the scans it has.
    codes : ndarray of int, shape (n_scans,)
        Site of each scan.
    design : ndarray of shape (n_scans, n_columns)
        Covariates without an intercept.

    Returns
    -------
    Regression
        Sums of squares, slopes and residuals.

    Examples
    --------
    >>> age = np.array([[20.0], [30.0], [20.0], [30.0]])
    >>> thickness = np.array([[2.0], [1.9], [2.5], [2.4]])
    >>> regress(thickness, np.array([0, 0, 1, 1]), age).slopes.round(3)
    array([[-0.01]])
    """
    n_features = values.shape[1]
    found = Regression(
        residuals=np.full(values.shape, np.nan),
        coefficients=np.zeros((design.shape[1], n_features)),
        slopes=np.full((design.shape[1], n_features), np.nan),
        slope_errors=np.full((design.shape[1], n_features), np.nan),
        sse_full=np.full(n_features, np.nan),
        sse_covariates=np.full(n_features, np.nan),
        df_sites=np.full(n_features, np.nan),
        df_residual=np.full(n_features, np.nan),
        varies=np.zeros(n_features, dtype=bool),
    )
    for rows, columns in complete_blocks(values):
        _solve(found, rows, columns, values[np.ix_(rows, columns)], codes[rows], design[rows])
    return found


def complete_blocks(values: Matrix) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Group features by the scans they have.

    Parameters
    ----------
    values : ndarray of shape (n_scans, n_features)
        Measures; NaN where missing.

    Yields
    ------
    rows, columns : ndarray of int
        Scans without missing values in these features. Features without any value are
        left out.

    Examples
    --------
    >>> blocks = complete_blocks(np.array([[1.0, np.nan], [2.0, 5.0]]))
    >>> [(rows.tolist(), columns.tolist()) for rows, columns in blocks]
    [([0, 1], [0]), ([1], [1])]
    """
    present = ~np.isnan(values)
    groups: dict[bytes, list[int]] = defaultdict(list)
    for column, pattern in enumerate(np.packbits(present, axis=0).T):
        groups[pattern.tobytes()].append(column)
    for columns in groups.values():
        rows = np.flatnonzero(present[:, columns[0]])
        if len(rows):
            yield rows, np.array(columns)


def _solve(
    found: Regression,
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    values: Matrix,
    codes: NDArray[np.intp],
    design: Matrix,
) -> None:
    """Solve one block and write it into its columns of `found`."""
    size = np.linalg.norm(values, axis=0)
    values = values - values.mean(axis=0)
    varies = np.linalg.norm(values, axis=0) > CONSTANT * size
    centred = design - design.mean(axis=0)
    scale = np.linalg.norm(centred, axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    within, n_sites = _within_sites(values, codes)
    basis, singular, directions = _decompose(_within_sites(design, codes)[0] / scale)
    overall = _decompose(centred / scale)[0]
    residuals = within - basis @ (basis.T @ within)
    inverse = directions.T / singular
    df_residual = len(rows) - n_sites - len(singular)
    sse_full = _sum_of_squares(residuals, size)
    found.varies[columns] = varies
    found.coefficients[:, columns] = (inverse @ (basis.T @ within)) / scale[:, None]
    if df_residual < 1:
        return
    found.residuals[np.ix_(rows, columns)] = np.where(varies, residuals, np.nan)
    found.sse_full[columns] = np.where(varies, sse_full, np.nan)
    found.sse_covariates[columns] = np.where(
        varies, _sum_of_squares(values - overall @ (overall.T @ values), size), np.nan
    )
    found.df_sites[columns] = n_sites - 1 + len(singular) - overall.shape[1]
    found.df_residual[columns] = df_residual
    _write_slopes(found, columns, directions, np.sqrt(np.square(inverse).sum(axis=1)) / scale)


def _write_slopes(
    found: Regression, columns: NDArray[np.intp], directions: Matrix, error: Matrix
) -> None:
    """Keep the slopes that the design determines; `error` is for a residual SD of 1."""
    known = (np.square(directions).sum(axis=0) > 1 - ALIASED)[:, None] & found.varies[columns]
    residual_sd = np.sqrt(found.sse_full[columns] / found.df_residual[columns])
    found.slopes[:, columns] = np.where(known, found.coefficients[:, columns], np.nan)
    found.slope_errors[:, columns] = np.where(known, error[:, None] * residual_sd, np.nan)


def _within_sites(values: Matrix, codes: NDArray[np.intp]) -> tuple[Matrix, int]:
    """Values without their site means, and how many sites there are."""
    present, own = np.unique(codes, return_inverse=True)
    member = (own.reshape(-1)[None, :] == np.arange(len(present))[:, None]).astype(float)
    means = (member @ values) / member.sum(axis=1)[:, None]
    return values - means[own.reshape(-1)], len(present)


def _decompose(columns: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    """Singular value decomposition without the directions that are absent."""
    if not columns.shape[1]:
        return np.empty((len(columns), 0)), np.empty(0), np.empty((0, 0))
    left, singular, right = np.linalg.svd(columns, full_matrices=False)
    kept = singular > ALIASED
    return left[:, kept], singular[kept], right[kept]


def _sum_of_squares(residuals: Matrix, size: Matrix) -> Matrix:
    total = np.square(residuals).sum(axis=0)
    return np.where(np.sqrt(total) > CONSTANT * size, total, 0.0)
