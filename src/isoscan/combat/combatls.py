"""ComBatLS as a scikit-learn estimator: covariates may change the spread of a measure too."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.combat import checks
from isoscan.combat.base import SiteHarmonizer
from isoscan.combat.cohort import Cohort
from isoscan.combat.effects import SiteEffects
from isoscan.combat.inputs import infinities_named
from isoscan.combat.location_scale import LocationScale, fit_location_scale
from isoscan.combat.moments import Scans
from isoscan.combat.regression import Deviations
from isoscan.combat.scale import (
    ScaleModel,
    deviations,
    harmonize_scaled,
    in_units_of_reference,
)
from isoscan.combat.training import Training
from isoscan.design import Design, require_identifiable


class ComBatLS(SiteHarmonizer):
    """Remove each site's shift and scale, and keep what covariates do to mean and spread.

    In ComBat every scan of a feature has the same expected spread. If the spread grows
    with age, a site of older people would be squeezed. Here mean and log spread of every
    feature depend on covariates, by maximum likelihood; sites shift and scale what is left
    [1]_. The spread has no site term, so where age and scale of sites go together part of
    the scale is taken for an effect of age.

    Parameters
    ----------
    preserve : str, optional
        Formula of what must survive in the mean, such as ``"age + C(sex)"``.
    scale : str, optional
        Formula of what must survive in the spread; by default that of `preserve`.
    remove : str, optional
        Formula of what is taken out of the mean together with the site effect.
    prior : {"parametric", "nonparametric", None}
        Empirical Bayes, or None for each site's raw estimates.
    mean_only : bool
        Correct shifts only.
    reference : str, optional
        Site whose scans come back unchanged; the others are brought to its mean and spread.
    unknown_sites : {"error", "skip"}
        What `transform` does with sites it has not seen: refuse, or copy with a warning.
    small_sites : {"error", "mean-only", "drop"}
        What `fit` does with a site of one scan.
    convergence : {"reference", "full"}
        Stop the iteration where neuroCombat stops, or at the fixed point.
    fit_on : str, optional
        Condition on the covariates: learn from these scans, apply to all.
    n_jobs : int, optional
        Number of threads; all processors by default.

    Attributes
    ----------
    sites_ : list of str
        Sites the model knows.
    model_ : ScaleModel
        Fitted numbers.

    References
    ----------
    .. [1] Gardner et al. (2024), ComBatLS, bioRxiv, doi:10.1101/2024.06.21.599875.

    Examples
    --------
    >>> from isoscan.phantom import simulate_tables
    >>> cohort = simulate_tables(random_state=1)
    >>> model = ComBatLS("age + C(sex)", scale="age")
    >>> after = model.fit_transform(
    ...     cohort.measures, sites=cohort.people.site, covariates=cohort.people
    ... )
    >>> model.scale_effects_.columns.tolist()
    ['feature', 'column', 'effect', 'se']
    """

    DESIGNS: ClassVar[dict[str, Any]] = {**SiteHarmonizer.DESIGNS, "scale": Design}
    PARTS: ClassVar[dict[str, Any]] = {"model": ScaleModel}
    model_: ScaleModel
    scale_design_: Design

    def __init__(
        self,
        preserve: str | None = None,
        *,
        scale: str | None = None,
        remove: str | None = None,
        prior: Literal["parametric", "nonparametric"] | None = "parametric",
        mean_only: bool = False,
        reference: str | None = None,
        unknown_sites: Literal["error", "skip"] = "error",
        small_sites: Literal["error", "mean-only", "drop"] = "error",
        convergence: Literal["reference", "full"] = "reference",
        fit_on: str | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.preserve = preserve
        self.scale = scale
        self.remove = remove
        self.prior = prior
        self.mean_only = mean_only
        self.reference = reference
        self.unknown_sites = unknown_sites
        self.small_sites = small_sites
        self.convergence = convergence
        self.fit_on = fit_on
        self.n_jobs = n_jobs

    def _expectation(self, batch: str) -> str:
        return (
            f"Mean and logarithm of the standard deviation of each measure were regressed on "
            f"covariates (the latter on {self.scale or self.preserve or 'none'}), the mean also on "
            f"{batch}, by maximum likelihood."
        )

    @property
    def scale_effects_(self) -> pd.DataFrame:
        """What a unit of each scale covariate adds to the log SD, with standard errors."""
        columns, names = self.scale_design_.columns, self._names()
        return pd.DataFrame(
            {
                "feature": np.repeat(np.asarray(names, dtype=object), len(columns)),
                "column": np.tile(np.asarray(columns, dtype=object), len(names)),
                "effect": self.model_.scale_slopes.T.ravel(),
                "se": self.model_.scale_slopes_se.T.ravel(),
            }
        )

    def _learn_designs(self, cohort: Cohort) -> Scans:
        scans = super()._learn_designs(cohort)
        self.scale_design_ = Design.fit(self.scale or self.preserve, cohort.covariates)
        together = np.full(len(cohort.sites), "")
        matrix = self._scale_matrix(cohort)
        require_identifiable(matrix, self.scale_design_, together, cohort.covariates)
        return scans

    def _scale_matrix(self, cohort: Cohort) -> NDArray[np.float64]:
        return self.scale_design_.matrix(cohort.covariates, n_scans=len(cohort.sites))

    def _estimate(self, cohort: Cohort, scans: Scans) -> ScaleModel:
        table, reference = cohort.table, checks.reference_position(self)
        columns = self._scale_matrix(cohort)[scans.order]
        tolerance = checks.noise_tolerance(table.dtype)
        fit = fit_location_scale(table, scans, columns, tolerance=tolerance, n_jobs=self.n_jobs)
        found = deviations(
            table,
            scans,
            columns,
            fit,
            reference=reference,
            tolerance=tolerance,
            n_jobs=self.n_jobs,
        )
        constant = (found.variance == 1.0) & (found.count > 1)
        checks.require_variation(self, found, constant)
        log_sd = fit.log_sd
        if reference is not None:
            found, log_sd = in_units_of_reference(found, log_sd, reference)
        effects = self._shrink(found, reference)
        checks.warn_of_data(self, found, constant, len(table), table.dtype)
        checks.warn_of_single_spread(self, fit.converged | (found.sd == 0))
        return self._scale_model(fit, found, effects, log_sd, scans, reference)

    def _scale_model(
        self,
        fit: LocationScale,
        found: Deviations,
        effects: SiteEffects,
        log_sd: NDArray[np.float64],
        scans: Scans,
        reference: int | None,
    ) -> ScaleModel:
        plain = self._site_model(found, effects, Training.of(scans), reference)
        return ScaleModel(
            **vars(plain),
            log_sd=log_sd,
            scale_slopes=fit.scale_slopes,
            scale_slopes_se=fit.scale_slopes_se,
        )

    def _apply(self, cohort: Cohort, scans: Scans) -> NDArray[Any]:
        columns = self._scale_matrix(cohort)[scans.order]
        with infinities_named(cohort.index, self._names):
            return harmonize_scaled(cohort.table, scans, columns, self.model_, n_jobs=self.n_jobs)

    def _axes(self, part: str) -> dict[str, int]:
        return {**super()._axes(part), "scale_columns": len(self.scale_design_.columns)}
