"""One question to one cohort: measures, sites and the contrast, row by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from isoscan.combat.inputs import match_rows, require_numeric
from isoscan.errors import DataError, InfiniteValuesError
from isoscan.labels import warn_of_lookalikes
from isoscan.pooling.contrast import Contrast, complete_rows, resolve_contrast

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Question:
    """What is asked, and the scans that can answer.

    Attributes
    ----------
    values : ndarray of shape (n_rows, n_features)
        Measures; NaN where missing.
    sites : ndarray of str, shape (n_rows,)
        Site labels.
    features : tuple of str
        Columns.
    people : DataFrame of shape (n_rows, n_covariates)
        Covariates; the two groups of the contrast are 0 and 1.
    asked : Contrast
        Design columns.
    incomplete : dict of {(str, str): int}
        Scans left out, by site and the covariate they lack.
    """

    values: Numbers
    sites: NDArray[np.object_]
    features: tuple[str, ...]
    people: pd.DataFrame
    asked: Contrast
    incomplete: dict[tuple[str, str], int]


def read_question(
    measures: pd.DataFrame | ArrayLike,
    *,
    sites: pd.Series[Any] | ArrayLike,
    covariates: pd.DataFrame,
    contrast: str,
    adjust: str | None,
    groups: tuple[str, str] | None,
    drop_incomplete: bool,
) -> Question:
    """Match rows, choose the scans, and turn the contrast into columns.

    Parameters
    ----------
    measures : DataFrame or array of shape (n_scans, n_features)
        Measures; NaN where a scan lacks one.
    sites : Series or sequence of shape (n_scans,)
        Site labels, matched by index.
    covariates : DataFrame of shape (n_scans, n_covariates)
        Covariates, matched by index.
    contrast : str
        What to test.
    adjust : str or None
        Formula of the covariates to adjust for.
    groups : tuple of (str, str) or None
        Reference and compared group.
    drop_incomplete : bool
        Leave out scans that lack a covariate.

    Returns
    -------
    Question
        Ready for regressions.

    Raises
    ------
    DataError
        If there are no covariates, or measures are no table of finite numbers.
    """
    values, index, features = _measures(measures)
    labels, people = match_rows(measures, sites, covariates)
    if people is None:
        raise DataError("covariates are needed: they hold the contrast.")
    people = people.set_axis(index, axis=0)
    warn_of_lookalikes(labels)
    incomplete: dict[tuple[str, str], int] = {}
    if drop_incomplete:
        complete, missing = complete_rows(contrast, adjust, people)
        for name, scans in missing.items():
            for site in pd.unique(labels[scans]):
                incomplete[str(site), name] = int(scans[labels == site].sum())
        values, labels, people = values[complete], labels[complete], people[complete]
    asked = resolve_contrast(contrast, adjust, groups, people)
    people = people[asked.rows]
    if asked.groups is not None:
        people = people.assign(**{asked.name: asked.column})
    return Question(values[asked.rows], labels[asked.rows], features, people, asked, incomplete)


def _measures(measures: Any) -> tuple[Numbers, pd.Index[Any], tuple[str, ...]]:
    measures = require_numeric(measures)
    values = np.asarray(measures, dtype=float)
    if values.ndim != 2:
        raise DataError(f"measures must be scans x features, got {values.ndim} dimensions.")
    if isinstance(measures, pd.DataFrame):
        index, features = measures.index, tuple(str(name) for name in measures.columns)
    else:
        index = pd.RangeIndex(len(values))
        features = tuple(f"feature {column + 1}" for column in range(values.shape[1]))
    if np.isinf(values).any():
        row, column = np.argwhere(np.isinf(values))[0]
        raise InfiniteValuesError(
            f"feature '{features[column]}' is infinite (scan '{index[row]}'). Correct it, or "
            f"mark it as missing (NaN).",
            feature=features[column],
        )
    return values, index, features
