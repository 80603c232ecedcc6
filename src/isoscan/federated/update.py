"""Keep moments instead of data: last month's, and what is new, give the model of all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from isoscan.combat import ComBat
from isoscan.errors import DataError, MessageFileError
from isoscan.federated.at_centre import combine, read_all
from isoscan.federated.at_site import summarize
from isoscan.federated.merging import merge
from isoscan.federated.messages import Summary
from isoscan.federated.study import Study

HERE = "here"


def update(
    saved: Summary | str | Path | None,
    X: pd.DataFrame,
    study: Study,
    *,
    sites: Any,
    covariates: pd.DataFrame | None = None,
) -> tuple[ComBat, Summary]:
    """Refit with new scans, of which the old ones are known by their moments only.

    Nothing is sent, so the thresholds of the study may be `Thresholds.none()`. Nothing tells
    whether scans were there before: give each scan once.

    Parameters
    ----------
    saved : Summary, path or None
        What the last update returned; None the first time.
    X : DataFrame of shape (n_scans, n_features)
        Measures of the new scans.
    study : Study
        What is the same every time: features, formula, levels, bounds.
    sites : Series or sequence of shape (n_scans,)
        Site of each scan, old or new.
    covariates : DataFrame of shape (n_scans, n_covariates), optional
        Columns named in the study.

    Returns
    -------
    model : ComBat
        The model of all scans, as if fitted at once.
    summary : Summary
        To be saved for the next time.

    Raises
    ------
    DataError
        If the data do not fit the study.

    Examples
    --------
    >>> model, moments = update("moments.isoscan", new, study, sites=...)  # doctest: +SKIP
    >>> moments.save("moments.isoscan", overwrite=True)  # doctest: +SKIP
    """
    new = summarize(
        X,
        study,
        sites=sites,
        location=HERE,
        ledger=None,
        covariates=covariates,
        part="new",
        thresholds=study.thresholds,
    )
    parts = [new]
    if saved is not None:
        parts = [*read_all(study, [saved]), new]
    summaries = [part for part in parts if isinstance(part, Summary)]
    if len(summaries) < len(parts):
        raise MessageFileError("moments of an update are a summary in full mode, not sums.")
    whole = merge(summaries)
    model = combine(study, [whole])
    if not isinstance(model, ComBat):
        raise DataError("an update needs moments in full mode.")
    return model, whole
