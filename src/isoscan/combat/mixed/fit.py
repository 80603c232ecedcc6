"""Fit one mixed model per feature.

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
from isoscan.combat.mixed.blocks import Model, PatternFit, fit_patterns, spread
from isoscan.combat.mixed.design import Groups, group_codes, missing_patterns, orthogonalize
from isoscan.combat.mixed.groups import GroupEffects, predict_groups, slope_values
from isoscan.combat.mixed.inference import (
    Covariance,
    InterceptCovariance,
    as_contrasts,
    satterthwaite,
)
from isoscan.combat.mixed.intercept import InterceptModel
from isoscan.combat.mixed.kenward_roger import KenwardRoger, kenward_roger, put_together
from isoscan.combat.mixed.slope import SlopeModel
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
    degrees : ndarray of shape (n_features,)
        Scans less columns of the design.
    method : {"reml", "ml"}
        Restricted or full maximum likelihood.
    uncertainty : ndarray of shape (n_features, n_parameters, n_parameters)
        Covariance of the residual variance and of the relative variances between groups.
    designs : tuple
        Features that have values for the same scans, and what inference needs of these.
    """

    coefficients: Array
    variance: Array
    between: Array
    minus_two_log_likelihood: Array
    singular: NDArray[np.bool_]
    solvable: NDArray[np.bool_]
    degrees: Array
    method: str
    uncertainty: Array = field(repr=False)
    designs: tuple[tuple[NDArray[np.intp], Covariance], ...] = field(repr=False)

    @property
    def relative(self) -> Array:
        """Variance between groups over residual variance; 0 where neither is positive."""
        divisor = np.where(self.variance > 0, self.variance, 1.0)
        shape = (-1, *[1] * (self.between.ndim - 1))
        return np.asarray(self.between / divisor.reshape(shape), dtype=np.float64)

    def standard_errors(self, contrast: ArrayLike | None = None) -> Array:
        """Standard errors of the coefficients, or of contrasts.

        Parameters
        ----------
        contrast : array_like of shape (n_columns,) or (n_contrasts, n_columns), optional
            Weights of the coefficients; each coefficient on its own by default.

        Returns
        -------
        ndarray of shape (n_contrasts, n_features)
            In the unit of the feature per unit of the contrast.
        """
        rows = as_contrasts(contrast, len(self.coefficients))
        found = np.full((len(rows), len(self.variance)), np.nan)
        for features, covariance in self.designs:
            found[:, features] = covariance.variances(
                rows, self.variance[features], self.relative[features]
            )
        return np.asarray(np.sqrt(found), dtype=np.float64)

    def degrees_of_freedom(self, contrast: ArrayLike | None = None) -> Array:
        """Satterthwaite's degrees of freedom of the coefficients, or of contrasts.

        Parameters
        ----------
        contrast : array_like of shape (n_columns,) or (n_contrasts, n_columns), optional
            Weights of the coefficients; each coefficient on its own by default.

        Returns
        -------
        ndarray of shape (n_contrasts, n_features)
            Scans less columns of the design where a random intercept has no variance.
        """
        rows = as_contrasts(contrast, len(self.coefficients))
        found = np.full((len(rows), len(self.variance)), np.nan)
        for features, covariance in self.designs:
            found[:, features] = satterthwaite(
                covariance,
                rows,
                self.variance[features],
                self.relative[features],
                self.uncertainty[features],
            )
        return np.where(self.solvable & np.isnan(found), self.degrees, found)

    def kenward_roger(self, contrast: ArrayLike) -> KenwardRoger:
        """Test contrasts together, allowing for variances that are estimated.

        Parameters
        ----------
        contrast : array_like of shape (n_columns,) or (n_contrasts, n_columns)
            Weights of the coefficients; the test is that all contrasts are 0.

        Returns
        -------
        KenwardRoger
            Scaled F statistic, degrees of freedom and p value of every feature.

        Raises
        ------
        DataError
            If this is not a restricted fit of a random intercept, or if contrasts follow
            from each other.
        """
        rows = as_contrasts(contrast, len(self.coefficients))
        if self.method != "reml" or self.between.ndim != 1:
            raise DataError(
                "this test is for a random intercept fitted by method='reml'. Refit the model, or "
                "use degrees_of_freedom()."
            )
        if np.linalg.matrix_rank(rows) < len(rows):
            raise DataError(f"{len(rows)} contrasts are not independent. Leave out some.")
        tests = [
            kenward_roger(
                design,
                rows,
                self.coefficients[:, features],
                self.variance[features],
                self.relative[features],
                self.degrees[features],
            )
            for features, design in self.designs
            if isinstance(design, InterceptCovariance)
        ]
        return put_together(tests, [features for features, _ in self.designs], len(self.variance))

    def predict_groups(
        self,
        residuals: ArrayLike,
        groups: Sequence[Any] | NDArray[Any],
        *,
        slope: ArrayLike | None = None,
    ) -> GroupEffects:
        """Predict what each group adds to its scans, also for scans and groups not seen.

        Parameters
        ----------
        residuals : array_like of shape (n_scans, n_features)
            Measures less ``design @ coefficients``; NaN where missing.
        groups : sequence of shape (n_scans,)
            Label of the group of each scan.
        slope : array_like of shape (n_scans,), optional
            Values of the slope, for random slopes.

        Returns
        -------
        GroupEffects
            Best linear unbiased predictions, one row per group.
        """
        return predict_groups(
            residuals, groups, variance=self.variance, between=self.between, slope=slope
        )


def fit_mixed(
    measures: ArrayLike,
    design: ArrayLike,
    groups: Sequence[Any] | NDArray[Any],
    *,
    slope: ArrayLike | None = None,
    correlated: bool = True,
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
    slope : array_like of shape (n_scans,), optional
        A covariate along which every group has a slope of its own, beside its intercept.
        The design must contain it, if groups share a slope.
    correlated : bool
        Whether random intercept and slope may be correlated.
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
    along = slope_values(slope, len(table), wanted=slope is not None)
    restricted = method == "reml"

    def prepare(scans: NDArray[np.intp]) -> Model:
        basis, members = orthogonalize(columns[scans]), Groups.of(codes[scans])
        if along is None:
            return InterceptModel.of(basis, members, restricted=restricted)
        return SlopeModel.of(
            basis, members, along[scans], correlated=correlated, restricted=restricted
        )

    fits = fit_patterns(
        table, missing_patterns(table), prepare, noise_tolerance(table.dtype), n_jobs
    )
    return _assemble(fits, table.shape[1], method)


def _assemble(fits: list[PatternFit], n_features: int, method: str) -> MixedFit:
    degrees = np.full(n_features, np.nan)
    for part in fits:
        if part.model is not None:
            n_scans, n_columns = part.model.basis.columns.shape
            degrees[part.features] = n_scans - n_columns
    return MixedFit(
        coefficients=spread(fits, "coefficients", n_features),
        variance=spread(fits, "variance", n_features),
        between=spread(fits, "between", n_features),
        minus_two_log_likelihood=spread(fits, "minus_two_log_likelihood", n_features),
        singular=spread(fits, "singular", n_features, fill=False),
        solvable=~np.isnan(degrees),
        degrees=degrees,
        method=method,
        uncertainty=spread(fits, "uncertainty", n_features),
        designs=tuple((fit.features, fit.model.covariance) for fit in fits if fit.model),
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
