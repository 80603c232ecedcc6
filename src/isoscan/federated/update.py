"""Keep moments instead of data: last month's, and what is new, give the model of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from isoscan.combat import ComBat
from isoscan.errors import MessageFileError
from isoscan.federated.at_centre import fit_combined, read_all
from isoscan.federated.at_site import summarize
from isoscan.federated.merging import Message, merge, merged
from isoscan.federated.messages import Summary
from isoscan.federated.study import Study
from isoscan.federated.thresholds import Thresholds

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

    Nothing is sent, so the thresholds of the study do not matter; for the same reason moments
    are no message, and a centre refuses them. Nothing tells whether scans were there before:
    give each scan once.

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
    moments : Summary
        To be saved for the next time.

    Raises
    ------
    DataError
        If the data do not fit the study.

    Warns
    -----
    MissingValuesWarning
        If scans are left out because they lack a measure; with ``missing="pattern"`` in the
        study they count where they have values.

    Examples
    --------
    >>> model, moments = update("moments.isoscan", new, study, sites=...)  # doctest: +SKIP
    >>> moments.save("moments.isoscan", overwrite=True)  # doctest: +SKIP
    """
    study = _at_home(study)
    new = summarize(
        X,
        study,
        sites=sites,
        location=HERE,
        ledger=None,
        covariates=covariates,
        thresholds=study.thresholds,
    )
    return _fit([new] if saved is None else [saved, new], study)


def merge_models(moments: Sequence[Summary | str | Path], study: Study) -> tuple[ComBat, Summary]:
    """Make one model of scans whose moments were kept apart, such as one file per month.

    A model as such holds too little of its scans to be merged; the moments that `update` returns
    beside it hold enough.

    Parameters
    ----------
    moments : sequence of Summary or path
        Results of `update`, of other scans each.
    study : Study
        The study of all of them.

    Returns
    -------
    model : ComBat
        The model of all scans, as if fitted at once.
    moments : Summary
        Moments of all scans.

    Raises
    ------
    MessageFileError
        If moments are of another study, or two are of the same scans.

    Examples
    --------
    >>> files = ["january.isoscan", "february.isoscan"]
    >>> model, moments = merge_models(files, study)  # doctest: +SKIP
    """
    return _fit(moments, _at_home(study))


def _at_home(study: Study) -> Study:
    return replace(study, thresholds=Thresholds.none())


def _fit(moments: Sequence[Message | str | Path], study: Study) -> tuple[ComBat, Summary]:
    parts = []
    for number, item in enumerate(moments):
        (read,) = read_all(study, [item])
        if not isinstance(read, Summary):
            raise MessageFileError("moments are a summary in full mode, not sums.")
        parts.append(replace(read, sender=replace(read.sender, part=str(number))))
    whole = merge(parts, part="1")
    return fit_combined(study, merged([whole])), whole
