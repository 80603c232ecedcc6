"""Read BIDS tables: participants.tsv, its sidecar, and entities in file names."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd

from isoscan.errors import TableFormatError, name_some
from isoscan.tables.align import require_unique
from isoscan.tables.names import RUN_NAMES, SESSION_NAMES, find_column, is_scan_name
from isoscan.tables.read import TEXT, clean_ids, id_column, read_table, set_ids


def read_participants(
    path: str | os.PathLike[str],
    *,
    decimal: str = ".",
    labels: tuple[str, ...] = (),
    session: str | None = None,
    drop_duplicates: bool = False,
) -> pd.DataFrame:
    r"""Read a table of people: participants.tsv or any table with a column of ids.

    The ids are found in participant_id, SubjID, subject_id or ID, and are text ("001"
    stays "001"). If ids repeat and there is a session column, rows are scans: the index
    is then "sub-01_ses-1" (with "_run-2" or "_scan-b" if sessions repeat too), called
    scan, and the columns participant_id and session are kept, so that repeated
    measurements of one person can still be told from different people. A table of
    repeated scans whose first column is scan, as isoscan writes it, is indexed by that.

    Parameters
    ----------
    path : path-like
        TSV, CSV or Parquet file, or a BIDS folder with participants.tsv in it.
    decimal : str
        Decimal sign of the numbers, "." or ",".
    labels : tuple of str
        Further columns that are labels and stay text; site and scanner are known.
    session : str, optional
        Column that tells the scans of a person apart, if it has another name.
    drop_duplicates : bool
        Leave out copies of rows, identical in every cell, with a warning that counts them.

    Returns
    -------
    DataFrame of shape (n_people, n_columns)
        Indexed by participant_id, or by scan. Missing values are NaN.

    Raises
    ------
    TableFormatError
        If there is no column of ids.
    DuplicateIdsError
        If ids repeat and no session or run tells the rows apart.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> path = Path(mkdtemp()) / "participants.tsv"
    >>> _ = path.write_text("participant_id\tsession\tage\nsub-01\t1\t8\nsub-01\t2\t9\n")
    >>> read_participants(path)
                 participant_id session  age
    scan
    sub-01_ses-1         sub-01       1    8
    sub-01_ses-2         sub-01       2    9
    """
    path = Path(path)
    if path.is_dir():
        path = path / "participants.tsv"
    own = labels if session is None else (*labels, session)
    frame = read_table(path, decimal=decimal, labels=own, drop_duplicates=drop_duplicates)
    return identify_people(frame, path.name, session=session)


def identify_people(frame: pd.DataFrame, what: str, *, session: str | None = None) -> pd.DataFrame:
    """Index a table by participant, or by scan if people were scanned repeatedly.

    Parameters
    ----------
    frame : DataFrame
        A table with a column of participant ids.
    what : str
        What the table is, used in messages.
    session : str, optional
        Column with the sessions, if it has another name.

    Returns
    -------
    DataFrame
        Indexed as `read_participants` describes.
    """
    column = id_column(list(frame.columns))
    if column is None:
        raise TableFormatError(
            f"{what} has no column of ids such as participant_id or SubjID. It has "
            f"{name_some(frame.columns)}. Name the column with the ids participant_id.",
            columns=list(frame.columns),
        )
    people = clean_ids(frame, column, what).rename("participant_id")
    if not people.is_unique and has_scan_ids(frame):
        first = str(frame.columns[0])
        return set_ids(frame.rename(columns={column: "participant_id"}), first, what)
    scans = _scan_names(frame, people, session)
    if scans is None:
        require_unique(people, what, rows=frame)
        return frame.drop(columns=column).set_axis(people)
    require_unique(scans, what, rows=frame)
    frame = frame.set_axis(scans).drop(columns=column)
    frame.insert(0, "participant_id", people)
    return frame


def has_scan_ids(frame: pd.DataFrame) -> bool:
    """Tell whether the first column names every scan once, as in tables isoscan writes.

    Parameters
    ----------
    frame : DataFrame
        A table as read.

    Returns
    -------
    bool
        True if the column is called scan, scan_id or bids_name, and no value is missing or
        repeated.
    """
    if not is_scan_name(str(frame.columns[0])):
        return False
    first = frame.iloc[:, 0]
    return bool(first.notna().all() and first.is_unique)


def scan_name(participant: str, **entities: str | None) -> str:
    """Join a participant and BIDS entities as BIDS file names do.

    Parameters
    ----------
    participant : str
        Participant with or without "sub-".
    **entities : str or None
        Entities in order, with or without their key; None is left out.

    Returns
    -------
    str
        Name of the scan.

    Examples
    --------
    >>> scan_name("sub-01", ses="ses-1", run="2")
    'sub-01_ses-1_run-2'
    """
    parts = [f"{key}-{value.removeprefix(key + '-')}" for key, value in entities.items() if value]
    return "_".join([participant, *parts])


def parse_entities(name: str) -> dict[str, str]:
    """Split a BIDS file name into its entities.

    Parameters
    ----------
    name : str
        File name with or without folder and suffix.

    Returns
    -------
    dict of {str: str}
        Entity and label, in order.

    Examples
    --------
    >>> parse_entities("sub-01_ses-pre_run-2_T1w")
    {'sub': '01', 'ses': 'pre', 'run': '2'}
    """
    parts = (part.partition("-") for part in Path(name).name.split("_"))
    return {key: label for key, dash, label in parts if dash and label}


def read_sidecar(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the JSON file that describes the columns of a table.

    Parameters
    ----------
    path : path-like
        The table; the sidecar has the same name with the suffix .json.

    Returns
    -------
    dict
        Descriptions, units and levels by column; empty if there is no sidecar.

    Raises
    ------
    TableFormatError
        If the sidecar is not a JSON object.
    """
    sidecar = Path(path).with_suffix(".json")
    return read_json(sidecar) if sidecar.is_file() else {}


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Parameters
    ----------
    path : Path
        JSON file in UTF-8.

    Returns
    -------
    dict
        Its content.

    Raises
    ------
    TableFormatError
        If the file is not a JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:  # also UnicodeDecodeError
        raise TableFormatError(f"{path} is not valid JSON: {error}.", path=path) from error
    if not isinstance(content, dict):
        raise TableFormatError(f"{path} holds no JSON object.", path=path)
    return content


def _scan_names(
    frame: pd.DataFrame, people: pd.Index[Any], session: str | None = None
) -> pd.Index[Any] | None:
    """Names of the scans if the ids of the people repeat and sessions or runs are given."""
    names = people
    for key, known in (("ses", SESSION_NAMES), ("run", RUN_NAMES), ("scan", frozenset({"scan"}))):
        named = session if key == "ses" and session in frame.columns else None
        column = named or find_column(frame.columns, known)
        if names.is_unique or column is None:
            continue
        labels = clean_ids(frame, column, f"the table of {len(frame)} scans")
        scans = [scan_name(one, **{key: label}) for one, label in zip(names, labels, strict=True)]
        names = pd.Index(scans, dtype=TEXT)
    return None if names is people else names.rename("scan")
