"""What transformations of a formula learned, in types that JSON knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from isoscan.errors import FormulaError


def plain(state: Any) -> Any:
    """Turn the state of transformations, as formulaic keeps it, into plain types.

    Parameters
    ----------
    state : object
        Mappings, whose keys may be integers, sequences, arrays and scalars.

    Returns
    -------
    object
        What `restored` needs.

    Raises
    ------
    FormulaError
        If anything else is in it.

    Examples
    --------
    >>> plain({1: np.array([2.0])})
    {'pairs': [[1, {'array': [2.0]}]]}
    """
    if isinstance(state, Mapping):
        return {"pairs": [[plain(key), plain(value)] for key, value in state.items()]}
    if isinstance(state, np.ndarray):
        return {"array": state.tolist()}
    if isinstance(state, np.generic):
        return state.item()
    if isinstance(state, list | tuple):
        return [plain(item) for item in state]
    if state is None or isinstance(state, str | bool | int | float):
        return state
    raise FormulaError(f"a transformation keeps a {type(state).__name__}, which cannot be saved.")


def restored(described: Any) -> Any:
    """Read back what `plain` made.

    Parameters
    ----------
    described : object
        Plain types.

    Returns
    -------
    object
        The state.
    """
    if isinstance(described, Mapping):
        if "array" in described:
            return np.asarray(described["array"], dtype=float)
        return {restored(key): restored(value) for key, value in described["pairs"]}
    if isinstance(described, list):
        return [restored(item) for item in described]
    return described
