"""Fitted numbers as plain facts and named arrays, and back, checking that they fit.

A fitted thing is a frozen dataclass of arrays, numbers and other such things. It says
itself what shapes its arrays have: `SHAPES` names the axes; ``"features|1"`` stands for an
axis that may also have length 1, ``"*"`` for one of any length.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, ClassVar, Protocol, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.priors import Prior
from isoscan.errors import ModelFileError

Arrays = dict[str, NDArray[Any]]


class Fitted(Protocol):
    """A dataclass that knows the shapes of its arrays."""

    SHAPES: ClassVar[dict[str, tuple[str, ...]]]
    __dataclass_fields__: ClassVar[dict[str, Any]]


Thing = TypeVar("Thing", bound=Fitted)
_PRIOR = ("shift_mean", "shift_variance", "shape", "rate")


def flatten(thing: Fitted, prefix: str) -> tuple[dict[str, Any], Arrays]:
    """Take a fitted thing apart.

    Parameters
    ----------
    thing : Fitted
        What was fitted.
    prefix : str
        Beginning of the names of its arrays.

    Returns
    -------
    facts : dict
        Plain types; parts that are themselves fitted things are dictionaries.
    arrays : dict of {str: ndarray}
        Numbers.
    """
    facts: dict[str, Any] = {}
    arrays: Arrays = {}
    for field in fields(thing):
        name, value = field.name, getattr(thing, field.name)
        if isinstance(value, np.ndarray):
            arrays[f"{prefix}.{name}"] = value
        elif is_dataclass(value):
            facts[name], inner = flatten(value, f"{prefix}.{name}")  # type: ignore[arg-type]
            arrays |= inner
        elif isinstance(value, list):
            arrays[f"{prefix}.{name}"] = _from_priors(value)
        else:
            facts[name] = value
    return facts, arrays


def restore(
    kind: type[Thing],
    prefix: str,
    facts: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    axes: Mapping[str, int],
) -> Thing:
    """Put a fitted thing together again.

    Parameters
    ----------
    kind : type
        What it is.
    prefix : str
        Beginning of the names of its arrays.
    facts : mapping
        Plain types.
    arrays : mapping of {str: ndarray}
        Numbers.
    axes : mapping of {str: int}
        Lengths of the axes that `SHAPES` names.

    Returns
    -------
    Fitted
        As it was.

    Raises
    ------
    ModelFileError
        If shapes disagree or a number is not finite where it must be.
    """
    values: dict[str, Any] = {}
    for name, hint in get_type_hints(kind).items():
        if get_origin(hint) is ClassVar:
            continue
        hint = _without_none(hint)
        key = f"{prefix}.{name}"
        if name in facts and (facts[name] is None or not is_dataclass(hint)):
            values[name] = facts[name]
        elif is_dataclass(hint):
            inner = facts[name]
            values[name] = restore(hint, key, inner, arrays, axes)  # type: ignore[arg-type, type-var]
        elif get_origin(hint) is list:
            values[name] = _to_priors(_checked(key, arrays[key], kind.SHAPES[name], axes))
        else:
            values[name] = _checked(key, arrays[key], kind.SHAPES[name], axes)
    return kind(**values)


def require_finite(prefix: str, **arrays: NDArray[Any]) -> None:
    """Refuse numbers that are not finite.

    Parameters
    ----------
    prefix : str
        What they belong to.
    **arrays : ndarray
        Numbers by name.

    Raises
    ------
    ModelFileError
        Naming the array.
    """
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ModelFileError(
                f"the model file is damaged: '{prefix}.{name}' holds a number that is not finite."
            )


def _without_none(hint: Any) -> Any:
    """The type itself where None is allowed too."""
    if get_origin(hint) in (types.UnionType,) or "Union" in str(get_origin(hint)):
        kinds = [one for one in get_args(hint) if one is not type(None)]
        return kinds[0] if len(kinds) == 1 else hint
    return hint


def _checked(
    name: str, array: NDArray[Any], axes: tuple[str, ...], lengths: Mapping[str, int]
) -> NDArray[Any]:
    allowed = [
        {length} if axis == "*" else _lengths(axis, lengths)
        for axis, length in zip(axes, (*array.shape, *axes), strict=False)
    ]
    if len(array.shape) != len(axes) or any(
        length not in some for length, some in zip(array.shape, allowed, strict=True)
    ):
        expected = tuple(next(iter(some)) for some in allowed)
        raise ModelFileError(
            f"the model file is inconsistent: '{name}' has shape {array.shape}, expected "
            f"{expected}."
        )
    return array


def _lengths(axis: str, known: Mapping[str, int]) -> set[Any]:
    if axis.endswith("|1"):
        return {known[axis.removesuffix("|1")], 1}
    return {known[axis]}


def _from_priors(priors: list[Prior | None]) -> NDArray[np.float64]:
    rows = [[np.nan] * 4 if p is None else [getattr(p, name) for name in _PRIOR] for p in priors]
    return np.array(rows, dtype=float).reshape(len(rows), 4)


def _to_priors(rows: NDArray[np.float64]) -> list[Prior | None]:
    return [
        None if np.isnan(row).any() else Prior(*(float(number) for number in row)) for row in rows
    ]
