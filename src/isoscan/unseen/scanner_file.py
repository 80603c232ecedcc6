"""A fitted model of unknown scanners in plain facts and arrays, and back."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.combat import ComBat
from isoscan.combat.flatten import flatten, require_finite, restore
from isoscan.combat.store import rebuild
from isoscan.design import Design
from isoscan.errors import ModelFileError
from isoscan.unseen.calibration import Calibration, ScannerPrior
from isoscan.unseen.intervals import Margins
from isoscan.unseen.profile import MetricScale
from isoscan.unseen.shifts import ShiftRidge
from isoscan.unseen.totals import HeadSize

if TYPE_CHECKING:
    from isoscan.unseen.corrector import UnseenCorrector

    Fitted = TypeVar("Fitted", bound=UnseenCorrector)

Arrays = dict[str, NDArray[Any]]
METHOD = "UnseenScanner"
_OPTIONS = (
    "preserve", "remove", "smooth", "total", "total_strategy", "use_volumes", "metrics",
    "on_shift", "keep", "interval",
)  # fmt: skip
_THINGS: dict[str, Any] = {
    "head_size": HeadSize,
    "metric_scale": MetricScale,
    "regression": ShiftRidge,
    "margins": Margins,
    "prior": ScannerPrior,
    "calibration": Calibration,
}
_TABLES = ("scanners", "biology")


def to_parts(model: UnseenCorrector) -> tuple[dict[str, Any], Arrays]:
    """Describe a fitted model: facts for JSON, numbers for arrays.

    Parameters
    ----------
    model : UnseenCorrector
        A fitted model.

    Returns
    -------
    facts : dict
        Plain types only.
    arrays : dict of {str: ndarray}
        Numbers only.
    """
    reference, arrays = model.reference_._to_parts()
    arrays = {f"reference.{name}": array for name, array in arrays.items()}
    arrays["stretch"] = model.stretch_
    arrays["mean_profiles"] = model.mean_profiles_
    facts: dict[str, Any] = {
        "method": METHOD,
        "options": {name: _plain(getattr(model, name)) for name in _OPTIONS},
        "citations": reference["citations"],
        "columns": model.columns_,
        "metrics": model.metrics_,
        "metric_design": model.metric_design_.to_json() if model.metrics_ else None,
        "definition": model.definition_,
        "strength": model.strength_,
        "usual_score": model.usual_score_,
        "reference": reference,
        "things": {},
        "tables": {name: _table(getattr(model, f"{name}_")) for name in _TABLES},
        "total_model": None,
    }
    for name in _THINGS:
        thing = getattr(model, f"{name}_")
        if thing is not None:
            facts["things"][name], own = flatten(thing, name)
            arrays |= own
    if model.total_model_ is not None:
        facts["total_model"], own = to_parts(model.total_model_)
        arrays |= {f"total_model.{name}": array for name, array in own.items()}
    return facts, arrays


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
    UnseenScanner
        The model.

    Raises
    ------
    ModelFileError
        If the file holds another model, or an inconsistent one.
    """
    if facts.get("method") != METHOD:
        raise ModelFileError(f"{name} holds a model of '{facts.get('method')}', not of {METHOD}.")
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
    UnseenScanner
        The model.

    Raises
    ------
    ModelFileError
        If shapes disagree or a number is not finite where it must be.
    """
    model = kind(**{name: _restored(facts["options"][name]) for name in _OPTIONS})
    model.columns_ = [str(name) for name in facts["columns"]]
    model.metrics_ = [str(name) for name in facts["metrics"]]
    if facts["metric_design"] is not None:
        model.metric_design_ = Design.from_json(facts["metric_design"])
    model.definition_ = facts["definition"]
    model.strength_, model.usual_score_ = float(facts["strength"]), float(facts["usual_score"])
    model.reference_ = ComBat._from_parts(facts["reference"], _under("reference.", arrays))
    axes = _axes(model, len(model.columns_) - (model.total is not None))
    for name, thing in _THINGS.items():
        found = facts["things"].get(name)
        restored = None if found is None else restore(thing, name, found, arrays, axes)
        _require_finite(name, restored)
        setattr(model, f"{name}_", restored)
    model.stretch_ = _checked("stretch", arrays, (axes["features"],))
    shape = (len(model.reference_.sites_), axes["profile"])
    model.mean_profiles_ = _checked("mean_profiles", arrays, shape)
    for name in _TABLES:
        setattr(model, f"{name}_", pd.DataFrame.from_dict(facts["tables"][name], orient="tight"))
    inner = facts["total_model"]
    model.total_model_ = (
        None if inner is None else from_parts(kind, inner, _under("total_model.", arrays))
    )
    return model


def _axes(model: UnseenCorrector, n_features: int) -> dict[str, int]:
    n_metrics = len(model.metrics_)
    return {
        "features": n_features,
        "metrics": n_metrics,
        "columns": len(model.metric_design_.columns) if n_metrics else 0,
        "profile": n_metrics + (n_features if model.use_volumes else 0),
    }


def _checked(name: str, arrays: Arrays, shape: tuple[int, ...]) -> NDArray[np.float64]:
    array = np.asarray(arrays[name], dtype=np.float64)
    if array.shape != shape:
        raise ModelFileError(f"the model file is damaged: '{name}' has another shape.")
    require_finite("unseen", **{name: array})
    return array


def _require_finite(name: str, thing: Any) -> None:
    if thing is None:
        return
    arrays = {key: value for key, value in vars(thing).items() if isinstance(value, np.ndarray)}
    arrays.pop("spread", None)
    require_finite(name, **arrays)


def _under(prefix: str, arrays: Arrays) -> Arrays:
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def _table(frame: pd.DataFrame) -> dict[str, Any]:
    plain: dict[str, Any] = frame.astype(object).to_dict(orient="tight")
    return plain


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _restored(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
