"""Text cells become numbers only when nothing is lost or guessed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.errors import MissingColumnError, NotNumericError, count, name_some

MISSING = frozenset({"", "n/a"})
MISSING_NUMBER = MISSING | {"NA", "NaN", "nan"}
_SPECIAL = dict.fromkeys(MISSING_NUMBER, np.nan) | {
    sign + word: float(sign + word)
    for sign in ("", "+", "-")
    for word in ("inf", "Inf", "INF", "infinity", "Infinity")
}
_NOT_NUMERAL = re.compile(r"[^0-9+\-.eE\n]")
_LEADING_ZERO = re.compile(r"^[+-]?0\d", re.MULTILINE)
_COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")
_FRACTION = re.compile(r"[.eE]")
_EXACT_DIGITS = 15  # longer integers are names of something: a float cannot hold them


def as_plain_numbers(cells: Sequence[str], decimal: str = ".") -> NDArray[Any] | None:
    """Convert text cells to numbers if every one is a plain numeral or missing.

    Parameters
    ----------
    cells : sequence of str
        Cells of one column.
    decimal : str
        Decimal sign, a point or a comma.

    Returns
    -------
    ndarray of int64 or float64, or None
        None if a cell is something else, has leading zeros ("001") or is an integer
        of more than 15 digits. Missing cells ("", "n/a", "NA", "NaN", "nan") are NaN.

    Examples
    --------
    >>> as_plain_numbers(["1.5", "n/a"])
    array([1.5, nan])
    >>> as_plain_numbers(["1", "20"])
    array([ 1, 20])
    >>> as_plain_numbers(["001", "020"]) is None
    True
    """
    stripped = [cell.strip() for cell in cells]
    plain = [cell for cell in stripped if cell not in _SPECIAL]
    joined = "\n".join(plain)
    if decimal == ",":
        if "." in joined:
            return None
        joined = joined.replace(",", ".")
    if _NOT_NUMERAL.search(joined) or _LEADING_ZERO.search(joined):
        return None
    whole = _FRACTION.search(joined) is None
    if whole and any(len(cell.lstrip("+-")) > _EXACT_DIGITS for cell in plain):
        return None
    return _convert(stripped, joined.split("\n") if plain else [], whole)


def _convert(stripped: list[str], plain: list[str], whole: bool) -> NDArray[Any] | None:
    try:
        numbers = np.array([float(cell) for cell in plain], dtype=np.float64)
    except ValueError:  # "-", "e5", "1-2"
        return None
    if len(plain) == len(stripped):
        return numbers.astype(np.int64) if whole and len(plain) else numbers
    found = np.array([_SPECIAL.get(cell, 0.0) for cell in stripped], dtype=np.float64)
    found[[cell not in _SPECIAL for cell in stripped]] = numbers
    return found


def require_numbers(
    frame: pd.DataFrame, columns: Iterable[str] | None = None, what: str = ""
) -> pd.DataFrame:
    """Convert columns to float64, or say which values are not numbers.

    Parameters
    ----------
    frame : DataFrame
        A table as `read_table` gives it.
    columns : iterable of str, optional
        Columns that must be numbers; all by default.
    what : str
        What the table is, e.g. its file name; begins the message.

    Returns
    -------
    DataFrame of float64
        These columns. Missing values are NaN; infinities are kept. Leading zeros are
        accepted here ("08" is 8), since numbers are asked for.

    Raises
    ------
    MissingColumnError
        If a column is not in the table.
    NotNumericError
        If a value is not a number.

    Examples
    --------
    >>> people = pd.DataFrame({"age": ["51,3", "40"]}, index=["sub-01", "sub-02"])
    >>> require_numbers(people, ["age"])
    Traceback (most recent call last):
    ...
    isoscan.errors.NotNumericError: age: 1 value is not a number, e.g. '51,3' (row sub-01); \
decimal comma? use decimal=',' (--decimal ,).
    """
    columns = list(frame.columns if columns is None else columns)
    absent = [column for column in columns if column not in frame.columns]
    if absent:
        raise MissingColumnError(
            f"{_begin(what)}{count(absent, 'column')} not in the table: {name_some(absent)}. "
            f"It has {name_some(frame.columns)}.",
            columns=absent,
        )
    numbers = {column: _column_as_numbers(frame[column], what) for column in columns}
    return pd.DataFrame(numbers, index=frame.index, columns=pd.Index(columns))


def is_mostly_numbers(column: pd.Series[Any]) -> bool:
    """Tell whether a column would hold numbers but for some of its cells.

    Parameters
    ----------
    column : Series
        A column of a table.

    Returns
    -------
    bool
        True for text of which more than half is plain numerals, or numerals with a decimal
        comma, and the rest is neither that nor missing.

    Examples
    --------
    >>> is_mostly_numbers(pd.Series(["2.9", "bad", "3.1"]))
    True
    >>> is_mostly_numbers(pd.Series(["2.9", "3.1"])), is_mostly_numbers(pd.Series(["A1", "3"]))
    (False, False)
    """
    if column.dtype != object and not isinstance(column.dtype, pd.StringDtype):
        return False
    cells = [value for value in column.tolist() if value is not None and value == value]
    read = [_as_number(cell) for cell in cells]
    commas = [
        isinstance(cell, str) and _COMMA.fullmatch(cell.strip()) is not None for cell in cells
    ]
    good = [number is not None or comma for number, comma in zip(read, commas, strict=True)]
    return None in read and 2 * sum(good) > len(good)


def _column_as_numbers(column: pd.Series[Any], what: str) -> NDArray[np.float64]:
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    cells = ["" if value is None or value != value else value for value in column.tolist()]
    numbers = [_as_number(cell) for cell in cells]
    wrong = [row for row, number in enumerate(numbers) if number is None]
    if wrong:
        _refuse(column, wrong, what)
    return np.array(numbers, dtype=np.float64)


def _as_number(value: Any) -> float | None:
    if not isinstance(value, str):
        return float(value) if isinstance(value, int | float | np.number) else None
    cell = value.strip()
    if cell in _SPECIAL:
        return _SPECIAL[cell]
    if _NOT_NUMERAL.search(cell) or "\n" in cell:
        return None
    try:
        return float(cell)
    except ValueError:
        return None


def _refuse(column: pd.Series[Any], wrong: list[int], what: str) -> None:
    values = [column.iloc[row] for row in wrong]
    number_of = count(wrong, "value is not a number", "values are not numbers")
    raise NotNumericError(
        f"{_begin(what)}{column.name}: {number_of}, e.g. '{values[0]}' "
        f"(row {column.index[wrong[0]]}); {_advice(str(values[0]))}",
        column=column.name,
        rows=[column.index[row] for row in wrong],
        values=values,
    )


def _advice(value: str) -> str:
    if _COMMA.fullmatch(value.strip()):
        return "decimal comma? use decimal=',' (--decimal ,)."
    return "write n/a where a value is missing."


def _begin(what: str) -> str:
    return f"{what}: " if what else ""
