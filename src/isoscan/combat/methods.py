"""The methods of the family by the names that users give."""

from __future__ import annotations

from typing import Any

from isoscan.errors import DataError

METHODS = {
    "combat": "ComBat",
    "covbat": "CovBat",
    "combat-ls": "ComBatLS",
    "longitudinal": "LongitudinalComBat",
    "stepwise": "StepwiseComBat",
}
"""Names of the methods, and of their estimators in `isoscan.combat`."""


def estimator_of(method: str) -> type[Any]:
    """Look up the estimator of a method.

    Parameters
    ----------
    method : str
        One of `METHODS`.

    Returns
    -------
    type
        The estimator.

    Raises
    ------
    DataError
        If there is no such method.
    """
    import isoscan.combat as family

    if method not in METHODS:
        raise DataError(f"method must be one of {tuple(METHODS)}, got {method!r}.")
    found: type[Any] = getattr(family, METHODS[method])
    return found
