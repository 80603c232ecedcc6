"""Covariates that enter as penalised curves: which, within which bounds, for which levels."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.design.covariates import Covariate, as_numbers
from isoscan.design.matrix import Design
from isoscan.design.requirements import require_covariates
from isoscan.design.splines import Spline, require_smoothable
from isoscan.errors import (
    ExtrapolationError,
    ExtrapolationWarning,
    SmoothTermError,
    count,
    name_some,
)

Array = NDArray[np.float64]
Bounds = Mapping[str, Sequence[float]] | Sequence[float] | None


@dataclass(frozen=True)
class SmoothDesign:
    """Columns of all curves, as a `Design` has columns of a formula.

    Attributes
    ----------
    splines : tuple of Spline
        One per curve, in the order of the columns.
    covariates : dict of {str: Covariate}
        Categories that have a curve per level.
    refuse_outside : bool
        Whether values beyond the bounds are refused; otherwise they count as the bound.
    """

    splines: tuple[Spline, ...] = ()
    covariates: dict[str, Covariate] = field(default_factory=dict)
    refuse_outside: bool = False

    @classmethod
    def fit(
        cls,
        smooth: Sequence[str] | str,
        table: pd.DataFrame | None,
        *,
        bounds: Bounds = None,
        outside: str = "clamp",
        beside: Design | None = None,
    ) -> SmoothDesign:
        """Learn bounds and levels.

        Parameters
        ----------
        smooth : sequence of str
            Names of continuous covariates; ``"age:sex"`` for a curve per level of sex.
        table : DataFrame of shape (n_scans, n_covariates) or None
            Covariates of the training scans.
        bounds : mapping of {str: (low, high)}, or (low, high) for a single covariate
            Where curves begin and end; by default the range of the training scans.
        outside : {"clamp", "error"}
            What to do with values beyond the bounds.
        beside : Design, optional
            The formula; a category with curves must be in it.

        Returns
        -------
        SmoothDesign
            The fitted curves' columns.

        Raises
        ------
        SmoothTermError
            If a covariate takes too few values, or bounds do not fit.

        Examples
        --------
        >>> people = pd.DataFrame({"age": np.linspace(20, 80, 30)})
        >>> SmoothDesign.fit(["age"], people).columns[:2]
        ('s(age).1', 's(age).2')
        """
        terms = [smooth] if isinstance(smooth, str) else list(smooth)
        if not terms:
            return cls()
        pairs = [tuple(part.strip() for part in term.partition(":")[::2]) for term in terms]
        table = require_covariates(table, [name for pair in pairs for name in pair if name])
        limits = _limits(bounds, [name for name, _ in pairs])
        known = {} if beside is None else beside.covariates
        _refuse_twice(pairs, known)
        categories = {by: _category(by, name, known) for name, by in pairs if by}
        splines: list[Spline] = []
        for name, by in pairs:
            levels = (categories[by].levels or ()) if by else (None,)
            values = as_numbers(table[name], name)
            low, high = limits.get(name, (float(values.min()), float(values.max())))
            for level in levels:
                of_level = values if level is None else values[table[by].astype(str) == level]
                require_smoothable(of_level, name if level is None else f"{name} ({by} {level})")
                splines.append(Spline(name, low, high, None if level is None else (by, level)))
        return cls(tuple(splines), categories, refuse_outside=outside == "error")

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the design columns."""
        return tuple(
            f"{spline.label}.{number + 1}"
            for spline in self.splines
            for number in range(spline.n_columns)
        )

    @property
    def terms(self) -> dict[str, list[int]]:
        """Positions of the columns of each curve."""
        return {
            spline.label: list(range(part.start, part.stop))
            for spline, part in zip(self.splines, self.parts, strict=True)
        }

    @property
    def parts(self) -> list[slice]:
        """Columns of each curve."""
        edges = np.cumsum([0, *(spline.n_columns for spline in self.splines)]).tolist()
        return [slice(*pair) for pair in pairwise(edges)]

    def matrix(
        self, table: pd.DataFrame | None, *, n_scans: int | None = None, check_range: bool = True
    ) -> NDArray[np.float64]:
        """Turn covariates into the columns of the curves.

        Parameters
        ----------
        table : DataFrame of shape (n_scans, n_covariates) or None
            Covariates; may have other columns too.
        n_scans : int, optional
            Number of rows if there is no curve and `table` is None.
        check_range : bool
            Look for values beyond the bounds.

        Returns
        -------
        ndarray of shape (n_scans, n_columns)
            Design columns.

        Raises
        ------
        ExtrapolationError
            If values lie beyond the bounds and that is refused.
        """
        if not self.splines:
            return np.empty((len(table) if table is not None else n_scans or 0, 0))
        names = [spline.name for spline in self.splines]
        table = require_covariates(table, [*names, *self.covariates])
        groups = {name: item.encode(table[name]) for name, item in self.covariates.items()}
        values = {name: as_numbers(table[name], name) for name in dict.fromkeys(names)}
        for spline in {spline.name: spline for spline in self.splines}.values():
            self._look_outside(spline, values[spline.name])
        return np.hstack(
            [
                spline.columns(values[spline.name], groups[spline.by[0]] if spline.by else None)
                for spline in self.splines
            ]
        )

    def lines(self, table: pd.DataFrame | None, n_scans: int) -> tuple[Design, Array]:
        """Straight line of each curve: what must be told apart from site and other terms.

        Parameters
        ----------
        table : DataFrame or None
            Covariates.
        n_scans : int
            Number of rows if there is no curve.

        Returns
        -------
        design : Design
            One term per curve; its formula is not meant to be evaluated.
        matrix : ndarray of shape (n_scans, n_curves)
            Its columns.
        """
        if not self.splines or table is None:
            return Design(), np.empty((n_scans, 0))
        labels = tuple(spline.label for spline in self.splines)
        columns = [
            np.where(
                True if spline.by is None else table[spline.by[0]].astype(str) == spline.by[1],
                spline.clamped(as_numbers(table[spline.name], spline.name)),
                0.0,
            )
            for spline in self.splines
        ]
        terms = {label: [number] for number, label in enumerate(labels)}
        return Design(columns=labels, terms=terms), np.column_stack(columns)

    def as_design(self) -> Design:
        """Columns and terms as a design; its formula is not meant to be evaluated."""
        return Design(columns=self.columns, terms=self.terms, covariates=self.covariates)

    def _look_outside(self, spline: Spline, values: pd.Series[Any]) -> None:
        outside = spline.outside(values)
        if not outside.any():
            return
        what = (
            f"'{spline.name}' of {count(int(outside.sum()), 'scan')} lies beyond the bounds of "
            f"its curve, {spline.low:g} to {spline.high:g}: {name_some(values.index[outside])}."
        )
        if self.refuse_outside:
            raise ExtrapolationError(
                f'{what} Leave them out, widen smooth_bounds, or pass smooth_outside="clamp".',
                covariate=spline.name,
                rows=list(values.index[outside]),
            )
        warnings.warn(
            f"{what} They are expected to be as at the bound.", ExtrapolationWarning, stacklevel=5
        )

    def to_json(self) -> dict[str, Any]:
        """Describe the curves' columns in plain types.

        Returns
        -------
        dict
            What `from_json` needs.
        """
        return {
            "splines": [spline.to_json() for spline in self.splines],
            "covariates": {name: item.to_json() for name, item in self.covariates.items()},
            "refuse_outside": self.refuse_outside,
        }

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> SmoothDesign:
        """Read back what `to_json` wrote.

        Parameters
        ----------
        facts : dict
            Plain description.

        Returns
        -------
        SmoothDesign
            The same columns.
        """
        return cls(
            tuple(Spline.from_json(item) for item in facts["splines"]),
            {name: Covariate.from_json(name, item) for name, item in facts["covariates"].items()},
            bool(facts["refuse_outside"]),
        )


