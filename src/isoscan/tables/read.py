"""Read one table: text first, numbers only where every value is one."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from isoscan.errors import (
    MissingColumnError,
    MissingFileError,
    MissingPackageError,
    TableFormatError,
    TableFormatWarning,
    count,
    name_some,
)
from isoscan.tables.align import require_unique
from isoscan.tables.cells import TEXT_SUFFIXES, read_cells, read_header, table_suffix
from isoscan.tables.names import PARTICIPANT_NAMES, find_column, is_label_name
from isoscan.tables.numbers import MISSING, MISSING_NUMBER, as_plain_numbers

PARQUET_SUFFIXES = {".parquet", ".pq"}
TABLE_SUFFIXES = TEXT_SUFFIXES | PARQUET_SUFFIXES
TEXT = pd.Series(["text"]).dtype  # str since pandas 3, object before


def read_table(
    path: str | os.PathLike[str],
    *,
    index: str | None = None,
    decimal: str = ".",
    delimiter: str | None = None,
    labels: Iterable[str] = (),
    drop_duplicates: bool = False,
) -> pd.DataFrame:
    r"""Read a TSV, CSV or Parquet table without guessing.

    Every cell is read as text. An empty cell and ``n/a`` are missing. A column becomes
    numbers if all its other cells are plain numerals; there, and only there, ``NA``,
    ``NaN`` and ``nan`` are missing too. Everything else stays text: ids, sessions, sites
    and scanners (known by name, see `is_label_name`) even if they are numbers, numerals
    with leading zeros ("001"), and decimal commas unless `decimal` says so. In text
    columns ``NA`` and ``None`` are ordinary labels, e.g. a site called NA; outside
    ids and sites a warning names them.

    Parameters
    ----------
    path : path-like
        File; the suffix tells the format (.tsv, .csv, .txt, .parquet; .gz is unpacked).
        If the delimiter does not fit the suffix, the one that fits is used, with a warning.
    index : str, optional
        Column of unique ids that becomes the index, as text.
    decimal : str
        Decimal sign of the numbers in text files, "." or ",".
    delimiter : str, optional
        Character between cells; found by default.
    labels : iterable of str
        Further columns that are labels and stay text.
    drop_duplicates : bool
        Leave out copies of rows, identical in every cell, with a warning that counts them.

    Returns
    -------
    DataFrame of shape (n_rows, n_columns)
        Numbers are int64 or float64; missing values are NaN.

    Raises
    ------
    MissingFileError
        If there is no such file.
    TableFormatError
        If it cannot be read as a table, or column names are repeated or missing.
    DuplicateIdsError
        If the ids of `index` are not unique.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> path = Path(mkdtemp()) / "people.tsv"
    >>> _ = path.write_text("participant_id\tsite\tage\nsub-01\tNA\t31\nsub-02\t7\tn/a\n")
    >>> read_table(path, index="participant_id")
                   site   age
    participant_id
    sub-01           NA  31.0
    sub-02            7   NaN
    """
    path = Path(path)
    if decimal not in (".", ","):
        raise TableFormatError(f"decimal is '{decimal}'; give '.' or ','.", decimal=decimal)
    _require_suffix(path)
    keep = {*labels, *([index] if index is not None else [])}
    if table_suffix(path) in PARQUET_SUFFIXES:
        frame = _read_parquet(path, keep)
    else:
        header, rows = read_cells(path, delimiter)
        frame = _typed(path, _named(path, header, rows), rows, decimal, keep)
    if drop_duplicates:
        frame = _without_copies(frame, path)
    return frame if index is None else set_ids(frame, index, path.name)


def _without_copies(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    copies = frame.duplicated()
    if copies.any():
        warnings.warn(
            f"{path.name}: {count(int(copies.sum()), 'copy', 'copies')} of rows left out, "
            f"identical in every cell.",
            TableFormatWarning,
            stacklevel=3,
        )
    return frame[~copies].reset_index(drop=True)


def set_ids(frame: pd.DataFrame, column: str, what: str) -> pd.DataFrame:
    """Make a column of unique ids the index, as text without space at the ends.

    Parameters
    ----------
    frame : DataFrame
        A table.
    column : str
        Column with the ids.
    what : str
        What the table is, used in messages.

    Returns
    -------
    DataFrame
        The other columns, indexed by id.

    Raises
    ------
    MissingColumnError
        If there is no such column.
    TableFormatError
        If an id is missing.
    DuplicateIdsError
        If an id is repeated.
    """
    ids = clean_ids(frame, column, what)
    require_unique(ids, f"{what} ({column})", rows=frame)
    return frame.drop(columns=column).set_axis(ids)


def clean_ids(frame: pd.DataFrame, column: str, what: str) -> pd.Index[Any]:
    """Return a column of ids as text, refusing missing ones.

    Parameters
    ----------
    frame : DataFrame
        A table.
    column : str
        Column with the ids.
    what : str
        What the table is, used in messages.

    Returns
    -------
    Index
        Ids, repeated or not, named after the column.
    """
    if column not in frame.columns:
        raise MissingColumnError(
            f"{what} has no column '{column}'. It has {name_some(frame.columns)}.", columns=[column]
        )
    ids = frame[column]
    missing = [row for row, absent in enumerate(ids.isna(), start=1) if absent]
    if missing:
        raise TableFormatError(
            f"{what}: {count(missing, 'row')} without {column}, below the header: "
            f"{name_some(missing)}. Give every row an id.",
            rows=missing,
        )
    return pd.Index([str(value).strip() for value in ids], dtype=TEXT, name=column)


def column_names(path: Path) -> list[str]:
    """Read the column names of a table and nothing else.

    Parameters
    ----------
    path : Path
        TSV, CSV or Parquet file.

    Returns
    -------
    list of str
        Names as in the file.
    """
    _require_suffix(path)
    if table_suffix(path) not in PARQUET_SUFFIXES:
        return read_header(path)
    return [str(name) for name in _to_pandas(_parquet(path).schema_arrow.empty_table()).columns]


def tables_in(folder: Path) -> list[Path]:
    """List the tables in a folder, not below it, without hidden files.

    Parameters
    ----------
    folder : Path
        Any folder.

    Returns
    -------
    list of Path
        Files whose suffix is that of a table, sorted.
    """
    return [
        path
        for path in sorted(folder.iterdir())
        if path.is_file()
        and table_suffix(path) in TABLE_SUFFIXES
        and not path.name.startswith(".")  # macOS leaves "._" files beside the real ones
    ]


def as_text(values: Iterable[str | None]) -> pd.Series[Any]:
    """Make a text column; None is missing.

    Parameters
    ----------
    values : iterable of str or None
        Cells.

    Returns
    -------
    Series
        Text in the dtype this pandas uses for text, even if all cells are missing.
    """
    return pd.Series([*values], dtype=TEXT)


def _require_suffix(path: Path) -> None:
    if path.is_dir():
        raise TableFormatError(f"{path} is a folder; give one table.", path=path)
    if table_suffix(path) not in TABLE_SUFFIXES:
        raise TableFormatError(
            f"{path.name}: tables are read from {', '.join(sorted(TABLE_SUFFIXES))}, "
            f"not from '{table_suffix(path)}'. Export it as TSV or CSV.",
            path=path,
        )


def _named(path: Path, header: Sequence[str], rows: list[list[str]]) -> dict[int, str]:
    """Positions and names of the columns; columns with neither name nor value are left out."""
    names = {position: name.strip() for position, name in enumerate(header)}
    for position, name in enumerate(header):
        if name.strip():
            continue
        if not any(row[position].strip() for row in rows):
            del names[position]
        elif position == 0 and find_column(names.values(), frozenset({"id"})) is None:
            names[0] = "id"
        else:
            raise TableFormatError(
                f"{path.name}: column {position + 1} has no name. Name it, or remove it.",
                path=path,
                columns=[position + 1],
            )
    _refuse_repeated(path, list(names.values()))
    return names


def _refuse_repeated(path: Path, names: list[str]) -> None:
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise TableFormatError(
            f"{path.name}: {count(repeated, 'column name')} used more than once: "
            f"{name_some(repeated)}. Rename or remove the copies.",
            path=path,
            columns=repeated,
        )


def _typed(
    path: Path, names: dict[int, str], rows: list[list[str]], decimal: str, keep: set[str]
) -> pd.DataFrame:
    by_column = list(zip(*rows, strict=True)) if rows else [()] * (max(names, default=-1) + 1)
    columns: dict[str, Any] = {}
    odd: dict[str, str] = {}
    for position, name in names.items():
        cells = by_column[position]
        is_label = name in keep or is_label_name(name) or not rows
        numbers = None if is_label else as_plain_numbers(cells, decimal)
        columns[name] = _as_labels(cells) if numbers is None else numbers
        suspects = MISSING_NUMBER.difference(MISSING).intersection(cells)
        if numbers is None and suspects and not is_label:
            odd[name] = min(suspects)
    _warn_of_na(path, odd)
    return pd.DataFrame(columns, columns=pd.Index(list(names.values()), dtype=TEXT))


def _as_labels(cells: Iterable[str]) -> pd.Series[Any]:
    return as_text(None if cell.strip() in MISSING else cell for cell in cells)


def _warn_of_na(path: Path, odd: dict[str, str]) -> None:
    if odd:
        column, value = next(iter(odd.items()))
        warnings.warn(
            f"{path.name}: '{value}' is kept as text in {count(odd, 'column')} that are not "
            f"numbers: {name_some(list(odd))}. If '{value}' in {column} means missing, write n/a.",
            TableFormatWarning,
            stacklevel=4,
        )


def _read_parquet(path: Path, keep: set[str]) -> pd.DataFrame:
    file = _parquet(path)
    _refuse_repeated(path, [str(name) for name in file.schema_arrow.names])
    frame = _to_pandas(file.read())
    frame.columns = pd.Index([str(name) for name in frame.columns], dtype=TEXT)
    for name in frame.columns:
        if pd.api.types.is_integer_dtype(frame[name].dtype) and (
            name in keep or is_label_name(name)
        ):
            frame[name] = as_text(str(value) for value in frame[name])
    return frame.astype({name: TEXT for name in frame if frame[name].dtype == object})


def _to_pandas(table: Any) -> pd.DataFrame:
    """Ids that were the index of a frame come first, called id if they have no name."""
    frame: pd.DataFrame = table.to_pandas()
    if isinstance(frame.index, pd.RangeIndex):
        return frame
    return frame.reset_index(names=[str(name or "id") for name in frame.index.names])


def _parquet(path: Path) -> Any:
    if not path.is_file():
        raise MissingFileError(f"There is no file {path}. Check the path.", path=path)
    require_pyarrow(path)
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        return ParquetFile(path)
    except ArrowException as error:
        raise TableFormatError(
            f"{path.name} is not a Parquet file ({error}).", path=path
        ) from error


def require_pyarrow(path: Path) -> None:
    """Say how to install what Parquet needs, if it is not here.

    Parameters
    ----------
    path : Path
        Parquet file to read or write, used in the message.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            f"{path.name} is a Parquet file, which needs pyarrow: pip install 'isoscan[parquet]'.",
            package="pyarrow",
        ) from error


def id_column(columns: Sequence[str]) -> str | None:
    """Find the column that names the participant.

    Parameters
    ----------
    columns : sequence of str
        Columns of a table.

    Returns
    -------
    str or None
        The first of participant_id, SubjID, subject_id, ID and the like.
    """
    return find_column(columns, PARTICIPANT_NAMES)
