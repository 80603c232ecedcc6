"""CovBat as a scikit-learn estimator: sites made alike in mean, variance and covariance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from isoscan.combat import checks
from isoscan.combat.apply import harmonize
from isoscan.combat.base import SiteHarmonizer
from isoscan.combat.cohort import Cohort
from isoscan.combat.covariance import (
    Components,
    adjust_scores,
    find_components,
    fit_scores,
    project,
    replace_scores,
)
from isoscan.combat.inputs import infinities_named
from isoscan.combat.model import SiteModel
from isoscan.combat.moments import Scans
from isoscan.design.smooth import Bounds


class CovBat(SiteHarmonizer):
    """Remove each site's shift and scale, and what it does to the covariance of measures.

    After ComBat, what is left of the measures is described by principal components; the
    scores of the leading ones are harmonized in turn [1]_. Useful before multivariate
    analyses and machine learning, which see covariances. Measures must be complete.

    Parameters
    ----------
    preserve : str, optional
        Formula of what must survive, such as ``"age + C(sex)"``.
    remove : str, optional
        Formula of what is taken out together with the site effect.
    smooth : sequence of str
        Continuous covariates that are preserved as penalised curves, see `ComBat`.
    smooth_bounds : mapping of {str: (low, high)}, optional
        Where curves begin and end.
    smooth_outside : {"clamp", "error"}
        What to do with values beyond the bounds.
    variance_share : float
        Harmonize the first components that explain strictly more than this share.
    n_components : int, optional
        Harmonize exactly so many components instead.
    standardize : bool
        Divide each feature by its standard deviation before components are sought.
    score_prior : {"parametric", None}
        Prior of the components' site effects; raw estimates by default, as published.
    prior : {"parametric", "nonparametric", None}
        Prior of the features' site effects.
    reference : str, optional
        Site whose scans come back unchanged; the others are brought to it.
    unknown_sites : {"error", "skip"}
        What `transform` does with sites it has not seen: refuse, or copy with a warning.
    small_sites : {"error", "drop"}
        What `fit` does with a site of one scan: refuse, or leave it out of the model.
    convergence : {"reference", "full"}
        Stop the iteration where neuroCombat stops, or at the fixed point.
    fit_on : str, optional
        Condition on the covariates: learn from these scans, apply to all.
    random_state : int, optional
        Used only for tables with more than 10 000 scans and features.
    n_jobs : int, optional
        Number of threads; all processors by default.

    Attributes
    ----------
    sites_ : list of str
        Sites the model knows.
    model_ : SiteModel
        Fitted numbers of the first step, ComBat.
    components_ : Components
        Principal components of what it leaves.
    scores_ : SiteModel
        Site effects of the components' scores.

    References
    ----------
    .. [1] Chen et al. (2022), Human Brain Mapping 43:1179, doi:10.1002/hbm.25688.

    Examples
    --------
    >>> from isoscan.phantom import simulate_tables
    >>> cohort = simulate_tables(random_state=1)
    >>> model = CovBat("age", n_components=3)
    >>> after = model.fit_transform(
    ...     cohort.measures, sites=cohort.people.site, covariates=cohort.people
    ... )
    >>> model.components_.n_components
    3
    """

    PARTS: ClassVar[dict[str, Any]] = {
        "model": SiteModel,
        "components": Components,
        "scores": SiteModel,
    }
    components_: Components
    scores_: SiteModel

    def __init__(
        self,
        preserve: str | None = None,
        *,
        remove: str | None = None,
        smooth: Sequence[str] = (),
        smooth_bounds: Bounds = None,
        smooth_outside: Literal["clamp", "error"] = "clamp",
        variance_share: float = 0.95,
        n_components: int | None = None,
        standardize: bool = True,
        score_prior: Literal["parametric"] | None = None,
        prior: Literal["parametric", "nonparametric"] | None = "parametric",
        reference: str | None = None,
        unknown_sites: Literal["error", "skip"] = "error",
        small_sites: Literal["error", "drop"] = "error",
        convergence: Literal["reference", "full"] = "reference",
        fit_on: str | None = None,
        random_state: int | None = 0,
        n_jobs: int | None = None,
    ) -> None:
        self.preserve = preserve
        self.remove = remove
        self.smooth = smooth
        self.smooth_bounds = smooth_bounds
        self.smooth_outside = smooth_outside
        self.variance_share = variance_share
        self.n_components = n_components
        self.standardize = standardize
        self.score_prior = score_prior
        self.prior = prior
        self.reference = reference
        self.unknown_sites = unknown_sites
        self.small_sites = small_sites
        self.convergence = convergence
        self.fit_on = fit_on
        self.random_state = random_state
        self.n_jobs = n_jobs

    @property
    def further_text_(self) -> str:  # type: ignore[override]
        """Sentence on the second step."""
        share = 100 * float(self.components_.variance_share.sum())
        return (
            f"The scores of the first {self.components_.n_components} principal components of "
            f"the residuals ({share:.0f} % of their variance) were then harmonized in the same "
            f"way, {'with' if self.score_prior else 'without'} shrinkage."
        )

    def _estimate(self, cohort: Cohort, scans: Scans) -> SiteModel:
        checks.require_complete(self, cohort)
        model = super()._estimate(cohort, scans)
        _, residuals = self._first_step(cohort, scans, model)
        self.components_ = find_components(
            residuals,
            variance_share=self.variance_share,
            n_components=self.n_components,
            standardize=self.standardize,
            active=~model.passed_through,
            random_state=self.random_state,
            n_jobs=self.n_jobs,
        )
        self.scores_ = fit_scores(
            project(residuals, self.components_, n_jobs=self.n_jobs),
            scans,
            self.score_prior,
            model.reference,
            to_fixed_point=self.convergence == "full",
            n_jobs=self.n_jobs,
        )
        return model

    def _first_step(
        self, cohort: Cohort, scans: Scans, model: SiteModel
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Measures after ComBat, and what is left of them without what is expected."""
        table = np.asarray(cohort.table, dtype=np.float64)
        with infinities_named(cohort.index, self._names):
            after = harmonize(table, scans, model, n_jobs=self.n_jobs)
        residuals = after - model.intercept
        kept = model.kept(scans.covariates)
        if kept.shape[1]:  # einsum: every scan gets the same bits alone and in bulk
            residuals[scans.order] -= np.einsum("sc,cf->sf", kept, model.slopes)
        return after, residuals

    def _apply(self, cohort: Cohort, scans: Scans) -> NDArray[Any]:
        checks.require_complete(self, cohort)
        after, residuals = self._first_step(cohort, scans, self.model_)
        scores = project(residuals, self.components_, n_jobs=self.n_jobs)
        adjusted = adjust_scores(scores, scans, self.scores_, n_jobs=self.n_jobs)
        changed = replace_scores(after, self.components_, scores, adjusted, n_jobs=self.n_jobs)
        return changed.astype(cohort.table.dtype, copy=False)

    def _axes(self, part: str) -> dict[str, int]:
        axes = super()._axes(part)
        if part == "scores":
            return {**axes, "features": self.components_.n_components, "columns": 0}
        return axes
