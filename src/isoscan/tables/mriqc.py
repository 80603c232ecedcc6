"""Read MRIQC's image quality metrics: group tables and one JSON file per image."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from isoscan.errors import (
    MissingFileError,
    TableFormatError,
    count,
    name_counts,
    name_some,
)
from isoscan.tables.align import require_unique
from isoscan.tables.bids import parse_entities, read_json, read_sidecar, scan_name
from isoscan.tables.names import (
    PARTICIPANT_NAMES,
    RUN_NAMES,
    SESSION_NAMES,
    find_column,
)
from isoscan.tables.numbers import require_numbers
from isoscan.tables.read import TEXT, as_text, clean_ids, read_table, set_ids

NOT_METRICS = {"bids_meta", "provenance", "metadata"}
METRIC = re.compile(
    r"^(iqm_)?(cjv|cnr|efc|fber|wm2max|aor|aqi|gcor|tsnr|dummy_trs|"
    r"(fwhm|icvs|inu|qi|rpve|size|snr|snrd|spacing|summary|tpm_overlap|dvars|fd|gsr)_\w+|snr)$"
)
LAYOUTS = ("sub-*/*/*_{0}.json", "sub-*/ses-*/*/*_{0}.json", "*_{0}.json")


def read_mriqc(
    path: str | os.PathLike[str], *, modality: str = "T1w", drop_duplicates: bool = False
) -> pd.DataFrame:
    r"""Read MRIQC's metrics, one row per image.

    Older group tables without ``bids_name`` are understood too: their subject, session
    and run columns make up the name, with "sub-" put before bare ids.

    Metrics of different versions are not comparable: with 23.1 the definitions of the
    summaries changed, and ``cnr`` and ``snr_*`` of the same image fell to a fourth. Files that
    say their version (those of images, and tables with a sidecar by isoscan) are refused if
    versions are mixed.

    Parameters
    ----------
    path : path-like
        ``group_T1w.tsv``, an MRIQC output folder, or the JSON file of one image. In a
        folder the images' JSON files are read; the group table only if there are none.
    modality : str
        Which images to take from a folder: "T1w", "T2w" or "bold".
    drop_duplicates : bool
        Leave out copies of rows, identical in every cell, with a warning that counts them.

    Returns
    -------
    DataFrame of shape (n_images, 3 + n_metrics)
        Indexed by bids_name. Columns participant_id ("sub-01"), session and run ("1",
        missing if the name has none), then the metrics as float64; what else a group
        table holds (site, ratings) is kept as it is. ``attrs["definition"]`` says how they
        are defined, where the files tell: "MRIQC 24.0.2", or "corrected" for those isoscan
        computed.

    Raises
    ------
    MissingFileError
        If a folder holds no metrics.
    TableFormatError
        If metrics of several versions are mixed.
    DuplicateIdsError
        If two images have the same name.
    NotNumericError
        If a metric is not a number.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> path = Path(mkdtemp()) / "group_T1w.tsv"
    >>> _ = path.write_text("bids_name\tcjv\tefc\nsub-01_ses-pre_T1w\t0.4\t0.5\n")
    >>> read_mriqc(path)
                       participant_id session  run  cjv  efc
    bids_name
    sub-01_ses-pre_T1w         sub-01     pre  NaN  0.4  0.5
    """
    path = Path(path)
    if path.is_dir():
        images = find_image_metrics(path, modality)
        group = path / f"group_{modality}.tsv"
        if images or not group.is_file():
            return _read_images(path, images)
        path = group
    if path.suffix.lower() == ".json":
        return _read_images(path, [path])
    table = read_table(path, drop_duplicates=drop_duplicates)
    frame = identify_images(table, path.name, modality)
    return _defined(frame, read_sidecar(path).get("definition"))


def find_image_metrics(folder: Path, modality: str = "T1w") -> list[Path]:
    """Find the JSON files of images in an MRIQC output folder.

    Parameters
    ----------
    folder : Path
        MRIQC's output, or a flat folder of its JSON files.
    modality : str
        "T1w", "T2w" or "bold".

    Returns
    -------
    list of Path
        Files, sorted by name.
    """
    found = {path for layout in LAYOUTS for path in folder.glob(layout.format(modality))}
    found.discard(folder / f"group_{modality}.json")  # the sidecar of the group table
    return sorted(found, key=lambda path: (path.name, path))


def identify_images(frame: pd.DataFrame, what: str, modality: str = "T1w") -> pd.DataFrame:
    """Index a group table by bids_name and add what the names say.

    Parameters
    ----------
    frame : DataFrame
        Group table as read.
    what : str
        What the table is, used in messages.
    modality : str
        Ends the names made up for old tables.

    Returns
    -------
    DataFrame
        As `read_mriqc` gives it.
    """
    if "bids_name" in frame.columns:
        named = set_ids(frame, "bids_name", what)
        told = pd.DataFrame([_identity(str(name)) for name in named.index], index=named.index)
    else:
        told, named = _identity_columns(frame, what, modality)
    rest = named.drop(columns=told.columns, errors="ignore").copy()
    numeric = list(rest.select_dtypes("number").columns)
    rest[numeric] = rest[numeric].astype(np.float64)
    metrics = [column for column in rest.columns if METRIC.match(column)]
    rest[metrics] = require_numbers(rest, metrics, what)
    return pd.concat([_as_text_columns(told), rest], axis=1)


def _identity(name: str) -> dict[str, str | None]:
    entities = parse_entities(name)
    participant = f"sub-{entities['sub']}" if "sub" in entities else _prefixed(name.split("_")[0])
    return {
        "participant_id": participant,
        "session": entities.get("ses"),
        "run": entities.get("run"),
    }


def _identity_columns(
    frame: pd.DataFrame, what: str, modality: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Identities and the other columns of a table without bids_name."""
    column = find_column(frame.columns, PARTICIPANT_NAMES)
    if column is None:
        raise TableFormatError(
            f"{what} has no column bids_name, participant_id or subject_id. It has "
            f"{name_some(frame.columns)}.",
            columns=list(frame.columns),
        )
    people = [_prefixed(one) for one in clean_ids(frame, column, what)]
    sessions = _labels(frame, SESSION_NAMES)
    runs = _labels(frame, RUN_NAMES)
    names = [
        f"{scan_name(one, ses=session, run=run)}_{modality}"
        for one, session, run in zip(people, sessions, runs, strict=True)
    ]
    index = pd.Index(names, dtype=TEXT, name="bids_name")
    require_unique(index, what)
    told = pd.DataFrame({"participant_id": people, "session": sessions, "run": runs}, index=index)
    used = [find_column(frame.columns, known) for known in (SESSION_NAMES, RUN_NAMES)]
    used = [column, *(name for name in used if name is not None)]
    return told, frame.drop(columns=used).set_axis(index)


