"""Say what a fitted model is: for the report, and for the sidecar of its tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from isoscan.combat.base import SiteHarmonizer
from isoscan.combat.store import software_versions
from isoscan.report.components import describe_components
from isoscan.report.curves import describe_curves
from isoscan.report.spread import describe_spread
from isoscan.report.subjects import describe_subjects


def describe_model(
    model: SiteHarmonizer, notes: Iterable[Mapping[str, str]] = ()
) -> dict[str, Any]:
    """Describe a fitted model for the report.

    Parameters
    ----------
    model : ComBat, CovBat, ...
        A fitted model.
    notes : iterable of mapping
        Warnings of the fit: code and sentence.

    Returns
    -------
    dict
        Plain types and arrays.
    """
    effects = model.model_.effects
    return {
        "method": type(model).__name__,
        "options": model.get_params(deep=False),
        "preserve": model.preserve,
        "remove": model.remove,
        "reference": model.reference,
        "sites": model.scans_per_site_,
        "features": model.n_features_in_,
        "passed_through": model.passed_through_,
        "warnings": list(notes),
        "software": software_versions(),
        "hash": model.hash_,
        "site_effects": {
            "sites": model.sites_,
            "features": list(model.get_feature_names_out()),
            "shift": effects.shift,
            "scale": np.sqrt(effects.variance),
        },
        "curves": describe_curves(model),
        "components": describe_components(model),
        "spread": describe_spread(model),
        "subjects": describe_subjects(model),
        "methods_text": model.methods_text_,
        "citations": model.citations_,
    }


def describe_columns(
    columns: Iterable[str],
    features: Iterable[str],
    model: SiteHarmonizer,
    sidecar: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Say in a BIDS sidecar what the columns of a harmonized table are.

    Parameters
    ----------
    columns : iterable of str
        Columns of the table.
    features : iterable of str
        Those that were harmonized.
    model : ComBat, CovBat, ...
        The model that did it.
    sidecar : mapping, optional
        What was known about the columns; kept.

    Returns
    -------
    dict
        One entry per column, and GeneratedBy.
    """
    known = dict(sidecar or {})
    harmonized = set(features)
    described: dict[str, Any] = {}
    for name in columns:
        entry = dict(known.get(name, {}))
        if name in harmonized:
            entry["Harmonized"] = True
        if entry:
            described[str(name)] = entry
    described["GeneratedBy"] = [
        {
            "Name": "isoscan",
            "Version": software_versions()["isoscan"],
            "Method": type(model).__name__,
            "Preserve": model.preserve,
            "ModelSHA256": model.hash_,
        }
    ]
    return described
