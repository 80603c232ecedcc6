"""Join tables of the same scans, by id; a column that several repeat must agree."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd

from isoscan.errors import (
    AlignmentWarning,
    TableFormatError,
    UnmatchedRowsError,
    count,
    name_some,
)
from isoscan.tables.align import explain_lookalike_ids, require_unique

Unmatched = Literal["error", "drop"]
ROUNDING = 1e-6  # relative; repeated totals are printed with six to eight digits


def join_tables(
    tables: Mapping[str, pd.DataFrame], *, unmatched: Unmatched = "error"
) -> pd.DataFrame:
    """Join tables of the same scans by id.

    Parameters
    ----------
    tables : mapping of {str: DataFrame}
        Tables indexed by id; the keys are their names in messages.
    unmatched : {"error", "drop"}
        What to do with rows that are not in every table: refuse them by name, or leave
        them out with a warning that names them.

    Returns
    -------
    DataFrame
        Rows in the order of the first table, columns in the order of the tables. A column
        that several tables have appears once, with the values of the first.

    Raises
    ------
    DuplicateIdsError
        If a table repeats an id.
    UnmatchedRowsError
        If a row has no partner, or no row has one in every table.
    TableFormatError
        If tables have a column in common whose values differ.

    Examples
    --------
    >>> left = pd.DataFrame({"lh_insula": [3.0, 2.5]}, index=["sub-1", "sub-2"])
    >>> right = pd.DataFrame({"rh_insula": [2.0, 3.1]}, index=["sub-2", "sub-1"])
    >>> join_tables({"lh.tsv": left, "rh.tsv": right})
           lh_insula  rh_insula
    sub-1        3.0        3.1
    sub-2        2.5        2.0
    """
    if unmatched not in ("error", "drop"):
        raise ValueError(f"unmatched is {unmatched!r}; give 'error' or 'drop'.")
    for name, table in tables.items():
        require_unique(table.index, name)
    _settle_unmatched(tables, unmatched)
    first = next(iter(tables.values()))
    shared = first.index
    for table in tables.values():
        shared = shared[shared.isin(table.index)]
    return _merge_columns({name: table.loc[shared] for name, table in tables.items()})


def _settle_unmatched(tables: Mapping[str, pd.DataFrame], unmatched: Unmatched) -> None:
    everyone = _union(tables)
    absent = {name: everyone[~everyone.isin(table.index)] for name, table in tables.items()}
    absent = {name: ids for name, ids in absent.items() if len(ids)}
    if not absent:
        return
    found = "; ".join(
        f"{len(ids)} of {count(everyone, 'id')} not in {name}: {name_some(ids)}"
        for name, ids in absent.items()
    )
    ids = list(dict.fromkeys(id_ for some in absent.values() for id_ in some))
    if unmatched == "drop" and len(ids) < len(everyone):
        warnings.warn(
            f"{count(ids, 'row')} without a partner left out: {found}.",
            AlignmentWarning,
            stacklevel=3,
        )
        return
    hint = "".join(explain_lookalike_ids(some, tables[name].index) for name, some in absent.items())
    advice = "Add them, or leave them out with unmatched='drop' (--unmatched drop)."
    if len(ids) == len(everyone):
        advice = "No id is in all of them; are these tables of the same scans?"
    raise UnmatchedRowsError(
        f"Rows have no partner: {found}. {hint}{advice}",
        ids=ids,
        absent={name: list(some) for name, some in absent.items()},
    )


def _union(tables: Mapping[str, pd.DataFrame]) -> pd.Index[Any]:
    everyone, *others = (table.index for table in tables.values())
    for other in others:
        everyone = everyone.append(other[~other.isin(everyone)])
    return everyone


def _merge_columns(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    source: dict[str, str] = {}
    parts = []
    for name, table in tables.items():
        repeated = [column for column in table.columns if column in source]
        for column in repeated:
            _require_agreement(column, table[column], name, tables[source[column]][column], source)
        parts.append(table.drop(columns=repeated))
        source |= dict.fromkeys(parts[-1].columns, name)
    return pd.concat(parts, axis=1)


def _require_agreement(
    column: str, values: pd.Series[Any], name: str, known: pd.Series[Any], source: dict[str, str]
) -> None:
    rows = values.index[~_agree(values, known)]
    if len(rows):
        raise TableFormatError(
            f"{column} differs between {source[column]} and {name} in {count(rows, 'row')}: "
            f"{name_some(rows)}. Rename or remove it in one of them.",
            column=column,
            rows=list(rows),
        )


def _agree(values: pd.Series[Any], known: pd.Series[Any]) -> Any:
    if all(pd.api.types.is_numeric_dtype(column.dtype) for column in (values, known)):
        return np.isclose(
            values.to_numpy(np.float64),
            known.to_numpy(np.float64),
            rtol=ROUNDING,
            atol=0,
            equal_nan=True,
        )
    return ((values == known) | (values.isna() & known.isna())).to_numpy(bool)
