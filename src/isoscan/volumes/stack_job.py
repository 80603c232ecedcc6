"""The whole job on a stack of maps in Zarr: match, fit, apply, write."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.errors import DataError, UnmatchedRowsError, count
from isoscan.nifti.sources import ArrayMap
from isoscan.tables.align import align_rows, require_unique
from isoscan.volumes.apply import Site, labels_of
from isoscan.volumes.coverage import Missing
from isoscan.volumes.fit import finish_fit, fit_table, space_of, streams
from isoscan.volumes.job import Job, single_scans
from isoscan.volumes.masks import Mask, read_mask, require_same_grid
from isoscan.volumes.model import VolumeModel
from isoscan.volumes.outputs import run_of
from isoscan.volumes.space_needed import bytes_in_memory, bytes_to_stream, require_memory
from isoscan.volumes.stack_moments import Run, common_voxels_of, gather_stack, read_inside
from isoscan.volumes.stack_pieces import parts_of, row_blocks
from isoscan.volumes.stacks import FilesAsStack, Maps, Stack, open_stack
from isoscan.volumes.stream import Progress


@dataclass(frozen=True, eq=False)
class StackJob:
    """Maps that can be read in pieces, people, and how the results are described.

    Attributes
    ----------
    maps : Maps
        A stack, or files read like one.
    people : DataFrame
        One row per map, in the same order.
    mask : Mask
        Voxels to harmonize.
    absent : ndarray of bool, shape (n_scans,)
        Maps that are left out of everything.
    about : dict
        Attributes that describe how the maps lie.
    inputs : object
        Tells these maps apart from others.
    """

    maps: Maps
    people: pd.DataFrame
    mask: Mask
    absent: NDArray[np.bool_]
    about: dict[str, Any]
    inputs: Any

    @property
    def present(self) -> NDArray[np.intp]:
        """Rows of the maps that are not left out."""
        return np.flatnonzero(~self.absent)


def open_job(volumes: Any, covariates: pd.DataFrame) -> tuple[Stack, pd.DataFrame]:
    """Open a stack, and bring people into its order.

    Parameters
    ----------
    volumes : path-like, zarr.Array or zarr.Group
        The stack.
    covariates : DataFrame
        One row per scan.

    Returns
    -------
    stack : Stack
        Opened.
    people : DataFrame
        By the ids of the stack if it has any, else in row order.

    Raises
    ------
    UnmatchedRowsError
        If numbers or ids do not agree.
    """
    if not isinstance(covariates, pd.DataFrame):
        raise DataError(
            f"covariates must be a DataFrame with one row per map, got {type(covariates).__name__}."
        )
    stack = open_stack(volumes, len(covariates))
    if stack.ids is None:
        require_unique(covariates.index, "covariates")
        if stack.n_scans != len(covariates):
            raise UnmatchedRowsError(
                f"{stack.name} holds {count(stack.n_scans, 'map')}, there are "
                f"{count(len(covariates), 'row')} of covariates. Give the stack the attribute ids "
                f"to match them."
            )
        return stack, covariates
    ids = pd.Index(stack.ids)
    require_unique(ids, "maps")
    named = covariates.set_axis(covariates.index.map(str), axis=0)
    people = align_rows(named, ids, what="covariates", rows="maps", extra="ignore")
    return stack, people.rename_axis(covariates.index.name)


def prepare_stack(
    volumes: Any,
    covariates: pd.DataFrame,
    mask: Any,
    threshold: float | None,
    estimator: Any,
    site: Site,
    run: Run,
) -> StackJob:
    """Match a stack with people, and find the voxels to harmonize.

    Parameters
    ----------
    volumes : path-like, zarr.Array or zarr.Group
        The stack.
    covariates : DataFrame
        One row per scan.
    mask : path-like, nibabel image or array, or None
        Voxels to harmonize; by default the mask of the stack, or those that all maps have.
    threshold : float or None
        What exceeds it is inside.
    estimator : SiteHarmonizer
        Unfitted.
    site : str or sequence of str
        Column with the site.
    run : callable
        Calls a function on items and gives results in order.

    Returns
    -------
    StackJob
        Nothing but the mask is read, unless there is none.
    """
    stack, people = open_job(volumes, covariates)
    if mask is None and stack.mask is not None:
        mask = np.asarray(stack.mask[:])
    if mask is None:
        inside = common_voxels_of(stack, run)
    else:
        inside, source = read_mask(mask, threshold)
        alike = source.grid.shape == stack.grid.shape
        if isinstance(source, ArrayMap) and alike:
            inside = Mask(stack.grid, inside.voxels)
        elif not stack.placed and alike:
            stack = replace(stack, grid=source.grid, placed=True, space=space_of(source))
        require_same_grid(inside, source.name, stack.grid, stack.name)
    absent = single_scans(estimator, people, site)
    return StackJob(stack, people, inside, absent, describe_place(stack), stack.identity())


def describe_place(stack: Stack) -> dict[str, Any]:
    """Attributes that say how the maps of a stack lie.

    Parameters
    ----------
    stack : Stack
        Opened.

    Returns
    -------
    dict
        To be kept with the results.
    """
    about: dict[str, Any] = {"scan_axis": stack.scan_axis}
    if stack.placed:
        about["affine"] = stack.grid.affine.tolist()
        about |= {"sform_code": stack.space[0], "xyzt_units": stack.space[1]}
    return about


def stack_of_files(job: Job, n_jobs: int | None) -> StackJob:
    """Read the maps of a job of files like a stack.

    Parameters
    ----------
    job : Job
        Maps, people and mask.
    n_jobs : int or None
        Number of threads that read.

    Returns
    -------
    StackJob
        Results get scans first.
    """
    first = job.sources[0]
    about: dict[str, Any] = {"scan_axis": 0}
    if not isinstance(first, ArrayMap) or first.placed:
        form, units = space_of(first)
        about["affine"] = first.grid.affine.tolist()
        about |= {"sform_code": form, "xyzt_units": units}
    if job.damaged:
        about["skipped"] = [
            {"scan": one.scan, "file": one.file, "reason": one.reason} for one in job.damaged
        ]
    inputs = run_of(job.sources, job.people, {}, [])
    absent = np.zeros(len(job.sources), dtype=bool)
    maps = FilesAsStack(job.sources, n_jobs)
    return StackJob(maps, job.people, job.mask, absent, about, inputs)


def fit_stack(
    estimator: Any, job: StackJob, site: Site, missing: Missing, run: Run, progress: Progress
) -> VolumeModel:
    """Estimate the site effects of a stack.

    Parameters
    ----------
    estimator : ComBat, CovBat, ...
        Unfitted; it is fitted in place.
    job : StackJob
        Maps and people.
    site : str or sequence of str
        Column with the site.
    missing : {"keep", "exclude", "error"}
        What to do with voxels that lack a value at some scan.
    run : callable
        Calls a function on items and gives results in order.
    progress : callable
        Told the stage, how many pieces are done, and of how many.

    Returns
    -------
    VolumeModel
        The fitted model.
    """
    people, maps, n_voxels = job.people.iloc[job.present], job.maps, len(job.mask.voxels)
    labels = labels_of(people, site)
    if streams(estimator, labels):
        rows, scans = estimator._learn_scans(labels, people)
        n_sites, n_columns = len(estimator.sites_), scans.covariates.shape[1]
        needed = bytes_to_stream(n_voxels, maps.grid.n_voxels, n_sites, n_columns)
        require_memory(needed, f"ComBat of {n_voxels:,} voxels and {n_sites} sites")
        gathered = gather_stack(maps, job.mask, scans, job.present[rows], run, progress)
        fitted = finish_fit(estimator, gathered, scans, job.mask, missing, maps.dtype)
    else:
        needed = bytes_in_memory(len(people), n_voxels, maps.grid.n_voxels)
        name = type(estimator).__name__
        require_memory(needed, f"{name} keeps all {len(people)} maps in memory; it")
        table = read_table_of(maps, job.mask)[job.present]
        fitted = fit_table(estimator, table, people, labels, job.mask, missing)
    about = job.about
    return replace(fitted, space=(about.get("sform_code", 4), about.get("xyzt_units", 2)))


def read_table_of(maps: Maps, mask: Mask) -> NDArray[Any]:
    """Read a whole stack, inside a mask.

    Parameters
    ----------
    maps : Maps
        The stack.
    mask : Mask
        Which voxels.

    Returns
    -------
    ndarray of shape (n_scans, n_voxels)
        Values; NaN where they are not finite.
    """
    table = np.empty((maps.n_scans, len(mask.voxels)), dtype=maps.dtype)
    for part in parts_of(maps, mask):
        if len(part.columns):
            for rows in row_blocks(maps, part):
                table[np.ix_(rows, part.columns)] = read_inside(maps, part, rows)
    return table
