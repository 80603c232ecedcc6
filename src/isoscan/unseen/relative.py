"""Volumes relative to the intracranial volume, divided once and in one unit."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.errors import (
    DataError,
    MissingColumnError,
    MissingValuesError,
    MissingValuesWarning,
    count,
)
from isoscan.tables.align import align_rows
from isoscan.tables.numbers import require_numbers

PLAUSIBLE = (500.0, 3000.0)
"""Intracranial volumes of people, in cm³; wide enough for infants and for errors of method."""
_UNITS = {"mm³": 1e3, "cm³": 1.0}
LEAST = 1e-4
"""The largest of several structures is more of the head than that."""
MOST = 10.0
"""A total may be wrong and smaller than its parts, but not by as much as a unit."""


def relative_volumes(
    volumes: pd.DataFrame,
    total: str | pd.Series[Any],
    *,
    implausible: Literal["error", "missing", "keep"] = "error",
) -> pd.DataFrame:
    """Divide volumes by the total intracranial volume of the same scan.

    Parameters
    ----------
    volumes : DataFrame of shape (n_scans, n_features)
        Absolute volumes.
    total : str or Series
        Column of `volumes`, which is then left out of the result; or the totals, matched by
        id, in the same unit; see `intracranial_volume`.
    implausible : {"error", "missing", "keep"}
        A total that is missing or not that of a person (500 to 3000 cm³): refuse it, mark all
        volumes of the scan as missing with a warning, or divide by it.

    Returns
    -------
    DataFrame of float64, shape (n_scans, n_features)
        Shares of the total; NaN where missing.

    Raises
    ------
    DataError
        If volumes are relative already, or in another unit than the total.
    MissingValuesError
        If a total is implausible and `implausible` is "error".
    UnmatchedRowsError
        If a scan has no total.

    Examples
    --------
    >>> volumes = pd.DataFrame({"hippocampus": [4200.0], "eTIV": [1.4e6]}, index=["sub-1"])
    >>> relative_volumes(volumes, "eTIV").hippocampus.round(4).tolist()
    [0.003]
    """
    table, totals = _split(volumes, total)
    unit = _unit_of(totals)
    _refuse_shares(table, totals, unit)
    odd = _implausible(totals, unit)
    _answer_implausible(totals[odd], len(totals), implausible, unit)
    _require_one_unit(table[~odd], totals[~odd], unit)
    if implausible == "missing":
        totals = totals.mask(odd)
    return table.div(totals, axis=0)


def _split(
    volumes: pd.DataFrame, total: str | pd.Series[Any]
) -> tuple[pd.DataFrame, pd.Series[Any]]:
    table = require_numbers(volumes, None, "volumes").astype(np.float64)
    if not isinstance(total, str):
        aligned = align_rows(total, table.index, what="intracranial volumes", extra="ignore")
        return table, aligned.astype(np.float64)
    if total not in table.columns:
        raise MissingColumnError(
            f"volumes have no column '{total}'. intracranial_volume finds it under any name.",
            columns=[total],
        )
    return table.drop(columns=total), table[total]


def _refuse_shares(table: pd.DataFrame, totals: pd.Series[Any], unit: str) -> None:
    """Values below 1 are shares, unless they are small structures in cm³."""
    largest = float(np.nanmax(table.to_numpy(), initial=0.0))
    small_structures = unit == "cm³" and bool((table.div(totals, axis=0) > LEAST).to_numpy().any())
    if largest < 1 and not small_structures:
        raise DataError(
            f"volumes are relative already: the largest of {count(table.size, 'value')} is "
            f"{largest:.3g}. Dividing twice would leave nothing of them; use them as they are."
        )


def _unit_of(totals: pd.Series[Any]) -> str:
    """Tell the unit by the median total."""
    median = float(totals.median())
    for unit, per_cm3 in _UNITS.items():
        if PLAUSIBLE[0] * per_cm3 <= median <= PLAUSIBLE[1] * per_cm3:
            return unit
    raise DataError(
        f"the median intracranial volume is {median:.4g}, which is no head in mm³ or cm³ (mL). "
        f"Check which column it is."
    )


def _implausible(totals: pd.Series[Any], unit: str) -> NDArray[np.bool_]:
    low, high = (limit * _UNITS[unit] for limit in PLAUSIBLE)
    return ~totals.between(low, high).to_numpy()


def _answer_implausible(odd: pd.Series[Any], n_scans: int, answer: str, unit: str) -> None:
    if answer not in ("error", "missing", "keep"):
        raise DataError(f"implausible must be 'error', 'missing' or 'keep', got {answer!r}.")
    if odd.empty or answer == "keep":
        return
    shown = [f"'{scan}' ({value:.4g})" for scan, value in odd.head(5).items()]
    more = f" and {len(odd) - 5} more" if len(odd) > 5 else ""
    sentence = (
        f"{len(odd)} of {count(n_scans, 'scan')} have an intracranial volume that is missing or "
        f"not between {PLAUSIBLE[0]:g} and {PLAUSIBLE[1]:g} cm³ (in {unit}): "
        f"{', '.join(shown)}{more}"
    )
    if answer == "error":
        raise MissingValuesError(
            f"{sentence}. Their registration failed: leave them out, or set implausible='missing'.",
            scans=list(odd.index),
        )
    warnings.warn(
        f"{sentence}; their volumes are marked as missing.", MissingValuesWarning, stacklevel=3
    )


def _require_one_unit(table: pd.DataFrame, totals: pd.Series[Any], unit: str) -> None:
    """Refuse volumes that no part of a head has: the largest share tells the unit."""
    shares = table.div(totals, axis=0).median()
    largest = float(shares.max())
    if largest >= MOST or largest < LEAST:
        ratio = "more than the head" if largest >= MOST else "next to nothing of the head"
        raise DataError(
            f"the totals are in {unit}, but '{shares.idxmax()}' would be {ratio} "
            f"({largest:.3g} of it): volumes and totals are in different units. Convert one of "
            f"them.",
            feature=shares.idxmax(),
        )
