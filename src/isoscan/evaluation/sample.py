"""Bring measures, sites and covariates of the same scans together, ready to be tested."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from isoscan.combat.inputs import match_features, match_rows, require_numeric
from isoscan.design import Design
from isoscan.errors import DataError, TooFewSitesError
from isoscan.evaluation.people import one_of_each, people_of
from isoscan.evaluation.regression import Regression, regress
from isoscan.evaluation.visit_regression import VisitRegression, regress_visits
from isoscan.tables.align import align_rows, require_unique

Table = pd.DataFrame | ArrayLike
"""Measures: a frame matched by index, or an array matched by position."""


@dataclass(frozen=True)
class Sample:
    """One table of measures with sites and design columns in the same row order.

    Attributes
    ----------
    values : ndarray of shape (n_scans, n_features)
        Measures; NaN where missing or infinite.
    n_infinite : int
        How many values were infinite.
    features : list of str
        Names of the columns.
    codes : ndarray of int, shape (n_scans,)
        Position of each scan's site in `sites`.
    sites : list of str
        Sorted site names.
    design : ndarray of shape (n_scans, n_columns)
        Design columns of the preserved covariates, without an intercept.
    terms : tuple of str
        Names of the design columns.
    covariates : DataFrame or None
        Covariates as given, in the same row order.
    subjects : ndarray of shape (n_scans,) or None
        Person of each scan, where people were scanned more than once.
    """

    values: NDArray[np.float64]
    n_infinite: int
    features: list[str]
    codes: NDArray[np.intp]
    sites: list[str]
    design: NDArray[np.float64]
    terms: tuple[str, ...]
    covariates: pd.DataFrame | None = None
    subjects: NDArray[Any] | None = None

    @cached_property
    def regression(self) -> Regression:
        """Measures regressed on site and covariates."""
        return regress(self.values, self.codes, self.design)

    @cached_property
    def visits(self) -> VisitRegression:
        """Measures regressed on site, covariates and people."""
        if self.subjects is None:
            raise DataError("nobody knows whose scans these are. Pass subject.")
        known = ~np.isnan(self.regression.slopes)
        return regress_visits(self.values, self.codes, self.design, self.subjects, known)

    @cached_property
    def adjusted(self) -> NDArray[np.float64]:
        """Measures without the effect of covariates; site is still in them.

        Of people who were scanned more than once only one scan: the others are not
        independent of it.
        """
        if self.subjects is not None:
            alone = one_of_each(self.subjects, self.codes)
            return np.where(alone[:, None], self.visits.adjusted, np.nan)
        adjusted = self.values - self.design @ self.regression.coefficients
        return np.where(self.regression.varies, adjusted, np.nan)

    @property
    def scans_per_site(self) -> dict[str, int]:
        """Number of scans of each site."""
        counts = np.bincount(self.codes, minlength=len(self.sites))
        return dict(zip(self.sites, map(int, counts), strict=True))


def gather_sample(
    X: Table,
    sites: Any,
    covariates: pd.DataFrame | None = None,
    preserve: str | None = None,
    subject: str | None = None,
) -> Sample:
    """Match measures, sites and covariates: frames by index, arrays by position.

    Parameters
    ----------
    X : DataFrame or array of shape (n_scans, n_features)
        Measures; NaN where missing.
    sites : Series or sequence of shape (n_scans,)
        Site of each scan.
    covariates : DataFrame, optional
        Covariates named in `preserve`.
    preserve : str, optional
        Formula of the covariates to adjust for.
    subject : str, optional
        Covariate that says who was scanned.

    Returns
    -------
    Sample
        Everything in the row order of `X`.

    Raises
    ------
    DataError
        If rows do not match, names are repeated, or a value is not a number.

    Examples
    --------
    >>> sample = gather_sample([[2.5], [2.4], [2.6]], sites=["B", "A", "B"])
    >>> sample.scans_per_site, sample.features
    ({'A': 1, 'B': 2}, ['feature0'])
    """
    X = require_numeric(X)
    values = _as_matrix(X)
    labels, covariates = match_rows(X if isinstance(X, pd.DataFrame) else values, sites, covariates)
    names, codes = np.unique(labels.astype(str), return_inverse=True)
    design = Design.fit(preserve, covariates)
    infinite = np.isinf(values)
    return Sample(
        values=np.where(infinite, np.nan, values),
        n_infinite=int(infinite.sum()),
        features=_feature_names(X, values.shape[1]),
        codes=np.asarray(codes).reshape(-1),
        sites=[str(name) for name in names],
        design=design.matrix(covariates, n_scans=len(values)),
        terms=design.columns,
        covariates=covariates,
        subjects=None if subject is None else people_of(covariates, subject),
    )


def gather_pair(
    before: Table,
    after: Table,
    sites: Any,
    covariates: pd.DataFrame | None = None,
    preserve: str | None = None,
    subject: str | None = None,
) -> tuple[Sample, Sample]:
    """Match two tables of the same scans and features, by name where they have names.

    Parameters
    ----------
    before, after : DataFrame or array of shape (n_scans, n_features)
        Measures before and after harmonization.
    sites : Series or sequence of shape (n_scans,)
        Site of each scan.
    covariates : DataFrame, optional
        Covariates named in `preserve`.
    preserve : str, optional
        Formula of the covariates to adjust for.
    subject : str, optional
        Covariate that says who was scanned.

    Returns
    -------
    before, after : Sample
        Same rows, same columns.

    Raises
    ------
    DataError
        If scans or features of one table are not in the other.
    """
    first = gather_sample(before, sites, covariates, preserve, subject)
    if isinstance(before, pd.DataFrame) and isinstance(after, pd.DataFrame):
        after = align_rows(after, before.index, what="harmonized measures")
        after = match_features(after, np.array(first.features, dtype=object))
    values = _as_matrix(require_numeric(after))
    if values.shape != first.values.shape:
        raise DataError(
            f"before has {_shape(first.values)}, after has {_shape(values)}. Compare tables of the "
            f"same scans and features; frames with ids are matched by name."
        )
    infinite = np.isinf(values)
    second = replace(
        first, values=np.where(infinite, np.nan, values), n_infinite=int(infinite.sum())
    )
    return first, second


def require_sites(sample: Sample) -> None:
    """Refuse a sample in which there is nothing to compare.

    Parameters
    ----------
    sample : Sample
        The scans.

    Raises
    ------
    TooFewSitesError
        If all scans come from one site.
    """
    if len(sample.sites) < 2:
        raise TooFewSitesError(
            f"all {len(sample.codes)} scans come from one site, '{''.join(sample.sites)}': there "
            f"are no sites to compare. Pass the scans of at least two sites.",
            sites=sample.sites,
        )


def _as_matrix(X: Table) -> NDArray[np.float64]:
    values = np.array(X, dtype=np.float64)
    if values.ndim != 2 or not values.size:
        raise DataError(
            f"measures have shape {values.shape}; they need scans in rows and features in columns, "
            f"at least one of each."
        )
    return values


def _feature_names(X: Table, n_features: int) -> list[str]:
    if not isinstance(X, pd.DataFrame):
        return [f"feature{position}" for position in range(n_features)]
    require_unique(X.columns.astype(str), "features")
    return [str(name) for name in X.columns]


def _shape(values: NDArray[np.float64]) -> str:
    return f"{values.shape[0]} scans and {values.shape[1]} features"
