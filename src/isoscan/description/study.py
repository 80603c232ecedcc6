"""Bring measures, sites and covariates together, by identifier, before anything is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from isoscan.errors import (
    DuplicateIdsError,
    NotNumericError,
    TooFewScansError,
    UnmatchedRowsError,
    count,
    name_some,
)
from isoscan.labels import as_labels
from isoscan.tables.align import align_rows, require_unique


@dataclass(frozen=True)
class Study:
    """Measures, sites and covariates of the same scans in the same order.

    Attributes
    ----------
    values : ndarray of shape (n_scans, n_features)
        Measures; NaN where missing or infinite.
    infinite : ndarray of bool, shape (n_scans, n_features)
        Where the measures were infinite.
    scans : list of str
        Identifiers of the rows.
    features : list of str
        Names of the columns.
    sites : ndarray of str objects, shape (n_scans,)
        Site labels.
    covariates : DataFrame of shape (n_scans, n_covariates)
        Covariates as given, in the order of the scans, indexed by scan.
    """

    values: NDArray[np.float64]
    infinite: NDArray[np.bool_]
    scans: list[str]
    features: list[str]
    sites: NDArray[np.object_]
    covariates: pd.DataFrame

    @property
    def covariate_names(self) -> list[str]:
        """Names of the covariates, in the order given."""
        return [str(name) for name in self.covariates.columns]

    @cached_property
    def rows_of(self) -> dict[str, NDArray[np.intp]]:
        """Row numbers of each site, sites in sorted order."""
        return {site: np.flatnonzero(self.sites == site) for site in sorted(set(self.sites))}


def gather_study(
    X: pd.DataFrame | ArrayLike,
    sites: pd.Series[Any] | Iterable[Any],
    covariates: pd.DataFrame | None,
) -> Study:
    """Match measures, sites and covariates by identifier.

    Parameters
    ----------
    X : DataFrame or array of shape (n_scans, n_features)
        Measures.
    sites : Series or array of shape (n_scans,)
        Site of each scan.
    covariates : DataFrame of shape (n_scans, n_covariates) or None
        Covariates of each scan.

    Returns
    -------
    Study
        Everything in the row order of `X`.

    Raises
    ------
    UnmatchedRowsError
        If scans lack a site or covariates, or lengths differ.
    DuplicateIdsError
        If scans, features or covariates share a name.
    TooFewScansError
        If there are none.
    NotNumericError
        If a feature is not numeric.

    Examples
    --------
    >>> study = gather_study([[2.5, 3.1], [2.4, 3.0]], sites=["A", "B"], covariates=None)
    >>> study.features, list(study.rows_of)
    (['feature0', 'feature1'], ['A', 'B'])
    """
    raw, features = _measures(X)
    _refuse_empty(raw)
    _refuse_repeated(features, "features")
    _refuse_transposed(raw, sites)
    index = _identifiers(len(raw), X, sites, covariates)
    labels = as_labels(_in_order(sites, index, "sites"))
    table = pd.DataFrame(index=index) if covariates is None else covariates
    table = _in_order(table, index, "covariates")
    _refuse_repeated([str(name) for name in table.columns], "covariates")
    infinite = np.isinf(raw)
    return Study(
        values=np.where(infinite, np.nan, raw),
        infinite=infinite,
        scans=[str(scan) for scan in index],
        features=features,
        sites=labels,
        covariates=table.set_axis([str(name) for name in table.columns], axis=1),
    )


def _measures(X: pd.DataFrame | ArrayLike) -> tuple[NDArray[np.float64], list[str]]:
    if isinstance(X, pd.DataFrame):
        columns = [_numbers(X.iloc[:, position]) for position in range(X.shape[1])]
        values = np.column_stack(columns) if columns else np.empty((len(X), 0))
        return values, [str(name) for name in X.columns]
    values = np.asarray(X, dtype=np.float64)
    if values.ndim != 2:
        raise UnmatchedRowsError(
            f"measures have {count(values.ndim, 'dimension')}; they need two: scans in rows, "
            f"features in columns.",
        )
    return values, [f"feature{position}" for position in range(values.shape[1])]


def _refuse_empty(values: NDArray[np.float64]) -> None:
    if not len(values):
        raise TooFewScansError("there are no scans to describe. Was every row filtered out?")


def _refuse_repeated(names: list[str], what: str) -> None:
    repeated = sorted({name for name, n in Counter(names).items() if n > 1})
    if repeated:
        raise DuplicateIdsError(
            f"{len(repeated)} of {count(set(names), 'name')} of {what} occur more than once: "
            f"{name_some(repeated)}. Rename or drop the repeated columns.",
            names=repeated,
        )


def _refuse_transposed(values: NDArray[np.float64], sites: Any) -> None:
    n_rows, n_columns = values.shape
    n_sites = len(sites) if hasattr(sites, "__len__") else n_rows
    if 1 < n_sites == n_columns != n_rows:
        raise UnmatchedRowsError(
            f"the measures have {count(n_rows, 'row')} and {count(n_columns, 'column')}, and there "
            f"are {n_sites} site labels: are the measures transposed? Scans belong in rows."
        )


def _numbers(column: pd.Series[Any]) -> NDArray[np.float64]:
    numbers = pd.to_numeric(column, errors="coerce")
    wrong = numbers.isna() & column.notna()
    if wrong.any():
        raise NotNumericError(
            f"feature '{column.name}' has {count(int(wrong.sum()), 'value')} that are not numbers, "
            f"e.g. '{column[wrong].iloc[0]}' (scan '{column.index[wrong][0]}'). "
            f"Correct them, or leave the column out of the features.",
            feature=column.name,
            rows=list(column.index[wrong]),
        )
    return np.asarray(numbers.to_numpy(dtype=np.float64, na_value=np.nan))


def _identifiers(n_scans: int, *tables: Any) -> pd.Index[Any]:
    """Take the ids from the first table that has any; otherwise number the rows."""
    for table in tables:
        if isinstance(table, pd.DataFrame | pd.Series):
            if len(table) != n_scans and table is not tables[0]:
                break
            require_unique(table.index, "scans")
            return table.index
    return pd.RangeIndex(n_scans)


def _in_order(table: Any, index: pd.Index[Any], what: str) -> Any:
    if isinstance(table, pd.DataFrame | pd.Series):
        return align_rows(table, index, what=what)
    values = list(table)
    if len(values) != len(index):
        raise UnmatchedRowsError(
            f"{len(values)} {what} for {count(len(index), 'scan')}: arrays are matched by "
            f"position, so the numbers must agree. Pass a Series to match by id.",
        )
    return pd.Series(values, index=index)


def name_scans(study: Study, rows: Iterable[Any], limit: int = 5) -> str:
    """Quote the scans of some rows, sorted, the first few by name.

    Parameters
    ----------
    study : Study
        The scans.
    rows : iterable of int
        Row numbers.
    limit : int
        How many to spell out.

    Returns
    -------
    str
        Names and the number of others.
    """
    return name_some(sorted(study.scans[row] for row in rows), limit)
