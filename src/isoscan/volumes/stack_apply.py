"""Harmonize a stack piece by piece; write it, or give it back."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.combat import ComBat
from isoscan.combat.model import SiteModel
from isoscan.errors import DataError
from isoscan.volumes.apply import Outside, Site, _warned_once, labels_of, needs_everyone
from isoscan.volumes.model import VolumeModel
from isoscan.volumes.stack_moments import Run
from isoscan.volumes.stack_pieces import Part, parts_of, row_blocks
from isoscan.volumes.stacks import Box, Maps
from isoscan.volumes.stream import Progress


class Sink(Protocol):
    """Where harmonized pieces go."""

    def is_done(self, name: str, rows: NDArray[np.intp], box: Box) -> bool:
        """Whether a piece is there already.

        Parameters
        ----------
        name : str
            Name of the piece.
        rows : ndarray of int
            Scans.
        box : tuple of slice
            Voxels.
        """

    def write(self, rows: NDArray[np.intp], box: Box, values: NDArray[Any]) -> str:
        """Take a piece, and give its hash.

        Parameters
        ----------
        rows : ndarray of int
            Scans.
        box : tuple of slice
            Voxels.
        values : ndarray of shape (n_rows, n_voxels of the box)
            Harmonized.
        """

    def note(self, hashes: dict[str, str]) -> None:
        """Note finished pieces.

        Parameters
        ----------
        hashes : dict of {str: str}
            SHA-256 by name.
        """


class InMemory:
    """Keeps harmonized maps in an array.

    Parameters
    ----------
    maps : Maps
        What they are made of.
    """

    def __init__(self, maps: Maps) -> None:
        self.values = np.empty((maps.n_scans, *maps.grid.shape), dtype=maps.dtype)

    def is_done(self, name: str, rows: NDArray[np.intp], box: Box) -> bool:
        """Never.

        Parameters
        ----------
        name : str
            Name of the piece.
        rows : ndarray of int
            Scans.
        box : tuple of slice
            Voxels.

        Returns
        -------
        bool
            False.
        """
        return False

    def write(self, rows: NDArray[np.intp], box: Box, values: NDArray[Any]) -> str:
        """Keep a piece.

        Parameters
        ----------
        rows : ndarray of int
            Scans.
        box : tuple of slice
            Voxels.
        values : ndarray of shape (n_rows, n_voxels of the box)
            Harmonized.

        Returns
        -------
        str
            Nothing.
        """
        lengths = [part.stop - part.start for part in box]
        whole = slice(int(rows[0]), int(rows[-1]) + 1)
        self.values[(whole, *box)] = values.reshape(-1, *lengths[::-1]).transpose(0, 3, 2, 1)
        return ""

    def note(self, hashes: dict[str, str]) -> None:
        """Forget them.

        Parameters
        ----------
        hashes : dict of {str: str}
            Names of pieces.
        """


@dataclass(frozen=True, eq=False)
class Harmonizing:
    """What is the same for all pieces.

    Attributes
    ----------
    maps : Maps
        The stack.
    model : VolumeModel
        Fitted on its grid.
    people : DataFrame
        Site and covariates, one row per scan of the stack.
    site : str or sequence of str
        Column of `people` with the site.
    outside : {"zero", "keep", "nan"}
        What voxels outside the mask become.
    absent : ndarray of bool, shape (n_scans,)
        Scans that are left out of everything: NaN.
    sink : Sink
        Where pieces go.
    """

    maps: Maps
    model: VolumeModel
    people: pd.DataFrame
    site: Site
    outside: Outside
    absent: NDArray[np.bool_]
    sink: Sink

    def part(self, part: Part) -> dict[str, str]:
        """Harmonize one box.

        Parameters
        ----------
        part : Part
            Its voxels.

        Returns
        -------
        dict of {str: str}
            SHA-256 of its pieces, by name; of those that were not there before.
        """
        estimator, whole = self.model.estimator, needs_everyone(self.model.estimator)
        if len(part.columns) < len(self.model.mask.voxels):
            estimator = of_voxels(estimator, part.columns)
        hashes = {}
        for number, rows in enumerate(row_blocks(self.maps, part, whole=whole)):
            name = f"{part.number}-{number}"
            if not self.sink.is_done(name, rows, part.box):
                hashes[name] = self.sink.write(rows, part.box, self._piece(estimator, part, rows))
        return hashes

    def _piece(self, estimator: Any, part: Part, rows: NDArray[np.intp]) -> NDArray[Any]:
        before = self.maps.read(rows, part.box)
        filled = 0.0 if self.outside == "zero" else np.nan
        after = before.copy() if self.outside == "keep" else np.full_like(before, filled)
        after[:, np.isin(part.positions, self.model.left_out)] = np.nan
        present = ~self.absent[rows]
        if len(part.places) and present.any():
            table = before[np.ix_(present, part.places)]
            table[~np.isfinite(table)] = np.nan
            people = self.people.iloc[rows[present]]
            after[np.ix_(present, part.places)] = estimator.transform(
                table, sites=labels_of(people, self.site), covariates=people
            )
        after[~present] = np.nan
        return after


def harmonize_stack(job: Harmonizing, run: Run, progress: Progress) -> None:
    """Harmonize all pieces of a stack.

    Parameters
    ----------
    job : Harmonizing
        What, with which model, and where to.
    run : callable
        Calls a function on items and gives results in order, as they come.
    progress : callable
        Told the stage, how many boxes are done, and of how many.
    """
    if job.outside not in ("zero", "keep", "nan"):
        raise DataError(f"outside must be 'zero', 'keep' or 'nan', got {job.outside!r}.")
    estimator = job.model.estimator
    alone = type(estimator) is ComBat and estimator.batches_ is None
    parts = parts_of(job.maps, job.model.mask, whole=not alone)
    with _warned_once(estimator, job.people[~job.absent]):
        for done, hashes in enumerate(run(job.part, parts), 1):
            if hashes:
                job.sink.note(hashes)
            progress("apply", done, len(parts))


def of_voxels(estimator: ComBat, columns: NDArray[np.intp]) -> ComBat:
    """The same model of some of the voxels.

    Parameters
    ----------
    estimator : ComBat
        Fitted; its features are voxels.
    columns : ndarray of int
        Numbers of the voxels.

    Returns
    -------
    ComBat
        A copy that harmonizes a table of these.
    """
    part, model = copy.copy(estimator), estimator.model_
    effects = model.effects
    chosen: dict[str, Any] = {
        name: getattr(effects, name)[:, columns]
        for name in ("raw_shift", "raw_variance", "shift", "variance")
    }
    if effects.count.shape[1] > 1:
        chosen["count"] = effects.count[:, columns]
    part.model_ = SiteModel(
        intercept=model.intercept[columns],
        slopes=model.slopes[:, columns],
        sd=model.sd[columns],
        removed=model.removed,
        removed_mean=model.removed_mean,
        effects=replace(effects, **chosen),
        reference=model.reference,
        shared_noise=model.shared_noise,
    )
    part.n_features_in_, part.n_jobs = len(columns), 1  # boxes are worked on in parallel
    return part
