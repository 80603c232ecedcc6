"""Bring measures, sites and covariates together: frames by index, arrays by position."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.combat.batches import as_batches, cell_labels
from isoscan.errors import (
    DataError,
    FeatureMismatchError,
    InfiniteValuesError,
    NotNumericError,
    SiteLabelError,
    count,
    name_some,
)
from isoscan.labels import as_labels
from isoscan.tables.align import align_rows, require_unique


def match_rows(
    X: Any, sites: Any, covariates: pd.DataFrame | None
) -> tuple[NDArray[np.object_], pd.DataFrame | None]:
    """Bring site labels and covariates into the row order of the measures.

    A frame may know more people than were measured here; only those are looked up.

    Parameters
    ----------
    X : DataFrame or array of shape (n_scans, n_features)
        Measures.
    sites : Series or sequence of shape (n_scans,)
        Site labels.
    covariates : DataFrame of shape (n_scans, n_covariates) or None
        Covariates.

    Returns
    -------
    sites : ndarray of str objects
        Labels in the order of `X`.
    covariates : DataFrame or None
        Covariates in the order of `X`.

    Raises
    ------
    DataError
        If lengths differ, ids do not match, or a label is missing.
    """
    if covariates is not None and not isinstance(covariates, pd.DataFrame):
        raise DataError(
            f"covariates must be a DataFrame with named columns, got {type(covariates).__name__}."
        )
    if isinstance(X, pd.DataFrame):
        require_unique(X.index, "measures")
    labels = _in_row_order(_require_sites(sites), X, "sites")
    covariates = None if covariates is None else _in_row_order(covariates, X, "covariates")
    return as_labels(labels), covariates


def match_batches(X: Any, sites: Any) -> tuple[pd.DataFrame | None, Any]:
    """Bring several batch variables into the row order of the measures.

    Parameters
    ----------
    X : DataFrame or array of shape (n_scans, n_features)
        Measures.
    sites : DataFrame, Series or sequence
        A frame of several columns stands for several batch variables.

    Returns
    -------
    batches : DataFrame or None
        Text labels in the order of `X`; None for a single variable.
    sites : Series or sequence
        One label per scan, naming the combination of levels.
    """
    if isinstance(sites, pd.DataFrame) and sites.shape[1] == 1:
        return None, sites.iloc[:, 0]
    batches = as_batches(sites)
    if batches is None:
        return None, sites
    batches = _in_row_order(batches, X, "sites")
    return batches, cell_labels(batches)


def _require_sites(sites: Any) -> Any:
    if sites is None:
        raise SiteLabelError("sites are needed: one label per scan, fit(X, sites=...).")
    if isinstance(sites, str) or np.ndim(sites) != 1:
        raise SiteLabelError(
            "sites must be one label per scan, as a Series, list or 1-D array. (Several batch "
            "variables, as columns of a frame, are for ComBat and StepwiseComBat.)"
        )
    return sites


def _in_row_order(other: Any, X: Any, what: str) -> Any:
    """Match two frames by index; anything without an index by position."""
    indexed = isinstance(other, pd.Series | pd.DataFrame)
    if isinstance(X, pd.DataFrame) and indexed:
        return align_rows(other, X.index, what=what, extra="ignore")
    n_scans, n_features = _shape(X)
    if len(other) != n_scans:
        hint = (
            f" X has {n_features} columns: is it transposed? Rows are scans."
            if len(other) == n_features
            else ""
        )
        raise DataError(f"{what} has {len(other)} rows, X has {n_scans}.{hint}")
    if isinstance(X, pd.DataFrame):
        dtype = object if isinstance(other, list | tuple) else None
        return pd.Series(other, index=X.index, dtype=dtype)
    return other


def _shape(X: Any) -> tuple[int, int]:
    shape = X.shape if hasattr(X, "shape") else np.asarray(X).shape
    return (shape[0], shape[1]) if len(shape) == 2 else (shape[0] if shape else 0, 0)


def require_numeric(X: Any) -> Any:
    """Turn columns of text that spells numbers into numbers; name those that cannot be.

    Parameters
    ----------
    X : DataFrame or array
        Measures.

    Returns
    -------
    DataFrame or array
        The same, with numeric columns.

    Raises
    ------
    NotNumericError
        If a column holds something else.
    """
    if not isinstance(X, pd.DataFrame):
        return X
    require_unique(X.columns, "features")
    kinds = X.dtypes.map(lambda dtype: getattr(dtype, "kind", "O"))
    text = [str(column) for column in X.columns[~kinds.isin(list("fiub"))]]
    if not text:
        return X
    numbers = {column: pd.to_numeric(X[column], errors="coerce") for column in text}
    for column, values in numbers.items():
        wrong = values.isna() & X[column].notna()
        if wrong.any():
            raise NotNumericError(
                f"feature '{column}' is not numeric: {count(int(wrong.sum()), 'value')} such as "
                f"'{X.loc[wrong, column].iloc[0]}' (scan {X.index[wrong][0]}). "
                f"Leave the column out, or correct it.",
                feature=column,
            )
    return X.assign(**numbers)


def match_features(X: Any, trained: NDArray[np.object_] | None) -> Any:
    """Bring the columns of a frame into the order of training, by name.

    Parameters
    ----------
    X : DataFrame or array
        Measures.
    trained : ndarray of str or None
        Features of the model; None if it was trained on an array.

    Returns
    -------
    DataFrame or array
        The columns in training order.

    Raises
    ------
    FeatureMismatchError
        If columns are absent or unknown.
    """
    if trained is None or not isinstance(X, pd.DataFrame):
        return X
    columns = pd.Index(X.columns.astype(str))
    if columns.equals(pd.Index(trained)):
        return X
    absent = [name for name in trained if name not in columns]
    unknown = [name for name in columns if name not in set(trained)]
    if absent or unknown:
        parts = [
            f"{len(names)} {what}: {name_some(names)}"
            for names, what in ((absent, "absent"), (unknown, "unknown to the model"))
            if names
        ]
        raise FeatureMismatchError(
            "the feature names should match those that were passed during fit; "
            f"{'; '.join(parts)}. The order does not matter.",
            absent=absent,
            unknown=unknown,
        )
    return X[list(trained)]


@contextmanager
def infinities_named(
    index: pd.Index[Any] | None, names: Callable[[NDArray[Any]], list[str]]
) -> Iterator[None]:
    """Put names to the position of an infinity found inside the block.

    Parameters
    ----------
    index : Index or None
        Names of the scans.
    names : callable
        Gives the names of features by number.

    Yields
    ------
    None
        Control to the block.

    Raises
    ------
    InfiniteValuesError
        Naming scan and feature.
    """
    try:
        yield
    except InfiniteValuesError as error:
        scan = "" if index is None else f"scan '{index[error.row]}', "
        feature = names(np.array([error.column]))[0]
        raise InfiniteValuesError(
            f"feature '{feature}' is infinite ({scan}row {error.row + 1}). Correct it, or mark "
            f"it as missing (NaN).",
            feature=feature,
            row=error.row,
        ) from None
