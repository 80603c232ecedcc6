"""Read measures whatever program wrote them, recognised by their first column."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import pandas as pd

from isoscan.errors import MissingFileError, TableFormatError, name_some
from isoscan.tables.bids import has_scan_ids, identify_people
from isoscan.tables.enigma import SUBJECT, enigma_summaries
from isoscan.tables.freesurfer import (
    FIRST_COLUMN,
    freesurfer_totals,
    name_paths,
    read_freesurfer,
)
from isoscan.tables.join import Unmatched, join_tables
from isoscan.tables.mriqc import METRIC, find_image_metrics, identify_images, read_mriqc
from isoscan.tables.names import PARTICIPANT_NAMES, find_column
from isoscan.tables.read import (
    column_names,
    id_column,
    read_table,
    set_ids,
    tables_in,
)
from isoscan.tables.stats_files import Measure, has_stats_files

Kind = Literal["FreeSurfer", "MRIQC", "ENIGMA", "people", "other"]


def read_measures(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    index: str | None = None,
    decimal: str = ".",
    labels: tuple[str, ...] = (),
    measure: Measure | Sequence[Measure] = "thickness",
    unmatched: Unmatched = "error",
    session: str | None = None,
    drop_duplicates: bool = False,
) -> pd.DataFrame:
    r"""Read measures of scans from tables or folders of any known kind.

    FreeSurfer tables, MRIQC group tables, ENIGMA files and participants tables are
    recognised by their columns; in any other table the first column holds the ids. No
    column is lost: covariates, summaries and totals that stand among the measures are
    returned too (`summary_columns` names the latter).

    Parameters
    ----------
    path : path-like or sequence of path-like
        A file, several files joined by id, a folder of tables of one kind, FreeSurfer's
        SUBJECTS_DIR, or MRIQC's output folder.
    index : str, optional
        Column with the ids, if it cannot be recognised.
    decimal : str
        Decimal sign of the numbers, "." or ",".
    labels : tuple of str
        Further columns that are labels and stay text.
    measure : {"thickness", "volume", "area"} or sequence of these
        What to take from FreeSurfer's ?h.aparc.stats files.
    unmatched : {"error", "drop"}
        What to do with rows that are not in every file.
    session : str, optional
        Column that tells the scans of a person apart, if it is not called session.
    drop_duplicates : bool
        Leave out copies of rows, identical in every cell, with a warning that counts them.

    Returns
    -------
    DataFrame of shape (n_scans, n_columns)
        Indexed by id. Missing values are NaN.

    Raises
    ------
    TableFormatError
        If the ids cannot be found, or a folder holds tables of several kinds.
    UnmatchedRowsError
        If rows of one file have no partner in another.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> path = Path(mkdtemp()) / "aseg.tsv"
    >>> _ = path.write_text("Measure:volume\tLeft-Hippocampus\nsub-01\t4616.0\n")
    >>> read_measures(path)
             Left-Hippocampus
    subject
    sub-01             4616.0
    """
    if not isinstance(path, str | os.PathLike):
        paths = [Path(one) for one in path]
    elif not Path(path).is_dir():
        paths = [Path(path)]
    elif has_stats_files(Path(path)):
        return read_freesurfer(path, measure=measure, unmatched=unmatched)
    elif find_image_metrics(Path(path)):
        return read_mriqc(path)
    else:
        paths = _tables_of_one_kind(Path(path))
    if not paths:
        raise MissingFileError("No table given.", paths=[])
    tables = {
        name: _read_one(one, index, decimal, labels, session, drop_duplicates)
        for name, one in name_paths(paths).items()
    }
    return join_tables(tables, unmatched=unmatched)


def summary_columns(columns: Sequence[str]) -> list[str]:
    """List the columns that sum up the brain or a hemisphere, of FreeSurfer or ENIGMA.

    Parameters
    ----------
    columns : sequence of str
        Columns of a table of measures.

    Returns
    -------
    list of str
        Totals and means, in their order.

    Examples
    --------
    >>> summary_columns(["Left-Hippocampus", "eTIV", "LThickness"])
    ['eTIV', 'LThickness']
    """
    summaries = {*freesurfer_totals(columns), *enigma_summaries(columns)}
    return [column for column in columns if column in summaries]


def recognise(columns: Sequence[str]) -> Kind:
    """Tell from its columns which program wrote a table.

    Parameters
    ----------
    columns : sequence of str
        Columns of the table.

    Returns
    -------
    {"FreeSurfer", "MRIQC", "ENIGMA", "people", "other"}
        "people" has a column of participant ids, "other" has not.

    Examples
    --------
    >>> recognise(["lh.aparc.thickness", "lh_insula_thickness"])
    'FreeSurfer'
    >>> recognise(["participant_id", "age"])
    'people'
    """
    if columns and FIRST_COLUMN.match(columns[0]):
        return "FreeSurfer"
    metrics = sum(METRIC.match(column) is not None for column in columns)
    if "bids_name" in columns or (metrics > 10 and "participant_id" not in columns):
        return "MRIQC"
    if find_column(columns, SUBJECT) is not None:
        return "ENIGMA"
    return "other" if find_column(columns, PARTICIPANT_NAMES) is None else "people"


def _tables_of_one_kind(folder: Path) -> list[Path]:
    found = tables_in(folder)
    if not found:
        raise MissingFileError(f"{folder} holds no tables.", path=folder)
    kinds: dict[str, list[str]] = {}
    for path in found:
        kinds.setdefault(recognise(column_names(path)), []).append(path.name)
    if len(kinds) > 1:
        listed = "; ".join(f"{kind}: {name_some(names)}" for kind, names in kinds.items())
        raise TableFormatError(
            f"{folder} holds tables of {len(kinds)} kinds ({listed}). Name the files to join.",
            path=folder,
            kinds=kinds,
        )
    return found


def _read_one(
    path: Path,
    index: str | None,
    decimal: str,
    labels: tuple[str, ...],
    session: str | None,
    drop_duplicates: bool,
) -> pd.DataFrame:
    read = partial(read_table, path, decimal=decimal, drop_duplicates=drop_duplicates)
    if index is not None:
        return read(index=index, labels=labels)
    if path.suffix.lower() == ".json":
        return read_mriqc(path)
    names = column_names(path)
    kind = recognise(names)
    if kind == "FreeSurfer":
        return read_freesurfer(path, decimal=decimal, drop_duplicates=drop_duplicates)
    sessions = () if session is None else (session,)
    table = read(labels=(*labels, *names[:1], *sessions))
    if kind == "MRIQC":
        return identify_images(table, path.name)
    if kind == "ENIGMA":
        return set_ids(table, str(find_column(table.columns, SUBJECT)), path.name)
    if kind == "people" and has_scan_ids(table):
        return set_ids(_with_participants(table), names[0], path.name)
    if kind == "people":
        return identify_people(table, path.name, session=session)
    return _indexed_by_first(table, path)


def _with_participants(table: pd.DataFrame) -> pd.DataFrame:
    return table.rename(columns={str(id_column(list(table.columns))): "participant_id"})


def _indexed_by_first(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    first = table.columns[0]
    values = pd.to_numeric(table[first], errors="coerce")
    fractions = table[first][values.notna() & (values % 1 != 0)]
    if len(fractions):
        raise TableFormatError(
            f"{path.name}: the first column '{first}' holds numbers such as '{fractions.iloc[0]}', "
            f"not ids. Put the ids first, or name their column with index= (--index).",
            path=path,
            column=first,
        )
    return set_ids(table, first, path.name)
