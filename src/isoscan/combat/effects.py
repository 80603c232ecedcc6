"""Raw site effects, and how they become the estimates that are applied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.blocks import run_parallel
from isoscan.combat.particles import needs_approximation, shrink_by_particles
from isoscan.combat.priors import (
    Prior,
    SquaresAbout,
    fit_prior,
    posterior_errors,
    shrink,
    shrink_shift_only,
    shrink_simultaneously,
)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Shrinkage:
    """How raw site effects become the estimates that are applied.

    Attributes
    ----------
    prior : str or None
        "parametric" for empirical Bayes with a normal and an inverse gamma distribution,
        "nonparametric" with the other features as prior, None to use raw estimates.
    to_fixed_point : bool
        Iterate to the fixed point instead of the reference's stop; parametric only.
    sweeps : int, optional
        So many simultaneous sweeps instead of iterating to a stop, as longCombat does.
    """

    prior: str | None = "parametric"
    to_fixed_point: bool = False
    sweeps: int | None = None


@dataclass(frozen=True)
class SiteEffects:
    """Raw and shrunken shift and variance of every site and feature.

    Attributes
    ----------
    raw_shift, raw_variance : ndarray of shape (n_sites, n_features)
        Mean and variance of standardized residuals.
    shift, variance : ndarray of shape (n_sites, n_features)
        Posterior estimates, the ones that are applied.
    count : ndarray of shape (n_sites, 1 or n_features)
        Scans behind each estimate.
    priors : list of Prior or None
        One per site; None where no distribution was fitted.
    scale_fixed : ndarray of bool, shape (n_sites,)
        Sites whose scale is left alone.
    """

    SHAPES: ClassVar[dict[str, tuple[str, ...]]] = {
        **dict.fromkeys(("raw_shift", "raw_variance", "shift", "variance"), ("sites", "features")),
        "count": ("sites", "features|1"),
        "priors": ("sites", "prior"),
        "scale_fixed": ("sites",),
    }
    raw_shift: Array
    raw_variance: Array
    shift: Array
    variance: Array
    count: Array
    priors: list[Prior | None]
    scale_fixed: NDArray[np.bool_]

    def errors(self, sites: slice = slice(None)) -> tuple[Array, Array]:
        """Posterior standard errors of shift and scale.

        Sites without a fitted distribution, the non-parametric ones among them, get the
        errors that their scans alone would leave.

        Parameters
        ----------
        sites : slice
            Some of the sites.

        Returns
        -------
        shift_error, scale_error : ndarray of shape (n_sites, n_features)
            In residual standard deviations, and as a ratio.
        """
        spread = np.array([np.inf if p is None else p.shift_variance for p in self.priors])
        shape = np.array([1.5 if p is None else p.shape for p in self.priors])
        shape[self.scale_fixed] = np.inf
        count = np.broadcast_to(self.count, self.shift.shape)[sites]
        priors = spread[sites, None], shape[sites, None]
        return posterior_errors(*priors, self.variance[sites], count)

    def append(self, other: SiteEffects) -> SiteEffects:
        """Put the effects of other sites behind these.

        Parameters
        ----------
        other : SiteEffects
            Effects of other sites on the same features.

        Returns
        -------
        SiteEffects
            Effects of all sites.
        """
        width = max(self.count.shape[1], other.count.shape[1])

        def stack(first: Array, second: Array) -> Array:
            return np.concatenate([first, second])

        return SiteEffects(
            stack(self.raw_shift, other.raw_shift),
            stack(self.raw_variance, other.raw_variance),
            stack(self.shift, other.shift),
            stack(self.variance, other.variance),
            stack(
                np.broadcast_to(self.count, (len(self.count), width)),
                np.broadcast_to(other.count, (len(other.count), width)),
            ),
            [*self.priors, *other.priors],
            np.concatenate([self.scale_fixed, other.scale_fixed]),
        )


def shrink_sites(
    shift: Array,
    variance: Array,
    count: Array,
    active: NDArray[np.bool_],
    how: Shrinkage,
    *,
    scale_fixed: NDArray[np.bool_],
    skip: int | None = None,
    priors: list[Prior] | None = None,
    squares_about: Callable[[int, NDArray[np.intp]], SquaresAbout] | None = None,
    n_jobs: int | None = None,
) -> SiteEffects:
    """Turn raw shifts and variances into the estimates that are applied.

    Parameters
    ----------
    shift, variance : ndarray of shape (n_sites, n_features)
        Raw estimates.
    count : ndarray of shape (n_sites, 1 or n_features)
        Scans behind them.
    active : ndarray of bool, shape (n_features,)
        Features that vary; the others take no part in the priors and keep 0 and 1.
    how : Shrinkage
        Kind of prior.
    scale_fixed : ndarray of bool, shape (n_sites,)
        Sites whose scale is left alone.
    skip : int, optional
        Reference site: no shift, no change of scale.
    priors : list of Prior, optional
        Given priors instead of each site's own.
    squares_about : callable, optional
        Takes a site and the numbers of the active features; gives the sum of squares about
        a centre where that is not what moments say (robust variances).
    n_jobs : int, optional
        Number of threads.

    Returns
    -------
    SiteEffects
        Raw and shrunken estimates.
    """
    n_sites, n_features = shift.shape
    columns = slice(None) if active.all() else np.flatnonzero(active)
    result_shift, result_variance = np.zeros((n_sites, n_features)), np.ones((n_sites, n_features))
    used: list[Prior | None] = [None] * n_sites
    by_particles = how.prior == "nonparametric"
    approximate = by_particles and needs_approximation(int(active.sum()))

    def shrink_site(site: int) -> None:
        if site == skip:
            return
        raw = _Raw(
            shift[site, columns],
            variance[site, columns],
            count[site] if count.shape[1] == 1 else count[site, columns],
            bool(scale_fixed[site]),
        )
        if how.prior is None:
            found = raw.shift, np.ones_like(raw.shift) if raw.scale_fixed else raw.variance
        elif by_particles:
            found = shrink_by_particles(
                raw.shift,
                raw.variance,
                raw.count,
                scale_fixed=raw.scale_fixed,
                approximate=approximate,
                n_jobs=n_jobs,
            )
        else:
            prior = priors[site] if priors else raw.own_prior()
            about = squares_about and squares_about(site, np.flatnonzero(active))
            used[site], found = prior, raw.shrunken(prior, how, about)
        result_shift[site, columns], result_variance[site, columns] = found

    # Particles keep all threads busy within a site.
    run_parallel(shrink_site, range(n_sites), 1 if by_particles else n_jobs)
    return SiteEffects(shift, variance, result_shift, result_variance, count, used, scale_fixed)


@dataclass(frozen=True)
class _Raw:
    """Raw estimates of one site."""

    shift: Array
    variance: Array
    count: Array
    scale_fixed: bool

    def own_prior(self) -> Prior:
        """Fit the prior to the features of the site itself."""
        return fit_prior(
            self.shift, np.ones_like(self.shift) if self.scale_fixed else self.variance
        )

    def shrunken(
        self, prior: Prior, how: Shrinkage, squares_about: SquaresAbout | None
    ) -> tuple[Array, Array]:
        """Posterior shifts and variances by parametric empirical Bayes."""
        if self.scale_fixed:
            return shrink_shift_only(self.shift, prior), np.ones_like(self.shift)
        if how.sweeps is not None and not how.to_fixed_point:
            return shrink_simultaneously(
                self.shift, self.variance, self.count, prior, n_sweeps=how.sweeps
            )
        return shrink(
            self.shift,
            self.variance,
            self.count,
            prior,
            to_fixed_point=how.to_fixed_point,
            squares_about=squares_about,
        )
