"""The same job as tasks of Dask: maps are read and written by the workers.

A task reads a few dozen maps and leaves their moments; moments are merged in a tree, on the
workers. When the model is there, a task harmonizes a few dozen maps and writes them; what comes
back is a receipt: names and hashes. Tasks change nothing they are given, so that those of a
worker that died can be done again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.combat.moments import Scans
from isoscan.combat.parts import plain_options
from isoscan.errors import DataError
from isoscan.nifti.sources import Source
from isoscan.tables.write import write_atomically
from isoscan.volumes.apply import Outside, harmonize_sources, labels_of
from isoscan.volumes.bids import describe_results
from isoscan.volumes.cluster import connected, on_workers, share
from isoscan.volumes.coverage import Missing
from isoscan.volumes.damaged import Bad, all_named, list_damaged
from isoscan.volumes.fit import finish_fit, space_of
from isoscan.volumes.harmonizing import MODEL, write_model_files
from isoscan.volumes.job import (
    Job,
    common_dtype,
    learn_scans,
    make_estimator,
    require_files,
    require_streaming,
)
from isoscan.volumes.journal import only_run_in
from isoscan.volumes.model import VolumeModel
from isoscan.volumes.outputs import Results, run_folder
from isoscan.volumes.stack_run import Wanted, harmonize_given_stack
from isoscan.volumes.stacks import is_stack, is_store
from isoscan.volumes.stream import (
    Gathered,
    Progress,
    blocks_of,
    gather_moments,
    silent,
)
from isoscan.volumes.voxel_moments import VoxelMoments

BLOCKS_PER_TASK = 2
MAPS_PER_TASK = 32


def harmonize_with_dask(
    volumes: Any,
    covariates: pd.DataFrame,
    output: str | Path,
    *,
    client: Any = None,
    site: str = "site",
    preserve: str | None = None,
    mask: Any = None,
    mask_threshold: float | None = None,
    missing: Missing = "keep",
    outside: Outside = "zero",
    bad: Bad = "error",
    registered: bool = False,
    overwrite: bool = False,
    resume: bool = False,
    progress: Progress = silent,
    **options: Any,
) -> tuple[Any, VolumeModel]:
    """Harmonize maps with ComBat on the workers of a Dask cluster.

    Parameters
    ----------
    volumes : mapping, Series or sequence; or path-like
        Paths of NIfTI files, or a stack in Zarr, that all workers can read, as in
        `harmonize_volumes`.
    covariates : DataFrame
        One row per scan.
    output : path-like
        Folder for the results, or the name of a Zarr store for those of a stack; all workers
        can write there.
    client : distributed.Client, optional
        The cluster; processes of this computer by default.
    site : str
        Column with the site.
    preserve : str, optional
        Formula of what must survive.
    mask : path-like, nibabel image or array, optional
        Voxels to harmonize; without it, this process reads all maps to find those they have.
    mask_threshold : float, optional
        What exceeds it is inside.
    missing : {"keep", "exclude", "error"}
        What to do with voxels without a finite value at some scans.
    outside : {"zero", "keep", "nan"}
        What voxels outside the mask become.
    bad : {"error", "skip"}
        Maps that cannot be read: refuse them, all by name; or leave them out, with a warning,
        and list them in ``skipped.tsv``. This process looks for them.
    registered : bool
        Do not look whether maps lie over each other: they do.
    overwrite : bool
        Replace results that exist.
    resume : bool
        Take up a run that was stopped.
    progress : callable
        Told the stage, how many tasks are done, and of how many.
    **options : object
        Further options of ComBat. With ``n_jobs``, a task uses so many threads; one by default.

    Returns
    -------
    harmonized : list of Path, or Path
        Files, in the order of the maps; or the store.
    model : VolumeModel
        What one process would give, up to rounding.

    Raises
    ------
    DataError
        If the method needs all maps at once, or maps are not files.
    MissingPackageError
        If Dask is not installed.
    OutOfSpaceError
        If workers die again and again.
    """
    if preserve is not None:
        options = {"preserve": preserve, **options}
    estimator = make_estimator("combat", options)
    settings: dict[str, Any] = {"options": plain_options(estimator), "site": site}
    settings |= {"missing": missing, "outside": outside}
    if is_stack(volumes):
        require_streaming(estimator, labels_of(covariates, site))
        settings["method"] = "combat"
        masking: dict[str, Any] = {"mask": mask, "mask_threshold": mask_threshold}
        masking |= {"missing": missing, "bad": bad, "settings": settings}
        with connected(client) as workers:
            how = (site, outside, output, overwrite, resume, progress, on_workers(workers))
            return harmonize_given_stack(Wanted(*how), estimator, volumes, covariates, **masking)
    if is_store(output):
        raise DataError("workers write the store of a stack only; files become files.")
    job = Job.prepare(
        volumes, covariates, mask, mask_threshold, bad, progress, registered=registered
    )
    require_files(job.sources)
    job.leave_out_single_scans(estimator, site)
    require_streaming(estimator, labels_of(job.people, site))
    settings |= {"tasks": BLOCKS_PER_TASK, "mask": job.mask.hash_}
    folder = Path(output)
    with only_run_in(folder), connected(client) as workers:
        results = run_folder(
            folder,
            job.sources,
            job.people,
            settings,
            mask=job.mask,
            outside=outside,
            n_effects=job.n_effects(site),
            resume=resume,
            overwrite=overwrite,
        )
        list_damaged(results, job.damaged, job.people, overwrite=overwrite)
        with all_named(job.sources, job.people.index):
            model = _fitted(workers, job, estimator, site, missing, results, progress)
            _apply(workers, model, job, site, outside, results, progress)
        describe_results(folder, results.names, job.sources, model)
        return [results.path(row) for row in range(len(job.sources))], model


def _fitted(
    client: Any,
    job: Job,
    estimator: Any,
    site: str,
    missing: Missing,
    results: Results,
    progress: Progress,
) -> VolumeModel:
    """The model in the folder of results, or a new one."""
    rows, scans = learn_scans(estimator, job, site)
    if results.journal.is_done(MODEL):
        return VolumeModel.load(results.folder / MODEL)
    gathered = _gather_all(client, job, rows, scans, estimator.n_jobs, progress)
    dtype = common_dtype(job.sources)
    model = finish_fit(estimator, gathered, scans, job.mask, missing, dtype)
    model = replace(model, space=space_of(job.sources[0]))
    write_model_files(model, results)
    return model


def _gather_all(
    client: Any,
    job: Job,
    rows: NDArray[np.intp],
    scans: Scans,
    n_jobs: int | None,
    progress: Progress,
) -> Gathered:
    """Gather moments on the workers, and merge them there."""
    sources, dtype = [job.sources[row] for row in rows], common_dtype(job.sources)
    shared = share(client, _Shared(scans, job.mask.voxels))
    blocks, tasks = blocks_of(scans), []
    for start in range(0, len(blocks), BLOCKS_PER_TASK):
        group = blocks[start : start + BLOCKS_PER_TASK]
        seen = np.concatenate([scans.order[part] for _, part in group]).tolist()
        own = {row: sources[row] for row in seen}
        tasks.append(client.submit(_gather, shared, own, group, dtype, n_jobs, pure=False))
    whole = _merge_in_pairs(client, tasks)
    for task in _finished(tasks, "fit", progress):
        if task is not whole:
            task.release()
    gathered: Gathered = whole.result()
    return gathered


@dataclass(frozen=True)
class _Shared:
    """What every task needs."""

    scans: Scans
    voxels: NDArray[np.intp]


def _gather(
    shared: _Shared,
    sources: dict[int, Source],
    blocks: list[tuple[int, slice]],
    dtype: np.dtype[Any],
    n_jobs: int | None,
) -> Gathered:
    return gather_moments(
        sources, shared.scans, shared.voxels, dtype, blocks=blocks, n_jobs=n_jobs or 1
    )


def _merge_in_pairs(client: Any, parts: list[Any]) -> Any:
    """Merge neighbours, then pairs of neighbours: the order never depends on the workers."""
    while len(parts) > 1:
        pairs = [parts[start : start + 2] for start in range(0, len(parts), 2)]
        parts = [
            client.submit(_merged, *pair, pure=False) if len(pair) == 2 else pair[0]
            for pair in pairs
        ]
    return parts[0]


def _merged(first: Gathered, second: Gathered) -> Gathered:
    """Both together; neither is changed."""
    moments = VoxelMoments(first.moments.n_sites, first.moments.n_voxels)
    rows = np.concatenate([first.rows, second.rows])
    whole = Gathered(moments, first.sampled, np.zeros_like(first.sample), rows)
    whole.merge(first)
    whole.merge(second)
    return whole


def _finished(tasks: list[Any], stage: str, progress: Progress) -> Iterator[Any]:
    """Tasks as they are finished."""
    for done, task in enumerate(import_module("distributed").as_completed(tasks), 1):
        yield task
        progress(stage, done, len(tasks))


def _apply(
    client: Any,
    model: VolumeModel,
    job: Job,
    site: str,
    outside: Outside,
    results: Results,
    progress: Progress,
) -> None:
    """Harmonize what is not done yet, and note what was written."""
    order = np.argsort(labels_of(job.people, site).astype(str), kind="stable").tolist()
    todo = [row for row in order if not results.is_done(row)]
    shared = share(client, model)
    tasks = []
    for start in range(0, len(todo), MAPS_PER_TASK):
        rows = todo[start : start + MAPS_PER_TASK]
        writer = _Receipts(results.folder, [results.names[row] for row in rows])
        sources = [job.sources[row] for row in rows]
        people = job.people.iloc[rows]
        tasks.append(
            client.submit(_harmonize, shared, sources, people, site, outside, writer, pure=False)
        )
    for task in _finished(tasks, "apply", progress):
        for name, sha256 in task.result().items():
            results.journal.note_hash(name, sha256)


def _harmonize(
    model: VolumeModel,
    sources: list[Source],
    people: pd.DataFrame,
    site: str,
    outside: Outside,
    writer: _Receipts,
) -> dict[str, str]:
    fresh = _Receipts(writer.folder, writer.names)
    harmonize_sources(model, sources, people, site, outside, fresh, silent)
    return fresh.hashes


class _Receipts(Results):
    """Writes maps and remembers their hashes; whoever asked for them keeps the journal."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder, self.names = folder, list(names)
        self.hashes: dict[str, str] = {}

    def is_done(self, row: int) -> bool:
        return False

    def write(self, row: int, content: bytes) -> str:
        write_atomically(self.path(row), content, overwrite=True)
        return hashlib.sha256(content).hexdigest()

    def note(self, hashes: Mapping[int, str]) -> None:
        self.hashes |= {self.names[row]: sha256 for row, sha256 in hashes.items()}
