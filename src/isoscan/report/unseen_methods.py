"""What a model for unknown scanners is: options, words for a paper, whom to cite."""

from __future__ import annotations

from typing import Any

from isoscan.combat.store import software_versions
from isoscan.errors import count

GARCIA_DIAS = {
    "key": "garciadias2020",
    "text": "Garcia-Dias R, Scarpazza C, Baecker L, et al. Neuroharmony: A new tool for "
    "harmonizing volumetric MRI data from unseen scanners. NeuroImage 2020;220:117127.",
    "doi": "10.1016/j.neuroimage.2020.117127",
}
_TOTALS = {
    "ratio": "were divided by",
    "residual": "were adjusted linearly, within scanners, for",
    "power": "were divided by a power, learned within scanners, of",
    "harmonized": "were divided by a harmonized",
}


def describe_unseen(model: Any) -> dict[str, Any]:
    """Describe a model for unknown scanners.

    Parameters
    ----------
    model : UnseenScanner or Neuroharmony
        A fitted model.

    Returns
    -------
    dict
        Keys as from `describe_model`, as far as they apply.
    """
    own = hasattr(model, "reference_")
    combat = model.reference_.citations_ if own else _first(model.combats_).citations_
    return {
        "method": type(model).__name__,
        "options": {
            name: value
            for name, value in model.get_params(deep=False).items()
            if name not in ("steps", "estimator")
            and not (name == "total_strategy" and model.total is None)
        },
        "preserve": getattr(model, "preserve", None),
        "remove": getattr(model, "remove", None),
        "reference": None,
        "passed_through": list(model.reference_.passed_through_) if own else [],
        "software": software_versions(),
        "hash": model.hash_,
        "methods_text": [_unseen_text(model) if own else _forest_text(model)],
        "citations": [*combat, GARCIA_DIAS],
    }


def _first(models: Any) -> Any:
    return next(iter(models.values()))


def _unseen_text(model: Any) -> str:
    reference = model.reference_
    seen = [count(reference.n_features_in_, "measure")] if model.use_volumes else []
    if model.metrics_:
        seen.append(count(model.metrics_, "metric") + " of image quality")
    total = (
        f" Volumes {_TOTALS[model.total_strategy]} {model.total}."
        if model.total is not None
        else ""
    )
    text = (
        f"A ComBat of {count(int(sum(reference.scans_per_site_.values())), 'scan')} from "
        f"{count(reference.sites_, 'scanner')} gave the expectation for each person and the shift "
        f"of each scanner.{total} {reference.expectation_text_} A ridge regression predicted the "
        f"shift from single scans, by the deviations of {' and '.join(seen)} from expectation. "
        f"It was tuned by leaving out one scanner after the other, people of a scanner keeping at "
        f"least {model.keep:.0%} of correlation and spread. "
    )
    if model.calibration_ is not None:
        return text + (
            f"Shift and scale of the new scanner were then estimated from "
            f"{count(model.calibration_.n_scans, 'scan')}, with the differences between scanners "
            f"and between people in training as prior, and weighed against the regression."
        )
    return text + (
        f"{model.strength_:.0%} of a predicted correction is made, less for scans unlike those of "
        f"training. Intervals are quantiles of errors over scanners that were left out."
    )


def _forest_text(model: Any) -> str:
    return (
        f"Neuroharmony: ComBat removed {', '.join(str(_name(step)) for step in model.steps)} from "
        f"{count(int(sum(model.scans_per_site_.values())), 'scan')} of "
        f"{count(model.sites_, 'scanner')}; for each of {count(model.n_features_in_, 'measure')} a "
        f"random forest learned the correction from {count(model.encoder_.metrics, 'metric')} of "
        f"image quality, {', '.join(model.predictors)} and the measure itself, after a projection "
        f"on {count(model.n_components_, 'principal component')}."
    )


def _name(step: Any) -> Any:
    return step if isinstance(step, str) else step[0]
