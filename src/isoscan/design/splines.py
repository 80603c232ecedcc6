"""Smooth curves of a covariate: a spline basis, and a penalty on its bending.

Cubic B-splines on evenly spaced knots with a penalty on the integrated squared second
derivative, as ``s(age, bs="bs", k=10, m=c(3, 2))`` in R's mgcv. Basis and penalty follow
from the bounds alone, so parts of the data can be summarised before all of it is known.

One difference to mgcv: there the curve averages 0 over the scans, here its coefficients sum
to 0. Every site has an intercept of its own, so any constraint that removes the constant
gives the same fit, and this one asks nothing of the data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import BSpline

from isoscan.errors import SmoothTermError, count

Array = NDArray[np.float64]

ORDER = 3
"""Degree of the pieces: cubic."""
MARGIN = 0.001
"""The knots reach this share of the range beyond the bounds."""
_MOST_FUNCTIONS = 100


@dataclass(frozen=True)
class Spline:
    """A smooth curve of one covariate, between two bounds.

    Attributes
    ----------
    name : str
        The covariate.
    low, high : float
        Bounds, in the unit of the covariate. Beyond them the curve stays at its last value.
    by : tuple of (str, str) or None
        A categorical covariate and one of its levels, if the curve is for that level only.
        The category itself must be in the design as well: the curve carries no level.
    n_functions : int
        Number of B-splines; `k` in mgcv.

    Raises
    ------
    SmoothTermError
        If the bounds or the number of functions make no curve.

    Examples
    --------
    >>> age = Spline("age", 20, 80)
    >>> age.label, age.basis([20, 50, 80]).shape
    ('s(age)', (3, 9))
    """

    name: str
    low: float
    high: float
    by: tuple[str, str] | None = None
    n_functions: int = 10

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise SmoothTermError(
                f"{self.label} needs two finite bounds, the lower one first; got {self.low} "
                f"and {self.high}. Correct the bounds.",
                covariate=self.name,
            )
        if not ORDER < self.n_functions <= _MOST_FUNCTIONS:
            raise SmoothTermError(
                f"{self.label} needs between {ORDER + 1} and {_MOST_FUNCTIONS} functions, "
                f"got {self.n_functions}.",
                covariate=self.name,
            )

    @property
    def label(self) -> str:
        """Name of the term, e.g. ``s(age)`` or ``s(age):sex[F]``."""
        plain = f"s({self.name})"
        return plain if self.by is None else f"{plain}:{self.by[0]}[{self.by[1]}]"

    @property
    def n_columns(self) -> int:
        """Number of design columns."""
        return self.n_functions - 1

    @cached_property
    def knots(self) -> Array:
        """Evenly spaced knots, shape (n_functions + 4,); the outer three lie outside."""
        margin = MARGIN * (self.high - self.low)
        start, stop = self.low - margin, self.high + margin
        step = (stop - start) / (self.n_functions - ORDER)
        return np.linspace(start - ORDER * step, stop + ORDER * step, self.n_functions + ORDER + 1)

    def outside(self, values: ArrayLike) -> NDArray[np.bool_]:
        """Mark values beyond the bounds, where the curve knows nothing.

        Parameters
        ----------
        values : array-like of shape (n_scans,)
            The covariate.

        Returns
        -------
        ndarray of bool, shape (n_scans,)
            True where outside.
        """
        values = np.asarray(values, dtype=float)
        return (values < self.low) | (values > self.high)

    def clamped(self, values: ArrayLike) -> Array:
        """Move values beyond the bounds to the nearest bound.

        Parameters
        ----------
        values : array-like of shape (n_scans,)
            The covariate.

        Returns
        -------
        ndarray of shape (n_scans,)
            Values within the bounds.
        """
        return np.asarray(np.clip(np.asarray(values, dtype=float), self.low, self.high))

    def raw_basis(self, values: ArrayLike) -> Array:
        """Evaluate all B-splines; they add up to 1.

        Values beyond the bounds count as the nearest bound. Nothing is said about them here:
        ask `outside` first, to warn or refuse.

        Parameters
        ----------
        values : array-like of shape (n_scans,)
            The covariate, without missing values.

        Returns
        -------
        ndarray of shape (n_scans, n_functions)
            One column per B-spline.
        """
        basis = BSpline.design_matrix(self.clamped(values), self.knots, ORDER)
        return np.asarray(basis.toarray())

    def basis(self, values: ArrayLike) -> Array:
        """Design columns of the curve: the B-splines without their constant.

        Parameters
        ----------
        values : array-like of shape (n_scans,)
            The covariate, without missing values.

        Returns
        -------
        ndarray of shape (n_scans, n_functions - 1)
            Columns that span every curve whose B-spline coefficients sum to 0.
        """
        return np.asarray(self.raw_basis(values) @ _contrasts(self.n_functions))

    def columns(self, values: ArrayLike, groups: ArrayLike | None = None) -> Array:
        """Design columns of the term; 0 for scans of other levels if it has a level.

        Parameters
        ----------
        values : array-like of shape (n_scans,)
            The covariate, without missing values.
        groups : array-like of str, shape (n_scans,), optional
            The category named in `by`, needed if there is one.

        Returns
        -------
        ndarray of shape (n_scans, n_functions - 1)
            Design columns.

        Raises
        ------
        SmoothTermError
            If the term is for one level and `groups` is missing.

        Examples
        --------
        >>> women = Spline("age", 20, 80, by=("sex", "F"))
        >>> women.columns([30, 30], ["F", "M"]).any(axis=1)
        array([ True, False])
        """
        basis = self.basis(values)
        if self.by is None:
            return basis
        if groups is None:
            raise SmoothTermError(
                f"{self.label} needs the levels of '{self.by[0]}'. Pass them as groups.",
                covariate=self.by[0],
            )
        of_level = np.asarray(np.asarray(groups, dtype=object) == self.by[1], dtype=float)
        return np.asarray(basis * of_level[:, None])

    def penalty(self) -> Array:
        """Integrated squared second derivative, for the coefficients of `basis`.

        Exact: on each knot interval the integrand is a parabola.

        Returns
        -------
        ndarray of shape (n_functions - 1, n_functions - 1)
            Symmetric; 0 for a straight line.
        """
        nodes, weights = np.polynomial.legendre.leggauss(3)
        inner = self.knots[ORDER : self.n_functions + 1]
        half = np.diff(inner) / 2
        points = (inner[:-1] + half)[:, None] + half[:, None] * nodes
        curves = BSpline(self.knots, _contrasts(self.n_functions), ORDER)
        bending = curves.derivative(2)(points.ravel())
        weighted = bending * (half[:, None] * weights).reshape(-1, 1)
        return np.asarray(bending.T @ weighted)

    def to_json(self) -> dict[str, Any]:
        """Describe the term in plain types."""
        return {
            "name": self.name,
            "low": self.low,
            "high": self.high,
            "by": None if self.by is None else list(self.by),
            "n_functions": self.n_functions,
        }

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Spline:
        """Read back what `to_json` wrote.

        Parameters
        ----------
        facts : dict
            Name, bounds, level and number of functions.

        Returns
        -------
        Spline
            The same term.
        """
        by = None if facts["by"] is None else (str(facts["by"][0]), str(facts["by"][1]))
        low, high = float(facts["low"]), float(facts["high"])
        return cls(str(facts["name"]), low, high, by, int(facts["n_functions"]))


def require_smoothable(values: ArrayLike, name: str, n_functions: int = 10) -> None:
    """Refuse a curve of a covariate that takes too few values to show one.

    Parameters
    ----------
    values : array-like of shape (n_scans,)
        The covariate.
    name : str
        Its name.
    n_functions : int
        Number of B-splines.

    Raises
    ------
    SmoothTermError
        If there are fewer distinct values than B-splines.

    Examples
    --------
    >>> require_smoothable([0, 1, 1, 0], "diagnosis")
    Traceback (most recent call last):
    isoscan.errors.SmoothTermError: 'diagnosis' takes 2 distinct values in 4 scans; a smooth
    curve with 10 functions needs at least 10. Name it in preserve instead of smooth.
    """
    values = np.asarray(values, dtype=float)
    distinct = len(np.unique(values))
    if distinct < n_functions:
        raise SmoothTermError(
            f"'{name}' takes {count(distinct, 'distinct value')} in "
            f"{count(len(values), 'scan')}; a smooth curve with {n_functions} functions needs "
            f"at least {n_functions}. Name it in preserve instead of smooth.",
            covariate=name,
        )


def _contrasts(n_functions: int) -> Array:
    """Orthonormal columns, each of which sums to 0 (Helmert)."""
    steps = np.arange(1, n_functions)
    contrasts = np.triu(np.ones((n_functions, n_functions - 1)))
    contrasts[steps, steps - 1] = -steps
    return np.asarray(contrasts / np.sqrt(steps * (steps + 1.0)))
