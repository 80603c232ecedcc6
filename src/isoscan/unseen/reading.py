"""Bring volumes, metrics and covariates of the same scans together, as one model sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.combat import ComBat
from isoscan.combat.inputs import match_features, require_numeric
from isoscan.errors import DataError
from isoscan.tables.align import align_rows, require_unique

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Residuals:
    """Measures of scans, and how they deviate from what is expected.

    Attributes
    ----------
    measures : DataFrame of shape (n_scans, n_features)
        As they are to be corrected; NaN where missing.
    values : ndarray of shape (n_scans, n_features)
        Measures minus expectation, in residual standard deviations.
    sd : ndarray of shape (n_features,)
        Residual standard deviation; 0 for features that do not vary.
    moved : ndarray of shape (n_scans, n_features)
        What taking out the covariates to be removed adds.
    """

    measures: pd.DataFrame
    values: Array
    sd: Array
    moved: Array

    @property
    def scaled(self) -> Array:
        """Measures in residual standard deviations; NaN where missing."""
        return np.asarray(self.measures.to_numpy(np.float64) / np.where(self.sd > 0, self.sd, 1.0))

    def corrected(self, corrections: Array) -> pd.DataFrame:
        """Add corrections to the measures.

        Parameters
        ----------
        corrections : ndarray of shape (n_scans, n_features)
            In residual standard deviations.

        Returns
        -------
        DataFrame of shape (n_scans, n_features)
            Corrected measures; NaN where missing.
        """
        return self.measures + (self.moved + corrections * self.sd)


def residuals_of(
    reference: ComBat, measures: pd.DataFrame, covariates: pd.DataFrame | None
) -> Residuals:
    """Compare measures with what a reference model expects.

    Parameters
    ----------
    reference : ComBat
        A fitted model.
    measures : DataFrame of shape (n_scans, n_features)
        Measures, columns as in the model.
    covariates : DataFrame or None
        Columns named in its formulas, one row per scan.

    Returns
    -------
    Residuals
        Deviations.
    """
    expected = reference.expect(covariates, len(measures))
    kept = expected
    if reference.model_.removed.any():
        kept = reference.expect(covariates, len(measures), kept=True)
    sd = reference.model_.sd
    varies = sd > 0
    values = np.where(
        varies, (measures.to_numpy(np.float64) - expected) / np.where(varies, sd, 1.0), 0.0
    )
    return Residuals(measures, values, sd, np.where(varies, kept - expected, 0.0))


def as_measures(volumes: Any, trained: list[str] | None = None) -> pd.DataFrame:
    """Refuse volumes without ids or with other features than in training.

    Parameters
    ----------
    volumes : DataFrame of shape (n_scans, n_features)
        Measures indexed by scan; NaN where missing.
    trained : list of str, optional
        Columns of training.

    Returns
    -------
    DataFrame
        Numbers, columns in the order of training.
    """
    if not isinstance(volumes, pd.DataFrame):
        raise DataError(
            f"volumes must be a DataFrame indexed by scan, got {type(volumes).__name__}: rows of "
            f"quality and covariates are matched by id."
        )
    known = None if trained is None else np.array(trained, dtype=object)
    table = pd.DataFrame(match_features(require_numeric(volumes), known))
    return table.set_axis(table.columns.astype(str), axis=1)


def rows_for(table: pd.DataFrame | None, scans: pd.Index) -> pd.DataFrame | None:
    """Covariates in the row order of the scans.

    Parameters
    ----------
    table : DataFrame or None
        Covariates, indexed by scan.
    scans : Index
        Ids, which may repeat if they are those of the table in the same order.

    Returns
    -------
    DataFrame or None
        One row per scan.
    """
    if table is None or table.index.equals(scans):
        return table
    require_unique(scans, "scans")
    return pd.DataFrame(align_rows(table, scans, extra="ignore"))
