"""Tell which columns of a table describe people, which are sites, and which are totals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from isoscan.combat.batches import as_batches, cell_labels
from isoscan.errors import MissingColumnError, name_some
from isoscan.harmonizing.words import PEOPLE
from isoscan.tables import summary_columns
from isoscan.tables.names import site_columns

NAMES = frozenset("participant_id subject_id subjid subject session_id scan_id".split())
"""Columns that name people; left out of facts without individuals."""


def totals_of(table: pd.DataFrame) -> list[str]:
    """Numeric columns that sum up the brain: looked at, but not harmonized unless named.

    Parameters
    ----------
    table : DataFrame
        One row per scan.

    Returns
    -------
    list of str
        Columns in the order of the table.
    """
    return summary_columns([str(name) for name in table.select_dtypes("number").columns])


def people_of(table: pd.DataFrame, features: Sequence[str], used: Iterable[str]) -> pd.DataFrame:
    """Keep the columns that say who was scanned where.

    Parameters
    ----------
    table : DataFrame
        One row per scan.
    features : sequence of str
        Columns that are measures.
    used : iterable of str
        Columns with sites and covariates.

    Returns
    -------
    DataFrame
        Columns used by name, known by name, or made of words.
    """
    numeric = set(table.select_dtypes("number").columns)
    left_out, kept = set(features), set(used)
    return table[
        [
            name
            for name in table.columns
            if name not in left_out
            and (name in kept or str(name).lower() in PEOPLE or name not in numeric)
        ]
    ]


def require_site(table: pd.DataFrame, names: Sequence[str]) -> None:
    """Refuse a table without one of its site columns.

    Parameters
    ----------
    table : DataFrame
        One row per scan.
    names : sequence of str
        Columns with batch labels.

    Raises
    ------
    MissingColumnError
        If one is absent.
    """
    for name in names:
        if name not in table.columns:
            raise MissingColumnError(
                f"there is no site column '{name}'. Columns: {name_some(table.columns, 8)}. "
                f"{advise_site(table.columns)}",
                column=name,
            )


def advise_site(columns: Iterable[str]) -> str:
    """Say how to name the site column, with the one that is likely meant.

    Parameters
    ----------
    columns : iterable of str
        Columns of the table.

    Returns
    -------
    str
        A sentence.

    Examples
    --------
    >>> advise_site(["age", "Scanner"])
    "Name it, if it is 'Scanner': site='Scanner' (--site Scanner)."
    >>> advise_site(["age", "scanner", "batch"])
    'Name it: site=... (--site).'
    """
    alike = site_columns(columns)
    if len(alike) != 1:
        return "Name it: site=... (--site)."
    spelled = f"'{alike[0]}'" if " " in alike[0] else alike[0]
    return f"Name it, if it is '{alike[0]}': site='{alike[0]}' (--site {spelled})."


def sites_of(table: pd.DataFrame, names: Sequence[str]) -> Any:
    """Sites as an estimator takes them.

    Parameters
    ----------
    table : DataFrame
        One row per scan.
    names : sequence of str
        Columns with batch labels.

    Returns
    -------
    Series or DataFrame
        A series for one column, a frame for several.
    """
    return table[names[0]] if len(names) == 1 else table[list(names)]


def one_label(table: pd.DataFrame, names: Sequence[str]) -> pd.Series[Any]:
    """One label per scan, to be looked at: several batch labels joined.

    Parameters
    ----------
    table : DataFrame
        One row per scan.
    names : sequence of str
        Columns with batch labels.

    Returns
    -------
    Series
        Labels.

    Examples
    --------
    >>> table = pd.DataFrame({"site": ["A", "B"], "coil": ["8", "32"]})
    >>> one_label(table, ["site", "coil"]).tolist()
    ['A / 8', 'B / 32']
    """
    batches = as_batches(table[list(names)])
    return table[names[0]] if batches is None else cell_labels(batches)
