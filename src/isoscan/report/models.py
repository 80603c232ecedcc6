"""Say what a fitted model is: for the report, and for the sidecar of its tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from isoscan.combat.base import SiteHarmonizer
from isoscan.combat.stepwise import StepwiseComBat
from isoscan.combat.store import software_versions
from isoscan.report.components import describe_components
from isoscan.report.curves import describe_curves
from isoscan.report.spread import describe_spread
from isoscan.report.subjects import describe_subjects


def describe_model(
    model: SiteHarmonizer | StepwiseComBat, notes: Iterable[Mapping[str, str]] = ()
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
    last: SiteHarmonizer = getattr(model, "models_", [model])[-1]
    return {
        "method": type(model).__name__,
        "options": model.get_params(deep=False),
        "preserve": last.preserve,
        "remove": last.remove,
        "reference": last.reference,
        "sites": model.scans_per_site_,
        "features": model.n_features_in_,
        "passed_through": model.passed_through_,
        "warnings": list(notes),
        "software": software_versions(),
        "hash": model.hash_,
        "site_effects": _site_effects(model),
        "curves": describe_curves(last),
        "components": describe_components(last),
        "spread": describe_spread(last),
        "subjects": describe_subjects(last),
        "methods_text": model.methods_text_,
        "citations": model.citations_,
    }


def _site_effects(model: SiteHarmonizer | StepwiseComBat) -> dict[str, Any]:
    """Shift and scale of every site; of every group of every step, if there are steps."""
    parts: list[SiteHarmonizer] = getattr(model, "models_", [model])
    steps = [""] if parts == [model] else [f"{step}: " for step in _steps(model)]
    named = zip(steps, parts, strict=True)
    return {
        "sites": [f"{step}{site}" for step, part in named for site in part.sites_],
        "features": list(model.get_feature_names_out()),
        "shift": np.vstack([part.model_.effects.shift for part in parts]),
        "scale": np.sqrt(np.vstack([part.model_.effects.variance for part in parts])),
    }


def _steps(model: Any) -> list[str]:
    return [step if isinstance(step, str) else step[0] for step in model.steps]


def describe_columns(
    columns: Iterable[str],
    features: Iterable[str],
    model: SiteHarmonizer | StepwiseComBat,
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
            "Preserve": getattr(model, "models_", [model])[-1].preserve,
            "ModelSHA256": model.hash_,
        }
    ]
    return described
