"""Estimate site effects from maps: from moments where that suffices, else from a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.combat import ComBat
from isoscan.combat.model import SiteModel
from isoscan.combat.moments import Scans
from isoscan.combat.newsites import shared_noise
from isoscan.combat.training import Training
from isoscan.nifti.sources import Source
from isoscan.volumes.apply import Site, labels_of
from isoscan.volumes.coverage import Missing, VoxelNames, covered
from isoscan.volumes.kept_maps import KeptMaps
from isoscan.volumes.masks import Mask
from isoscan.volumes.model import VolumeModel
from isoscan.volumes.reading import read_table
from isoscan.volumes.site_tests import site_f_before_and_after
from isoscan.volumes.space_needed import bytes_in_memory, bytes_to_stream, require_memory
from isoscan.volumes.stream import Gathered, Progress, gather_moments


def fit_sources(
    estimator: Any,
    sources: Sequence[Source],
    people: pd.DataFrame,
    site: Site,
    mask: Mask,
    missing: Missing,
    progress: Progress,
    kept: KeptMaps | None = None,
) -> VolumeModel:
    """Estimate the site effects of maps.

    Parameters
    ----------
    estimator : ComBat, CovBat, ...
        Unfitted; it is fitted in place.
    sources : sequence of Source
        Maps on the grid of the mask.
    people : DataFrame
        Site and covariates, in the same order.
    site : str or sequence of str
        Column of `people` with the site.
    mask : Mask
        Voxels to harmonize.
    missing : {"keep", "exclude", "error"}
        What to do with voxels that lack a value at some scan.
    progress : callable
        Told the stage, how many maps are done, and of how many.
    kept : KeptMaps, optional
        Where maps stay that fit, to be used again.

    Returns
    -------
    VolumeModel
        The fitted model.
    """
    dtype = np.result_type(*(source.dtype for source in sources))
    labels = labels_of(people, site)
    if streams(estimator, labels):
        fitted = _fit_stream(
            estimator, sources, people, labels, mask, missing, dtype, progress, kept
        )
    else:
        fitted = _fit_table(estimator, sources, people, labels, mask, missing, dtype, progress)
    return replace(fitted, space=space_of(sources[0]))


def space_of(source: Source) -> tuple[int, int]:
    """NIfTI's codes of the space and of the units of a map.

    Parameters
    ----------
    source : Source
        A map.

    Returns
    -------
    tuple of int
        Code of the space, code of the units.
    """
    fields = source.header().fields
    return int(fields["sform_code"] or fields["qform_code"]), int(fields["xyzt_units"])


def streams(estimator: Any, labels: Any) -> bool:
    """Whether moments suffice, so that memory does not grow with the number of maps.

    Parameters
    ----------
    estimator : SiteHarmonizer
        Unfitted.
    labels : ndarray or DataFrame
        Sites, or several batch variables.

    Returns
    -------
    bool
        True for ComBat with means and variances of one batch variable.
    """
    plain = type(estimator) is ComBat and not estimator.robust
    return plain and not isinstance(labels, pd.DataFrame)


def _fit_stream(
    estimator: ComBat,
    sources: Sequence[Source],
    people: pd.DataFrame,
    labels: NDArray[np.object_],
    mask: Mask,
    missing: Missing,
    dtype: np.dtype[Any],
    progress: Progress,
    kept: KeptMaps | None,
) -> VolumeModel:
    rows, scans = estimator._learn_scans(labels, people)
    n_voxels, n_columns = len(mask.voxels), scans.covariates.shape[1]
    needed = bytes_to_stream(n_voxels, mask.grid.n_voxels, len(estimator.sites_), n_columns)
    require_memory(needed, f"ComBat of {n_voxels:,} voxels and {len(estimator.sites_)} sites")
    if kept is not None:
        kept.spare(needed)
    gathered = gather_moments(
        [sources[row] for row in rows],
        scans,
        mask.voxels,
        dtype,
        n_jobs=estimator.n_jobs,
        progress=progress,
        kept=kept,
    )
    return finish_fit(estimator, gathered, scans, mask, missing, dtype)


def finish_fit(
    estimator: ComBat,
    gathered: Gathered,
    scans: Scans,
    mask: Mask,
    missing: Missing,
    dtype: np.dtype[Any],
) -> VolumeModel:
    """Estimate site effects from moments of all voxels.

    Parameters
    ----------
    estimator : ComBat
        It has learned sites and design; it is fitted in place.
    gathered : Gathered
        What a pass over all maps left, or several merged.
    scans : Scans
        Which rows belong to which site, and their covariates.
    mask : Mask
        Voxels to harmonize.
    missing : {"keep", "exclude", "error"}
        What to do with voxels that lack a value at some scan.
    dtype : dtype
        Type of the values.

    Returns
    -------
    VolumeModel
        The fitted model.
    """
    moments = gathered.moments
    inside = covered(
        moments.count(), moments.zeros, scans.per_site, estimator.sites_, missing
    )  # fmt: skip
    kept = np.flatnonzero(inside)
    estimator.n_features_in_ = len(kept)
    with _voxels_named(estimator, mask, kept):
        model = estimator._estimate_from(
            lambda block: moments.at(kept[block]),
            Training.of(scans, estimator._penalties()),
            len(kept),
            dtype,
        )
    estimator.model_ = replace(model, shared_noise=_noise(gathered, kept, scans, model))
    estimator.passed_through_ = estimator._names(model.passed_through)
    tests = site_f_before_and_after(
        lambda block: moments.at(kept[block]),
        model,
        scans.per_site,
        estimator._penalties(),
        estimator.n_jobs,
    )
    return _of_voxels(estimator, mask, inside, np.array(tests))


def _fit_table(
    estimator: Any,
    sources: Sequence[Source],
    people: pd.DataFrame,
    labels: Any,
    mask: Mask,
    missing: Missing,
    dtype: np.dtype[Any],
    progress: Progress,
) -> VolumeModel:
    """Fit a method that needs every subject's values at once."""
    name = type(estimator).__name__
    needed = bytes_in_memory(len(sources), len(mask.voxels), mask.grid.n_voxels)
    require_memory(needed, f"{name} keeps all {len(sources)} maps in memory; it")
    table = read_table(sources, mask.voxels, dtype, getattr(estimator, "n_jobs", None))
    progress("fit", len(sources), len(sources))
    return fit_table(estimator, table, people, labels, mask, missing)


