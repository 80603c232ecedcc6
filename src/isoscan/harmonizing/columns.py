"""Decide which columns of a table are measures, which describe people, and which are sites."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from isoscan.combat.batches import as_batches, cell_labels
from isoscan.errors import DataError, MissingColumnError, count, name_some
from isoscan.tables import summary_columns

PEOPLE = frozenset(
    "age sex gender diagnosis dx sdx group handedness education iq fiq session run scan "
    "participant_id subject_id subjid subject visit wave timepoint time scanner".split()
)
"""Columns that describe people, not brains; never taken for a feature unless named."""
NAMES = frozenset("participant_id subject_id subjid subject session_id scan_id".split())
"""Columns that name people; left out of facts without individuals."""
SETTINGS = ("rater_", "size_", "spacing_")
"""Beginnings of MRIQC's columns that are opinions, or how the image was taken."""


def choose_features(
    table: pd.DataFrame, features: Sequence[str] | None, used: Iterable[str]
) -> list[str]:
    """Decide which columns are measures.

    Parameters
    ----------
    table : DataFrame
        One row per scan.
    features : sequence of str or None
        The user's choice; None to decide by type and name.
    used : iterable of str
        Columns with sites and covariates, which are not measures.

    Returns
    -------
    list of str
        Columns in the order of the table.

    Raises
    ------
    MissingColumnError
        If a chosen column is absent.
    DataError
        If no column is left, or a chosen one is used as site or covariate.
    """
    taken = set(used)
    if features is not None:
        return _named(table, features, taken)
    numeric = [
        str(name)
        for name in table.select_dtypes("number").columns
        if name not in taken
        and str(name).lower() not in PEOPLE
        and not str(name).startswith(SETTINGS)
    ]
    totals = set(totals_of(table))
    regions = [name for name in numeric if name not in totals] or numeric
    if not regions:
        raise DataError(
            f"no column to harmonize: none of {name_some(table.columns, 8)} is numeric and not "
            f"a covariate. Name the features."
        )
    return regions


def _named(table: pd.DataFrame, features: Sequence[str], taken: set[str]) -> list[str]:
    absent = [name for name in features if name not in table.columns]
    if absent:
        raise MissingColumnError(
            f"{count(absent, 'feature')} not in the table: {name_some(absent)}.",
            columns=absent,
        )
    both = [name for name in features if name in taken]
    if both:
        raise DataError(
            f"{name_some(both)} cannot be a feature: it is used as site or covariate.",
            columns=both,
        )
    return list(features)


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
                f"Name it: site=... (--site).",
                column=name,
            )


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
