"""Harmonize a stream of maps, a few at a time."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.combat import ComBat, LongitudinalComBat
from isoscan.combat.blocks import run_parallel
from isoscan.errors import (
    DataError,
    ExtrapolationWarning,
    MissingColumnError,
    UnknownSiteWarning,
    name_some,
)
from isoscan.labels import as_labels
from isoscan.nifti.sources import Source
from isoscan.volumes.outputs import Results
from isoscan.volumes.reading import values_at
from isoscan.volumes.space_needed import require_memory
from isoscan.volumes.stream import SCANS_AT_A_TIME, Progress

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

    Returns
    -------
    list
        Paths, or maps in the form they came in.
    """
    if outside not in ("zero", "keep", "nan"):
        raise DataError(f"outside must be 'zero', 'keep' or 'nan', got {outside!r}.")
    n_maps = len(sources)
    found: list[Any] = [results.path(row) if results else None for row in range(n_maps)]
    todo = [row for row in range(n_maps) if results is None or not results.is_done(row)]
    whole = needs_everyone(model.estimator)
    dtype = np.result_type(*(source.dtype for source in sources))
    if results is None:
        needed = n_maps * model.grid.n_voxels * dtype.itemsize
        require_memory(needed, f"Giving back {n_maps} maps (output= writes them instead)")
    labels = labels_of(people, site)
    with _warned_once(model.estimator, people):
        done = n_maps - len(todo)
        for estimator, rows in _batches(model.estimator, labels, todo, whole):
            taken = list(range(n_maps)) if whole else rows
            block = _Block(model, [sources[row] for row in taken], dtype, outside)
            block.harmonize(estimator, people.iloc[taken], site)
            for row, made in zip(rows, block.finish(taken, rows, results), strict=True):
                found[row] = made
            done += len(rows)
            progress("apply", done, n_maps)
    return found


def _batches(
    estimator: Any, labels: Any, rows: list[int], whole: bool
) -> Iterator[tuple[Any, list[int]]]:
    """Rows to be harmonized together, and what harmonizes them: a few scans of one site."""
    if whole or type(estimator) is not ComBat or isinstance(labels, pd.DataFrame):
        step = max(len(rows), 1) if whole else SCANS_AT_A_TIME
        yield from ((estimator, rows[start : start + step]) for start in range(0, len(rows), step))
        return
    for site in dict.fromkeys(labels[rows]):
        of_site = [row for row in rows if labels[row] == site]
        known = _only_site(estimator, site) if site in estimator.sites_ else estimator
        for start in range(0, len(of_site), SCANS_AT_A_TIME):
            yield known, of_site[start : start + SCANS_AT_A_TIME]


def _only_site(estimator: ComBat, site: str) -> ComBat:
    """The same model without the other sites: what need not be known need not be computed."""
    number = estimator.sites_.index(site)
    part = slice(number, number + 1)
    model = estimator.model_
    fields = vars(model.effects).items()
    arrays: dict[str, Any] = {
        name: value[part] for name, value in fields if isinstance(value, np.ndarray | list)
    }
    effects = replace(model.effects, **arrays)
    reference = 0 if model.reference == number else None
    alone = copy.copy(estimator)
    alone.sites_ = [site]
    alone.model_ = replace(model, effects=effects, reference=reference)
    return alone


class _Block:
    """A few maps on their way through the model."""

    def __init__(
        self, model: VolumeModel, sources: list[Source], dtype: np.dtype[Any], outside: Outside
    ) -> None:
        self.model, self.sources, self.outside = model, sources, outside
        self.n_jobs = getattr(model.estimator, "n_jobs", None)
        voxels = model.mask.voxels
        self.table = np.empty((len(sources), len(voxels)), dtype=dtype)

        def read(row: int) -> NDArray[Any] | None:
            flat = sources[row].flat()
            self.table[row] = values_at(flat, voxels)
            return flat if outside == "keep" else None

        self.flats = run_parallel(read, range(len(sources)), self.n_jobs)

    def harmonize(self, estimator: Any, people: pd.DataFrame, site: Site) -> None:
        self.table = estimator.transform(
            self.table, sites=labels_of(people, site), covariates=people
        )

    def finish(self, taken: list[int], rows: list[int], results: Results | None) -> list[Any]:
        """Write or give back the maps of some rows."""

        def make(row: int) -> Any:
            place = taken.index(row)
            flat = self._whole(place)
            if results is None:
                return self.sources[place].like(flat)
            return results.write(row, flat, self.sources[place].header())

        made = run_parallel(make, rows, self.n_jobs)
        if results is None:
            return made
        for row, content in zip(rows, made, strict=True):
            results.note(row, content)
        return [results.path(row) for row in rows]

    def _whole(self, place: int) -> NDArray[Any]:
        n_voxels, before = self.model.grid.n_voxels, self.flats[place]
        if before is None:
            filled = np.nan if self.outside == "nan" else 0.0
            flat = np.full(n_voxels, filled, dtype=self.table.dtype)
        else:
            flat = before.astype(self.table.dtype)
        flat[self.model.left_out] = np.nan
        flat[self.model.mask.voxels] = self.table[place]
        return flat


@contextmanager
def _warned_once(estimator: Any, people: pd.DataFrame) -> Iterator[None]:
    """Say for all maps together what would be said for every block."""
    if hasattr(estimator, "_matrix"):
        estimator._matrix(people, len(people), check_range=True)
    with warnings.catch_warnings():
        for category in (ExtrapolationWarning, UnknownSiteWarning):
            warnings.simplefilter("ignore", category)
        yield
