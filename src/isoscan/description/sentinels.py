"""Find codes for missing values that were left among the numbers: 9999, -9, 0."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.description.covariates import LEVEL_CODES, SortedCovariates
from isoscan.description.plain import Facts
from isoscan.description.study import Study, name_scans
from isoscan.errors import count

CODES = (-99999, -9999, -999, -99, -9, -1, 0, 99, 888, 999, 8888, 9999, 99999)
"""Numbers that commonly stand for a missing value."""
FAR = 5.0
"""Standard deviations of the other values from which a code is far out."""


def find_sentinels(study: Study, covariates: SortedCovariates) -> list[Facts]:
    """Find codes for missing values in covariates and measures.

    A code is reported only if it cannot be an ordinary value: it lies outside the range of
    the other values, and far from them or on the impossible side of zero.

    Parameters
    ----------
    study : Study
        The scans.
    covariates : SortedCovariates
        Numbers and categories.

    Returns
    -------
    list of dict
        column, value, n, scans, sd (distance from the mean of the others, in their SD; None
        for categories) and sentence; sorted by column and value.

    Examples
    --------
    >>> from isoscan.description.covariates import sort_covariates
    >>> from isoscan.description.study import gather_study
    >>> people = pd.DataFrame({"age": [*np.arange(20.0, 60.0), 9999.0]})
    >>> study = gather_study(np.ones((41, 1)), ["A"] * 41, people)
    >>> find_sentinels(study, sort_covariates(study))[0]["sentence"]
    "age = 9999 in 1 scan ('40') is 852 SD away from the rest: ..."
    """
    found = []
    for column, values in _columns_with_codes(study, covariates.numeric):
        found += [_facts_of(study, column, *item) for item in far_codes(values)]
    for column, levels in covariates.categories.items():
        found += _coded_levels(study, column, levels)
    return sorted(found, key=lambda item: (item["column"], item["value"]))


def _columns_with_codes(
    study: Study, numeric: Mapping[str, pd.Series[Any]]
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    for name, column in numeric.items():
        yield name, column.to_numpy()
    for position in np.flatnonzero(np.isin(study.values, CODES).any(axis=0)):
        yield study.features[position], study.values[:, position]


def far_codes(values: NDArray[np.float64]) -> list[tuple[float, NDArray[np.intp], float]]:
    """Find the codes in one column that its other values exclude.

    Parameters
    ----------
    values : ndarray of shape (n_scans,)
        One column; NaN where missing.

    Returns
    -------
    list of tuple
        Code, row numbers, and distance from the mean of the other values in their SD.
    """
    present = values[~np.isnan(values)]
    codes = [code for code in CODES if (present == code).any()]
    found = []
    rest = present
    for code in sorted(codes, key=lambda code: -abs(code - np.median(present))):
        others = rest[rest != code]
        if len(others) < 5 or others.min() <= code <= others.max() or np.ptp(others) == 0:
            continue
        distance = abs(code - others.mean()) / others.std(ddof=1)
        if code == 0 and len(others) < 0.95 * len(rest):
            continue  # zero that often is a value
        if _is_far(code, others, distance) or _is_impossible(code, others):
            distance = min(distance, 1e300)  # the rest may hardly vary
            found.append((float(code), np.flatnonzero(values == code), float(distance)))
            rest = others
    return found


def _is_far(code: float, others: NDArray[np.float64], distance: float) -> bool:
    gap = np.abs(others - code).min()
    return bool(distance > FAR and gap > 2 * others.std(ddof=1))


def _is_impossible(code: float, others: NDArray[np.float64]) -> bool:
    """Below zero where all others are above, or zero where none comes near it."""
    if len(others) < 10 or others.min() < 0 or code > 0:
        return False
    return bool(code < 0 or others.min() > 0.25 * np.median(others))


def _facts_of(study: Study, column: str, code: float, rows: NDArray[np.intp], sd: float) -> Facts:
    sentence = (
        f"{column} = {code:g} in {count(len(rows), 'scan')} ({name_scans(study, rows, 3)}) "
        f"is {sd:,.{int(sd < 10)}f} SD away from the rest: "
        f"{reason_for(code)} Replace it by n/a."
    )
    return _sentinel(study, column, code, rows, sd, sentence)


def reason_for(code: float) -> str:
    """Suggest why a code stands among the numbers.

    Parameters
    ----------
    code : float
        The number.

    Returns
    -------
    str
        A question.
    """
    return "nothing measured?" if code == 0 else "a code for a missing value?"


def _coded_levels(study: Study, column: str, levels: pd.Series[Any]) -> list[Facts]:
    if pd.to_numeric(levels.dropna(), errors="coerce").isna().any():
        return []
    found = []
    for level in sorted(set(levels.dropna()) & set(LEVEL_CODES)):
        rows = np.flatnonzero(levels.to_numpy() == level)
        sentence = (
            f"{column} = {level} in {count(len(rows), 'scan')} ({name_scans(study, rows, 3)}) "
            f"counts as a category of its own: a code for a missing value? Replace it by n/a."
        )
        found.append(_sentinel(study, column, float(level), rows, None, sentence))
    return found


def _sentinel(
    study: Study, column: str, code: float, rows: NDArray[np.intp], sd: float | None, sentence: str
) -> Facts:
    return {
        "column": column,
        "value": code,
        "n": len(rows),
        "scans": sorted(study.scans[row] for row in rows),
        "sd": sd,
        "sentence": sentence,
    }


def without_sentinels(
    numeric: Mapping[str, pd.Series[Any]], sentinels: list[Facts]
) -> dict[str, pd.Series[Any]]:
    """Return the numeric covariates with codes for missing values set to NaN.

    Parameters
    ----------
    numeric : mapping of {str: Series of float}
        Covariates.
    sentinels : list of dict
        What `find_sentinels` returned.

    Returns
    -------
    dict of {str: Series of float}
        New series; the given ones are not changed.
    """
    codes: dict[str, list[float]] = {}
    for item in sentinels:
        codes.setdefault(item["column"], []).append(item["value"])
    return {
        name: column.where(~column.isin(codes.get(name, []))) for name, column in numeric.items()
    }
