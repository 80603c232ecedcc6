"""What stands in the way of writing results, or of the work before: said before it begins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from isoscan.errors import MissingValuesError, OutputExistsError, name_counts, name_some

FILES = ("harmonized.tsv", "harmonized.json", "model.isoscan", "report.html", "facts.json")
"""Names of the results, in the order of writing."""


def require_free(folder: Path, names: Iterable[str], *, overwrite: bool) -> None:
    """Refuse to write where results exist already, before any work is done.

    Parameters
    ----------
    folder : Path
        Where results go.
    names : iterable of str
        Files that will be written.
    overwrite : bool
        Whether they may be replaced.

    Raises
    ------
    OutputExistsError
        If one exists and may not be replaced.
    """
    existing = [name for name in names if (folder / name).exists()]
    if existing and not overwrite:
        raise OutputExistsError(
            f"{folder} already holds {name_some(existing)}. Choose another folder, or pass "
            f"overwrite=True (--overwrite).",
            files=existing,
        )


def require_complete(table: pd.DataFrame, features: Sequence[str]) -> None:
    """Refuse missing measures, for users who expect none.

    Parameters
    ----------
    table : DataFrame
        One row per scan.
    features : sequence of str
        Columns to look at.

    Raises
    ------
    MissingValuesError
        If a value is missing.
    """
    missing = table[list(features)].isna()
    if missing.any(axis=None):
        incomplete = missing.sum()[missing.any()]
        raise MissingValuesError(
            f"{int(missing.sum().sum())} of {missing.size} values missing, in "
            f"{name_counts(incomplete.to_dict())}. Allow them (--missing keep), or correct them.",
            features=list(incomplete.index),
        )
