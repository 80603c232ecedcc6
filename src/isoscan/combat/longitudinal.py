"""Longitudinal ComBat as a scikit-learn estimator: repeated scans of the same people."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.combat import checks
from isoscan.combat.base import SiteHarmonizer
from isoscan.combat.cohort import Cohort
from isoscan.combat.effects import Shrinkage
from isoscan.combat.inputs import infinities_named
from isoscan.combat.moments import Scans
from isoscan.combat.training import Training
from isoscan.combat.visit_checks import require_people, require_visits, warn_of_boundary
from isoscan.combat.visits import (
    VisitModel,
    Visits,
    deviations_of_visits,
    fit_visits,
    harmonize_visits,
)
from isoscan.design.covariates import as_numbers
from isoscan.labels import as_labels

SWEEPS = 30
"""Sweeps of longCombat."""


class LongitudinalComBat(SiteHarmonizer):
    """Remove each site's shift and scale where people were scanned more than once.

    Visits of a person resemble each other. A mixed model with a random intercept per
    subject, and if asked a random slope, says what is expected of each visit; sites shift
    and scale what is left [1]_. Numbers follow longCombat and ComBatFamily. The level of
    each subject is predicted from the visits in the call and stays in the harmonized
    values, so give all visits of a person together: known or new people, old or new visits.

    Parameters
    ----------
    preserve : str, optional
        Formula of what must survive, such as ``"age_at_baseline + C(dx) * time"``.
    subject : str
        Covariate that says who was scanned.
    slope : str, optional
        Covariate along which every subject changes at a pace of its own, such as time;
        it should be in `preserve` too.
    variance : {"msr", "reml"}
        Unit of shifts and scales: the root mean square of what the model leaves, or the
        residual SD by restricted maximum likelihood. The latter is longCombat's default; it
        makes changes within people larger, by about the square root of n/(n - 1) for n visits.
    remove : str, optional
        Formula of what is taken out together with the site effect.
    prior : {"parametric", "nonparametric", None}
        Empirical Bayes, or None for each site's raw estimates.
    mean_only : bool
        Correct shifts only.
    unknown_sites : {"error", "skip"}
        What `transform` does with sites it has not seen: refuse, or copy with a warning.
    small_sites : {"error", "mean-only", "drop"}
        What `fit` does with a site of one scan.
    convergence : {"reference", "full"}
        Thirty sweeps as in longCombat, or the fixed point.
    fit_on : str, optional
        Condition on the covariates: learn from these scans, apply to all.
    n_jobs : int, optional
        Number of threads; all processors by default.

    Attributes
    ----------
    sites_ : list of str
        Sites the model knows.
    variance_components_ : DataFrame
        Variances between and within subjects, per feature.
    model_ : VisitModel
        Fitted numbers.

    References
    ----------
    .. [1] Beer et al. (2020), NeuroImage 220:117129, doi:10.1016/j.neuroimage.2020.117129.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> people = pd.DataFrame(
    ...     {
    ...         "subject": np.repeat([f"sub-{n:02d}" for n in range(20)], 3),
    ...         "time": np.tile([0.0, 1.0, 2.0], 20),
    ...         "site": np.tile(["A", "A", "B"], 20),
    ...     }
    ... )
    >>> level = np.repeat(rng.normal(size=(20, 4)), 3, axis=0)
    >>> measures = pd.DataFrame(level + rng.normal(size=(60, 4)))
    >>> model = LongitudinalComBat("time", subject="subject")
    >>> after = model.fit_transform(measures, sites=people.site, covariates=people)
    >>> model.variance_components_.columns.tolist()
    ['feature', 'subject', 'residual', 'singular']
    """

    PARTS: ClassVar[dict[str, Any]] = {"model": VisitModel}
    stop_text_ = f"{SWEEPS} sweeps, as in longCombat"
    model_: VisitModel

    def __init__(
        self,
        preserve: str | None = None,
        *,
        subject: str = "subject",
        slope: str | None = None,
        variance: Literal["msr", "reml"] = "msr",
        remove: str | None = None,
        prior: Literal["parametric", "nonparametric"] | None = "parametric",
        mean_only: bool = False,
        unknown_sites: Literal["error", "skip"] = "error",
        small_sites: Literal["error", "mean-only", "drop"] = "error",
        convergence: Literal["reference", "full"] = "reference",
        fit_on: str | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.preserve = preserve
        self.subject = subject
        self.slope = slope
        self.variance = variance
        self.remove = remove
        self.prior = prior
        self.mean_only = mean_only
        self.unknown_sites = unknown_sites
        self.small_sites = small_sites
        self.convergence = convergence
        self.fit_on = fit_on
        self.n_jobs = n_jobs

    @property
    def variance_components_(self) -> pd.DataFrame:
        """Variances of every feature, in its unit squared: between subjects, and residual."""
        model = self.model_
        between = model.between
        columns: dict[str, Any] = {"feature": self._names(), "subject": between[:, 0, 0]}
        if between.shape[1] == 2:
            spread = np.sqrt(between[:, 0, 0] * between[:, 1, 1])
            columns["slope"] = between[:, 1, 1]
            columns["correlation"] = np.where(
                spread > 0, between[:, 0, 1] / np.where(spread > 0, spread, 1.0), np.nan
            )
        return pd.DataFrame(
            {**columns, "residual": model.residual_variance, "singular": model.singular}
        )

    def _expectation(self, batch: str) -> str:
        slope = f" and random slope of {self.slope}" if self.slope else ""
        return (
            f"Each measure was regressed on the covariates and on {batch}, with a random intercept"
            f"{slope} per subject, by restricted maximum likelihood."
        )

    def transform(
        self, X: Any, *, sites: Any = None, covariates: pd.DataFrame | None = None
    ) -> Any:
        """Take the estimated site effects out of visits.

        What is expected of a subject is predicted from the visits in the call, so give all
        visits of a person together. Other people in the call make no difference.

        Parameters
        ----------
        X : DataFrame or array of shape (n_scans, n_features)
            Measures of known sites; columns of a frame are matched by name.
        sites : Series or sequence of shape (n_scans,)
            Site of each scan. Needed.
        covariates : DataFrame of shape (n_scans, n_covariates)
            Subject, slope, and columns named in the formulas.

        Returns
        -------
        DataFrame or ndarray of shape (n_scans, n_features)
            Harmonized measures; a frame with the same index and columns if `X` is one.

        Raises
        ------
        UnknownSiteError
            If a site is unknown and `unknown_sites` is "error".
        DataError
            If features or covariates do not fit the model.
        """
        return super().transform(X, sites=sites, covariates=covariates)

    def _visits(self, cohort: Cohort) -> Visits:
        people = require_people(self, cohort.covariates)
        subjects = pd.factorize(as_labels(people[self.subject], self.subject, warn=False))[0]
        if self.slope is None:
            return Visits(subjects)
        return Visits(subjects, as_numbers(people[self.slope], self.slope).to_numpy())

    def _estimate(self, cohort: Cohort, scans: Scans) -> VisitModel:
        table, visits = cohort.table, self._visits(cohort)
        require_visits(self, visits, cohort.sites)
        fit = fit_visits(table, scans, visits, n_jobs=self.n_jobs)
        found, site_levels = deviations_of_visits(
            table,
            scans,
            visits,
            fit,
            mean_squares=self.variance == "msr",
            tolerance=checks.noise_tolerance(table.dtype),
            n_jobs=self.n_jobs,
        )
        constant = (found.variance == 1.0) & (found.count > 1)
        checks.require_variation(self, found, constant)
        plain = self._site_model(found, self._shrink(found, None), Training.of(scans), None)
        checks.warn_of_data(self, found, constant, len(table), table.dtype)
        warn_of_boundary(self, fit.singular & (found.sd > 0))
        between = np.nan_to_num(fit.between)
        return VisitModel(
            **vars(plain),
            site_levels=site_levels,
            residual_variance=np.nan_to_num(fit.variance),
            between=between[:, None, None] if between.ndim == 1 else between,
            singular=fit.singular,
        )

    def _shrinkage(self, n_active: int) -> Shrinkage:
        prior = checks.usable_prior(self.prior, n_active)
        return Shrinkage(prior, to_fixed_point=self.convergence == "full", sweeps=SWEEPS)

    def _apply(self, cohort: Cohort, scans: Scans) -> NDArray[Any]:
        with infinities_named(cohort.index, self._names):
            return harmonize_visits(
                cohort.table, scans, self._visits(cohort), self.model_, n_jobs=self.n_jobs
            )

    def _axes(self, part: str) -> dict[str, int]:
        return {**super()._axes(part), "random": 1 if self.slope is None else 2}
