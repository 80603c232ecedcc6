"""Match rows by identifier, never by order."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import pandas as pd

from isoscan.errors import (
    AlignmentWarning,
    DuplicateIdsError,
    UnmatchedRowsError,
    count,
    name_some,
)


def require_unique(index: pd.Index[Any], what: str, *, rows: pd.DataFrame | None = None) -> None:
    """Refuse identifiers that occur more than once.

    Parameters
    ----------
    index : Index
        Identifiers of the rows.
    what : str
        What the rows are, used in the message.
    rows : DataFrame, optional
        The rows as read, to tell copies of a row from different rows of one id.

    Raises
    ------
    DuplicateIdsError
        If an identifier is repeated.
    """
    if index.is_unique:
        return
    repeated = index[index.duplicated()].unique()
    if rows is not None and index[~rows.duplicated().to_numpy()].is_unique:
        copies = count(len(index) - index.nunique(), "row")
        raise DuplicateIdsError(
            f"{copies} of {what} repeated, identical in every cell: {name_some(repeated)}. Leave "
            f"the copies out: drop_duplicates=True (--drop-duplicates).",
            ids=list(repeated),
        )
    raise DuplicateIdsError(
        f"{count(len(repeated), 'id')} of {what} occur more than once: {name_some(repeated)}. "
        + (
            "Rename or drop the copies."
            if what == "features"
            else "Give every row its own id; for several sessions name the column that tells "
            "them apart (session=, --session)."
        ),
        ids=list(repeated),
    )


def align_rows(
    other: pd.DataFrame | pd.Series[Any],
    index: pd.Index[Any],
    *,
    what: str = "covariates",
    rows: str = "scans",
    extra: Literal["warn", "ignore"] = "warn",
) -> Any:
    """Bring another table into the row order of `index`, by identifier.

    Parameters
    ----------
    other : DataFrame or Series
        Table to reorder. Rows that `index` does not name are left out.
    index : Index
        Identifiers that must all be present.
    what : str
        What `other` holds, used in messages.
    rows : str
        What the rows of `index` are, used in messages.
    extra : {"warn", "ignore"}
        Whether to name the rows that are left out.

    Returns
    -------
    DataFrame or Series
        The rows of `other` named by `index`, in that order.

    Raises
    ------
    DuplicateIdsError
        If `other` repeats an identifier.
    UnmatchedRowsError
        If an identifier of `index` is not in `other`.

    Examples
    --------
    >>> age = pd.Series([30.0, 40.0], index=["sub-1", "sub-2"])
    >>> align_rows(age, pd.Index(["sub-2", "sub-1"])).tolist()
    [40.0, 30.0]
    """
    if other.index.equals(index):
        return other
    require_unique(index, rows)
    require_unique(other.index, what)
    absent = index.difference(other.index, sort=False)
    if len(absent):
        raise UnmatchedRowsError(
            f"{len(absent)} of {len(index)} {rows} have no {what}: {name_some(absent)}. "
            f"{explain_lookalike_ids(absent, other.index)}"
            f"Add them to the {what}, or leave these rows out (--unmatched drop).",
            ids=list(absent),
        )
    unused = other.index.difference(index, sort=False)
    if len(unused) and extra == "warn":
        warnings.warn(
            f"{count(len(unused), 'row')} of {what} belong to none of the {len(index)} {rows} "
            f"and are left out: {name_some(unused)}.",
            AlignmentWarning,
            stacklevel=3,
        )
    return other.loc[index]


def explain_lookalike_ids(absent: pd.Index[Any], present: pd.Index[Any]) -> str:
    """Explain the most common cause of unmatched rows: '001' became 1.

    Parameters
    ----------
    absent : Index
        Identifiers that were not found.
    present : Index
        Identifiers they were looked for in.

    Returns
    -------
    str
        A sentence with a space at its end; empty if no pair looks alike.

    Examples
    --------
    >>> explain_lookalike_ids(pd.Index(["001"]), pd.Index([1, 2]))
    "'001' differs only in type or leading zeros; read ids as text. "
    >>> explain_lookalike_ids(pd.Index(["07"]), pd.Index(["sub-07"]))
    "'07' is there with another prefix or padding, as 'sub-07'. "
    """
    texts = {str(label).lstrip("0") for label in present}
    alike = [label for label in absent if str(label).lstrip("0") in texts]
    if alike:
        return f"{name_some(alike, 1)} differs only in type or leading zeros; read ids as text. "
    bare = {_bare(label): label for label in present}
    other = next((label for label in absent if _bare(label) in bare), None)
    if other is None:
        return ""
    return f"'{other}' is there with another prefix or padding, as '{bare[_bare(other)]}'. "


def _bare(label: object) -> str:
    return str(label).removeprefix("sub-").lstrip("0")
