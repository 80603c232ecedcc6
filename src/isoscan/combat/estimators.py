"""ComBat as a scikit-learn estimator."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from isoscan.combat import checks
from isoscan.combat.apply import harmonize
from isoscan.combat.base import SiteHarmonizer
from isoscan.combat.batches import Batches, Cells
from isoscan.combat.cohort import Cohort
from isoscan.combat.inputs import infinities_named
from isoscan.combat.joint import deviations_of_levels, fit_jointly, of_cells, shrink_in_turn
from isoscan.combat.model import SiteModel
from isoscan.combat.moments import Moments, Scans, collect
from isoscan.combat.newsites import estimate_alone, estimate_like_training
from isoscan.combat.training import Training
from isoscan.design.smooth import Bounds


class ComBat(SiteHarmonizer):
    """Remove each site's shift and scale from measures, and keep what is biology.

    Rows are scans, columns are features. Every feature is regressed on covariates and
    site; what a site adds (shift) and multiplies (scale) is estimated, pulled towards
    what is typical of that site by empirical Bayes, and removed [1]_ [2]_. Numbers
    follow neuroCombat for R.

    Parameters
    ----------
    preserve : str, optional
        Formula of what must survive, such as ``"age + C(sex)"``.
    remove : str, optional
        Formula of what is taken out together with the site effect; removed covariates are
        held at their training mean.
    smooth : sequence of str
        Continuous covariates that are preserved as penalised curves, each feature as smooth
        as its data say (REML); ``"age:sex"`` for a curve per level of sex.
    smooth_bounds : mapping of {str: (low, high)}, optional
        Where curves begin and end; by default the range of the training scans, which the
        model then knows exactly.
    smooth_outside : {"clamp", "error"}
        What to do with values beyond the bounds: expect what is expected at the bound, with
        a warning; or refuse them.
    prior : {"parametric", "nonparametric", None}
        Empirical Bayes with fitted distributions, or with the other features as they are;
        None for each site's raw estimates.
    mean_only : bool
        Correct shifts only.
    robust : bool
        Measure shift and scale by median and biweight midvariance, which single odd scans
        do not move.
    reference : str, optional
        Site whose scans come back unchanged; the others are brought to it.
    unknown_sites : {"error", "estimate", "skip"}
        What `transform` does with sites it has not seen: refuse; estimate them from
        their own scans in the call, with the training sites' prior; or copy them. The
        latter two warn.
    small_sites : {"error", "mean-only", "drop"}
        What `fit` does with a site of one scan: refuse, correct its shift only, or leave
        it out of the model.
    single_site : {"error", "pass"}
        What `fit` does if there is one site only: refuse, or return everything unchanged.
    convergence : {"reference", "full"}
        Stop the iteration where neuroCombat stops, or at the fixed point.
    fit_on : str, optional
        Condition on the covariates, such as ``"diagnosis == 'control'"``: site effects are
        estimated from these scans and removed from all.
    n_jobs : int, optional
        Number of threads; all processors by default.

    Attributes
    ----------
    sites_ : list of str
        Sites the model knows.
    scans_per_site_ : dict of {str: int}
        Number of training scans per site.
    passed_through_ : list of str
        Features that do not vary within sites and come back unchanged.
    model_ : SiteModel
        Fitted numbers.
    preserve_design_, remove_design_ : Design
        The fitted formulas.

    References
    ----------
    .. [1] Johnson, Li & Rabinovic (2007), Biostatistics 8:118, doi:10.1093/biostatistics/kxj037.
    .. [2] Fortin et al. (2018), NeuroImage 167:104, doi:10.1016/j.neuroimage.2017.11.024.

    Examples
    --------
    >>> from isoscan.phantom import simulate_tables
    >>> cohort = simulate_tables(random_state=1)
    >>> model = ComBat(preserve="age + C(sex)")
    >>> harmonized = model.fit_transform(
    ...     cohort.measures, sites=cohort.people.site, covariates=cohort.people
    ... )
    >>> harmonized.shape == cohort.measures.shape
    True
    >>> model.site_effects_.columns.tolist()[:4]
    ['site', 'feature', 'shift', 'scale']
    """

    TAKES_BATCHES: ClassVar[bool] = True

    def __init__(
        self,
        preserve: str | None = None,
        *,
        remove: str | None = None,
        smooth: Sequence[str] = (),
        smooth_bounds: Bounds = None,
        smooth_outside: Literal["clamp", "error"] = "clamp",
        prior: Literal["parametric", "nonparametric"] | None = "parametric",
        mean_only: bool = False,
        robust: bool = False,
        reference: str | None = None,
        unknown_sites: Literal["error", "estimate", "skip"] = "error",
        small_sites: Literal["error", "mean-only", "drop"] = "error",
        single_site: Literal["error", "pass"] = "error",
        convergence: Literal["reference", "full"] = "reference",
        fit_on: str | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.preserve = preserve
        self.remove = remove
        self.smooth = smooth
        self.smooth_bounds = smooth_bounds
        self.smooth_outside = smooth_outside
        self.prior = prior
        self.mean_only = mean_only
        self.robust = robust
        self.reference = reference
        self.unknown_sites = unknown_sites
        self.small_sites = small_sites
        self.single_site = single_site
        self.convergence = convergence
        self.fit_on = fit_on
        self.n_jobs = n_jobs

    def _learn_sites_of(self, cohort: Cohort) -> None:
        self.batches_ = None
        if cohort.batches is None:
            super()._learn_sites_of(cohort)
            return
        checks.require_joint_options(self)
        self.batches_ = Batches.learn(cohort.batches)
        self.sites_ = self.batches_.labels
        sizes = self.batches_.members(cohort.batches).sum(axis=0).tolist()
        self.scans_per_site_ = dict(zip(self.sites_, sizes, strict=True))

    def _group(self, cohort: Cohort, matrix: NDArray[np.float64]) -> Scans:
        if self.batches_ is None:
            return super()._group(cohort, matrix)
        cells = self._cells(cohort)
        n_cells = len(cells.members) + int((cells.codes == len(cells.members)).any())
        return Scans.group(cells.codes, n_cells, matrix)

    def _cells(self, cohort: Cohort) -> Cells:
        assert self.batches_ is not None
        return self.batches_.cells(self.batches_.require_columns(cohort.batches))

    def _unknown(self, cohort: Cohort) -> NDArray[np.bool_]:
        if self.batches_ is None:
            return super()._unknown(cohort)
        cells = self._cells(cohort)
        return np.asarray(cells.codes == len(cells.members))

    def _estimate(self, cohort: Cohort, scans: Scans) -> SiteModel:
        if self.batches_ is None:
            return super()._estimate(cohort, scans)
        table, cells = cohort.table, self._cells(cohort)
        self.batches_.warn_of_aliases(cells)
        fit = fit_jointly(
            lambda block: collect(table[:, block], scans, first_column=block.start),
            scans.per_site,
            cells,
            self.batches_,
            table.shape[1],
            tolerance=checks.noise_tolerance(table.dtype),
            n_jobs=self.n_jobs,
        )
        found = deviations_of_levels(fit, cells)
        constant = (found.variance == 1.0) & (found.count > 1)
        checks.require_variation(self, found, constant)
        how = self._shrinkage(int((found.sd > 0).sum()))
        effects = shrink_in_turn(
            fit, cells, self.batches_, how, mean_only=self.mean_only, n_jobs=self.n_jobs
        )
        one = replace(found, count=found.count[self.batches_.parts[0]])
        checks.warn_of_data(self, one, constant, len(table), table.dtype)
        return self._site_model(found, effects, Training.of(scans), None)

    def _apply(self, cohort: Cohort, scans: Scans) -> NDArray[Any]:
        if self.batches_ is None:
            return super()._apply(cohort, scans)
        model = of_cells(self.model_, self._cells(cohort).members)
        with infinities_named(cohort.index, self._names):
            return harmonize(cohort.table, scans, model, n_jobs=self.n_jobs)

    def adapt(
        self,
        X: Any,
        *,
        sites: Any,
        covariates: pd.DataFrame | None = None,
        prior: Literal["own", "training"] = "own",
    ) -> Self:
        """Learn new sites; what is known about the others does not move.

        Parameters
        ----------
        X : DataFrame or array of shape (n_scans, n_features)
            Measures of sites the model does not know.
        sites : Series or sequence of shape (n_scans,)
            Site of each scan.
        covariates : DataFrame of shape (n_scans, n_covariates), optional
            Columns named in `preserve` and `remove`.
        prior : {"own", "training"}
            Shrink towards the new site's own features, as ComBatFamily's predict does, or
            towards what the training sites show; better below some ten scans.

        Returns
        -------
        ComBat
            A new model that knows old and new sites.

        Raises
        ------
        DataError
            If a site is known already or has too few scans.
        """
        check_is_fitted(self, "model_")
        checks.require_one_batch(self)
        return self._learn_sites(self._read(X, sites, covariates, reset=False), prior)

    def _learn_sites(self, cohort: Cohort, prior: Literal["own", "training"] = "training") -> Self:
        def moments_of(scans: Scans) -> Moments:
            with infinities_named(cohort.index, self._names):
                return collect(cohort.table, scans)

        return self._learn_sites_from(moments_of, cohort.sites, cohort.covariates, prior)

    def _learn_sites_from(
        self,
        moments_of: Callable[[Scans], Moments],
        sites: NDArray[np.object_],
        covariates: pd.DataFrame | None,
        prior: Literal["own", "training"],
    ) -> Self:
        """Learn new sites from moments, wherever they come from."""
        names, codes, sizes = np.unique(sites, return_inverse=True, return_counts=True)
        checks.require_new_sites(self, names.tolist(), sizes, prior)
        matrix = self._matrix(covariates, len(codes), check_range=True)
        moments = moments_of(Scans.group(codes, len(names), matrix))
        if prior == "own":
            n_active = self.n_features_in_ - len(self.passed_through_)
            how, fixed = self._shrinkage(n_active), self._scale_fixed(moments.count)
            effects = estimate_alone(self.model_, moments, how, fixed)
        else:
            effects = estimate_like_training(
                self.model_,
                moments,
                to_fixed_point=self.convergence == "full",
                mean_only=self.mean_only,
            )
        adapted = copy.copy(self)
        adapted.sites_ = [*self.sites_, *names.tolist()]
        adapted.scans_per_site_ = self.scans_per_site_ | dict(
            zip(names.tolist(), sizes.tolist(), strict=True)
        )
        adapted.model_ = replace(self.model_, effects=self.model_.effects.append(effects))
        return adapted
