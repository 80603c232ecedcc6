"""Read the aseg.stats and ?h.aparc.stats files FreeSurfer writes for each person.

Volumes in mm³, areas in mm², thickness in mm. A structure that is absent from a file
is missing (NaN), where FreeSurfer's own tables would say 0.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from isoscan.errors import DuplicateIdsError, TableFormatError, name_some
from isoscan.tables.cells import read_text
from isoscan.tables.read import TEXT

Measure = Literal["thickness", "volume", "area"]
COLUMNS = {"thickness": "ThickAvg", "volume": "GrayVol", "area": "SurfArea"}
TOTALS = {"thickness": ("MeanThickness",), "volume": (), "area": ("WhiteSurfArea",)}
SHARED_TOTALS = ("BrainSegVolNotVent", "eTIV")  # aparcstats2table repeats them in every table
LAYOUTS = ("stats/*.stats", "*/stats/*.stats", "*/*/stats/*.stats", "*/*.stats", "*.stats")
_NAME = re.compile(
    r"^(?:(?P<subject>[^.].*?)[._])?(?P<kind>aseg|[lr]h\.aparc(?:\.[\w.]+)?)\.stats$"
)
_TEMPLATE = re.compile(r"^(fsaverage\w*|lh\.EC_average|rh\.EC_average)$")


def find_stats_files(folder: Path, parcellation: str = "aparc") -> dict[str, dict[str, Path]]:
    """Find the stats files of every person below a folder.

    Parameters
    ----------
    folder : Path
        SUBJECTS_DIR, one subject's folder, or a folder of files such as
        ``sub-01_aseg.stats`` and ``sub-01.lh.aparc.stats``. Template subjects
        (fsaverage) are left out.
    parcellation : str
        Cortical parcellation, e.g. "aparc" or "aparc.a2009s".

    Returns
    -------
    dict of {str: dict of {str: Path}}
        For each kind of file, subjects and their files, sorted by subject.
    """
    kinds = ("aseg", f"lh.{parcellation}", f"rh.{parcellation}")
    found: dict[str, dict[str, Path]] = defaultdict(dict)
    for layout in LAYOUTS:
        for path in sorted(folder.glob(layout)):
            name = _NAME.match(path.name)
            if name is None or name["kind"] not in kinds:
                continue
            subject = _subject(folder, path, name["subject"])
            if not _TEMPLATE.match(subject):
                _add(found[name["kind"]], subject, path)
    return {kind: dict(sorted(found[kind].items())) for kind in kinds if kind in found}


def read_stats_files(
    files: dict[str, dict[str, Path]], measures: Sequence[Measure]
) -> dict[str, pd.DataFrame]:
    """Read stats files into one table per kind of file.

    Parameters
    ----------
    files : dict of {str: dict of {str: Path}}
        As `find_stats_files` gives them.
    measures : sequence of {"thickness", "volume", "area"}
        What to take from the cortical files.

    Returns
    -------
    dict of {str: DataFrame of shape (n_subjects, n_structures)}
        Tables by kind of file, with the columns asegstats2table and
        aparcstats2table would write.
    """
    return {
        f"{kind}.stats": _table(
            {
                subject: _aseg(path) if kind == "aseg" else _aparc(path, kind[:2], measures)
                for subject, path in subjects.items()
            }
        )
        for kind, subjects in files.items()
    }


def _subject(folder: Path, path: Path, prefix: str | None) -> str:
    folders = [part for part in path.relative_to(folder).parts[:-1] if part != "stats"]
    if prefix and not folders:
        return prefix
    return "_".join(folders) or folder.resolve().name


def _add(subjects: dict[str, Path], subject: str, path: Path) -> None:
    known = subjects.setdefault(subject, path)
    if known != path:
        raise DuplicateIdsError(
            f"Subject '{subject}' has two files: {known} and {path}. Remove one.", ids=[subject]
        )


def _table(rows: dict[str, dict[str, float]]) -> pd.DataFrame:
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    columns.sort(key=lambda column: column in SHARED_TOTALS)  # stable: they come last
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns, dtype=np.float64)
    return table.set_axis(pd.Index(list(rows), dtype=TEXT, name="subject"))


def _aseg(path: Path) -> dict[str, float]:
    measures, names, rows = _parse(path)
    volume = _position(path, names, "Volume_mm3")
    structure = _position(path, names, "StructName")
    return {row[structure]: _number(path, row[volume]) for row in rows} | measures


def _aparc(path: Path, hemisphere: str, measures: Sequence[Measure]) -> dict[str, float]:
    totals, names, rows = _parse(path)
    structure = _position(path, names, "StructName")
    found: dict[str, float] = {}
    for measure in measures:
        column = _position(path, names, COLUMNS[measure])
        regions = {row[structure]: row[column] for row in rows}
        found |= {f"{hemisphere}_{region}_{measure}": _number(path, value)
                  for region, value in regions.items()}  # fmt: skip
        found |= {f"{hemisphere}_{total}_{measure}": totals[total]
                  for total in TOTALS[measure] if total in totals}  # fmt: skip
    return found | {total: totals[total] for total in SHARED_TOTALS if total in totals}


def _parse(path: Path) -> tuple[dict[str, float], list[str], list[list[str]]]:
    """Measures of the header, names of the columns, rows."""
    lines = read_text(path).splitlines()
    measures = dict(_header_measure(path, line) for line in lines if line.startswith("# Measure "))
    names = next((line.split()[2:] for line in lines if line.startswith("# ColHeaders")), [])
    rows = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    wrong = [row for row in rows if len(row) != len(names)]
    if not rows or wrong:
        raise TableFormatError(
            f"{path} is not a complete stats file: "
            + (f"row {name_some([' '.join(wrong[0])])} is cut off. " if wrong else "no rows. ")
            + "Did recon-all finish for this subject?",
            path=path,
        )
    return measures, names, rows


def _header_measure(path: Path, line: str) -> tuple[str, float]:
    # "# Measure Mask, MaskVol, Mask Volume, 1512345.000000, mm^3"
    parts = [part.strip() for part in line.removeprefix("# Measure ").split(",")]
    if len(parts) < 5:
        raise TableFormatError(f"{path}: cannot read the line '{line}'.", path=path)
    key, name, value = parts[0], parts[1], parts[-2]
    # asegstats2table names intracranial volumes by the first word, all others by the second
    aseg_total = "IntraCranialVol" in key and path.name.endswith("aseg.stats")
    return (key if aseg_total else name), _number(path, value)


def _position(path: Path, names: list[str], name: str) -> int:
    if name not in names:
        raise TableFormatError(f"{path} has no column {name} in its ColHeaders.", path=path)
    return names.index(name)


def _number(path: Path, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise TableFormatError(f"{path}: '{text}' is not a number.", path=path) from error


def has_stats_files(folder: Path) -> bool:
    """Tell whether a folder holds FreeSurfer stats files in a known layout.

    Parameters
    ----------
    folder : Path
        Any folder.

    Returns
    -------
    bool
        True if at least one is found.
    """
    paths: Iterable[Path] = (path for layout in LAYOUTS for path in folder.glob(layout))
    return any(_NAME.match(path.name) for path in paths)
