"""Text files become rows of text cells, whatever program wrote them.

Handles byte order marks, Windows and old Mac line ends, UTF-16 as spreadsheets
export it, gzip, and delimiters that do not fit the file name.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import warnings
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from isoscan.errors import (
    MissingFileError,
    TableFormatError,
    TableFormatWarning,
    count,
    name_some,
)

DELIMITERS = {"\t": "tab", ",": "comma", ";": "semicolon", " ": "space"}
USUAL_DELIMITER = {".tsv": "\t", ".csv": ","}
FREE_SUFFIXES = {".txt", ".dat", ".tab", ".table"}  # the delimiter is whatever fits
TEXT_SUFFIXES = set(USUAL_DELIMITER) | FREE_SUFFIXES
ROWS_TO_SNIFF = 20


def table_suffix(path: Path) -> str:
    """Return the suffix that tells the format, without a trailing .gz.

    Parameters
    ----------
    path : Path
        A table.

    Returns
    -------
    str
        Suffix in lower case, with its dot.

    Examples
    --------
    >>> table_suffix(Path("people.TSV")), table_suffix(Path("people.csv.gz"))
    ('.tsv', '.csv')
    """
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix == ".gz" else suffix


def read_cells(path: Path, delimiter: str | None = None) -> tuple[list[str], list[list[str]]]:
    """Read a text table as a header and rows of equally many text cells.

    Parameters
    ----------
    path : Path
        TSV, CSV or another delimited text file, gzipped or not.
    delimiter : str, optional
        Character between the cells; found from suffix and content by default.

    Returns
    -------
    header : list of str
        Column names.
    rows : list of list of str
        Cells as they are in the file. Blank lines are left out.

    Raises
    ------
    TableFormatError
        If the file is empty or not text, the delimiter is ambiguous, or rows have
        more or fewer cells than the header.
    """
    text = read_text(path)
    delimiter = delimiter or _find_delimiter(path, text)
    try:
        rows = list(_rows(text, delimiter))
    except csv.Error as error:
        raise TableFormatError(f"{path.name} cannot be read: {error}.", path=path) from error
    if not rows:
        raise TableFormatError(f"{path.name} is empty. Give a table with a header.", path=path)
    body = _without_empty(path, rows[1:])
    _refuse_ragged(path, rows[0], body)
    return rows[0], body


def read_header(path: Path) -> list[str]:
    """Read the column names of a text table.

    Parameters
    ----------
    path : Path
        TSV, CSV or another delimited text file, gzipped or not.

    Returns
    -------
    list of str
        Column names; empty if the file is empty.
    """
    with warnings.catch_warnings():  # reading the table itself will warn
        warnings.simplefilter("ignore", TableFormatWarning)
        text = read_text(path)
        delimiter = _find_delimiter(path, text)
    return [name.strip() for name in next(_rows(text, delimiter), [])]


def read_text(path: Path) -> str:
    """Read a text file with line feeds as line ends and without byte order mark.

    Parameters
    ----------
    path : Path
        Text file in UTF-8, UTF-16 with byte order mark, or Latin-1 (with a warning).

    Returns
    -------
    str
        Its text.

    Raises
    ------
    TableFormatError
        If the file is not text.
    """
    text = _decode(path, _read_bytes(path))
    if "\0" in text:
        raise TableFormatError(
            f"{path.name} is not a text file. Tables are read from TSV, CSV or Parquet.", path=path
        )
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read_bytes(path: Path) -> bytes:
    if not path.is_file():
        raise MissingFileError(f"There is no file {path}. Check the path.", path=path)
    data = path.read_bytes()
    if path.suffix.lower() != ".gz":
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise TableFormatError(
            f"{path.name} cannot be decompressed ({error}). Copy the file again.", path=path
        ) from error


def _decode(path: Path, data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        if b"\0" not in data:  # binary files are refused by the caller
            warnings.warn(
                f"{path.name} is not UTF-8 and is read as Latin-1. Save it as UTF-8.",
                TableFormatWarning,
                stacklevel=5,
            )
        return data.decode("latin-1")


def _rows(text: str, delimiter: str) -> Iterator[list[str]]:
    # skipinitialspace: 'a, "b"' is two cells, the second quoted
    lines = text.split("\n")
    reader = csv.reader(
        (line + "\n" for line in lines), delimiter=delimiter, skipinitialspace=delimiter != " "
    )
    return (row for row in reader if row and row != [""])


def _find_delimiter(path: Path, text: str) -> str:
    usual = USUAL_DELIMITER.get(table_suffix(path))
    fitting = [sign for sign in "\t,;" if _fits(text, sign)]
    if not fitting and usual is None and _fits(text, " "):
        fitting = [" "]
    if not fitting:
        return usual or "\t"  # one column, or ragged rows that are refused by name
    if len(fitting) > 1:
        raise TableFormatError(
            f"{path.name} can be read with more than one delimiter: "
            f"{' or '.join(DELIMITERS[sign] for sign in fitting)}. Say which: delimiter=.",
            path=path,
            delimiters=fitting,
        )
    if usual and fitting[0] != usual:
        warnings.warn(
            f"{path.name} is delimited by {DELIMITERS[fitting[0]]}, not by "
            f"{DELIMITERS[usual]} as its name says, and is read so. Rename it.",
            TableFormatWarning,
            stacklevel=4,
        )
    return fitting[0]


def _fits(text: str, delimiter: str) -> bool:
    """Whether the first rows all have the same number of cells, and more than one."""
    try:
        widths = {len(row) for row in islice(_rows(text, delimiter), ROWS_TO_SNIFF)}
    except csv.Error:
        return False
    return len(widths) == 1 and widths != {1}


def _without_empty(path: Path, rows: list[list[str]]) -> list[list[str]]:
    filled = [row for row in rows if any(cell.strip() for cell in row)]
    if len(filled) < len(rows):
        warnings.warn(
            f"{path.name}: {count(len(rows) - len(filled), 'row')} without any value left out.",
            TableFormatWarning,
            stacklevel=4,
        )
    return filled


def _refuse_ragged(path: Path, header: list[str], rows: list[list[str]]) -> None:
    wrong = [row for row in rows if len(row) != len(header)]
    if not wrong:
        return
    hint = "Is there a delimiter or quote inside a value, or no name above the row names?"
    raise TableFormatError(
        f"{path.name}: the header has {count(header, 'cell')}, but {len(wrong)} of "
        f"{count(rows, 'row')} more or fewer, e.g. {name_some([wrong[0][0].strip()])} has "
        f"{len(wrong[0])}. {hint}",
        path=path,
        rows=[row[0] for row in wrong],
    )
