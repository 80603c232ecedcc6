"""What a table of covariates must have before an effect can be estimated from it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.design.covariates import Covariate
from isoscan.errors import (
    ConstantTermError,
    MissingCovariateError,
    TooManyTermsError,
    count,
    name_some,
)


def require_covariates(table: pd.DataFrame | None, names: list[str]) -> pd.DataFrame:
    """Refuse a table that lacks a covariate.

    Parameters
    ----------
    table : DataFrame or None
        Covariates.
    names : list of str
        Those that are needed.

    Returns
    -------
    DataFrame
        The table.

    Raises
    ------
    MissingCovariateError
        Naming what is absent.
    """
    present: list[str] = [] if table is None else [str(name) for name in table.columns]
    absent = [name for name in names if name not in present]
    if absent or table is None:
        given = (
            f"The table has {name_some(present, 8)}." if present else "No covariates were given."
        )
        raise MissingCovariateError(
            f"{count(absent, 'covariate')} of the formula not found: {name_some(absent)}. {given}",
            covariates=absent,
        )
    return table


def refuse_constant_covariates(covariates: Mapping[str, Covariate], n_scans: int) -> None:
    """Refuse covariates that are the same for every scan.

    Parameters
    ----------
    covariates : mapping of {str: Covariate}
        Levels and ranges.
    n_scans : int
        Number of scans.

    Raises
    ------
    ConstantTermError
        Naming the covariate and its value.
    """
    for name, covariate in covariates.items():
        if covariate.levels is not None and len(covariate.levels) < 2:
            value: object = f"'{covariate.levels[0]}'"
        elif covariate.levels is None and covariate.low == covariate.high:
            value = f"{covariate.low:g}"
        else:
            continue
        raise ConstantTermError(
            f"'{name}' is {value} for all {count(n_scans, 'scan')}: its effect cannot be "
            f"estimated. Drop it from the formula.",
            covariate=name,
        )


def refuse_many_columns(names: tuple[str, ...], n_scans: int) -> None:
    """Refuse a formula with more columns than there are scans.

    Parameters
    ----------
    names : tuple of str
        Columns.
    n_scans : int
        Number of scans.

    Raises
    ------
    TooManyTermsError
        With both numbers.
    """
    if len(names) > n_scans:
        raise TooManyTermsError(
            f"{len(names)} columns for {count(n_scans, 'scan')}: nothing is left to measure the "
            f"noise. Is a continuous covariate declared a category?",
            columns=len(names),
            scans=n_scans,
        )


def refuse_constant_columns(names: tuple[str, ...], values: NDArray[np.float64]) -> None:
    """Refuse columns that are the same for every scan, but for the intercept.

    Parameters
    ----------
    names : tuple of str
        Columns; the first is the intercept.
    values : ndarray of shape (n_scans, n_columns)
        Their values.

    Raises
    ------
    ConstantTermError
        Naming the column and its value.
    """
    for name, column in zip(names[1:], values.T[1:], strict=True):
        if np.ptp(column) == 0:
            raise ConstantTermError(
                f"'{name}' is {column[0]:g} for every scan: its effect cannot be estimated. "
                f"Drop it from the formula.",
                covariate=name,
            )
