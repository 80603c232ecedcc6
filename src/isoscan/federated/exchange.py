"""The whole exchange on one table, beside the fit of the pooled table: demo and test in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import pandas as pd

from isoscan.combat import ComBat
from isoscan.design.covariates import Covariate, learn_covariate
from isoscan.errors import MissingCovariateError, UnmatchedRowsError, name_some
from isoscan.federated.at_centre import combine
from isoscan.federated.at_site import summarize
from isoscan.federated.study import Study, read_study
from isoscan.federated.sums import Coefficients, finish, read_coefficients


@dataclass(frozen=True)
class Exchange:
    """What came of a simulated exchange.

    Attributes
    ----------
    differences : Series
        Largest difference between federated and pooled harmonized values of each feature, in
        the feature's SDs.
    messages : dict of {str: int}
        Bytes that each location sent.
    model : ComBat or None
        The federated model; None in sums mode, where every location has its own.
    """

    differences: pd.Series[float]
    messages: dict[str, int]
    model: ComBat | None

    @property
    def largest(self) -> float:
        """Largest difference over all features."""
        return float(self.differences.max())


def agreed_covariates(
    table: pd.DataFrame, names: Sequence[str], categories: Sequence[str] = ()
) -> dict[str, Covariate]:
    """Levels and rounded ranges of covariates, where the centre has a table to take them from.

    Parameters
    ----------
    table : DataFrame of shape (n_scans, n_covariates)
        Covariates.
    names : sequence of str
        Those to agree upon.
    categories : sequence of str
        Those that are categories although they hold numbers.

    Returns
    -------
    dict of {str: Covariate}
        What a `Study` takes.

    Raises
    ------
    MissingCovariateError
        If one is not in the table.
    """
    absent = [name for name in names if name not in table]
    if absent:
        raise MissingCovariateError(f"no column {name_some(absent)}.", covariates=absent)
    return {name: learn_covariate(table[name], is_category=name in categories) for name in names}


def simulate(
    X: pd.DataFrame,
    study: Study,
    *,
    sites: pd.Series[Any],
    covariates: pd.DataFrame | None = None,
    locations: pd.Series[Any] | None = None,
    mode: Literal["full", "sums"] = "full",
) -> Exchange:
    """Run the whole exchange through files, and compare with the fit of all data.

    Parameters
    ----------
    X : DataFrame of shape (n_scans, n_features)
        Measures of all sites.
    study : Study
        What is agreed upon.
    sites : Series of shape (n_scans,)
        Batch of each scan.
    covariates : DataFrame of shape (n_scans, n_covariates), optional
        Columns named in the study.
    locations : Series of shape (n_scans,), optional
        Where each scan's data lie; by default every batch is a location of its own.
    mode : {"full", "sums"}
        What is sent.

    Returns
    -------
    Exchange
        Differences, and sizes of the messages.

    Raises
    ------
    DisclosureError
        If a location may not send its message.
    """
    places = sites if locations is None else locations
    if not places.index.equals(X.index) or not sites.index.equals(X.index):
        raise UnmatchedRowsError("measures, sites and locations must have the same index.")
    known = [name for name in study.features if name in X]
    X = X[known]
    if study.missing == "drop":
        X = X[X.notna().all(axis=1)]
        sites, places = sites[X.index], places[X.index]
        covariates = None if covariates is None else covariates.loc[X.index]
    parts = {str(place): X.index[places == place] for place in sorted(places.unique())}
    with TemporaryDirectory() as folder:
        result = _exchange(Path(folder), X, study, sites, covariates, parts, mode)
    after, sizes, model = result
    expected = _pooled(X, study, sites, covariates)
    gaps = (after - expected).abs().max() / X.std()
    return Exchange(gaps.where(np.isfinite(gaps), 0.0), sizes, model)


def _exchange(
    folder: Path,
    X: pd.DataFrame,
    study: Study,
    sites: pd.Series[Any],
    covariates: pd.DataFrame | None,
    parts: dict[str, pd.Index[Any]],
    mode: Literal["full", "sums"],
) -> tuple[pd.DataFrame, dict[str, int], ComBat | None]:
    study.save(folder / "study.json")
    study = read_study(folder / "study.json")

    def of(rows: pd.Index[Any]) -> dict[str, Any]:
        people = None if covariates is None else covariates.loc[rows]
        return {"sites": sites[rows], "covariates": people}

    files = {place: folder / f"{number}.isoscan" for number, place in enumerate(parts)}
    for place, rows in parts.items():
        message = summarize(
            X.loc[rows],
            study,
            location=place,
            mode=mode,
            ledger=folder / place,
            thresholds=study.thresholds,
            **of(rows),
        )
        message.save(files[place])
    sizes = {place: file.stat().st_size for place, file in files.items()}
    result = combine(study, list(files.values()))
    if not isinstance(result, Coefficients):
        return result.transform(X, **of(X.index)), sizes, result
    result.save(folder / "coefficients.isoscan")
    common = read_coefficients(folder / "coefficients.isoscan", study)
    done = [
        finish(common, X.loc[rows], study, **of(rows)).transform(X.loc[rows], **of(rows))
        for rows in parts.values()
    ]
    return pd.concat(done).loc[X.index], sizes, None


def _pooled(
    X: pd.DataFrame, study: Study, sites: pd.Series[Any], covariates: pd.DataFrame | None
) -> pd.DataFrame:
    """ComBat of all data, with everything learned from them but the bounds of curves."""
    pooled = study.estimator()
    for name in ("preserve", "remove"):
        delattr(pooled, f"{name}_design_")
    for learned in ("n_features_in_", "feature_names_in_", "smooth_design_", "batches_"):
        delattr(pooled, learned)
    result: pd.DataFrame = pooled.fit_transform(X, sites=sites, covariates=covariates)
    return result
