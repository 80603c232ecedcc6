"""A fitted model that knows where its voxels lie."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from nibabel import Nifti1Image
from numpy.typing import NDArray

from isoscan.combat import load
from isoscan.combat.base import SiteHarmonizer
from isoscan.combat.checks import answer_unknown_sites, require_one_batch
from isoscan.combat.moments import Moments, Scans
from isoscan.combat.store import hash_of, pack_in_parts, read_model, write_model
from isoscan.errors import DataError, ModelFileError, count
from isoscan.nifti.grids import Grid, make_grid, require_one_grid
from isoscan.nifti.headers import Header
from isoscan.nifti.sources import Source
from isoscan.volumes.apply import Outside, Site, harmonize_sources, labels_of
from isoscan.volumes.bids import describe_results
from isoscan.volumes.damaged import Bad, all_named, list_damaged
from isoscan.volumes.effect_maps import header_of, site_maps, spread_out
from isoscan.volumes.journal import only_run_in
from isoscan.volumes.masks import Mask
from isoscan.volumes.matching import Matched, grids_of, match_volumes, on_grid
from isoscan.volumes.outputs import run_folder
from isoscan.volumes.space_needed import bytes_to_stream, require_memory
from isoscan.volumes.stacks import is_stack, is_store
from isoscan.volumes.stream import Gathered, Progress, gather_moments, silent


@dataclass(frozen=True, eq=False)
class VolumeModel:
    """A fitted model of maps: harmonizes new maps on the same grid, learns new sites.

    Attributes
    ----------
    estimator : ComBat, CovBat, ...
        The fitted estimator; its features are the voxels, in storage order.
    mask : Mask
        Grid, and the voxels that are harmonized.
    left_out : ndarray of int
        Voxels of the mask that not every site has; NaN in the results.
    space : tuple of int
        NIfTI's codes of the space and of the units.
    site_f : ndarray of shape (2, n_voxels)
        F statistic of site before and after, of the training maps; empty if it is unknown.
    """

    estimator: Any
    mask: Mask
    left_out: NDArray[np.intp]
    space: tuple[int, int] = (4, 2)
    site_f: NDArray[np.float64] | None = None

    @property
    def grid(self) -> Grid:
        """Where voxels lie."""
        return self.mask.grid

    @property
    def header(self) -> Header:
        """Header of maps on this grid."""
        return header_of(self.grid, *self.space)

    @cached_property
    def hash_(self) -> str:
        """SHA-256 of the model as it would be saved."""
        return hash_of(*self._to_parts())

    def transform(
        self,
        volumes: Any,
        covariates: pd.DataFrame,
        *,
        site: Site = "site",
        output: str | Path | None = None,
        outside: Outside = "zero",
        unknown_sites: Literal["error", "estimate", "skip"] | None = None,
        bad: Bad = "error",
        overwrite: bool = False,
        resume: bool = False,
        progress: Progress = silent,
    ) -> Any:
        """Take the estimated site effects out of maps.

        Parameters
        ----------
        volumes : mapping, Series or sequence; or path-like, zarr.Array or zarr.Group
            Paths of NIfTI files, nibabel images or arrays, by scan id or in row order; or a
            stack of maps.
        covariates : DataFrame
            One row per scan: site, and the covariates of the model.
        site : str or sequence of str
            Column with the site.
        output : path-like, optional
            Folder for the harmonized maps, or a Zarr store if the name ends in .zarr; without
            it they are returned.
        outside : {"zero", "keep", "nan"}
            What voxels outside the mask become.
        unknown_sites : {"error", "estimate", "skip"}, optional
            What to do with sites the model has not seen; as the estimator says by default.
        bad : {"error", "skip"}
            Maps that cannot be read: refuse them, all by name; or leave them out, with a
            warning, and list them in ``skipped.tsv``.
        overwrite : bool
            Replace results that exist.
        resume : bool
            Take up a run that was stopped.
        progress : callable
            Told the stage, how many maps are done, and of how many.

        Returns
        -------
        list or Path
            Paths, or maps in the form they were given; or the path of the Zarr store.

        Raises
        ------
        DataError
            If the maps do not lie on the grid of the model, or do not fit it otherwise.
        """
        if is_stack(volumes) or is_store(output):
            from isoscan.volumes.stack_run import transform_stack

            how: dict[str, Any] = {"site": site, "output": output, "outside": outside, "bad": bad}
            how |= {"overwrite": overwrite, "resume": resume, "progress": progress}
            asking = self._answering(unknown_sites)
            return transform_stack(self, asking, volumes, covariates, **how)
        matched = self._read(volumes, covariates, bad, progress)
        sources, people = matched.sources, matched.people
        model = self._answering(unknown_sites)
        with all_named(sources, people.index):
            model = model._with_unknown(people, site, partial(self._gather_rows, sources))
        if output is None:
            with all_named(sources, people.index):
                return harmonize_sources(model, sources, people, site, outside, None, progress)
        settings = {"model": self.hash_, "unknown": unknown_sites, "outside": outside, "site": site}
        with only_run_in(Path(output)):
            results = run_folder(
                Path(output),
                sources,
                people,
                settings,
                mask=self.mask,
                outside=outside,
                resume=resume,
                overwrite=overwrite,
            )
            list_damaged(results, matched.damaged, people, overwrite=overwrite)
            with all_named(sources, people.index):
                written = harmonize_sources(
                    model, sources, people, site, outside, results, progress
                )
            describe_results(results.folder, results.names, sources, self)
            return written

    def adapt(
        self,
        volumes: Any,
        covariates: pd.DataFrame,
        *,
        site: str = "site",
        prior: Literal["own", "training"] = "own",
        bad: Bad = "error",
    ) -> Self:
        """Learn new sites from their maps; what is known about the others does not move.

        Parameters
        ----------
        volumes : mapping, Series or sequence; or path-like, zarr.Array or zarr.Group
            Maps of sites the model does not know, or a stack of them.
        covariates : DataFrame
            One row per scan: site, and the covariates of the model.
        site : str
            Column with the site.
        prior : {"own", "training"}
            Shrink towards the new site's own voxels, or towards what training sites show.
        bad : {"error", "skip"}
            Maps that cannot be read: refuse them, or leave them out with a warning.

        Returns
        -------
        VolumeModel
            A new model that knows old and new sites.

        Raises
        ------
        DataError
            If a site is known already, or the method cannot learn new sites.
        """
        if is_stack(volumes):
            from isoscan.volumes.stack_run import adapt_to_stack

            return adapt_to_stack(self, volumes, covariates, site, prior)
        matched = self._read(volumes, covariates, bad, silent)
        with all_named(matched.sources, matched.people.index):
            return self._learn(partial(self._gather, matched.sources), matched.people, site, prior)

    def _read(
        self, volumes: Any, covariates: pd.DataFrame, bad: Bad, progress: Progress
    ) -> Matched:
        matched = match_volumes(volumes, covariates, bad, progress=progress)
        sources = on_grid(matched.sources, self.grid)
        require_one_grid(grids_of(sources), self.grid, "the model")
        return replace(matched, sources=sources)

    def _gather(self, sources: list[Source], scans: Scans) -> Gathered:
        dtype = np.result_type(*(source.dtype for source in sources))
        return gather_moments(
            sources, scans, self.mask.voxels, dtype, n_jobs=self.estimator.n_jobs
        )  # fmt: skip

    def _gather_rows(self, sources: list[Source], rows: NDArray[np.intp], scans: Scans) -> Gathered:
        return self._gather([sources[row] for row in rows], scans)

    def _learn(
        self,
        gather: Callable[[Scans], Gathered],
        people: pd.DataFrame,
        site: Site,
        prior: Literal["own", "training"],
    ) -> Self:
        if not hasattr(self.estimator, "adapt"):
            raise DataError(
                f"{type(self.estimator).__name__} cannot learn new sites; fit again with their "
                f"maps."
            )
        require_one_batch(self.estimator)
        n_voxels = len(self.mask.voxels)

        def moments_of(scans: Scans) -> Moments:
            n_sites, n_columns = len(scans.sites), scans.covariates.shape[1]
            needed = 2 * bytes_to_stream(n_voxels, self.grid.n_voxels, n_sites, n_columns)
            require_memory(needed, f"Learning {count(n_sites, 'new site')}")
            return gather(scans).moments.at(np.arange(n_voxels))

        labels = labels_of(people, site)
        adapted = self.estimator._learn_sites_from(moments_of, labels, people, prior)
        return replace(self, estimator=adapted, site_f=None)

    def _answering(self, unknown_sites: str | None) -> Self:
        if unknown_sites is None:
            return self
        estimator = copy.copy(self.estimator)
        estimator.unknown_sites = unknown_sites
        return replace(self, estimator=estimator)

    def _with_unknown(
        self,
        people: pd.DataFrame,
        site: Site,
        gather: Callable[[NDArray[np.intp], Scans], Gathered],
    ) -> Self:
        """The model itself, or one that also knows the new sites of this call."""
        labels, estimator = labels_of(people, site), self.estimator
        if not isinstance(estimator, SiteHarmonizer) or isinstance(labels, pd.DataFrame):
            return self
        unknown = ~np.isin(labels.astype(str), estimator.sites_)
        if not unknown.any():
            return self
        answer_unknown_sites(estimator, labels, unknown)
        if estimator.unknown_sites == "skip":
            return self
        rows = np.flatnonzero(unknown)
        return self._learn(partial(gather, rows), people.iloc[rows], site, "training")

    def effect_maps(self) -> dict[str, Nifti1Image]:
        """Shift, scale and standard errors of each site, residual SD, and site's F as images.

        Shifts are in residual standard deviations, scales are ratios of standard deviations.
        NaN outside the mask.

        Returns
        -------
        dict of {str: Nifti1Image}
            Images by name, such as ``site-KCL_shift``.
        """
        fields = self.header.fields
        return {name: Nifti1Image(whole, None, fields) for name, whole in self.effects_whole()}

    def effects_whole(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """The same numbers as whole maps, one after the other.

        Yields
        ------
        tuple of str and ndarray of the shape of the grid
            Name and map; NaN outside the mask.
        """
        for name, values in chain.from_iterable(part.items() for part in self.effects_inside()):
            flat = spread_out(values.astype(np.float32), self.mask.voxels, self.grid.n_voxels)
            yield name, flat.reshape(self.grid.shape, order="F")

    def effects_inside(self) -> Iterator[dict[str, NDArray[np.float64]]]:
        """The same numbers for the voxels of the mask, in storage order.

        Yields
        ------
        dict of {str: ndarray of shape (n_voxels of the mask,)}
            A few at a time, by name.
        """
        if hasattr(self.estimator, "model_"):
            yield from site_maps(self.estimator)
        if self.site_f is not None:
            yield dict(zip(("site_f_before", "site_f_after"), self.site_f, strict=True))

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the model to a file that holds no subject and runs no code.

        Parameters
        ----------
        path : str or Path
            Where to write, usually ``model.isoscan``.
        overwrite : bool
            Replace an existing file.

        Raises
        ------
        OutputExistsError
            If the file exists and `overwrite` is false.
        """
        write_model(path, *self._to_parts(), overwrite=overwrite)

    def to_bytes(self) -> bytes:
        """Contents of the model file."""
        return b"".join(self.content())

    def content(self) -> Sequence[bytes | memoryview]:
        """Contents of the model file, in parts that follow each other."""
        parts, vars(self)["hash_"] = pack_in_parts(*self._to_parts())
        return parts

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Load a model that was written by `save`.

        Parameters
        ----------
        path : str or Path
            A ``model.isoscan`` file of maps.

        Returns
        -------
        VolumeModel
            Ready to `transform`.

        Raises
        ------
        ModelFileError
            If the file is damaged, or holds a model of tables.
        """
        name = Path(path).name
        facts, arrays = read_model(path)
        if "volume" not in facts:
            raise ModelFileError(
                f"{name} is a model of a table, not of maps; apply it with isoscan apply."
            )
        try:
            return cls._from_parts(load(path), facts["volume"], arrays)
        except ModelFileError:
            raise
        except Exception as error:
            raise ModelFileError(f"{name}: inconsistent model file ({error}).") from None

    def _to_parts(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        facts, arrays = self.estimator._to_parts()
        facts["volume"] = {
            "shape": list(self.grid.shape),
            "affine": self.grid.affine.tolist(),
            "space": list(self.space),
        }
        arrays["volume_voxels"] = self.mask.voxels.astype(np.int64)
        arrays["volume_left_out"] = self.left_out.astype(np.int64)
        if self.site_f is not None:
            arrays["volume_site_f"] = self.site_f
        return facts, arrays

    @classmethod
    def _from_parts(
        cls, estimator: Any, facts: dict[str, Any], arrays: dict[str, NDArray[Any]]
    ) -> Self:
        shape = tuple(int(n) for n in facts["shape"])
        grid = make_grid(shape, np.array(facts["affine"], dtype=float), "the model")
        voxels, left_out = arrays["volume_voxels"], arrays["volume_left_out"]
        sound = voxels.ndim == 1 and len(voxels) == estimator.n_features_in_
        for positions in (voxels, left_out):
            inside = positions.size == 0 or (positions[0] >= 0 and positions[-1] < grid.n_voxels)
            sound = sound and inside and bool((np.diff(positions) > 0).all())
        if not sound:
            raise ModelFileError("the model file names voxels that are not on its grid.")
        sform, units = (int(code) for code in facts["space"])
        site_f = arrays.get("volume_site_f")
        if site_f is not None and site_f.shape != (2, len(voxels)):
            raise ModelFileError("the model file holds tests of other voxels.")
        return cls(estimator, Mask(grid, voxels), left_out, (sform, units), site_f)
