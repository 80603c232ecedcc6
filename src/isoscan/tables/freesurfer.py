"""Read FreeSurfer measures: tables of asegstats2table and aparcstats2table, stats files.

Volumes in mm³, areas in mm², thickness in mm, as FreeSurfer writes them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from isoscan.errors import MissingFileError, TableFormatError, name_some
from isoscan.tables.join import Unmatched, join_tables
from isoscan.tables.numbers import require_numbers
from isoscan.tables.read import column_names, read_table, tables_in
from isoscan.tables.stats_files import (
    COLUMNS,
    Measure,
    find_stats_files,
    has_stats_files,
    read_stats_files,
)

FIRST_COLUMN = re.compile(r"^(Measure:\w+|[lr]h\.[\w.]+\.\w+)$")
_STRUCTURE = re.compile(r"^([lr]h_.+_\w+|(Left|Right)-[A-Z][\w-]+|Brain-Stem)$")
_TOTAL = re.compile(
    r"""^(
        (lh|rh)?(Cortex|CorticalWhiteMatter|CerebralWhiteMatter|SurfaceHoles)(Vol)?
      | (SubCortGray|TotalGray|VentricleChoroid)Vol
      | (SupraTentorial|BrainSeg|Mask)(Vol)?(NotVent)?(Surf|Vox)?
      | .+-to-eTIV
      | (Estimated)?(Total)?IntraCranialVol | [es]TIV | TIV | ICV
      | (lh|rh)_(MeanThickness|WhiteSurfArea|PialSurfArea)_\w+
    )$""",
    re.VERBOSE,
)


def read_freesurfer(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    measure: Measure | Sequence[Measure] = "thickness",
    parcellation: str = "aparc",
    unmatched: Unmatched = "error",
    decimal: str = ".",
    drop_duplicates: bool = False,
) -> pd.DataFrame:
    r"""Read FreeSurfer tables or stats files and join them by subject.

    Longitudinal ids such as ``sub-01_ses-1.long.sub-01`` stay as they are. A total that
    several tables repeat (eTIV, BrainSegVolNotVent) must agree and appears once. In
    tables FreeSurfer writes 0 for a structure it did not find; that 0 is kept.

    Parameters
    ----------
    path : path-like or sequence of path-like
        A table, several tables (both hemispheres, aseg), a folder of such tables, or a
        folder with stats files (SUBJECTS_DIR). Tables may be transposed.
    measure : {"thickness", "volume", "area"} or sequence of these
        What to take from ?h.aparc.stats files; tables hold one measure anyway.
    parcellation : str
        Which ?h.aparc.stats files to take: "aparc", "aparc.a2009s", "aparc.DKTatlas".
    unmatched : {"error", "drop"}
        What to do with subjects that are not in every table.
    decimal : str
        Decimal sign of the numbers, "." or ","; spreadsheets change it.
    drop_duplicates : bool
        Leave out copies of rows, identical in every cell, with a warning that counts them.

    Returns
    -------
    DataFrame of float64, shape (n_subjects, n_columns)
        Indexed by subject, columns as FreeSurfer names them.

    Raises
    ------
    UnmatchedRowsError
        If a subject is not in every table.
    TableFormatError
        If something is no FreeSurfer table, or repeated columns differ.
    NotNumericError
        If a measure is not a number.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> folder = Path(mkdtemp())
    >>> for hemi in ("lh", "rh"):
    ...     text = f"{hemi}.aparc.thickness\t{hemi}_insula_thickness\nsub-01\t2.9\n"
    ...     _ = (folder / f"{hemi}.tsv").write_text(text)
    >>> read_freesurfer(folder)
             lh_insula_thickness  rh_insula_thickness
    subject
    sub-01                   2.9                  2.9
    """
    if isinstance(path, str | os.PathLike):
        path = Path(path)
        if path.is_dir() and has_stats_files(path):
            return _read_folder_of_stats(path, measure, parcellation, unmatched)
        paths = _tables_in(path) if path.is_dir() else [path]
    else:
        paths = [Path(one) for one in path]
    if not paths:
        raise TableFormatError("No FreeSurfer table given.", paths=[])
    named = name_paths(paths).items()
    tables = {name: _read_one(one, decimal, drop_duplicates) for name, one in named}
    return join_tables(tables, unmatched=unmatched)


def freesurfer_totals(columns: Iterable[str]) -> list[str]:
    """List the columns that sum up the brain or a hemisphere instead of one region.

    Parameters
    ----------
    columns : iterable of str
        Columns of FreeSurfer tables.

    Returns
    -------
    list of str
        Totals, means and counts of surface holes, in their order: intracranial volume,
        brain and cortex volumes, mean thickness, surface area.

    Examples
    --------
    >>> freesurfer_totals(["Left-Hippocampus", "eTIV", "lh_MeanThickness_thickness"])
    ['eTIV', 'lh_MeanThickness_thickness']
    """
    return [column for column in columns if _TOTAL.match(str(column))]


def name_paths(paths: Sequence[Path]) -> dict[str, Path]:
    """Name files for messages: by their file name if it is unique, else in full.

    Parameters
    ----------
    paths : sequence of Path
        Files.

    Returns
    -------
    dict of {str: Path}
        Names and files, in order.
    """
    names = [path.name for path in paths]
    return {
        path.name if names.count(path.name) == 1 else str(path): path
        for path in dict.fromkeys(paths)
    }


def is_freesurfer_table(path: Path) -> bool:
    """Tell whether a table was written by asegstats2table or aparcstats2table.

    Parameters
    ----------
    path : Path
        Table.

    Returns
    -------
    bool
        True if its first column is named after the measure.
    """
    names = column_names(path)
    return bool(names) and FIRST_COLUMN.match(names[0]) is not None


def _tables_in(folder: Path) -> list[Path]:
    found = [path for path in tables_in(folder) if is_freesurfer_table(path)]
    if not found:
        raise TableFormatError(
            f"{folder} holds neither FreeSurfer tables nor stats files. Give SUBJECTS_DIR or a "
            f"folder with tables of asegstats2table and aparcstats2table.",
            path=folder,
        )
    return found


def _read_one(path: Path, decimal: str, drop_duplicates: bool) -> pd.DataFrame:
    names = column_names(path)
    if not names or not FIRST_COLUMN.match(names[0]):
        raise TableFormatError(
            f"{path.name} is no FreeSurfer table: its first column is {name_some(names[:1])}, not "
            f"'Measure:volume' or 'lh.aparc.thickness'. Read it with read_table.",
            path=path,
        )
    table = read_table(path, index=names[0], decimal=decimal, drop_duplicates=drop_duplicates)
    table = require_numbers(table, what=path.name)
    if any(_STRUCTURE.match(str(row)) for row in table.index):  # --transpose
        table = table.T
    subjects = [str(subject).rstrip("/") for subject in table.index]
    return table.set_axis(pd.Index(subjects, dtype=table.index.dtype, name="subject"))


def _read_folder_of_stats(
    folder: Path, measure: Measure | Sequence[Measure], parcellation: str, unmatched: Unmatched
) -> pd.DataFrame:
    measures = [measure] if isinstance(measure, str) else list(measure)
    unknown = [one for one in measures if one not in COLUMNS]
    if unknown:
        raise ValueError(f"measure is {unknown[0]!r}; give 'thickness', 'volume' or 'area'.")
    files = find_stats_files(folder, parcellation)
    if not files:
        raise MissingFileError(
            f"{folder} has neither aseg.stats nor lh.{parcellation}.stats. Check parcellation=.",
            path=folder,
        )
    return join_tables(read_stats_files(files, measures), unmatched=unmatched)
