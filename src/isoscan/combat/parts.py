"""A fitted estimator in plain facts and arrays, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.batches import Batches
from isoscan.combat.flatten import flatten, restore
from isoscan.errors import ModelFileError

if TYPE_CHECKING:
    from isoscan.combat.fitted import FittedSites

    Fitted = TypeVar("Fitted", bound=FittedSites)


def to_parts(estimator: FittedSites) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Describe a fitted estimator: facts for JSON, numbers for arrays.

    Parameters
    ----------
    estimator : FittedSites
        A fitted estimator.

    Returns
    -------
    facts : dict
        Plain types only.
    arrays : dict of {str: ndarray}
        Numbers only.
    """
    named = hasattr(estimator, "feature_names_in_")
    facts: dict[str, Any] = {
        "method": type(estimator).__name__,
        "options": plain_options(estimator),
        "citations": [paper["key"] for paper in estimator.citations_],
        "n_features": int(estimator.n_features_in_),
        "feature_names": [str(n) for n in estimator.feature_names_in_] if named else None,
        "sites": estimator.sites_,
        "scans_per_site": estimator.scans_per_site_,
        "batches": None if estimator.batches_ is None else dict(estimator.batches_.levels),
        "designs": {
            name: getattr(estimator, f"{name}_design_").to_json() for name in estimator.DESIGNS
        },
    }
    arrays: dict[str, NDArray[Any]] = {}
    for name in estimator.PARTS:
        facts[name], own = flatten(getattr(estimator, f"{name}_"), name)
        arrays |= own
    return facts, arrays


def plain_options(estimator: FittedSites) -> dict[str, Any]:
    """Options in types that JSON knows.

    Parameters
    ----------
    estimator : FittedSites
        An estimator.

    Returns
    -------
    dict
        Tuples become lists.
    """
    options = estimator.get_params(deep=False)  # type: ignore[attr-defined]
    return {name: _plain(value) for name, value in options.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value


def from_parts(
    kind: type[Fitted], facts: dict[str, Any], arrays: dict[str, NDArray[Any]]
) -> Fitted:
    """Rebuild what `to_parts` took apart, checking that it fits together.

    Parameters
    ----------
    kind : type
        Class of the estimator.
    facts : dict
        Plain facts.
    arrays : dict of {str: ndarray}
        Numbers.

    Returns
    -------
    FittedSites
        The fitted estimator.

    Raises
    ------
    ModelFileError
        If shapes disagree or a number is not finite where it must be.
    """
    options = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in facts["options"].items()
    }
    estimator = kind(**options)
    estimator.sites_ = [str(site) for site in facts["sites"]]
    estimator.scans_per_site_ = {str(k): int(v) for k, v in facts["scans_per_site"].items()}
    if facts["batches"] is not None:
        known = facts["batches"].items()
        estimator.batches_ = Batches({str(name): list(map(str, levels)) for name, levels in known})
    estimator.n_features_in_ = int(facts["n_features"])
    if facts["feature_names"] is not None:
        estimator.feature_names_in_ = np.array(facts["feature_names"], dtype=object)
    for name, design in kind.DESIGNS.items():
        setattr(estimator, f"{name}_design_", design.from_json(facts["designs"][name]))
    _require_names(estimator, facts)
    for name, part in kind.PARTS.items():
        axes = estimator._axes(name)
        setattr(estimator, f"{name}_", restore(part, name, facts[name], arrays, axes))
        getattr(estimator, f"{name}_").require_sound(name)
    reference = estimator.model_.reference
    if reference is not None and reference not in range(len(estimator.sites_)):
        raise ModelFileError("the model file names a reference site that is not there.")
    estimator.passed_through_ = estimator._names(estimator.model_.passed_through)
    return estimator


def _require_names(estimator: FittedSites, facts: dict[str, Any]) -> None:
    names, features = facts["feature_names"], estimator.n_features_in_
    if set(estimator.scans_per_site_) != set(estimator.sites_) or len(set(estimator.sites_)) != len(
        estimator.sites_
    ):
        raise ModelFileError("the model file names its sites inconsistently.")
    if names is not None and (len(names) != features or len(set(names)) != features):
        raise ModelFileError("the model file names its features inconsistently.")
