"""What all estimators of the family share: bring inputs together, fit, apply."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from isoscan.combat import checks
from isoscan.combat.apply import harmonize
from isoscan.combat.cohort import Cohort
from isoscan.combat.curves import Curves, curve_frame
from isoscan.combat.effects import Shrinkage, SiteEffects, shrink_sites
from isoscan.combat.fitted import FittedSites
from isoscan.combat.inputs import (
    infinities_named,
    match_batches,
    match_features,
    match_rows,
    require_numeric,
)
from isoscan.combat.model import SiteModel, fit_deviations
from isoscan.combat.moments import Moments, Scans, collect
from isoscan.combat.newsites import shared_noise
from isoscan.combat.participation import require_no_leak, scans_to_fit
from isoscan.combat.regression import Deviations
from isoscan.combat.robust import robust_deviations
from isoscan.combat.smooth import Penalty
from isoscan.combat.training import Training
from isoscan.design import Design, SmoothDesign, require_identifiable
from isoscan.labels import warn_of_lookalikes


class SiteHarmonizer(FittedSites, OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Fit and apply; a method says how site effects are estimated and removed.

    By default they are estimated from moments and removed by one affine map per site and
    feature.
    """

    def fit(
        self, X: Any, y: Any = None, *, sites: Any = None, covariates: pd.DataFrame | None = None
    ) -> Self:
        """Estimate the site effects.

        Parameters
        ----------
        X : DataFrame or array of shape (n_scans, n_features)
            Measures; NaN where missing.
        y : array-like, optional
            What will be predicted from the measures; only compared with the covariates, so
            that the answer is not preserved in the question.
        sites : Series or sequence of shape (n_scans,)
            Site of each scan; matched to a frame by index, to an array by position. Needed.
        covariates : DataFrame of shape (n_scans, n_covariates), optional
            Columns named in the formulas.

        Returns
        -------
        estimator
            The fitted model.

        Raises
        ------
        DataError
            If the data cannot be harmonized as they are; the message says why.
        """
        self._fit_cohort(X, y, sites, covariates)
        return self

    def transform(
        self, X: Any, *, sites: Any = None, covariates: pd.DataFrame | None = None
    ) -> Any:
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
            Columns named in the formulas.

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
        cohort = self._read(X, sites, covariates, reset=False)
        model = self._with_unknown_sites(cohort)
        scans = model._scans(cohort, check_range=True)
        return self._like(X, model._apply(cohort, scans))

    def fit_transform(
        self, X: Any, y: Any = None, *, sites: Any = None, covariates: pd.DataFrame | None = None
    ) -> Any:
        """Estimate the site effects and take them out of the same measures.

        Parameters
        ----------
        X : DataFrame or array of shape (n_scans, n_features)
            Measures; NaN where missing.
        y : array-like, optional
            What will be predicted from the measures, see `fit`.
        sites : Series or sequence of shape (n_scans,)
            Site of each scan.
        covariates : DataFrame of shape (n_scans, n_covariates), optional
            Columns named in the formulas.

        Returns
        -------
        DataFrame or ndarray of shape (n_scans, n_features)
            Harmonized measures.
        """
        cohort, scans = self._fit_cohort(X, y, sites, covariates)
        if len(scans.order) < len(cohort.table):
            return self.transform(X, sites=sites, covariates=covariates)
        return self._like(X, self._apply(cohort, scans))

    def _read(self, X: Any, sites: Any, covariates: Any, *, reset: bool) -> Cohort:
        X = require_numeric(X)
        if not reset:
            X = match_features(X, getattr(self, "feature_names_in_", None))
        batches = None
        if self.TAKES_BATCHES:
            batches, sites = match_batches(X, sites)
        labels, covariates = match_rows(X, sites, covariates)
        table = validate_data(
            self,
            X,
            reset=reset,
            dtype=[np.float64, np.float32],
            ensure_all_finite=False,
            ensure_min_samples=2 if reset else 1,
        )
        index = getattr(X, "index", None)
        return Cohort(np.asarray(table), labels, covariates, index, batches)

    def _like(self, X: Any, result: NDArray[Any]) -> Any:
        """A frame with the columns in the order of `X` if that is one."""
        if not isinstance(X, pd.DataFrame):
            return result
        trained = getattr(self, "feature_names_in_", X.columns.astype(str))
        if list(trained) == list(X.columns):
            return pd.DataFrame(result, index=X.index, columns=X.columns)
        names = X.columns.astype(str)
        order = pd.Index(trained).get_indexer(names)
        return pd.DataFrame(result[:, order], index=X.index, columns=X.columns)

    def _fit_cohort(self, X: Any, y: Any, sites: Any, covariates: Any) -> tuple[Cohort, Scans]:
        """Learn; return all scans, and those that took part, grouped by site."""
        checks.require_options(self)
        everyone = self._read(X, sites, covariates, reset=True)
        warn_of_lookalikes(everyone.sites)
        require_no_leak(self, y, everyone.covariates)
        kept = scans_to_fit(self, everyone)
        cohort = everyone if kept.all() else everyone.at(kept)
        with infinities_named(cohort.index, self._names):
            scans = self._learn_designs(cohort)
            self.model_ = self._estimate(cohort, scans)
        self.passed_through_ = self._names(self.model_.passed_through)
        return everyone, scans

    def _learn_scans(
        self, sites: NDArray[np.object_], covariates: pd.DataFrame | None
    ) -> tuple[NDArray[np.intp], Scans]:
        """Learn from everything but the measures: rows that take part, grouped by site.

        The measures may follow as moments, see `_estimate_from`.
        """
        checks.require_options(self)
        everyone = Cohort(np.empty((len(sites), 0)), sites, covariates, None)
        warn_of_lookalikes(sites)
        kept = scans_to_fit(self, everyone)
        return np.flatnonzero(kept), self._learn_designs(everyone.at(kept))

    def _learn_designs(self, cohort: Cohort) -> Scans:
        self._learn_sites_of(cohort)
        n_scans = len(cohort.sites)
        self.preserve_design_, kept = Design.learn(self.preserve, cohort.covariates, n_scans)
        self.remove_design_, removed = Design.learn(self.remove, cohort.covariates, n_scans)
        self.smooth_design_ = SmoothDesign.fit(
            self.smooth,
            cohort.covariates,
            bounds=self.smooth_bounds,
            outside=self.smooth_outside,
            beside=self.preserve_design_,
        )
        curves = self.smooth_design_.matrix(cohort.covariates, n_scans=n_scans)
        matrix = np.hstack([kept, curves, removed])
        self._require_identifiable(cohort, matrix)
        return self._group(cohort, matrix)

    def _learn_sites_of(self, cohort: Cohort) -> None:
        codes, names = pd.factorize(cohort.sites, sort=True)
        self.sites_ = names.tolist()
        self.scans_per_site_ = dict(zip(self.sites_, np.bincount(codes).tolist(), strict=True))
        checks.require_sites(self)

    def _require_identifiable(self, cohort: Cohort, matrix: NDArray[np.float64]) -> None:
        """Of a curve, only the straight line must be told apart from everything else."""
        n_preserved, n_removed = (
            len(design.columns) for design in (self.preserve_design_, self.remove_design_)
        )
        lines, columns = self.smooth_design_.lines(cohort.covariates, len(matrix))
        plain = self.preserve_design_.join(lines).join(self.remove_design_)
        parts = [matrix[:, :n_preserved], columns, matrix[:, matrix.shape[1] - n_removed :]]
        require_identifiable(np.hstack(parts), plain, cohort.sites, cohort.covariates)

    def _scans(self, cohort: Cohort, *, check_range: bool = False) -> Scans:
        """Scans grouped by the sites of the model; those of other sites come last."""
        matrix = self._matrix(cohort.covariates, len(cohort.sites), check_range=check_range)
        return self._group(cohort, matrix)

    def _group(self, cohort: Cohort, matrix: NDArray[np.float64]) -> Scans:
        codes = pd.Index(self.sites_).get_indexer(pd.Index(cohort.sites))
        others = codes < 0
        codes[others] = len(self.sites_)
        return Scans.group(codes, len(self.sites_) + int(others.any()), matrix)

    def _estimate(self, cohort: Cohort, scans: Scans) -> SiteModel:
        """Estimate what is expected, and how sites deviate; refuse and warn."""
        table = cohort.table
        model = self._estimate_from(
            lambda block: collect(table[:, block], scans, first_column=block.start),
            Training.of(scans, self._penalties()),
            table.shape[1],
            table.dtype,
            partial(robust_deviations, table, scans) if self.robust else None,
        )
        return replace(model, shared_noise=shared_noise(table, scans, model))

    def _estimate_from(
        self,
        moments_of: Callable[[slice], Moments],
        training: Training,
        n_features: int,
        dtype: np.dtype[Any],
        robust: Callable[..., tuple[Deviations, Any]] | None = None,
    ) -> SiteModel:
        """Estimate from moments, wherever they come from."""
        reference = checks.reference_position(self)
        deviations, constant = fit_deviations(
            moments_of,
            training.per_site,
            n_features,
            reference=reference,
            tolerance=checks.noise_tolerance(dtype),
            penalties=self._penalties(),
            n_jobs=self.n_jobs,
        )
        about = None
        if robust is not None:
            deviations, about = robust(deviations, reference=reference, n_jobs=self.n_jobs)
        checks.require_variation(self, deviations, constant)
        effects = self._shrink(deviations, reference, about)
        checks.warn_of_data(self, deviations, constant, int(training.per_site.sum()), dtype)
        return self._site_model(deviations, effects, training, reference)

    def _site_model(
        self,
        deviations: Deviations,
        effects: SiteEffects,
        training: Training,
        reference: int | None,
    ) -> SiteModel:
        n_kept = len(training.mean) - len(self.remove_design_.columns)
        return SiteModel(
            intercept=deviations.intercept,
            slopes=deviations.slopes,
            sd=deviations.sd,
            removed=np.arange(len(training.mean)) >= n_kept,
            removed_mean=training.mean,
            effects=effects,
            reference=reference,
            curves=Curves.of(deviations.smooth, training),
        )

    def curve(
        self,
        covariate: str,
        feature: str,
        *,
        at: Sequence[float] | None = None,
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Draw a fitted curve as a table, with a confidence band.

        Parameters
        ----------
        covariate : str
            A covariate named in `smooth`.
        feature : str
            A feature.
        at : sequence of float, optional
            Values of the covariate; by default 100 between the bounds of the curve.
        level : float
            Coverage of the band, pointwise.

        Returns
        -------
        DataFrame
            Columns: the covariate, the level of a by-factor, value, low, high, se. Curves
            average 0 over the training scans, in the unit of the feature.

        Raises
        ------
        DataError
            If there is no such curve or feature.
        """
        check_is_fitted(self, "model_")
        return curve_frame(self, covariate, feature, at=at, level=level)

    def _penalties(self) -> list[Penalty]:
        start = len(self.preserve_design_.columns)
        design = self.smooth_design_
        return [
            Penalty(slice(part.start + start, part.stop + start), spline.penalty())
            for spline, part in zip(design.splines, design.parts, strict=True)
        ]

    def _shrink(
        self, deviations: Deviations, reference: int | None, about: Any = None
    ) -> SiteEffects:
        active = deviations.sd > 0
        return shrink_sites(
            deviations.shift,
            deviations.variance,
            deviations.count,
            active,
            self._shrinkage(int(active.sum())),
            scale_fixed=self._scale_fixed(deviations.count),
            skip=reference,
            squares_about=about,
            n_jobs=self.n_jobs,
        )

    def _shrinkage(self, n_active: int) -> Shrinkage:
        prior = checks.usable_prior(self.prior, n_active)
        return Shrinkage(prior, to_fixed_point=self.convergence == "full")

    def _scale_fixed(self, scans: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Sites whose scale is left alone: all, or those with a single scan."""
        return np.asarray(self.mean_only | (scans.max(axis=1) < 2))

    def _with_unknown_sites(self, cohort: Cohort) -> Self:
        """The model itself, or one that also knows the new sites of this call."""
        unknown = self._unknown(cohort)
        if not unknown.any():
            return self
        checks.answer_unknown_sites(self, cohort.sites, unknown)
        return self if self.unknown_sites == "skip" else self._learn_sites(cohort.at(unknown))

    def _unknown(self, cohort: Cohort) -> NDArray[np.bool_]:
        return np.asarray(pd.Index(self.sites_).get_indexer(pd.Index(cohort.sites)) < 0)

    def _learn_sites(self, cohort: Cohort) -> Self:
        raise NotImplementedError

    def _apply(self, cohort: Cohort, scans: Scans) -> NDArray[Any]:
        with infinities_named(cohort.index, self._names):
            return harmonize(cohort.table, scans, self.model_, n_jobs=self.n_jobs)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
