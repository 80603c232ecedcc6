"""Read ENIGMA's CSV files: SubjID, regions, summaries among them, covariates.

Thickness in mm, areas in mm², volumes in mm³, as the protocols ask for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from isoscan.errors import TableFormatError, name_some
from isoscan.tables.cells import table_suffix
from isoscan.tables.freesurfer import name_paths
from isoscan.tables.join import Unmatched, join_tables
from isoscan.tables.names import find_column, is_label_name
from isoscan.tables.numbers import require_numbers
from isoscan.tables.read import read_table, set_ids, tables_in

SUBJECT = frozenset({"subjid"})
COVARIATES = frozenset("dx sdx age agesq age2 sex handedness ao durill ahba education iq".split())
_SUMMARY = re.compile(
    r"^(ICV|e?TIV|[LRM]?_?(Thickness|SurfArea|FullSurfArea|FullThickness)|"
    r"(Mean|Total|Full)_?(Thickness|SurfArea|Area|FA|MD|RD|AD)|Average(FA|MD|RD|AD))$",
    re.IGNORECASE,
)
_REGION = re.compile(
    r"^([LRM]_\w+_(thickavg|surfavg|vol|thick|surf|area)|"
    r"[LRM](LatVent|thal|caud|put|pal|hippo|amyg|accumb))$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class EnigmaTables:
    """What ENIGMA's files hold, told apart.

    Attributes
    ----------
    measures : DataFrame of shape (n_people, n_regions)
        Regions only, float64.
    summaries : DataFrame of shape (n_people, n_summaries)
        ICV, mean thickness and total area: not to be harmonized as if they were regions.
    covariates : DataFrame of shape (n_people, n_covariates) or None
        Dx, Age, Sex and what else came with them; None if no file has any.
    """

    measures: pd.DataFrame
    summaries: pd.DataFrame
    covariates: pd.DataFrame | None


def read_enigma(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    unmatched: Unmatched = "error",
    decimal: str = ".",
    drop_duplicates: bool = False,
) -> EnigmaTables:
    r"""Read ENIGMA files, joined by SubjID.

    Columns that files repeat (ICV stands in all of them) must agree and are kept once.
    A file with Dx, Age, Sex or Handedness and no region holds covariates; of other
    files, columns of these names and columns of text are covariates.

    Parameters
    ----------
    path : path-like or sequence of path-like
        A CSV file, several, or a folder of them.
    unmatched : {"error", "drop"}
        What to do with people who are not in every file.
    decimal : str
        Decimal sign of the numbers, "." or ",".
    drop_duplicates : bool
        Leave out copies of rows, identical in every cell, with a warning that counts them.

    Returns
    -------
    EnigmaTables
        Measures, summaries and covariates, each indexed by SubjID.

    Raises
    ------
    UnmatchedRowsError
        If a person is not in every file.
    TableFormatError
        If a file has no column SubjID, or repeated columns differ.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> path = Path(mkdtemp()) / "metr1_SubVol.csv"
    >>> _ = path.write_text("SubjID,Lhippo,Rhippo,ICV\nsub-01,4200.5,3950,1684160\n")
    >>> read_enigma(path).measures
            Lhippo  Rhippo
    SubjID
    sub-01  4200.5  3950.0
    """
    named = name_paths(_files(path)).items()
    tables = {name: _read_one(one, decimal, drop_duplicates) for name, one in named}
    kinds = {name: _covariates_of(table) for name, table in tables.items()}
    joined = join_tables(tables, unmatched=unmatched)
    covariates = [
        column for column in joined.columns if any(column in kind for kind in kinds.values())
    ]
    summaries = enigma_summaries(joined.columns)
    regions = [column for column in joined.columns if column not in {*covariates, *summaries}]
    what = ", ".join(tables)
    return EnigmaTables(
        measures=require_numbers(joined, regions, what),
        summaries=require_numbers(joined, summaries, what),
        covariates=joined[covariates] if covariates else None,
    )


def enigma_summaries(columns: Iterable[str]) -> list[str]:
    """List the columns that sum up the brain or a hemisphere instead of one region.

    Parameters
    ----------
    columns : iterable of str
        Columns of ENIGMA files.

    Returns
    -------
    list of str
        ICV, LThickness, RSurfArea and the like, in their order.

    Examples
    --------
    >>> enigma_summaries(["L_insula_thickavg", "LThickness", "ICV"])
    ['LThickness', 'ICV']
    """
    return [column for column in columns if _SUMMARY.match(str(column))]


def _files(path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[Path]:
    if not isinstance(path, str | os.PathLike):
        return [Path(one) for one in path]
    if not Path(path).is_dir():
        return [Path(path)]
    found = [one for one in tables_in(Path(path)) if table_suffix(one) == ".csv"]
    if not found:
        raise TableFormatError(f"{path} holds no CSV files.", path=path)
    return found


def _read_one(path: Path, decimal: str, drop_duplicates: bool) -> pd.DataFrame:
    table = read_table(path, decimal=decimal, drop_duplicates=drop_duplicates)
    column = find_column(table.columns, SUBJECT)
    if column is None:
        raise TableFormatError(
            f"{path.name} has no column SubjID. It has {name_some(table.columns)}.", path=path
        )
    return set_ids(table, column, path.name).rename_axis("SubjID")


def _covariates_of(table: pd.DataFrame) -> set[str]:
    candidates = set(table.columns) - set(enigma_summaries(table.columns))
    regions = {column for column in candidates if _REGION.match(column)}
    known = {column for column in candidates if column.lower() in COVARIATES}
    if known and not regions:
        return candidates
    labels = {column for column in candidates if is_label_name(column)}
    text = set(table.columns) - set(table.select_dtypes("number").columns)
    return known | labels | (text & candidates - regions)