def _labels(frame: pd.DataFrame, names: frozenset[str]) -> list[str | None]:
    column = find_column(frame.columns, names)
    return [None] * len(frame) if column is None else [_label(value) for value in frame[column]]


def _prefixed(participant: str) -> str:
    return participant if participant.startswith("sub-") else f"sub-{participant}"


def _label(value: Any) -> str | None:
    if value is None or value != value:
        return None
    return str(value).strip().removeprefix("ses-").removeprefix("run-")


def _as_text_columns(told: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({name: as_text(told[name]).set_axis(told.index) for name in told})


def _read_images(where: Path, paths: list[Path]) -> pd.DataFrame:
    if not paths:
        raise MissingFileError(
            f"{where} holds neither MRIQC's JSON files nor its group table. "
            f"Give MRIQC's output folder, and the modality if it is not T1w.",
            path=where,
        )
    names = pd.Index([path.name.removesuffix(".json") for path in paths], dtype=TEXT)
    require_unique(names, str(where))
    contents = [_content(path) for path in paths]
    definition = _one_definition(where, contents)
    rows = [_image_metrics(path, content) for path, content in zip(paths, contents, strict=True)]
    metrics = pd.DataFrame(rows, index=names, dtype=np.float64)
    frame = metrics[sorted(metrics.columns)].rename_axis("bids_name")
    return _defined(identify_images(frame.reset_index(), str(where)), definition)


def _content(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise MissingFileError(f"There is no file {path}. Check the path.", path=path)
    return read_json(path)


def _one_definition(where: Path, contents: list[dict[str, Any]]) -> str | None:
    """How the metrics of all images are defined; several definitions are refused."""
    numbers = Counter(_definition(content) for content in contents)
    if len(numbers) > 1:
        named = {name or "unknown": number for name, number in numbers.most_common()}
        raise TableFormatError(
            f"{where} mixes metrics of {len(numbers)} versions: {name_counts(named)} images. They "
            f"are not comparable: compute all with one version, or read them apart.",
            versions=named,
        )
    return next(iter(numbers))


def _definition(content: dict[str, Any]) -> str | None:
    provenance = content.get("provenance")
    if not isinstance(provenance, dict):
        return None
    if provenance.get("definition"):
        return str(provenance["definition"])
    return f"MRIQC {provenance['version']}" if provenance.get("version") else None


def _defined(frame: pd.DataFrame, definition: Any) -> pd.DataFrame:
    if definition:
        frame.attrs["definition"] = str(definition)
    return frame


def _image_metrics(path: Path, content: dict[str, Any]) -> dict[str, float]:
    metrics = _numbers(path, content)
    known = [name for name in metrics if METRIC.match(name)]
    if not known:
        raise TableFormatError(
            f"{path} holds no image quality metrics ({count(metrics, 'number')}). Is this the "
            f"raw BIDS folder? Give MRIQC's output.",
            path=path,
        )
    return metrics


def _numbers(path: Path, content: dict[str, Any], before: str = "") -> dict[str, float]:
    """Numbers of a JSON object; nested ones are joined to the name, null is missing."""
    found: dict[str, float] = {}
    for key, value in content.items():
        if isinstance(value, dict) and key not in NOT_METRICS:
            found |= _numbers(path, value, f"{before}{key}_")
        elif value is None:
            found[before + key] = np.nan
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[before + key] = float(value)
    return found