def _limits(bounds: Bounds, names: list[str]) -> dict[str, tuple[float, float]]:
    if bounds is None:
        return {}
    if not isinstance(bounds, Mapping):
        if len(set(names)) > 1:
            raise SmoothTermError(
                f"smooth_bounds of {count(len(set(names)), 'covariate')} must be named, such as "
                f"{{'{names[0]}': (20, 80)}}."
            )
        bounds = {names[0]: bounds}
    unknown = sorted(set(bounds) - set(names))
    if unknown:
        raise SmoothTermError(
            f"smooth_bounds names {name_some(unknown)}, which is not in smooth: {name_some(names)}."
        )
    for name, pair in bounds.items():
        if len(pair) != 2:
            raise SmoothTermError(f"smooth_bounds of '{name}' must be a pair: lowest, highest.")
    return {name: (float(pair[0]), float(pair[1])) for name, pair in bounds.items()}


def _refuse_twice(pairs: list[tuple[str, ...]], known: Mapping[str, Covariate]) -> None:
    """A curve holds the straight line already."""
    twice = sorted({name for name, _ in pairs if name in known and known[name].levels is None})
    if twice:
        raise SmoothTermError(
            f"{name_some(twice)} is in preserve and in smooth; a curve includes the straight "
            f"line. Drop it from preserve.",
            covariates=twice,
        )


def _category(by: str, name: str, known: Mapping[str, Covariate]) -> Covariate:
    """The category as the formula knows it: a curve has no level of its own."""
    if by not in known or known[by].levels is None:
        raise SmoothTermError(
            f"smooth='{name}:{by}' needs the level of each {by} too: add C({by}) to preserve.",
            covariate=by,
        )
    return known[by]
