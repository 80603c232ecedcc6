"""ComBat as a scikit-learn estimator."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from isoscan.combat import checks
from isoscan.combat.apply import harmonize
from isoscan.combat.effects import Shrinkage, shrink_sites
from isoscan.combat.fitted import FittedSites
from isoscan.combat.inputs import (
    infinities_named,
    match_features,
    match_rows,
    require_numeric,
)
from isoscan.combat.model import SiteModel, fit_deviations
from isoscan.combat.moments import Scans, collect
from isoscan.combat.newsites import estimate_alone, estimate_like_training, shared_noise
from isoscan.combat.regression import Deviations
from isoscan.design import Design, require_identifiable
from isoscan.labels import warn_of_lookalikes


class ComBat(FittedSites, OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
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
    prior : {"parametric", None}
        Empirical Bayes, or None for each site's raw estimates.
    mean_only : bool
        Correct shifts only.
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

    def __init__(
        self,
        preserve: str | None = None,
        *,
        remove: str | None = None,
        prior: Literal["parametric"] | None = "parametric",
        mean_only: bool = False,
        reference: str | None = None,
        unknown_sites: Literal["error", "estimate", "skip"] = "error",
        small_sites: Literal["error", "mean-only", "drop"] = "error",
        single_site: Literal["error", "pass"] = "error",
        convergence: Literal["reference", "full"] = "reference",
        n_jobs: int | None = None,
    ) -> None:
        self.preserve = preserve
        self.remove = remove
        self.prior = prior
        self.mean_only = mean_only
        self.reference = reference
        self.unknown_sites = unknown_sites
        self.small_sites = small_sites
        self.single_site = single_site
        self.convergence = convergence
        self.n_jobs = n_jobs

    def fit(
        self, X: Any, y: Any = None, *, sites: Any, covariates: pd.DataFrame | None = None
    ) -> Self:
        """Estimate the site effects.

        Parameters
        ----------
        X : DataFrame or array of shape (n_scans, n_features)
            Measures; NaN where missing.
        y : None
            Ignored.
        sites : Series or sequence of shape (n_scans,)
            Site of each scan; matched to a frame by index, to an array by position.
        covariates : DataFrame of shape (n_scans, n_covariates), optional
            Columns named in `preserve` and `remove`.

        Returns
        -------
        ComBat
            The fitted model.

        Raises
        ------
        DataError
            If the data cannot be harmonized as they are; the message says why.
        """
        checks.require_options(self)
        X = require_numeric(X)
        labels, covariates = match_rows(X, sites, covariates)
        table = self._validated(X, reset=True)
        warn_of_lookalikes(labels)
        kept = checks.scans_to_fit(labels, self.small_sites, mean_only=self.mean_only)
        if not kept.all():
            table, labels = table[kept], labels[kept]
            covariates = None if covariates is None else covariates[kept]
        index = X.index[kept] if isinstance(X, pd.DataFrame) else None
        with infinities_named(index, self._names):
            self._fit(table, labels, covariates)
        return self

    def _fit(
        self,
        table: NDArray[Any],
        labels: NDArray[np.object_],
        covariates: pd.DataFrame | None,
    ) -> None:
        names, codes = np.unique(labels, return_inverse=True)
        self.sites_: list[str] = names.tolist()
        self.scans_per_site_ = dict(zip(self.sites_, np.bincount(codes).tolist(), strict=True))
        checks.require_sites(self)
        self.preserve_design_ = Design.fit(self.preserve, covariates)
        self.remove_design_ = Design.fit(self.remove, covariates)
        matrix = self._matrix(covariates, len(labels))
        both = self.preserve_design_.join(self.remove_design_)
        require_identifiable(matrix, both, labels, covariates)
        scans = Scans.group(codes, len(self.sites_), matrix)
        reference = checks.reference_position(self)
        tolerance = checks.noise_tolerance(table.dtype)
        deviations, constant = fit_deviations(
            lambda block: collect(table[:, block], scans, first_column=block.start),
            scans.per_site,
            table.shape[1],
            reference=reference,
            tolerance=tolerance,
            n_jobs=self.n_jobs,
        )
        checks.require_variation(self, deviations, constant)
        self.passed_through_ = self._names(deviations.sd == 0)
        self.model_ = self._shrunken(deviations, matrix, reference)
        self.model_ = replace(self.model_, shared_noise=shared_noise(table, scans, self.model_))
        checks.warn_of_data(self, deviations, constant, table)

    def _shrunken(
        self,
        deviations: Deviations,
        matrix: NDArray[np.float64],
        reference: int | None,
    ) -> SiteModel:
        active = deviations.sd > 0
        effects = shrink_sites(
            deviations.shift,
            deviations.variance,
            deviations.count,
            active,
            self._shrinkage(),
            scale_fixed=self._scale_fixed(deviations.count),
            skip=reference,
            n_jobs=self.n_jobs,
        )
        n_preserved = len(self.preserve_design_.columns)
        return SiteModel(
            intercept=deviations.intercept,
            slopes=deviations.slopes,
            sd=deviations.sd,
            removed=np.arange(matrix.shape[1]) >= n_preserved,
            removed_mean=matrix.mean(axis=0),
            effects=effects,
            reference=reference,
        )

    def _shrinkage(self) -> Shrinkage:
        prior = checks.usable_prior(self.prior, self.n_features_in_ - len(self.passed_through_))
        return Shrinkage(prior, to_fixed_point=self.convergence == "full")

    def _scale_fixed(self, scans: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Sites whose scale is left alone: all, or those with a single scan."""
        return np.asarray(self.mean_only | (scans.max(axis=1) < 2))

    def transform(self, X: Any, *, sites: Any, covariates: pd.DataFrame | None = None) -> Any:
        """Take the estimated site effects out of measures.

        Every scan is treated on its own: alone or in bulk, in any order, the result is
        the same to the last bit.

        Parameters
        ----------
        X : DataFrame or array of shape (n_scans, n_features)
            Measures of known sites; columns of a frame are matched by name.
        sites : Series or sequence of shape (n_scans,)
            Site of each scan.
        covariates : DataFrame of shape (n_scans, n_covariates), optional
            Columns named in `preserve` and `remove`.

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
        check_is_fitted(self, "model_")
        ordered = match_features(require_numeric(X), getattr(self, "feature_names_in_", None))
        labels, covariates = match_rows(X, sites, covariates)
        table = self._validated(ordered, reset=False)
        model = self._with_unknown_sites(ordered, labels, covariates)
        codes = pd.Index(model.sites_).get_indexer(pd.Index(labels))
        matrix = self._matrix(covariates, len(labels), check_range=True)
        codes[codes < 0] = len(model.sites_)
        scans = Scans.group(codes, len(model.sites_) + 1, matrix)
        with infinities_named(getattr(X, "index", None), self._names):
            result = harmonize(table, scans, model.model_, n_jobs=self.n_jobs)
        if not isinstance(X, pd.DataFrame):
            return result
        return pd.DataFrame(result, index=X.index, columns=ordered.columns)[list(X.columns)]

    def fit_transform(
        self, X: Any, y: Any = None, *, sites: Any, covariates: pd.DataFrame | None = None
    ) -> Any:
        """Estimate the site effects and take them out of the same measures.

        Parameters
        ----------
        X : DataFrame or array of shape (n_scans, n_features)
            Measures; NaN where missing.
        y : None
            Ignored.
        sites : Series or sequence of shape (n_scans,)
            Site of each scan.
        covariates : DataFrame of shape (n_scans, n_covariates), optional
            Columns named in `preserve` and `remove`.

        Returns
        -------
        DataFrame or ndarray of shape (n_scans, n_features)
            Harmonized measures.
        """
        return self.fit(X, sites=sites, covariates=covariates).transform(
            X, sites=sites, covariates=covariates
        )

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
        ordered = match_features(require_numeric(X), getattr(self, "feature_names_in_", None))
        labels, covariates = match_rows(X, sites, covariates)
        table = self._validated(ordered, reset=False)
        names, codes = np.unique(labels, return_inverse=True)
        checks.require_new_sites(self, names.tolist(), np.bincount(codes), prior)
        matrix = self._matrix(covariates, len(labels), check_range=True)
        scans = Scans.group(codes, len(names), matrix)
        with infinities_named(getattr(X, "index", None), self._names):
            moments = collect(table, scans)
        if prior == "own":
            effects = estimate_alone(
                self.model_, moments, self._shrinkage(), self._scale_fixed(moments.count)
            )
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
            zip(names.tolist(), np.bincount(codes).tolist(), strict=True)
        )
        adapted.model_ = replace(self.model_, effects=self.model_.effects.append(effects))
        return adapted

    def _with_unknown_sites(
        self, X: Any, labels: NDArray[np.object_], covariates: pd.DataFrame | None
    ) -> ComBat:
        """The model itself, or one that also knows the new sites of this call."""
        unknown = pd.Index(self.sites_).get_indexer(pd.Index(labels)) < 0
        if not unknown.any():
            return self
        checks.answer_unknown_sites(self, labels, unknown)
        if self.unknown_sites == "skip":
            return self
        rows = np.flatnonzero(unknown)
        return self.adapt(
            X.iloc[rows] if isinstance(X, pd.DataFrame) else np.asarray(X)[rows],
            sites=pd.Series(labels[rows], index=X.index[rows])
            if isinstance(X, pd.DataFrame)
            else labels[rows],
            covariates=None if covariates is None else covariates.iloc[rows],
            prior="training",
        )

    def _validated(self, X: Any, *, reset: bool) -> NDArray[Any]:
        return np.asarray(
            validate_data(
                self,
                X,
                reset=reset,
                dtype=[np.float64, np.float32],
                ensure_all_finite=False,
                ensure_min_samples=2 if reset else 1,
            )
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
