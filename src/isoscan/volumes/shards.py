"""The same job in shards, each for a computer of its own; what they exchange are files.

First a plan; then the moments of every shard, in any order; then the model, of all moments;
then the harmonized maps of every shard. Each step can be repeated: what is finished and
unchanged is kept.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from isoscan.combat import ComBat
from isoscan.combat.moments import Scans
from isoscan.combat.parts import plain_options
from isoscan.errors import (
    DataError,
    IsoscanWarning,
    MissingFileError,
    OutputExistsError,
    count,
)
from isoscan.nifti.grids import require_one_grid
from isoscan.volumes.apply import Outside, harmonize_sources, labels_of
from isoscan.volumes.bids import Links, describe_dataset, describe_maps
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
)
from isoscan.volumes.journal import Journal, only_run_in
from isoscan.volumes.matching import grids_of, match_volumes
from isoscan.volumes.model import VolumeModel
from isoscan.volumes.outputs import Results, output_names, run_folder, run_of
from isoscan.volumes.plan import FILE, SHARDS, Plan, cut
from isoscan.volumes.shard_files import is_finished, read_shard, write_shard
from isoscan.volumes.space_needed import bytes_to_stream, require_memory
from isoscan.volumes.stream import Progress, blocks_of, gather_moments, sampled_voxels, silent


def plan_shards(
    volumes: Any,
    covariates: pd.DataFrame,
    output: str | Path,
    *,
    shards: int,
    site: str = "site",
    preserve: str | None = None,
    mask: Any = None,
    mask_threshold: float | None = None,
    missing: Missing = "keep",
    outside: Outside = "zero",
    bad: Bad = "error",
    registered: bool = False,
    overwrite: bool = False,
    table: dict[str, Any] | None = None,
    **options: Any,
) -> Plan:
    """Cut a job into shards, and check everything that can be checked beforehand.

    Parameters
    ----------
    volumes : mapping, Series or sequence
        Paths of NIfTI files, as in `harmonize_volumes`.
    covariates : DataFrame
        One row per scan.
    output : path-like
        Folder for plan, moments and results; all computers must reach it.
    shards : int
        Number of shards.
    site : str
        Column with the site.
    preserve : str, optional
        Formula of what must survive.
    mask : path-like, nibabel image or array, optional
        Voxels to harmonize; without it, all maps are read now to find those they have.
    mask_threshold : float, optional
        What exceeds it is inside.
    missing : {"keep", "exclude", "error"}
        What to do with voxels without a finite value at some scans.
    outside : {"zero", "keep", "nan"}
        What voxels outside the mask become.
    bad : {"error", "skip"}
        Maps that cannot be read: refuse those whose header is damaged, all by name; or read
        all files now, and leave out those that are damaged, for good.
    registered : bool
        Do not look whether maps lie over each other: they do.
    overwrite : bool
        Replace a plan, and results, that exist.
    table : dict, optional
        Where the maps are listed; kept in the plan.
    **options : object
        Further options of ComBat.

    Returns
    -------
    Plan
        Also written into the folder.

    Raises
    ------
    DataError
        If the job cannot be cut in so many shards, or the method needs all maps at once.
    """
    folder = Path(output)
    if preserve is not None:
        options = {"preserve": preserve, **options}
    estimator = make_estimator("combat", options)
    job = Job.prepare(volumes, covariates, mask, mask_threshold, bad, registered=registered)
    require_files(job.sources)
    job.leave_out_single_scans(estimator, site)
    settings = plain_options(estimator)
    _, scans = learn_scans(estimator, job, site)
    most = len(blocks_of(scans))
    if not 1 <= shards <= most:
        raise DataError(
            f"{shards} shards: {count(len(scans.order), 'map')} make {most} blocks of up to 16 "
            f"maps of one site, so that there can be 1 to {most} shards."
        )
    asked: dict[str, Any] = {"options": settings, "site": site}
    asked |= {"missing": missing, "outside": outside}
    with only_run_in(folder):
        _clear(folder, overwrite=overwrite)
        results = run_folder(
            folder,
            job.sources,
            job.people,
            _settings(asked, job, shards),
            mask=job.mask,
            outside=outside,
            n_effects=job.n_effects(site) + _numbers_exchanged(scans, shards),
            resume=False,
            overwrite=overwrite,
        )
        list_damaged(results, job.damaged, job.people, overwrite=overwrite)
        asked |= {"table": table or {}, "skipped": [one.scan for one in job.damaged]}
        plan = Plan(folder, job.mask, n_shards=shards, run=results.journal.run, **asked)
        plan.save()
    return plan


def _numbers_exchanged(scans: Scans, shards: int) -> int:
    """Numbers per voxel in the moments of all shards together."""
    blocks = blocks_of(scans)
    sites = sum(len({site for site, _ in cut(blocks, number, shards)}) for number in range(shards))
    return int(sites * (scans.covariates.shape[1] + 2))


def _clear(folder: Path, *, overwrite: bool) -> None:
    """Remove the moments of an earlier plan, if that may be replaced."""
    if (folder / FILE).exists() and not overwrite:
        raise OutputExistsError(
            f"{folder} holds a plan already. Go on with it, choose another folder, or plan "
            f"anew with overwrite=True (--overwrite).",
            path=folder / FILE,
        )
    (folder / SHARDS).mkdir(exist_ok=True)
    for file in (folder / SHARDS).iterdir():
        file.unlink()


def gather_shard(
    folder: str | Path,
    volumes: Any,
    covariates: pd.DataFrame,
    shard: int,
    *,
    progress: Progress = silent,
) -> bool:
    """Gather the moments of one shard into a file, unless that is done.

    Parameters
    ----------
    folder : path-like
        Where the plan is.
    volumes : mapping, Series or sequence
        All maps, as they were given to `plan_shards`; only those of the shard are read.
    covariates : DataFrame
        All scans.
    shard : int
        Number of the shard, from 1.
    progress : callable
        Told the stage, how many maps are done, and of how many.

    Returns
    -------
    bool
        Whether there was something to do.
    """
    plan, job, estimator = _take_up(folder, volumes, covariates)
    with _quiet():
        rows, scans = learn_scans(estimator, job, plan.site)
    blocks = plan.part(blocks_of(scans), shard)
    path = plan.moments_path(shard)
    if is_finished(path, plan.run):
        return False
    n_sites = len({site for site, _ in blocks})
    needed = 3 * bytes_to_stream(
        len(job.mask.voxels), job.mask.grid.n_voxels, n_sites, scans.covariates.shape[1]
    )
    require_memory(needed, f"Gathering moments of {count(n_sites, 'site')}")
    sources = [job.sources[row] for row in rows]
    own = np.concatenate([scans.order[part] for _, part in blocks])
    with all_named([sources[row] for row in own], job.people.index[rows[own]]):
        gathered = gather_moments(
            sources,
            scans,
            job.mask.voxels,
            common_dtype(job.sources),
            blocks=blocks,
            n_jobs=estimator.n_jobs,
            progress=progress,
        )
    write_shard(path, gathered, plan.run, shard)
    return True


def combine_shards(
    folder: str | Path,
    volumes: Any,
    covariates: pd.DataFrame,
    *,
    progress: Progress = silent,
) -> VolumeModel:
    """Make the model of all maps from the moments of all shards.

    Parameters
    ----------
    folder : path-like
        Where the plan and the moments are; the model goes there.
    volumes : mapping, Series or sequence
        All maps, as they were given to `plan_shards`; none is read.
    covariates : DataFrame
        All scans.
    progress : callable
        Told the stage, how many shards are done, and of how many.

    Returns
    -------
    VolumeModel
        What one run over all maps would give, up to rounding.

    Raises
    ------
    MissingFileError
        If a shard is not there.
    """
    plan, job, estimator = _take_up(folder, volumes, covariates)
    with only_run_in(plan.folder, f"{SHARDS}/.combine.lock"):
        journal = Journal(plan.folder, plan.run, resume=True, overwrite=True)
        if not journal.is_done(MODEL):
            model = _combined(plan, job, estimator, progress)
            describe_dataset(plan.folder, Links(plan.folder, job.sources), model)
            write_model_files(model, Results(plan.folder, [], journal))
    return VolumeModel.load(plan.folder / MODEL)


def apply_shard(
    folder: str | Path,
    volumes: Any,
    covariates: pd.DataFrame,
    shard: int,
    *,
    progress: Progress = silent,
) -> list[Any]:
    """Harmonize the maps of one shard; those that are finished and unchanged are kept.

    Parameters
    ----------
    folder : path-like
        Where the plan and the model are; maps go there.
    volumes : mapping, Series or sequence
        All maps, as they were given to `plan_shards`; only those of the shard are read.
    covariates : DataFrame
        All scans.
    shard : int
        Number of the shard, from 1.
    progress : callable
        Told the stage, how many maps are done, and of how many.

    Returns
    -------
    list of Path
        Harmonized maps of the shard.
    """
    plan, job, _ = _take_up(folder, volumes, covariates)
    order = np.argsort(labels_of(job.people, plan.site).astype(str), kind="stable")
    rows = plan.part(order.tolist(), shard)
    if not (plan.folder / MODEL).is_file():
        raise MissingFileError(
            f"{plan.folder} holds no {MODEL} yet. Combine the moments of all shards first: "
            f"isoscan volumes combine {plan.folder}",
            path=str(plan.folder / MODEL),
        )
    model = VolumeModel.load(plan.folder / MODEL)
    names = output_names(job.sources, job.people)
    sources, people = [job.sources[row] for row in rows], job.people.iloc[rows]
    with only_run_in(plan.folder, f"{SHARDS}/.apply-{shard:04d}.lock"):
        journal = Journal(
            plan.folder,
            plan.run,
            resume=True,
            overwrite=True,
            name=f"{SHARDS}/apply-{shard:04d}.jsonl",
        )
        results = Results(plan.folder, [names[row] for row in rows], journal)
        with all_named(sources, people.index):
            written = harmonize_sources(
                model, sources, people, plan.site, plan.outside, results, progress
            )
        links = Links(plan.folder, job.sources)
        describe_maps(plan.folder, results.names, sources, links, model)
        return written


def _take_up(folder: str | Path, volumes: Any, covariates: pd.DataFrame) -> tuple[Plan, Job, Any]:
    """Read the plan, and make sure that the job is still the one that was planned."""
    plan = Plan.read(folder)
    estimator = make_estimator("combat", plan.options)
    matched = match_volumes(volumes, covariates, without=plan.skipped)
    job = Job(matched.sources, matched.people, plan.mask)
    with _quiet():
        job.leave_out_single_scans(estimator, plan.site)
    require_one_grid(grids_of(job.sources), plan.mask.grid, "the plan")
    asked = {"options": plain_options(estimator)}
    asked |= {name: getattr(plan, name) for name in ("site", "missing", "outside")}
    settings = _settings(asked, job, plan.n_shards)
    if run_of(job.sources, job.people, settings, output_names(job.sources, job.people)) != plan.run:
        raise DataError(
            f"maps, covariates, or versions of isoscan, numpy and Python are not those that "
            f"{plan.folder} was planned with. Plan anew: isoscan volumes plan --overwrite."
        )
    return plan, job, estimator


def _settings(asked: dict[str, Any], job: Job, shards: int) -> dict[str, Any]:
    return {**asked, "mask": job.mask.hash_, "shards": shards}


def _combined(plan: Plan, job: Job, estimator: ComBat, progress: Progress) -> VolumeModel:
    """Merge the moments of one shard after the other."""
    _, scans = learn_scans(estimator, job, plan.site)
    paths = [plan.moments_path(shard) for shard in range(1, plan.n_shards + 1)]
    absent = [shard for shard, path in enumerate(paths, 1) if not path.is_file()]
    if absent:
        raise MissingFileError(
            f"{len(absent)} of {count(paths, 'shard')} have no moments yet: "
            f"{', '.join(map(str, absent[:12]))}. Gather them: isoscan volumes moments "
            f"{plan.folder} --shard {absent[0]}",
            shards=absent,
        )
    n_voxels, n_grid = len(plan.mask.voxels), plan.mask.grid.n_voxels
    n_sites, n_columns = len(scans.sites), scans.covariates.shape[1]
    needed = 2 * bytes_to_stream(n_voxels, n_grid, n_sites, n_columns)
    require_memory(needed, f"ComBat of {n_voxels:,} voxels and {n_sites} sites")
    sampled = sampled_voxels(n_voxels, len(scans.order))
    whole = None
    for done, path in enumerate(paths, 1):
        gathered = read_shard(path, plan.run, sampled, len(scans.order))
        if whole is None:
            whole = gathered
        else:
            whole.merge(gathered)
        progress("combine", done, len(paths))
    assert whole is not None  # a plan has at least one shard
    model = finish_fit(estimator, whole, scans, plan.mask, plan.missing, common_dtype(job.sources))
    return replace(model, space=space_of(job.sources[0]))


@contextmanager
def _quiet() -> Iterator[None]:
    """Not say again what was said when the plan was made."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IsoscanWarning)
        yield