def fit_table(
    estimator: Any,
    table: NDArray[Any],
    people: pd.DataFrame,
    labels: Any,
    mask: Mask,
    missing: Missing,
) -> VolumeModel:
    """Estimate site effects from a table of all scans and voxels.

    Parameters
    ----------
    estimator : ComBat, CovBat, ...
        Unfitted; it is fitted in place.
    table : ndarray of shape (n_scans, n_voxels)
        Values; NaN where they are missing.
    people : DataFrame
        Covariates, in the same order.
    labels : ndarray or DataFrame
        Sites, or several batch variables.
    mask : Mask
        Which voxels these are.
    missing : {"keep", "exclude", "error"}
        What to do with voxels that lack a value at some scan.

    Returns
    -------
    VolumeModel
        The fitted model.
    """
    inside = _covered_in(table, labels, missing)
    estimator.fit(table[:, inside], sites=labels, covariates=people)
    return _of_voxels(estimator, mask, inside, None)


def _covered_in(table: NDArray[Any], labels: Any, missing: Missing) -> NDArray[np.bool_]:
    first = labels.iloc[:, 0].astype(str).to_numpy() if isinstance(labels, pd.DataFrame) else labels
    names, codes, sizes = np.unique(first, return_inverse=True, return_counts=True)
    parts = [table[codes == site] for site in range(len(names))]
    seen = np.array([np.isfinite(part).sum(axis=0) for part in parts], dtype=float)
    zeros = np.array([(part == 0).sum(axis=0) for part in parts], dtype=np.int32)
    return covered(seen, zeros, sizes.astype(float), names.tolist(), missing)


def _of_voxels(
    estimator: Any, mask: Mask, inside: NDArray[np.bool_], tests: NDArray[np.float64] | None
) -> VolumeModel:
    kept = Mask(mask.grid, mask.voxels[inside])
    return VolumeModel(estimator, kept, mask.voxels[~inside], site_f=tests)


def _noise(gathered: Gathered, kept: NDArray[np.intp], scans: Scans, model: SiteModel) -> float:
    """Mean correlation of the noise of voxels, from a few of them."""
    known = np.isin(gathered.sampled, kept)
    columns = np.searchsorted(kept, gathered.sampled[known])
    part = replace(
        model,
        intercept=model.intercept[columns],
        slopes=model.slopes[:, columns],
        sd=model.sd[columns],
    )
    return shared_noise(gathered.sample[:, known], scans, part)


@contextmanager
def _voxels_named(estimator: ComBat, mask: Mask, kept: NDArray[np.intp]) -> Iterator[None]:
    """Let messages speak of voxels instead of numbered features."""
    estimator.feature_names_in_ = VoxelNames(mask.grid, mask.voxels[kept])  # type: ignore[assignment]
    try:
        yield
    finally:
        del estimator.feature_names_in_
