"""What becomes of a stack: a store, or maps in memory; with a new model, or a fitted one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.combat.blocks import thread_pool
from isoscan.combat.moments import Scans
from isoscan.combat.store import software_versions
from isoscan.errors import DataError, OutputExistsError
from isoscan.nifti.grids import require_one_grid
from isoscan.volumes.apply import Outside, Site
from isoscan.volumes.coverage import Missing
from isoscan.volumes.damaged import Bad
from isoscan.volumes.job import Job
from isoscan.volumes.journal import fingerprint
from isoscan.volumes.model import VolumeModel
from isoscan.volumes.space_needed import require_disk, require_memory
from isoscan.volumes.stack_apply import Harmonizing, InMemory, Sink, harmonize_stack
from isoscan.volumes.stack_job import (
    StackJob,
    describe_place,
    fit_stack,
    open_job,
    prepare_stack,
    stack_of_files,
)
from isoscan.volumes.stack_moments import Run, gather_stack
from isoscan.volumes.stack_store import model_beside, store_at
from isoscan.volumes.stacks import import_zarr, is_stack, is_store
from isoscan.volumes.stream import Gathered, Progress, silent

Model = TypeVar("Model", bound=VolumeModel)


@dataclass(frozen=True, eq=False)
class Wanted:
    """What is to become of a stack.

    Attributes
    ----------
    site : str or sequence of str
        Column with the site.
    outside : {"zero", "keep", "nan"}
        What voxels outside the mask become.
    output : path-like or None
        The store to write; None to give maps back.
    overwrite, resume : bool
        Replace a store that exists; or take up a run that was stopped.
    progress : callable
        Told the stage, how many pieces are done, and of how many.
    run : callable
        Calls a function on items and gives results in order.
    """

    site: Site
    outside: Outside
    output: str | Path | None
    overwrite: bool
    resume: bool
    progress: Progress
    run: Run

    def make(
        self,
        job: StackJob,
        fit: Callable[[], VolumeModel],
        settings: Mapping[str, Any],
        *,
        with_model: bool = True,
    ) -> tuple[Any, VolumeModel]:
        """Fit, and harmonize into a store or into memory.

        Parameters
        ----------
        job : StackJob
            Maps and people.
        fit : callable
            Gives the model.
        settings : mapping
            What results depend on, besides maps and people.
        with_model : bool
            Write the model beside the store.

        Returns
        -------
        harmonized : Path or list of ndarray
            The store, or maps.
        model : VolumeModel
            What harmonized them.
        """
        if self.output is None:
            model, maps = fit(), job.maps
            needed = maps.n_scans * maps.grid.n_voxels * maps.dtype.itemsize
            require_memory(needed, f"Giving back {maps.n_scans} maps (output= writes them instead)")
            kept = InMemory(maps)
            self._harmonize(job, model, kept)
            return [kept.values[row] for row in job.present], model
        import_zarr()  # before any work
        path = Path(self.output)
        run = fingerprint(
            {
                **settings,
                "mask": job.mask.hash_,
                "inputs": job.inputs,
                "people": job.people.to_csv(),
                "software": software_versions(),
            }
        )
        with store_at(path, run, resume=self.resume, overwrite=self.overwrite) as store:
            if store is None:
                return path, (VolumeModel.load(model_beside(path)) if with_model else fit())
            self._require_disk(job, path)
            model = store.model or fit()
            if with_model:
                store.keep_model(model)
            store.begin(job.maps, model, job.people.index.map(str).tolist(), job.about)
            self._harmonize(job, model, store)
        return path, model

    def _harmonize(self, job: StackJob, model: VolumeModel, sink: Sink) -> None:
        how = (job.maps, model, job.people, self.site, self.outside, job.absent, sink)
        harmonize_stack(Harmonizing(*how), self.run, self.progress)

    def _require_disk(self, job: StackJob, path: Path) -> None:
        n_voxels = len(job.mask.voxels) if self.outside == "zero" else job.maps.grid.n_voxels
        floats = job.maps.dtype.itemsize // 4
        require_disk(path.absolute().parent, job.maps.n_scans, floats * n_voxels)


def require_stack_output(volumes: Any, output: str | Path | None, bad: str) -> None:
    """Refuse what a stack cannot become.

    Parameters
    ----------
    volumes : path-like, zarr.Array or zarr.Group
        The stack.
    output : path-like or None
        Where results go.
    bad : {"error", "skip"}
        What to do with maps that cannot be read.

    Raises
    ------
    DataError
        If results would be files, or damaged maps are to be left out.
    OutputExistsError
        If the stack itself would be replaced.
    """
    if output is not None and not is_store(output):
        raise DataError(
            f"the results of a stack are a stack: give output a name that ends in .zarr, not "
            f"{Path(output).name}."
        )
    if bad != "error":
        raise DataError("in a stack no single map can be damaged: bad='skip' is for files.")
    root = volumes if isinstance(volumes, str | os.PathLike) else _root_of(volumes)
    if output is not None and root is not None and Path(root).resolve() == Path(output).resolve():
        raise OutputExistsError(
            f"{output} is the stack that is read; inputs are never replaced. Choose another name.",
            path=output,
        )


def _root_of(opened: Any) -> Path | None:
    root = getattr(opened.store, "root", None)
    return root if isinstance(root, Path) else None


def harmonize_given_stack(
    wanted: Wanted,
    estimator: Any,
    volumes: Any,
    covariates: pd.DataFrame,
    *,
    mask: Any,
    mask_threshold: float | None,
    missing: Missing,
    bad: Bad,
    settings: Mapping[str, Any],
) -> tuple[Any, VolumeModel]:
    """Fit and apply to a stack.

    Parameters
    ----------
    wanted : Wanted
        What is to become of it.
    estimator : SiteHarmonizer
        Unfitted.
    volumes : path-like, zarr.Array or zarr.Group
        The stack.
    covariates : DataFrame
        One row per scan.
    mask, mask_threshold, missing, bad : object
        As in `harmonize_volumes`.
    settings : mapping
        What results depend on, besides maps and people.

    Returns
    -------
    harmonized : Path or list of ndarray
        The store, or maps.
    model : VolumeModel
        What harmonized them.
    """
    require_stack_output(volumes, wanted.output, bad)
    site, run = wanted.site, wanted.run
    job = prepare_stack(volumes, covariates, mask, mask_threshold, estimator, site, run)
    fit = partial(fit_stack, estimator, job, site, missing, run, wanted.progress)
    return wanted.make(job, fit, settings)


def in_threads(estimator: Any) -> Run:
    """Make what works on pieces in threads of this process.

    Parameters
    ----------
    estimator : SiteHarmonizer
        Says how many.

    Returns
    -------
    callable
        Calls a function on items and gives results in order.
    """

    def run(work: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
        with thread_pool(getattr(estimator, "n_jobs", None)) as pool:
            yield from pool.map(work, items)

    return run


def transform_stack(
    model: VolumeModel,
    asking: VolumeModel,
    volumes: Any,
    covariates: pd.DataFrame,
    *,
    bad: Bad,
    site: Site,
    outside: Outside,
    output: str | Path | None,
    overwrite: bool,
    resume: bool,
    progress: Progress,
) -> Any:
    """Apply a model to a stack, or write what it makes of files into one.

    Parameters
    ----------
    model : VolumeModel
        Fitted.
    asking : VolumeModel
        The same, with what it does about sites it has not seen.
    volumes : object
        Maps of any kind.
    covariates : DataFrame
        One row per scan.
    bad, site, outside, output, overwrite, resume, progress : object
        As in `VolumeModel.transform`.

    Returns
    -------
    Path or list of ndarray
        The store, or maps.
    """
    wanted = Wanted(site, outside, output, overwrite, resume, progress, in_threads(model.estimator))
    if is_stack(volumes):
        require_stack_output(volumes, output, bad)
        job = _new_stack(model, volumes, covariates)
        gather: Any = partial(_gather_rows, job, wanted.run)
    else:
        matched = model._read(volumes, covariates, bad, progress)
        files = Job(matched.sources, matched.people, model.mask)
        job = stack_of_files(files, getattr(model.estimator, "n_jobs", None))
        gather = partial(model._gather_rows, matched.sources)
    known = asking._with_unknown(job.people, site, gather)
    unknown = getattr(asking.estimator, "unknown_sites", None)
    settings = {"model": model.hash_, "unknown": unknown, "outside": outside, "site": site}
    return wanted.make(job, lambda: known, settings, with_model=False)[0]


def adapt_to_stack(
    model: Model,
    volumes: Any,
    covariates: pd.DataFrame,
    site: str,
    prior: Literal["own", "training"],
) -> Model:
    """Learn new sites from a stack.

    Parameters
    ----------
    model : VolumeModel
        Fitted.
    volumes : path-like, zarr.Array or zarr.Group
        Maps of sites that the model does not know.
    covariates : DataFrame
        One row per scan.
    site : str
        Column with the site.
    prior : {"own", "training"}
        What the new sites are shrunk towards.

    Returns
    -------
    VolumeModel
        A new model that knows old and new sites.
    """
    job = _new_stack(model, volumes, covariates)
    gather = partial(_gather_rows, job, in_threads(model.estimator), job.present)
    return model._learn(gather, job.people, site, prior)


def _new_stack(model: VolumeModel, volumes: Any, covariates: pd.DataFrame) -> StackJob:
    stack, people = open_job(volumes, covariates)
    if not stack.placed and stack.grid.shape == model.grid.shape:
        stack = replace(stack, grid=model.grid, placed=True, space=model.space)
    require_one_grid({stack.name: stack.grid}, model.grid, "the model")
    absent = np.zeros(stack.n_scans, dtype=bool)
    return StackJob(stack, people, model.mask, absent, describe_place(stack), stack.identity())


def _gather_rows(job: StackJob, run: Run, rows: NDArray[np.intp], scans: Scans) -> Gathered:
    return gather_stack(job.maps, job.mask, scans, rows, run, silent)
