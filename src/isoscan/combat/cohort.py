"""Measures, sites and covariates of the same scans, brought together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


@dataclass(frozen=True)
class Cohort:
    """Measures, sites and covariates of the same scans, in the same order.

    Attributes
    ----------
    table : ndarray of shape (n_scans, n_features)
        Measures, in the order of the model's features.
    sites : ndarray of str objects, shape (n_scans,)
        Site labels.
    covariates : DataFrame or None
        Covariates.
    index : Index or None
        Names of the scans.
    batches : DataFrame of shape (n_scans, n_variables) or None
        Text labels of several batch variables; `sites` then names their combinations.
    """

    table: NDArray[Any]
    sites: NDArray[np.object_]
    covariates: pd.DataFrame | None
    index: pd.Index[Any] | None
    batches: pd.DataFrame | None = None

    def at(self, rows: NDArray[Any]) -> Cohort:
        """Some of the scans.

        Parameters
        ----------
        rows : ndarray of int or bool
            Which scans.

        Returns
        -------
        Cohort
            Only these.
        """
        return Cohort(
            self.table[rows],
            self.sites[rows],
            None if self.covariates is None else self.covariates.iloc[rows],
            None if self.index is None else self.index[rows],
            None if self.batches is None else self.batches.iloc[rows],
        )
