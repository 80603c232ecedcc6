"""Maps, people, mask and estimator of a job, checked to fit together before any work."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.combat.methods import estimator_of
from isoscan.combat.moments import Scans
from isoscan.errors import DataError, SmallSiteWarning, count, name_some
from isoscan.nifti.grids import Grid, most_common, require_one_grid
from isoscan.nifti.headers import require_comparable
from isoscan.nifti.sources import ArrayMap, FileMap, Source
from isoscan.volumes.apply import Site, labels_of
from isoscan.volumes.bids import warn_if_harmonized
from isoscan.volumes.damaged import Bad, Damaged, all_named
from isoscan.volumes.fit import streams
from isoscan.volumes.masks import Mask, common_voxels, read_mask, require_same_grid
from isoscan.volumes.matching import grids_of, match_volumes, on_grid
from isoscan.volumes.overlap import require_overlap
from isoscan.volumes.stream import Progress, in_blocks, silent


class Job:
    """Maps, people and mask that fit together.

    Parameters
    ----------
    sources : list of Source
        Maps on one grid.
    people : DataFrame
        One row per map, in the same order.
    mask : Mask
        On the grid of the maps.
    damaged : sequence of Damaged
        Maps that were left out because they cannot be read.
    """

    def __init__(
        self,
        sources: list[Source],
        people: pd.DataFrame,
        mask: Mask,
        damaged: Sequence[Damaged] = (),
    ) -> None:
        self.sources, self.people, self.mask, self.damaged = sources, people, mask, [*damaged]

    @classmethod
    def prepare(
        cls,
        volumes: Any,
        covariates: pd.DataFrame,
        mask: Any,
        threshold: float | None,
        bad: Bad = "error",
        progress: Progress = silent,
        *,
        registered: bool = False,
    ) -> Job:
        """Match maps and people, and find the voxels to harmonize.

        Parameters
        ----------
        volumes : mapping, Series or sequence
            Maps.
        covariates : DataFrame
            One row per scan.
        mask : path-like, nibabel image or array, or None
            Voxels to harmonize; None for those that all maps have.
        threshold : float or None
            What exceeds it is inside.
        bad : {"error", "skip"}
            Maps that cannot be read: refuse them, or leave them out.
        progress : callable
            Told the stage, how many maps are done, and of how many.
        registered : bool
            Do not look whether maps lie over each other.

        Returns
        -------
        Job
            Nothing but headers, the mask and a few maps are read, unless there is no mask or
            maps that cannot be read are left out.
        """
        matched = match_volumes(volumes, covariates, bad, progress=progress)
        sources, people = matched.sources, matched.people
        require_comparable([s.name for s in sources if isinstance(s, FileMap)])
        warn_if_harmonized(sources)
        if mask is None:
            _, grid = _one_grid(sources)
            with all_named(sources, people.index):
                if not registered:
                    require_overlap(sources, people.index)
                inside = common_voxels(sources, grid, in_blocks)
            return cls(sources, people, inside, matched.damaged)
        inside, source = read_mask(mask, threshold)
        sources = on_grid(sources, inside.grid, placed=not isinstance(source, ArrayMap))
        name, grid = _one_grid(sources)
        if isinstance(source, ArrayMap) and source.grid.shape == grid.shape:
            inside = Mask(grid, inside.voxels)
        require_same_grid(inside, source.name, grid, name)
        if not registered:
            with all_named(sources, people.index):
                require_overlap(sources, people.index)
        return cls(sources, people, inside, matched.damaged)

    def n_effects(self, site: Site) -> int:
        """Numbers per voxel that a model of this job has, roughly.

        Parameters
        ----------
        site : str or sequence of str
            Column with the site.

        Returns
        -------
        int
            Shift, scale and their errors of every site, and a few more.
        """
        columns = [site] if isinstance(site, str) else list(site)
        n_sites = sum(len(set(labels_of(self.people, name))) for name in columns)
        return 4 * n_sites + 12

    def leave_out_single_scans(self, estimator: Any, site: Site) -> None:
        """Leave out maps that a model which drops sites of one scan could not harmonize.

        Parameters
        ----------
        estimator : SiteHarmonizer
            Unfitted.
        site : str or sequence of str
            Column with the site.
        """
        alone = single_scans(estimator, self.people, site)
        self.sources = [self.sources[row] for row in np.flatnonzero(~alone)]
        self.people = self.people[~alone]


def single_scans(estimator: Any, people: pd.DataFrame, site: Site) -> NDArray[np.bool_]:
    """Find scans that a model which drops sites of one scan could not harmonize; warn of them.

    Parameters
    ----------
    estimator : SiteHarmonizer
        Unfitted.
    people : DataFrame
        One row per scan.
    site : str or sequence of str
        Column with the site.

    Returns
    -------
    ndarray of bool, shape (n_scans,)
        True for the only scan of a site, if the estimator drops such sites.
    """
    drops = getattr(estimator, "small_sites", "error") == "drop"
    if not drops or estimator.mean_only or not isinstance(site, str):
        return np.zeros(len(people), dtype=bool)
    sites = pd.Series(labels_of(people, site), index=people.index)
    alone = ~sites.duplicated(keep=False).to_numpy()
    if alone.any():
        warnings.warn(
            f"{count(int(alone.sum()), 'map')} left out, being the only one of its site: "
            f"{name_some(people.index[alone])}, of {name_some(sites[alone])}.",
            SmallSiteWarning,
            stacklevel=4,
        )
    return alone


def _one_grid(sources: Sequence[Source]) -> tuple[str, Grid]:
    grids = grids_of(sources)
    name, grid = most_common(grids)
    require_one_grid(grids, grid, f"{name} and most others")
    return name, grid


def make_estimator(method: str, options: Mapping[str, Any]) -> Any:
    """Make an unfitted estimator.

    Parameters
    ----------
    method : str
        One of `METHODS`.
    options : mapping
        Its options.

    Returns
    -------
    SiteHarmonizer
        The estimator.

    Raises
    ------
    DataError
        If there is no such method, or no such option.
    """
    kind = estimator_of(method)
    try:
        return kind(**options)
    except TypeError as error:
        raise DataError(f"{kind.__name__}: {error}.") from None


def learn_scans(estimator: Any, job: Job, site: Site) -> tuple[Any, Scans]:
    """Learn sites and design, where moments of the maps are to follow.

    Parameters
    ----------
    estimator : SiteHarmonizer
        Unfitted; it learns everything but what maps tell.
    job : Job
        Maps and people.
    site : str
        Column with the site.

    Returns
    -------
    rows : ndarray of int
        Maps that take part in the fit.
    scans : Scans
        The same, grouped by site, with their covariates.

    Raises
    ------
    DataError
        If moments do not suffice for the method.
    """
    labels = labels_of(job.people, site)
    require_streaming(estimator, labels)
    rows, scans = estimator._learn_scans(labels, job.people)
    return rows, scans


def require_streaming(estimator: Any, labels: Any) -> None:
    """Refuse methods that need all maps at once.

    Parameters
    ----------
    estimator : SiteHarmonizer
        Unfitted.
    labels : ndarray or DataFrame
        Sites, or several batch variables.

    Raises
    ------
    DataError
        If moments do not suffice for the method.
    """
    if not streams(estimator, labels):
        raise DataError(
            "shards and clusters need a method that moments suffice for: ComBat, not robust, with "
            "one batch variable. Others keep all maps in memory: isoscan volumes harmonize."
        )


def common_dtype(sources: Sequence[Source]) -> np.dtype[Any]:
    """Type that holds the values of all maps.

    Parameters
    ----------
    sources : sequence of Source
        Maps.

    Returns
    -------
    dtype
        float32 or float64.
    """
    return np.result_type(*(source.dtype for source in sources))


def require_files(sources: Sequence[Source]) -> None:
    """Refuse maps that other computers cannot read.

    Parameters
    ----------
    sources : sequence of Source
        Maps.

    Raises
    ------
    DataError
        If a map is not a file.
    """
    if not all(isinstance(source, FileMap) for source in sources):
        raise DataError("maps are worked on in different places: give paths of files.")
