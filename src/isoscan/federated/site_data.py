"""The tables of one site, brought together as the study asks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.combat.base import SiteHarmonizer
from isoscan.combat.cohort import Cohort
from isoscan.combat.inputs import infinities_named
from isoscan.combat.moments import Moments, Scans, collect
from isoscan.errors import (
    DataError,
    ExtrapolationError,
    FeatureMismatchError,
    MissingValuesError,
    count,
    name_some,
)
from isoscan.federated.study import Study


def read_site(
    X: pd.DataFrame, study: Study, sites: Any, covariates: Any, people: Any
) -> tuple[Cohort, NDArray[np.object_], int]:
    """Bring the tables of a site together, as the study asks.

    Parameters
    ----------
    X : DataFrame of shape (n_scans, n_features)
        Measures.
    study : Study
        What was agreed upon.
    sites : Series or sequence of shape (n_scans,)
        Batch of each scan.
    covariates : DataFrame of shape (n_scans, n_covariates) or None
        Columns named in the study.
    people : sequence of shape (n_scans,) or None
        Whose scan each row is.

    Returns
    -------
    cohort : Cohort
        Scans that take part.
    names : ndarray of shape (n_scans,)
        Whose scans they are.
    left_out : int
        Number of scans that do not.
    """
    if not isinstance(X, pd.DataFrame):
        raise DataError("measures must be a frame whose index names the scans.")
    features = list(study.features)
    absent = [name for name in features if name not in X.columns]
    if absent:
        raise FeatureMismatchError(
            f"{count(absent, 'feature')} of the study not found: {name_some(absent)}.",
            absent=absent,
        )
    names = np.asarray(X.index if people is None else people, dtype=object)
    if isinstance(people, pd.Series):
        names = people.reindex(X.index).to_numpy(dtype=object)
    if len(names) != len(X) or pd.isna(names).any():
        raise DataError(f"people must be named for all {count(len(X), 'scan')}.")
    cohort = study.estimator()._read(X[features], sites, covariates, reset=False)
    incomplete = np.isnan(cohort.table).any(axis=1)
    if study.missing != "pattern" and incomplete.any():
        if study.missing == "error":
            raise MissingValuesError(
                f"{count(int(incomplete.sum()), 'scan')} with missing measures: "
                f"{name_some(X.index[incomplete])}. The study asks for complete scans: fill in, "
                f"or leave them out."
            )
        cohort, names = cohort.at(~incomplete), names[~incomplete]
    if not len(names):
        raise DataError("no scan is left: every one lacks a measure.")
    _require_range(cohort, study)
    return cohort, names, int(len(X) - len(names))


def site_moments(model: SiteHarmonizer, cohort: Cohort, scans: Scans) -> Moments:
    """Moments of all measures of a site; infinities are named.

    Parameters
    ----------
    model : SiteHarmonizer
        Knows the names of the features.
    cohort : Cohort
        Scans.
    scans : Scans
        The same, grouped by batch.

    Returns
    -------
    Moments
        One set per batch.
    """
    with infinities_named(cohort.index, model._names):
        return collect(cohort.table, scans)


def _require_range(cohort: Cohort, study: Study) -> None:
    """A number beyond what was agreed upon is a mistake, or another unit."""
    if cohort.covariates is None:
        return
    numeric = {
        name: item
        for name, item in study.design.covariates.items()
        if item.levels is None and name in cohort.covariates
    }
    for name, item in numeric.items():
        values = item.encode(cohort.covariates[name])
        outside = item.outside_range(values)
        if outside.any():
            raise ExtrapolationError(
                f"'{name}' of {count(int(outside.sum()), 'scan')} lies outside {item.low:g} to "
                f"{item.high:g}, which the study allows: {name_some(values.index[outside])}. "
                f"Another unit? Correct it, or leave these scans out.",
                covariate=name,
            )
