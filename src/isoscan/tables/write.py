"""Write results so that a file is either complete or not there at all."""

from __future__ import annotations

import io
import json
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from isoscan.errors import OutputExistsError, TableFormatError, count, name_some
from isoscan.tables.read import PARQUET_SUFFIXES, require_pyarrow

DELIMITERS = {".tsv": "\t", ".csv": ","}
MISSING = {".tsv": "n/a", ".csv": ""}  # BIDS asks for n/a; spreadsheets expect an empty cell


def write_table(
    frame: pd.DataFrame,
    path: str | os.PathLike[str],
    *,
    sidecar: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    r"""Write a table, and what its columns mean, completely or not at all.

    Numbers are written with the fewest digits that read back as the same number.

    Parameters
    ----------
    frame : DataFrame
        The index becomes the first column unless it just counts rows; an index without
        a name is called participant_id.
    path : path-like
        .tsv (missing values are n/a), .csv (missing values are empty) or .parquet.
        Missing folders are made.
    sidecar : mapping, optional
        Written as JSON beside the table, with the same name.
    overwrite : bool
        Replace files that exist.

    Raises
    ------
    OutputExistsError
        If a file exists; nothing is written then.
    TableFormatError
        If the suffix is unknown or column names are repeated.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> path = Path(mkdtemp()) / "measures.tsv"
    >>> frame = pd.DataFrame({"insula": [2.9, float("nan")]}, index=["sub-01", "sub-02"])
    >>> write_table(frame, path)
    >>> path.read_text()
    'participant_id\tinsula\nsub-01\t2.9\nsub-02\tn/a\n'
    """
    path = Path(path)
    files = {path: _table_bytes(_with_ids(frame), path)}
    if sidecar is not None:
        files[path.with_suffix(".json")] = _json_bytes(sidecar)
    _refuse_existing(files, overwrite)
    for file, data in files.items():
        write_atomically(file, data, overwrite=overwrite)


def write_text(path: str | os.PathLike[str], text: str, *, overwrite: bool = False) -> None:
    """Write text as UTF-8, completely or not at all.

    Parameters
    ----------
    path : path-like
        File to write.
    text : str
        Its content.
    overwrite : bool
        Replace the file if it exists.

    Raises
    ------
    OutputExistsError
        If the file exists.
    """
    write_atomically(path, text.encode(), overwrite=overwrite)


def write_json(
    path: str | os.PathLike[str], content: Mapping[str, Any], *, overwrite: bool = False
) -> None:
    """Write facts as JSON, completely or not at all.

    Parameters
    ----------
    path : path-like
        File to write.
    content : mapping
        Plain types; NaN is refused.
    overwrite : bool
        Replace the file if it exists.

    Raises
    ------
    OutputExistsError
        If the file exists.
    """
    write_atomically(path, _json_bytes(content), overwrite=overwrite)


Content = bytes | Sequence[bytes | memoryview]
"""Content of a file: whole, or in parts that follow each other."""


def write_atomically(
    path: str | os.PathLike[str], data: Content, *, overwrite: bool = False, durable: bool = True
) -> None:
    """Write bytes under another name in the same folder, then rename.

    Parameters
    ----------
    path : path-like
        File to write. Missing folders are made.
    data : bytes, or sequence of bytes or memoryview
        Its content, whole or in parts.
    overwrite : bool
        Replace the file if it exists.
    durable : bool
        Wait until the disk has it. Without that, a loss of power may leave it empty: for files
        that are compared with what they should be, and written anew if they differ.

    Raises
    ------
    OutputExistsError
        If the file exists.
    """
    path = Path(path)
    _refuse_existing([path], overwrite)
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            file.writelines([data] if isinstance(data, bytes) else data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        _refuse_existing([path], overwrite)  # somebody may have been faster
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _refuse_existing(paths: Iterable[Path], overwrite: bool) -> None:
    stands = Path.is_dir if overwrite else Path.exists
    found = [path for path in paths if stands(path)]
    if found:
        raise OutputExistsError(
            f"{count(found, 'result')} would replace what exists: {name_some(found)}. "
            f"Choose another name, or allow it with overwrite=True (--overwrite).",
            paths=found,
        )


def _json_bytes(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _with_ids(frame: pd.DataFrame) -> pd.DataFrame:
    """Turn the index into the first column, unless it only counts rows."""
    columns = [str(name) for name in frame.columns]
    if not (isinstance(frame.index, pd.RangeIndex) and frame.index.name is None):
        unnamed = "scan" if "participant_id" in columns else "participant_id"
        names = [unnamed if name is None else str(name) for name in frame.index.names]
        names = ["scan_id" if name == "scan" and name in columns else name for name in names]
        columns = [*names, *columns]
        ids = frame.index.to_frame(index=False)
        frame = pd.concat([ids, frame.reset_index(drop=True)], axis=1)
    repeated = sorted({name for name in columns if columns.count(name) > 1})
    if repeated:
        raise TableFormatError(
            f"{count(repeated, 'column name')} used more than once: {name_some(repeated)}. "
            f"Rename the columns.",
            columns=repeated,
        )
    return frame.set_axis(columns, axis=1)


def _table_bytes(frame: pd.DataFrame, path: Path) -> bytes:
    suffix = path.suffix.lower()
    if suffix in PARQUET_SUFFIXES:
        require_pyarrow(path)
        buffer = io.BytesIO()
        frame.to_parquet(buffer, index=False)
        return buffer.getvalue()
    if suffix not in DELIMITERS:
        raise TableFormatError(
            f"{path.name}: tables are written as .tsv, .csv or .parquet, not as '{suffix}'.",
            path=path,
        )
    columns = [_cells(frame[name], suffix) for name in frame.columns]
    header = [_quoted(name, suffix) for name in frame.columns]
    rows = [header, *zip(*columns, strict=True)]
    return "".join(DELIMITERS[suffix].join(row) + "\n" for row in rows).encode()


def _cells(column: pd.Series[Any], suffix: str) -> list[str]:
    missing = column.isna().tolist()
    write = _writer(column, suffix)
    return [
        MISSING[suffix] if absent else write(value)
        for value, absent in zip(column.tolist(), missing, strict=True)
    ]


def _writer(column: pd.Series[Any], suffix: str) -> Any:
    dtype = column.dtype
    if dtype == np.float32 or dtype == np.float16:
        return lambda value: str(dtype.type(value))
    if pd.api.types.is_numeric_dtype(dtype):
        return lambda value: repr(value)
    return lambda value: _quoted(str(value), suffix)


def _quoted(cell: str, suffix: str) -> str:
    """Quote a cell where it would not read back as it is.

    In CSV, text that a spreadsheet could take for a formula (=, +, -, @ first) is quoted
    as well, so that it is marked as text; nothing is put before it, because an id must
    read back unchanged. In TSV only tabs, line ends and quotes need quoting, as BIDS says.
    """
    special = DELIMITERS[suffix] in cell or any(sign in cell for sign in '"\n\r')
    formula = suffix == ".csv" and cell[:1] in {"=", "+", "-", "@"}
    if special or formula or cell[:1] == " ":
        return '"' + cell.replace('"', '""') + '"'
    return cell
