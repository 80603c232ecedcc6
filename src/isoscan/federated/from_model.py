"""A study with the options of a model, where sums can give that model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from isoscan.combat import ComBat
from isoscan.errors import DataError
from isoscan.federated.study import Study
from isoscan.federated.thresholds import Thresholds

_KEPT = (
    "preserve",
    "remove",
    "smooth",
    "smooth_outside",
    "prior",
    "mean_only",
    "reference",
    "convergence",
)
_NEED_MORE = {
    "CovBat": "its components need the products of all pairs of measures",
    "ComBatLS": "its scales are regressed on covariates scan by scan",
    "LongitudinalComBat": "it needs sums per person, which are too close to the people",
    "StepwiseComBat": "every step works on the scans that the step before has harmonized",
}


def study_of(
    model: ComBat,
    name: str,
    features: Mapping[str, str],
    covariates: Mapping[str, Any],
    *,
    missing: Literal["error", "drop", "pattern"] = "drop",
    thresholds: Thresholds | None = None,
) -> Study:
    """Agree upon what a model would be fitted with.

    Parameters
    ----------
    model : ComBat
        Its options are taken over; whether it is fitted makes no difference.
    name : str
        Short name of the study.
    features : dict of {str: str}
        Measures in order, with their units.
    covariates : dict
        Levels of categories, lowest and highest value of numbers, as in `Study`.
    missing : {"error", "drop", "pattern"}
        Scans that lack a measure, as in `Study`.
    thresholds : Thresholds, optional
        Below how many people nothing is sent; the defaults if not given.

    Returns
    -------
    Study
        The agreed analysis.

    Raises
    ------
    DataError
        If sums over people are not enough for this model; the message says why.

    Examples
    --------
    >>> study = study_of(
    ...     ComBat("age"), "demo", {"hippocampus": "mm3"}, {"age": (5, 90)}
    ... )
    >>> study.preserve
    'age'
    """
    _require_sums_suffice(model)
    return Study(
        name,
        features,
        covariates,
        missing=missing,
        thresholds=thresholds or Thresholds(),
        **{option: getattr(model, option) for option in _KEPT},
    )


def _require_sums_suffice(model: object) -> None:
    method = type(model).__name__
    if method in _NEED_MORE or type(model) is not ComBat:
        reason = _NEED_MORE.get(method, "there is no federated form of it")
        raise DataError(f"{method} cannot be fitted from sums over people: {reason}. Use ComBat.")
    if model.robust:
        raise DataError(
            "robust=True cannot be fitted from sums over people: medians and biweight "
            "midvariances need every scan. Leave out odd scans at the sites instead "
            "(isoscan describe names them)."
        )
    if model.fit_on is not None:
        raise DataError(
            f"fit_on='{model.fit_on}' chooses scans, which the centre does not see: let every site "
            f"sum up these scans only."
        )
    if model.small_sites != "error":
        raise DataError(
            f"small_sites='{model.small_sites}' does not apply: a batch below the thresholds of "
            f"the study is not sent at all."
        )
