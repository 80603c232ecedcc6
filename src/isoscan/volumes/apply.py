"""Harmonize a stream of maps, a few at a time."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.combat import ComBat, LongitudinalComBat
from isoscan.combat.blocks import count_workers, thread_pool
from isoscan.errors import (
    DataError,
    ExtrapolationWarning,
    MissingColumnError,
    UnknownSiteWarning,
    name_some,
)
from isoscan.labels import as_labels
from isoscan.nifti.sources import Source
from isoscan.volumes.correction import PLACES
from isoscan.volumes.kept_maps import KeptMaps
from isoscan.volumes.outputs import Results
from isoscan.volumes.space_needed import require_memory
from isoscan.volumes.stages import Block, Corrector, Reader, Stages, Writer
from isoscan.volumes.stream import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from isoscan.volumes.model import VolumeModel

Outside = Literal["zero", "keep", "nan"]
Site = str | Sequence[str]


def labels_of(people: pd.DataFrame, site: Site) -> Any:
    """Sites as estimators take them: one label per scan, or a frame of batch variables.

    Parameters
    ----------
    people : DataFrame
        One row per scan.
    site : str or sequence of str
        Column, or columns.

    Returns
    -------
    ndarray of str objects, or DataFrame
        In row order.

    Raises
    ------
    MissingColumnError
        If there is no such column.
    """
    columns = [site] if isinstance(site, str) else list(site)
    for name in columns:
        if name not in people.columns:
            raise MissingColumnError(
                f"no column '{name}' in the covariates: {name_some(people.columns, 8)}. Name it "
                f"with site= (--site).",
                column=name,
            )
    if len(columns) == 1:
        return as_labels(people[columns[0]], columns[0])
    return people[columns].reset_index(drop=True)


def needs_everyone(estimator: Any) -> bool:
    """Whether what happens to one scan depends on others of the same call.

    Parameters
    ----------
    estimator : SiteHarmonizer
        A fitted estimator.

    Returns
    -------
    bool
        True for the longitudinal model, which learns the level of each subject.
    """
    return isinstance(estimator, LongitudinalComBat)


def harmonize_sources(
    model: VolumeModel,
    sources: Sequence[Source],
    people: pd.DataFrame,
    site: Site,
    outside: Outside,
    results: Results | None,
    progress: Progress,
    kept: KeptMaps | None = None,
) -> list[Any]:
    """Apply a model to maps; write them, or give them back.

    Parameters
    ----------
    model : VolumeModel
        Fitted on the same grid.
    sources : sequence of Source
        Maps.
    people : DataFrame
        Site and covariates, in the same order.
    site : str or sequence of str
        Column of `people` with the site.
    outside : {"zero", "keep", "nan"}
        What voxels outside the mask become.
    results : Results or None
        Where maps are written; None to return them.
    progress : callable
        Told the stage, how many maps are done, and of how many.
    kept : KeptMaps, optional
        Maps that need not be read again.

    Returns
    -------
    list
        Paths, or maps in the form they came in.
    """
    if outside not in ("zero", "keep", "nan"):
        raise DataError(f"outside must be 'zero', 'keep' or 'nan', got {outside!r}.")
    n_maps = len(sources)
    dtype = np.result_type(*(source.dtype for source in sources))
    if results is None:
        needed = n_maps * model.grid.n_voxels * dtype.itemsize
        require_memory(needed, f"Giving back {n_maps} maps (output= writes them instead)")
    found: list[Any] = [results.path(row) if results else None for row in range(n_maps)]
    todo = [row for row in range(n_maps) if results is None or not results.is_done(row)]
    labels, done = labels_of(people, site), n_maps - len(todo)
    n_jobs = getattr(model.estimator, "n_jobs", None)
    n_writers = count_workers(n_jobs) + 1  # they wait for the disk
    with (
        _warned_once(model.estimator, people) as design,
        thread_pool(n_jobs) as pool,
        thread_pool(n_writers) as writers,
    ):

        def harmonize(table: NDArray[Any], rows: list[int]) -> NDArray[Any]:
            some = people.iloc[rows]
            harmonized: NDArray[Any] = model.estimator.transform(
                table, sites=labels_of(some, site), covariates=some
            )
            return harmonized

        reader = Reader(pool, sources, model.mask.voxels, dtype, kept, whole=outside == "keep")
        writer = Writer(writers, sources, model, outside, results)
        stages = Stages(reader, Corrector(pool, model.estimator, design, harmonize), writer)
        for made in stages.through(_blocks(model.estimator, labels, todo)):
            for row, one in made.items():
                found[row] = one
            done += len(made)
            progress("apply", done, n_maps)
    return found


def _blocks(estimator: Any, labels: Any, todo: list[int]) -> list[Block]:
    """Cut the maps into blocks: a few scans of one site if that is all it takes."""
    if needs_everyone(estimator):
        return [Block(todo, list(range(len(labels))))] if todo else []
    if type(estimator) is not ComBat or isinstance(labels, pd.DataFrame):
        return [Block(rows, rows) for rows in _in_turn(todo)]
    blocks, undone = [], set(todo)
    for site in dict.fromkeys(labels[todo]):
        number = estimator.sites_.index(site) if site in estimator.sites_ else None
        for of_site in _in_turn(np.flatnonzero(labels == site).tolist()):
            places = [place for place, row in enumerate(of_site) if row in undone]
            rows = [of_site[place] for place in places]
            if rows:
                blocks.append(Block(rows, rows, number, places))
    return blocks


def _in_turn(rows: list[int]) -> list[list[int]]:
    return [rows[start : start + PLACES] for start in range(0, len(rows), PLACES)]


@contextmanager
def _warned_once(estimator: Any, people: pd.DataFrame) -> Iterator[NDArray[np.float64] | None]:
    """Say for all maps together what would be said for every block; give the design."""
    design = None
    if hasattr(estimator, "_matrix"):
        design = estimator._matrix(people, len(people), check_range=True)
    with warnings.catch_warnings():
        for category in (ExtrapolationWarning, UnknownSiteWarning):
            warnings.simplefilter("ignore", category)
        yield design
