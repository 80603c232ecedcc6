"""The whole job on maps: check grids, fit, apply, write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from isoscan.combat.parts import plain_options
from isoscan.errors import OutputExistsError
from isoscan.nifti.frames import Frame
from isoscan.volumes.apply import Outside, Site, harmonize_sources
from isoscan.volumes.bids import describe_results
from isoscan.volumes.coverage import Missing
from isoscan.volumes.damaged import Bad, Damaged, all_named, list_damaged
from isoscan.volumes.effect_maps import header_of
from isoscan.volumes.fit import fit_sources
from isoscan.volumes.job import Job, make_estimator
from isoscan.volumes.journal import Journal, only_run_in
from isoscan.volumes.kept_maps import KeptMaps
from isoscan.volumes.model import VolumeModel
from isoscan.volumes.outputs import Results, run_folder
from isoscan.volumes.stack_job import fit_stack, prepare_stack, stack_of_files
from isoscan.volumes.stack_run import Wanted, harmonize_given_stack, in_threads
from isoscan.volumes.stacks import is_stack, is_store
from isoscan.volumes.stream import Progress, silent

MODEL, MASK, EFFECTS = "model.isoscan", "mask.nii.gz", "effects"


def harmonize_volumes(
    volumes: Any,
    covariates: pd.DataFrame,
    *,
    site: Site = "site",
    preserve: str | None = None,
    mask: Any = None,
    mask_threshold: float | None = None,
    method: str = "combat",
    missing: Missing = "keep",
    outside: Outside = "zero",
    bad: Bad = "error",
    registered: bool = False,
    output: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: Progress = silent,
    **options: Any,
) -> tuple[Any, VolumeModel]:
    """Harmonize maps voxel by voxel.

    Maps are read one after the other and not kept, so that thousands fit into the memory of a
    laptop; the numbers are those of the same estimator on a table of all voxels.

    Parameters
    ----------
    volumes : mapping, Series or sequence; or path-like, zarr.Array or zarr.Group
        Paths of NIfTI files, nibabel images or arrays: by scan id, to be matched with the
        index of `covariates`, or as many and in the same order. Or a stack of all maps: a
        Zarr array or group, or a path that ends in .zarr.
    covariates : DataFrame
        One row per scan: site and what formulas name.
    site : str or sequence of str
        Column with the site, or several columns of batch variables.
    preserve : str, optional
        Formula of what must survive, such as ``"age + C(sex)"``.
    mask : path-like, nibabel image or array, optional
        Voxels to harmonize; by default those with a finite value other than 0 in every map.
    mask_threshold : float, optional
        What exceeds it is inside; needed for masks of probabilities.
    method : {"combat", "covbat", "combat-ls", "longitudinal", "stepwise"}
        Method: `ComBat`, `CovBat`, `ComBatLS`, `LongitudinalComBat` or `StepwiseComBat`. All
        but ComBat, and ComBat if it is robust, keep all maps in memory.
    missing : {"keep", "exclude", "error"}
        Voxels without a finite value at some scans: harmonize the scans that have one;
        leave such voxels out; or refuse. Nothing is filled with zeros.
    outside : {"zero", "keep", "nan"}
        What voxels outside the mask become.
    bad : {"error", "skip"}
        Maps that cannot be read: refuse them, all by name; or leave them out of everything,
        with a warning, and list them in ``skipped.tsv`` in the folder of results.
    registered : bool
        Do not look whether maps lie over each other: they do.
    output : path-like, optional
        Folder for the harmonized maps, the model, the mask and maps of the site effects; or a
        Zarr store, if the name ends in .zarr. Without it, maps are returned.
    overwrite : bool
        Replace results that exist.
    resume : bool
        Take up a run that was stopped; what it finished is verified and kept.
    progress : callable
        Told the stage, how many maps are done, and of how many.
    **options : object
        Further options of the method, such as ``smooth=["age"]`` or ``reference="KCL"``. With
        ``small_sites="drop"``, maps of sites of one scan are left out of everything.

    Returns
    -------
    harmonized : list or Path
        Paths if `output` is a folder, its path if it is a Zarr store, else maps in the form
        they were given; of a stack, arrays.
    model : VolumeModel
        The fitted model, to be applied to new maps.

    Raises
    ------
    GridMismatchError
        If maps, or the mask, do not lie on one grid.
    ImageFileError
        If a file is damaged.
    OutOfSpaceError
        If memory or disk would not suffice; before the work begins.
    DataError
        If the data cannot be harmonized as they are; the message says why.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> people = pd.DataFrame({"site": ["A"] * 10 + ["B"] * 10})
    >>> shift = {"A": 0.0, "B": 5.0}
    >>> maps = [10 + shift[name] + rng.normal(size=(6, 7, 5)) for name in people.site]
    >>> harmonized, model = harmonize_volumes(maps, people)
    >>> [round(float(np.mean(part)), 1) for part in (harmonized[:10], harmonized[10:])]
    [12.5, 12.5]
    """
    if preserve is not None:
        options = {"preserve": preserve, **options}
    estimator = make_estimator(method, options)
    settings: dict[str, Any] = {"method": method, "options": plain_options(estimator)}
    settings |= {"site": site, "missing": missing, "outside": outside}
    wanted = Wanted(site, outside, output, overwrite, resume, progress, in_threads(estimator))
    if is_stack(volumes):
        how: dict[str, Any] = {"missing": missing, "bad": bad, "settings": settings}
        how |= {"mask": mask, "mask_threshold": mask_threshold}
        return harmonize_given_stack(wanted, estimator, volumes, covariates, **how)
    job = Job.prepare(
        volumes, covariates, mask, mask_threshold, bad, progress, registered=registered
    )
    job.leave_out_single_scans(estimator, site)
    fit = partial(_fitted, estimator, job, site, missing, progress)
    if is_store(output):
        stack = stack_of_files(job, getattr(estimator, "n_jobs", None))
        return wanted.make(stack, fit, settings)
    kept = KeptMaps(job.mask.voxels)
    if output is None:
        model = fit(kept)
        return _applied(model, job, site, outside, None, progress, kept), model
    return _into_folder(Path(output), job, partial(fit, kept), kept, wanted, settings)


def _into_folder(
    folder: Path,
    job: Job,
    fit: Callable[[], VolumeModel],
    kept: KeptMaps,
    wanted: Wanted,
    settings: dict[str, Any],
) -> tuple[list[Any], VolumeModel]:
    site, outside = wanted.site, wanted.outside
    with only_run_in(folder):
        results = run_folder(
            folder,
            job.sources,
            job.people,
            {**settings, "mask": job.mask.hash_},
            mask=job.mask,
            outside=outside,
            n_effects=job.n_effects(site),
            resume=wanted.resume,
            overwrite=wanted.overwrite,
        )
        list_damaged(results, job.damaged, job.people, overwrite=wanted.overwrite)
        known = results.journal.is_done(MODEL)
        model = VolumeModel.load(folder / MODEL) if known else fit()
        write_model = partial(write_model_files, model, results)
        with nullcontext() if known else results.after(write_model):
            written = _applied(model, job, site, outside, results, wanted.progress, kept)
        describe_results(folder, results.names, job.sources, model)
        return written, model


def fit_volumes(
    volumes: Any,
    covariates: pd.DataFrame,
    *,
    site: Site = "site",
    preserve: str | None = None,
    mask: Any = None,
    mask_threshold: float | None = None,
    method: str = "combat",
    missing: Missing = "keep",
    bad: Bad = "error",
    registered: bool = False,
    output: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
    **options: Any,
) -> VolumeModel:
    """Estimate the site effects of maps, without applying anything.

    Parameters
    ----------
    volumes : mapping, Series or sequence; or path-like, zarr.Array or zarr.Group
        Maps, as in `harmonize_volumes`.
    covariates : DataFrame
        One row per scan.
    site : str or sequence of str
        Column with the site.
    preserve : str, optional
        Formula of what must survive.
    mask : path-like, nibabel image or array, optional
        Voxels to harmonize.
    mask_threshold : float, optional
        What exceeds it is inside.
    method : str
        One of the methods of `harmonize_volumes`.
    missing : {"keep", "exclude", "error"}
        What to do with voxels without a finite value at some scans.
    bad : {"error", "skip"}
        Maps that cannot be read: refuse them, or leave them out with a warning.
    registered : bool
        Do not look whether maps lie over each other: they do.
    output : path-like, optional
        Folder for the model, the mask and maps of the site effects.
    overwrite : bool
        Replace results that exist.
    progress : callable
        Told the stage, how many maps are done, and of how many.
    **options : object
        Further options of the method.

    Returns
    -------
    VolumeModel
        The fitted model.
    """
    if preserve is not None:
        options = {"preserve": preserve, **options}
    estimator = make_estimator(method, options)
    if output is not None:
        require_empty(Path(output), overwrite=overwrite)
    damaged: list[Damaged] = []
    if is_stack(volumes):
        run = in_threads(estimator)
        stack = prepare_stack(volumes, covariates, mask, mask_threshold, estimator, site, run)
        model = fit_stack(estimator, stack, site, missing, run, progress)
    else:
        job = Job.prepare(
            volumes, covariates, mask, mask_threshold, bad, progress, registered=registered
        )
        job.leave_out_single_scans(estimator, site)
        model, damaged = _fitted(estimator, job, site, missing, progress), job.damaged
    if output is not None:
        save_fit(model, Path(output), damaged, covariates, overwrite=overwrite)
    return model


def _fitted(
    estimator: Any,
    job: Job,
    site: Site,
    missing: Missing,
    progress: Progress,
    kept: KeptMaps | None = None,
) -> VolumeModel:
    with all_named(job.sources, job.people.index):
        return fit_sources(
            estimator, job.sources, job.people, site, job.mask, missing, progress, kept
        )


def _applied(
    model: VolumeModel,
    job: Job,
    site: Site,
    outside: Outside,
    results: Results | None,
    progress: Progress,
    kept: KeptMaps,
) -> list[Any]:
    with all_named(job.sources, job.people.index):
        return harmonize_sources(
            model, job.sources, job.people, site, outside, results, progress, kept
        )


def write_model_files(model: VolumeModel, results: Results) -> None:
    """Write the maps of the site effects, the mask, and last the model.

    Parameters
    ----------
    model : VolumeModel
        Fitted model.
    results : Results
        Folder and journal.
    """
    header, voxels = header_of(model.grid, *model.space), model.mask.voxels
    (results.folder / EFFECTS).mkdir(exist_ok=True)
    frame = Frame(voxels, np.full(model.grid.n_voxels, np.nan))
    for effects in model.effects_inside():
        contents = {
            f"{EFFECTS}/{name}.nii.gz": partial(frame.map_bytes, values, header)
            for name, values in effects.items()
        }
        results.add_all(contents)
    whole = Frame(voxels, np.zeros(model.grid.n_voxels))
    results.add(MASK, whole.map_bytes(np.ones(len(voxels)), header))
    results.add_all({MODEL: model.content})


def save_fit(
    model: VolumeModel,
    folder: Path,
    damaged: Sequence[Damaged],
    people: pd.DataFrame,
    *,
    overwrite: bool,
) -> None:
    """Write a model, its mask and its maps of site effects into a folder.

    Parameters
    ----------
    model : VolumeModel
        Fitted model.
    folder : Path
        Where they go.
    damaged : sequence of Damaged
        Maps that were left out.
    people : DataFrame
        Names what scans are called.
    overwrite : bool
        Replace results that exist.
    """
    require_empty(folder, overwrite=overwrite)
    with only_run_in(folder):
        journal = Journal(folder, model.hash_, resume=False, overwrite=overwrite)
        results = Results(folder, [], journal)
        list_damaged(results, damaged, people, overwrite=overwrite)
        write_model_files(model, results)


def require_empty(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that holds a model already, before any work is done.

    Parameters
    ----------
    folder : Path
        Where results go.
    overwrite : bool
        Whether they may be replaced.

    Raises
    ------
    OutputExistsError
        If there is a model and it may not be replaced.
    """
    if (folder / MODEL).exists() and not overwrite:
        raise OutputExistsError(
            f"{folder} already holds {MODEL}. Choose another folder, or pass overwrite=True "
            f"(--overwrite).",
            path=folder / MODEL,
        )
