"""Bring maps, their grids and the rows of a table together."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from isoscan.errors import DataError, UnmatchedRowsError, count, name_some
from isoscan.nifti.grids import Grid
from isoscan.nifti.sources import ArrayMap, FileMap, Source, as_source
from isoscan.tables.align import align_rows, require_unique


def match_volumes(volumes: Any, covariates: pd.DataFrame) -> tuple[list[Source], pd.DataFrame]:
    """Bring maps and covariates together: by id where maps have ids, else by position.

    Parameters
    ----------
    volumes : mapping, Series or sequence
        Maps by scan id, or in the order of the covariates.
    covariates : DataFrame
        One row per scan, indexed by its id.

    Returns
    -------
    sources : list of Source
        In the order of the maps.
    covariates : DataFrame
        In the same order.

    Raises
    ------
    UnmatchedRowsError
        If numbers or ids do not agree.
    """
    if not isinstance(covariates, pd.DataFrame):
        raise DataError(
            f"covariates must be a DataFrame with one row per map, got {type(covariates).__name__}."
        )
    if isinstance(volumes, Mapping | pd.Series):
        ids = pd.Index([*volumes.keys()])
        require_unique(ids, "maps")
        covariates = align_rows(covariates, ids, what="covariates", rows="maps", extra="ignore")
        found = [*volumes.values()] if isinstance(volumes, Mapping) else volumes.tolist()
    else:
        found = _in_row_order(volumes, covariates)
        require_unique(covariates.index, "covariates")
    names = [f"map '{scan}'" for scan in covariates.index]
    return [as_source(*pair) for pair in zip(found, names, strict=True)], covariates


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
