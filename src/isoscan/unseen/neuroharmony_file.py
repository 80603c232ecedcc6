"""A fitted Neuroharmony in plain facts and arrays, and back."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.combat import StepwiseComBat
from isoscan.combat.store import rebuild
from isoscan.errors import ModelFileError
from isoscan.unseen.coverage import Ranges
from isoscan.unseen.inputs import InputEncoder
from isoscan.unseen.projection import Projection
from isoscan.unseen.trees import Forests

if TYPE_CHECKING:
    from isoscan.unseen.fitted import FittedNeuroharmony

    Fitted = TypeVar("Fitted", bound=FittedNeuroharmony)

Arrays = dict[str, NDArray[Any]]
METHOD = "Neuroharmony"
_PLAIN = (
    "predictors", "metrics", "components", "n_candidates", "scoring", "min_per_split",
    "max_per_site", "small_groups", "unusable", "n_jobs", "random_state", "search",
)  # fmt: skip
FORESTS = ("RandomForestRegressor", "ExtraTreesRegressor")
"""Forests that a file can name; others are described by their trees only."""
CITATION = "garcia-dias2020"


def to_parts(model: FittedNeuroharmony) -> tuple[dict[str, Any], Arrays]:
    """Describe a fitted model: facts for JSON, numbers for arrays.

    Nothing of single scans is in it but what trees have learned; the corrections of the
    training sample are not.

    Parameters
    ----------
    model : FittedNeuroharmony
        A fitted model.

    Returns
    -------
    facts : dict
        Plain types only.
    arrays : dict of {str: ndarray}
        Numbers only.
    """
    facts: dict[str, Any] = {
        "method": METHOD,
        "options": {name: _plain(getattr(model, name)) for name in _PLAIN},
        "estimator": _describe_forest(model.estimator),
        "citations": [CITATION],
        "feature_names": [str(name) for name in model.feature_names_in_],
        "sites": model.sites_,
        "scans_per_site": model.scans_per_site_,
        "inputs": model.encoder_.to_json(),
        "ranges": model.ranges_.names,
        "importances": list(model.importances_.columns),
        "n_trees": model.forests_.n_per_forest,
        "steps": [],
    }
    arrays = model.forests_.to_arrays() | model.projection_.to_arrays()
    arrays["ranges.low"], arrays["ranges.high"] = model.ranges_.low, model.ranges_.high
    arrays["importances"] = model.importances_.to_numpy()
    for number, (name, combat) in enumerate(model.combats_.items()):
        own, numbers = combat._to_parts()
        facts["steps"].append({"name": name, "model": own})
        arrays |= {f"combat{number}.{key}": array for key, array in numbers.items()}
    return facts, arrays


def _plain(value: Any) -> Any:
    """Options that JSON knows; None for others, such as a random generator."""
    try:
        return json.loads(json.dumps(value, default=_as_python, allow_nan=False))
    except (TypeError, ValueError):
        return None


def _as_python(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return list(value)


def _describe_forest(estimator: Any) -> dict[str, Any] | None:
    """Class and options of a forest that can be made again; None for others."""
    name = type(estimator).__name__
    options = estimator.get_params(deep=False) if name in FORESTS else {}
    plain = {key: _plain(value) for key, value in options.items()}
    same = all(plain[key] == value for key, value in options.items())
    return {"class": name, "options": plain} if name in FORESTS and same else None


def _make_forest(facts: dict[str, Any] | None) -> Any:
    import sklearn.ensemble

    if facts is None or facts["class"] not in FORESTS:
        return None
    kind = getattr(sklearn.ensemble, facts["class"])
    known = kind().get_params(deep=False)
    return kind(**{key: value for key, value in facts["options"].items() if key in known})


def from_file(kind: type[Fitted], name: str, facts: dict[str, Any], arrays: Arrays) -> Fitted:
    """Rebuild a model that a file holds; anything wrong becomes one sentence.

    Parameters
    ----------
    kind : type
        Class of the model.
    name : str
        Name of the file, for messages.
    facts : dict
        Plain facts.
    arrays : dict of {str: ndarray}
        Numbers.

    Returns
    -------
    FittedNeuroharmony
        The fitted model.

    Raises
    ------
    ModelFileError
        If it is another model, or inconsistent.
    """
    if facts.get("method") != METHOD:
        raise ModelFileError(f"{name}: holds a {facts.get('method')}, not a {METHOD}.")
    return rebuild(name, partial(from_parts, kind), facts, arrays)


def from_parts(kind: type[Fitted], facts: dict[str, Any], arrays: Arrays) -> Fitted:
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
    FittedNeuroharmony
        The fitted model.

    Raises
    ------
    ModelFileError
        If shapes disagree.
    """
    combats = {
        str(step["name"]): StepwiseComBat._from_parts(step["model"], _own(arrays, number))
        for number, step in enumerate(facts["steps"])
    }
    options = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in facts["options"].items()
        if name in _PLAIN
    }
    steps = [(name, combat.steps[0][1]) for name, combat in combats.items()]
    options |= {"steps": steps, "estimator": _make_forest(facts["estimator"])}
    model = kind(**options)
    model.combats_ = combats
    model.feature_names_in_ = np.array([str(n) for n in facts["feature_names"]], dtype=object)
    model.n_features_in_ = len(model.feature_names_in_)
    model.sites_ = [str(site) for site in facts["sites"]]
    model.scans_per_site_ = {str(k): int(v) for k, v in facts["scans_per_site"].items()}
    model.encoder_ = InputEncoder.from_json(facts["inputs"])
    n_shared = len(model.encoder_.names)
    model.projection_ = Projection.from_arrays(arrays, n_shared, model.n_features_in_)
    model.n_components_ = model.projection_.n_components
    n_trees = int(facts["n_trees"])
    model.forests_ = Forests.from_arrays(arrays, n_trees, model.n_components_)
    model.ranges_ = Ranges(
        [str(name) for name in facts["ranges"]], arrays["ranges.low"], arrays["ranges.high"]
    )
    model.importances_ = pd.DataFrame(
        arrays["importances"],
        index=list(model.feature_names_in_),
        columns=[str(name) for name in facts["importances"]],
    )
    _require_shapes(model)
    return model


def _own(arrays: Arrays, number: int) -> Arrays:
    start = f"combat{number}."
    return {
        name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)
    }


def _require_shapes(model: FittedNeuroharmony) -> None:
    names, ranges = model.encoder_.names, model.ranges_
    if ranges.names != names or not ranges.low.shape == ranges.high.shape == (len(names),):
        raise ModelFileError("the model file names its inputs inconsistently.")
    if not model.combats_ or not names or model.forests_.n_forests != model.n_features_in_:
        raise ModelFileError("the model file holds another number of forests than of features.")
