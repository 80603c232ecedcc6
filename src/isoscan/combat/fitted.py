"""What a fitted model can tell about itself, and how it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from isoscan.combat import summary
from isoscan.combat.batches import Batches
from isoscan.combat.citing import citations, methods_text
from isoscan.combat.model import SiteModel
from isoscan.combat.parts import from_parts, to_parts
from isoscan.combat.store import hash_of, write_model
from isoscan.design import Design, SmoothDesign
from isoscan.design.smooth import Bounds


class FittedSites:
    """Fitted numbers as tables, words and a file; shared by all site models.

    Options that a method does not offer keep the values given here.
    """

    DESIGNS: ClassVar[dict[str, Any]] = {
        "preserve": Design,
        "smooth": SmoothDesign,
        "remove": Design,
    }
    PARTS: ClassVar[dict[str, Any]] = {"model": SiteModel}
    TAKES_BATCHES: ClassVar[bool] = False
    batches_: Batches | None = None
    preserve: str | None
    remove: str | None = None
    smooth: Sequence[str] = ()
    smooth_bounds: Bounds = None
    smooth_outside: Literal["clamp", "error"] = "clamp"
    prior: str | None = "parametric"
    mean_only: bool = False
    robust: bool = False
    reference: str | None = None
    unknown_sites: Literal["error", "estimate", "skip"] = "error"
    small_sites: Literal["error", "mean-only", "drop"] = "error"
    single_site: Literal["error", "pass"] = "error"
    convergence: Literal["reference", "full"] = "reference"
    fit_on: str | None = None
    n_jobs: int | None = None
    stop_text_ = "stopped as in neuroCombat at a relative change of 1e-4"
    further_text_ = ""
    sites_: list[str]
    scans_per_site_: dict[str, int]
    passed_through_: list[str]
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]
    preserve_design_: Design
    smooth_design_: SmoothDesign
    remove_design_: Design
    model_: SiteModel

    @property
    def site_effects_(self) -> pd.DataFrame:
        """Shift and scale of every site and feature, with standard errors."""
        return summary.site_effects_frame(self.model_, self.sites_, self._names())

    @property
    def coefficients_(self) -> pd.DataFrame:
        """Intercept, covariate effects and residual SD of every feature."""
        return summary.coefficients_frame(self.model_, self._design().columns, self._names())

    @property
    def priors_(self) -> pd.DataFrame:
        """The distribution that each site's effects are shrunk to."""
        return summary.priors_frame(self.model_, self.sites_)

    def expect(
        self, covariates: pd.DataFrame | None, n_scans: int, *, kept: bool = False
    ) -> NDArray[np.float64]:
        """What is expected of scans by their covariates, whatever their site.

        Parameters
        ----------
        covariates : DataFrame of shape (n_scans, n_covariates) or None
            Columns named in the formulas, one row per scan.
        n_scans : int
            Number of scans.
        kept : bool
            After harmonization: removed covariates are held at their training mean.

        Returns
        -------
        ndarray of shape (n_scans, n_features)
            Expected measures; the same for a scan alone or among others.
        """
        check_is_fitted(self, "model_")
        matrix = self._matrix(covariates, n_scans)
        matrix = self.model_.kept(matrix) if kept else matrix
        # Not by a matrix product of the linear algebra library: its rounding depends on the
        # number of rows.
        return np.asarray(
            self.model_.intercept + np.einsum("sc,cf->sf", matrix, self.model_.slopes)
        )

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
        check_is_fitted(self, "model_")
        write_model(path, *self._to_parts(), overwrite=overwrite)

    @property
    def hash_(self) -> str:
        """SHA-256 of the model as it would be saved."""
        check_is_fitted(self, "model_")
        return hash_of(*self._to_parts())

    @property
    def methods_text_(self) -> list[str]:
        """Paragraphs for the methods section of a paper."""
        check_is_fitted(self, "model_")
        return methods_text(self)

    @property
    def expectation_text_(self) -> str:
        """Sentence on what is expected of a scan."""
        return self._expectation("site")

    def _expectation(self, batch: str) -> str:
        """The same, with the name of what took the place of sites."""
        curves = (
            ", with curves as penalised cubic splines whose smoothness was chosen for each measure "
            "by restricted maximum likelihood"
            if self.smooth_design_.splines
            else ""
        )
        covariates = "the covariates and on " if self._design().columns else ""
        return f"Each measure was regressed on {covariates}{batch}{curves}."

    @property
    def citations_(self) -> list[dict[str, str]]:
        """Papers to cite: key, text and doi."""
        return citations(self)

    def _axes(self, part: str) -> dict[str, int]:
        """Lengths of the axes of the arrays of one part of the fitted estimator."""
        return {
            "sites": len(self.sites_),
            "features": self.n_features_in_,
            "columns": len(self._design().columns),
            "curves": len(self.smooth_design_.splines),
            "prior": 4,
        }

    def _to_parts(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        return to_parts(self)

    @classmethod
    def _from_parts(cls, facts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        return from_parts(cls, facts, arrays)

    def _design(self) -> Design:
        """Everything that scans are expected to differ by, as one design."""
        preserved = self.preserve_design_.join(self.smooth_design_.as_design())
        return preserved.join(self.remove_design_)

    def _matrix(
        self, covariates: pd.DataFrame | None, n_scans: int, *, check_range: bool = False
    ) -> NDArray[np.float64]:
        designs = (self.preserve_design_, self.smooth_design_, self.remove_design_)
        return np.hstack(
            [d.matrix(covariates, n_scans=n_scans, check_range=check_range) for d in designs]
        )

    def _names(self, which: NDArray[Any] | slice = slice(None)) -> list[str]:
        """Names of some features; x0, x1, ... after training on an array."""
        if hasattr(self, "feature_names_in_"):
            return [str(name) for name in self.feature_names_in_[which]]
        return [f"x{position}" for position in np.arange(self.n_features_in_)[which]]
