"""Mixed models with random effects of one grouping, for thousands of features at once.

``measures = design @ coefficients + random effects of the groups + residuals``, one model
per feature, the same design for all. Groups are subjects with several scans, or sites with
many subjects. The numbers are those of lme4, found by another way: what features share is
computed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoscan.combat.checks import noise_tolerance
from isoscan.combat.mixed_blocks import Model, fit_patterns, spread
from isoscan.combat.mixed_design import Groups, group_codes, missing_patterns, orthogonalize
from isoscan.combat.mixed_intercept import InterceptModel
from isoscan.errors import DataError, MissingValuesError, NotNumericError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class MixedFit:
    """Mixed models of all features.

    Attributes
    ----------
    coefficients : ndarray of shape (n_columns, n_features)
        Effects of the design. NaN, as everything else, where a feature lacks the values.
    variance : ndarray of shape (n_features,)
        Residual variance; 0 where the design explains a feature to rounding.
    between : ndarray of shape (n_features,) or (n_features, 2, 2)
        Variance of the random intercept, or covariance of random intercept and slope.
    minus_two_log_likelihood : ndarray of shape (n_features,)
        Of the restricted likelihood for REML; the constant is that of lme4.
    singular : ndarray of bool, shape (n_features,)
        Whether the optimum lies on the boundary: no variance between groups, none within,
        or random intercept and slope that determine each other.
    solvable : ndarray of bool, shape (n_features,)
        Whether the feature has the values that the model needs.
    uncertainty : ndarray of shape (n_features, n_parameters, n_parameters)
        Covariance of the variance parameters, for degrees of freedom.
    """

    coefficients: Array
    variance: Array
    between: Array
    minus_two_log_likelihood: Array
    singular: NDArray[np.bool_]
    solvable: NDArray[np.bool_]
    uncertainty: Array = field(repr=False)


def fit_mixed(
    measures: ArrayLike,
    design: ArrayLike,
    groups: Sequence[Any] | NDArray[Any],
    *,
    method: Literal["reml", "ml"] = "reml",
    n_jobs: int | None = None,
) -> MixedFit:
    """Fit one mixed model per feature.

    Parameters
    ----------
    measures : array_like of shape (n_scans, n_features)
        Features, in any unit; NaN where missing. A feature is fitted to the scans that have
        a value.
    design : array_like of shape (n_scans, n_columns)
        All columns of the fixed part: sites, intercept, covariates. Nothing is added.
    groups : array_like of shape (n_scans,)
        Label of the group of each scan: its subject, or its site.
    method : {"reml", "ml"}
        Restricted or full maximum likelihood.
    n_jobs : int, optional
        Number of threads; None for all processors.

    Returns
    -------
    MixedFit
        Coefficients and variances of every feature.

    Raises
    ------
    ConfoundedDesignError
        If columns of the design follow from others.
    TooManyTermsError
        If there are not more scans than columns.
    MixedModelError
        If groups cannot be told apart from residuals or from the design.
    DataError
        If shapes do not fit, or values are infinite or missing where none may be.

    Examples
    --------
    >>> thickness = np.array([[2.1], [2.2], [2.9], [3.0], [2.5], [2.6]])
    >>> fit = fit_mixed(thickness, np.ones((6, 1)), ["a", "a", "b", "b", "c", "c"])
    >>> fit.coefficients.round(2).tolist(), fit.between.round(2).tolist()
    ([[2.55]], [0.16])
    """
    table, columns = _as_table(measures), _as_design(design)
    if method not in ("reml", "ml"):
        raise DataError(f"method must be 'reml' or 'ml', got {method!r}.")
    if len(columns) != len(table):
        raise DataError(
            f"measures have {len(table)} rows and the design has {len(columns)}; both are scans."
        )
    _, codes = group_codes(groups, len(table))

    def prepare(scans: NDArray[np.intp]) -> Model:
        basis, of_groups = orthogonalize(columns[scans]), Groups.of(codes[scans])
        return InterceptModel.of(basis, of_groups, restricted=method == "reml")

    fits = fit_patterns(
        table, missing_patterns(table), prepare, noise_tolerance(table.dtype), n_jobs
    )
    n_features = table.shape[1]
    solvable = np.zeros(n_features, dtype=bool)
    for part in fits:
        solvable[part.features] = part.model is not None
    return MixedFit(
        coefficients=spread(fits, "coefficients", n_features),
        variance=spread(fits, "variance", n_features),
        between=spread(fits, "between", n_features),
        minus_two_log_likelihood=spread(fits, "minus_two_log_likelihood", n_features),
        singular=spread(fits, "singular", n_features, fill=False),
        solvable=solvable,
        uncertainty=spread(fits, "uncertainty", n_features),
    )


def _as_table(measures: ArrayLike) -> NDArray[Any]:
    table = np.asarray(measures)
    if table.dtype.kind not in "fiub":
        raise NotNumericError(f"measures must be numbers, got an array of type {table.dtype}.")
    if table.dtype.kind != "f":
        table = table.astype(np.float64)
    if table.ndim != 2 or not table.size:
        raise DataError(
            f"measures must have scans in rows and features in columns, got shape {table.shape}."
        )
    return table


def _as_design(design: ArrayLike) -> Array:
    columns = np.asarray(design, dtype=np.float64)
    if columns.ndim != 2 or not columns.shape[1]:
        raise DataError(f"the design must be a table of scans by columns, got {columns.shape}.")
    wrong = np.flatnonzero(~np.isfinite(columns).all(axis=1))
    if len(wrong):
        raise MissingValuesError(
            f"{len(wrong)} of {len(columns)} rows of the design have missing or infinite values, "
            f"the first is row {wrong[0]}. Complete them or leave those scans out.",
            rows=wrong.tolist(),
        )
    return columns
