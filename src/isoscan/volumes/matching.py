"""Bring maps, their grids and the rows of a table together."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from isoscan.errors import DataError, UnmatchedRowsError, count, name_some
from isoscan.nifti.grids import Grid
from isoscan.nifti.sources import ArrayMap, FileMap, Source
from isoscan.tables.align import align_rows, require_unique
from isoscan.volumes.damaged import Bad, Damaged, find_damaged, open_maps, refuse, warn_of
from isoscan.volumes.stream import Progress, silent


@dataclass(frozen=True)
class Matched:
    """Maps that can be read, and whose they are.

    Attributes
    ----------
    sources : list of Source
        Maps.
    people : DataFrame
        One row per map, in the same order.
    damaged : list of Damaged
        Maps that were left out because they cannot be read.
    """

    sources: list[Source]
    people: pd.DataFrame
    damaged: list[Damaged]


def match_volumes(
    volumes: Any,
    covariates: pd.DataFrame,
    bad: Bad = "error",
    *,
    without: Collection[str] = (),
    progress: Progress = silent,
) -> Matched:
    """Bring maps and covariates together: by id where maps have ids, else by position.

    Parameters
    ----------
    volumes : mapping, Series or sequence
        Maps by scan id, or in the order of the covariates.
    covariates : DataFrame
        One row per scan, indexed by its id.
    bad : {"error", "skip"}
        Maps that cannot be read: refuse them all by name, or leave them out. To leave them
        out, all files are read.
    without : collection of str
        Scans that are left out beforehand.
    progress : callable
        Told the stage, how many maps are done, and of how many.

    Returns
    -------
    Matched
        In the order of the maps.

    Raises
    ------
    UnmatchedRowsError
        If numbers or ids do not agree.
    ImageFileError, MissingFileError
        If maps cannot be read, and `bad` is "error".
    """
    if bad not in ("error", "skip"):
        raise DataError(f"bad must be 'error' or 'skip', got {bad!r}.")
    found, people = _pairs(volumes, covariates)
    kept = [row for row, scan in enumerate(people.index) if str(scan) not in without]
    people = people.iloc[kept]
    opened, damaged = open_maps([found[row] for row in kept], people.index)
    sources = [source for source in opened if source is not None]
    people = people[[source is not None for source in opened]]
    if bad == "error" and all(one.absent for one in damaged):
        refuse(damaged, len(kept))
        return Matched(sources, people, [])
    unread = find_damaged(sources, people.index, progress)
    sound = [str(scan) not in {one.scan for one in unread} for scan in people.index]
    damaged += unread
    if bad == "error" or not any(sound):
        refuse(damaged, len(kept))
    warn_of(damaged, len(kept))
    sources = [source for source, is_sound in zip(sources, sound, strict=True) if is_sound]
    return Matched(sources, people[sound], damaged)


def _pairs(volumes: Any, covariates: pd.DataFrame) -> tuple[list[Any], pd.DataFrame]:
    """Maps as they were given, and the rows that belong to them."""
    if not isinstance(covariates, pd.DataFrame):
        raise DataError(
            f"covariates must be a DataFrame with one row per map, got {type(covariates).__name__}."
        )
    if isinstance(volumes, Mapping | pd.Series):
        ids = pd.Index([*volumes.keys()])
        require_unique(ids, "maps")
        covariates = align_rows(covariates, ids, what="covariates", rows="maps", extra="ignore")
        return [*volumes.values()] if isinstance(volumes, Mapping) else volumes.tolist(), covariates
    found = _in_row_order(volumes, covariates)
    require_unique(covariates.index, "covariates")
    return found, covariates


def _in_row_order(volumes: Any, covariates: pd.DataFrame) -> list[Any]:
    if isinstance(volumes, str | os.PathLike) or not isinstance(volumes, Sequence | np.ndarray):
        raise DataError(
            "volumes must be one map per scan: a list in the order of the covariates, or a dict "
            "or Series of maps by scan id."
        )
    if len(volumes) != len(covariates):
        raise UnmatchedRowsError(
            f"{count(len(volumes), 'map')} for {count(len(covariates), 'row')} of covariates "
            f"({name_some(covariates.index, 3)}). Give a dict of maps by scan id to match them."
        )
    return [*volumes]


def on_grid(sources: Sequence[Source], grid: Grid, *, placed: bool = True) -> list[Source]:
    """Tell arrays where their voxels lie, if their shape is that of the grid.

    Parameters
    ----------
    sources : sequence of Source
        Maps.
    grid : Grid
        Of the mask, or of a model.
    placed : bool
        Whether that grid has an affine.

    Returns
    -------
    list of Source
        Files and images as they are.
    """
    return [
        replace(source, grid=grid, placed=placed)
        if isinstance(source, ArrayMap) and source.grid.shape == grid.shape
        else source
        for source in sources
    ]


def grids_of(sources: Sequence[Source]) -> dict[str, Grid]:
    """Grid of each map, by a name that no other map has.

    Parameters
    ----------
    sources : sequence of Source
        Maps.

    Returns
    -------
    dict of {str: Grid}
        By file name, or by path where file names repeat.
    """
    times = Counter(source.name for source in sources)
    return {
        str(source.path)
        if isinstance(source, FileMap) and times[source.name] > 1
        else source.name: source.grid
        for source in sources
    }
