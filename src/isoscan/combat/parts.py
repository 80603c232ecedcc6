"""A fitted ComBat in plain facts and arrays, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.citing import CITATIONS
from isoscan.combat.effects import SiteEffects
from isoscan.combat.model import SiteModel
from isoscan.combat.priors import Prior
from isoscan.design import Design
from isoscan.errors import ModelFileError

if TYPE_CHECKING:
    from isoscan.combat.fitted import FittedSites

    Fitted = TypeVar("Fitted", bound=FittedSites)

_PRIOR = ("shift_mean", "shift_variance", "shape", "rate")


def to_parts(estimator: FittedSites) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Describe a fitted model: facts for JSON, numbers for arrays.

    Parameters
    ----------
    estimator : ComBat
        A fitted model.

    Returns
    -------
    facts : dict
        Plain types only.
    arrays : dict of {str: ndarray}
        Numbers only.
    """
    model, effects = estimator.model_, estimator.model_.effects
    named = hasattr(estimator, "feature_names_in_")
    facts = {
        "method": type(estimator).__name__,
        "options": estimator.get_params(deep=False),  # type: ignore[attr-defined]
        "citations": list(CITATIONS),
        "n_features": int(estimator.n_features_in_),
        "feature_names": [str(n) for n in estimator.feature_names_in_] if named else None,
        "sites": estimator.sites_,
        "scans_per_site": estimator.scans_per_site_,
        "reference": model.reference,
        "shared_noise": model.shared_noise,
        "preserve": estimator.preserve_design_.to_json(),
        "remove": estimator.remove_design_.to_json(),
    }
    priors = np.array(
        [
            [np.nan] * 4 if p is None else [getattr(p, name) for name in _PRIOR]
            for p in effects.priors
        ]
    )
    arrays = {
        "intercept": model.intercept,
        "slopes": model.slopes,
        "sd": model.sd,
        "removed": model.removed,
        "removed_mean": model.removed_mean,
        "raw_shift": effects.raw_shift,
        "raw_variance": effects.raw_variance,
        "shift": effects.shift,
        "variance": effects.variance,
        "count": effects.count,
        "priors": priors,
        "scale_fixed": effects.scale_fixed,
    }
    return facts, arrays


def from_parts(
    kind: type[Fitted], facts: dict[str, Any], arrays: dict[str, NDArray[Any]]
) -> Fitted:
    """Rebuild what `to_parts` took apart, checking that it fits together.

    Parameters
    ----------
    kind : type
        Class of the model.
    facts : dict
        Plain facts.
    arrays : dict of {str: ndarray}
        Numbers.

    Returns
    -------
    ComBat
        The fitted model.

    Raises
    ------
    ModelFileError
        If shapes disagree or a number is not finite where it must be.
    """
    estimator = kind(**facts["options"])
    estimator.sites_ = [str(site) for site in facts["sites"]]
    estimator.scans_per_site_ = {str(k): int(v) for k, v in facts["scans_per_site"].items()}
    estimator.n_features_in_ = int(facts["n_features"])
    if facts["feature_names"] is not None:
        estimator.feature_names_in_ = np.array(facts["feature_names"], dtype=object)
    estimator.preserve_design_ = Design.from_json(facts["preserve"])
    estimator.remove_design_ = Design.from_json(facts["remove"])
    _require_shapes(estimator, facts, arrays)
    estimator.model_ = _site_model(facts, arrays)
    estimator.passed_through_ = estimator._names(estimator.model_.passed_through)
    return estimator


def _site_model(facts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> SiteModel:
    priors = [
        None if np.isnan(row).any() else Prior(*(float(number) for number in row))
        for row in arrays["priors"]
    ]
    names = ("raw_shift", "raw_variance", "shift", "variance", "count")
    effects = SiteEffects(
        **{name: arrays[name] for name in names},
        priors=priors,
        scale_fixed=arrays["scale_fixed"].astype(bool),
    )
    return SiteModel(
        **{name: arrays[name] for name in ("intercept", "slopes", "sd", "removed_mean")},
        removed=arrays["removed"].astype(bool),
        effects=effects,
        reference=facts["reference"],
        shared_noise=float(facts["shared_noise"]),
    )


def _require_shapes(
    estimator: FittedSites, facts: dict[str, Any], arrays: dict[str, NDArray[Any]]
) -> None:
    sites, features = len(estimator.sites_), estimator.n_features_in_
    columns = len(estimator.preserve_design_.columns) + len(estimator.remove_design_.columns)
    names = facts["feature_names"]
    if (
        set(estimator.scans_per_site_) != set(estimator.sites_)
        or len(set(estimator.sites_)) != sites
    ):
        raise ModelFileError("the model file names its sites inconsistently.")
    if names is not None and (len(names) != features or len(set(names)) != features):
        raise ModelFileError("the model file names its features inconsistently.")
    if facts["reference"] is not None and facts["reference"] not in range(sites):
        raise ModelFileError("the model file names a reference site that is not there.")
    table = (sites, features)
    shapes: dict[str, tuple[int, ...]] = {
        "intercept": (features,),
        "slopes": (columns, features),
        "sd": (features,),
        "removed": (columns,),
        "removed_mean": (columns,),
        **dict.fromkeys(("raw_shift", "raw_variance", "shift", "variance"), table),
        "priors": (sites, 4),
        "scale_fixed": (sites,),
    }
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ModelFileError(
                f"the model file is inconsistent: '{name}' has shape {arrays[name].shape}, "
                f"expected {shape}."
            )
    if arrays["count"].shape not in (table, (sites, 1)):
        raise ModelFileError("the model file is inconsistent: 'count' has an impossible shape.")
    for name in ("intercept", "slopes", "sd", "removed_mean", "shift", "variance"):
        if not np.isfinite(arrays[name]).all():
            raise ModelFileError(
                f"the model file is damaged: '{name}' holds a number that is not finite."
            )
    if (arrays["variance"] <= 0).any() or (arrays["sd"] < 0).any():
        raise ModelFileError("the model file is damaged: a variance is not positive.")
