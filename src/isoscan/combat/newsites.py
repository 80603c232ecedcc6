"""Estimate sites that did not take part in training, leaving the others as they are.

A new site is compared with what training expects. How much its own deviations
are trusted depends on the prior: fitted to the new site's own features, as
ComBatFamily's ``predict`` does, or to the deviations of the training sites. With
few scans the first takes noise for site effect. The second knows how large the
effects of a site are, on all features together and on single ones, and how large
noise is; it also knows that noise of different features is correlated, so that a
hundred regions of three scans are not three hundred scans.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.effects import Shrinkage, SiteEffects, shrink_sites
from isoscan.combat.model import SiteModel
from isoscan.combat.moments import Moments, Scans
from isoscan.combat.priors import Prior, prior_from_moments
from isoscan.combat.regression import deviations_of_new_sites

Array = NDArray[np.float64]

MOST_FEATURES, MOST_CELLS = 256, 1 << 20
"""Features, and cells of the table, from which the correlation of the noise is measured."""


def shared_noise(table: NDArray[Any], scans: Scans, model: SiteModel) -> float:
    """Mean correlation of the residuals of different features, itself included.

    It is the variance, within sites, of each scan's mean standardized residual.

    Parameters
    ----------
    table : ndarray of shape (n_scans, n_features)
        Measures of the training scans.
    scans : Scans
        Rows grouped by site, with their covariates.
    model : SiteModel
        What is expected of the features, and their residual SD.

    Returns
    -------
    float
        Between 0 (independent noise of very many features) and about 1.
    """
    active = np.flatnonzero(~model.passed_through)
    if not active.size:
        return 1.0
    n_columns = min(active.size, MOST_FEATURES, max(MOST_CELLS // len(table), 32))
    columns = active[np.linspace(0, active.size - 1, n_columns).astype(int)]
    residuals = table[np.ix_(scans.order, columns)].astype(float)
    residuals -= model.intercept[columns]
    residuals -= scans.covariates @ model.slopes[:, columns]
    residuals /= model.sd[columns]
    missing = np.isnan(residuals)
    seen = np.maximum((~missing).sum(axis=1), 1)
    of_scan = np.where(missing, 0.0, residuals).sum(axis=1) / seen
    squares = sum(float(np.square(of_scan[r] - of_scan[r].mean()).sum()) for _, r in scans.present)
    degrees = len(of_scan) - len(scans.present)
    return squares / degrees if degrees > 0 else 1.0


@dataclass(frozen=True)
class Spread:
    """How a quantity varies: between sites, and between the features of a site.

    Attributes
    ----------
    centre : float
        Mean over sites.
    between : float
        Variance between sites of the mean over features.
    within : float
        Variance between features within a site.
    """

    centre: float
    between: float
    within: float

    @classmethod
    def of_sites(cls, values: Array, noise: Array, shared: float) -> Spread:
        """True spread of noisy estimates, one row per site and one column per feature.

        Noise has a part that all features share and a part of their own; both are known
        and subtracted. A tenth of the noise stays: site effects are small at worst.

        Parameters
        ----------
        values : ndarray of shape (n_sites, n_features)
            Raw estimates.
        noise : ndarray of shape (n_sites, n_features)
            Their sampling variances.
        shared : float
            Share of the noise that is common to all features.

        Returns
        -------
        Spread
            Of the true values.
        """
        mean = np.nanmean(values, axis=1)
        level = np.nanmean(noise, axis=1)
        own = np.nanvar(values, axis=1) - (1 - shared) * level
        centre = float(mean.mean())
        between = float(mean.var(ddof=1)) if len(mean) > 1 else centre**2
        floor = 0.1 * float(level.mean())
        return cls(
            centre,
            max(between - shared * float(level.mean()), shared * floor),
            max(float(own.mean()), floor),
        )

    def mean_given(self, observed: float, noise: float) -> float:
        """Guess a new site's mean over features from a noisy observation.

        Parameters
        ----------
        observed : float
            Mean over features of the raw estimates.
        noise : float
            Its sampling variance.

        Returns
        -------
        float
            Between what was observed and what is usual.
        """
        if not np.isfinite(observed) or not np.isfinite(noise):
            return self.centre
        weight = self.between / (self.between + noise)
        return weight * observed + (1 - weight) * self.centre


def estimate_alone(
    model: SiteModel, moments: Moments, how: Shrinkage, scale_fixed: NDArray[np.bool_]
) -> SiteEffects:
    """Estimate new sites, each with a prior fitted to its own features.

    Parameters
    ----------
    model : SiteModel
        Fitted numbers of the training sites.
    moments : Moments
        Moments of the new sites.
    how : Shrinkage
        Kind of prior.
    scale_fixed : ndarray of bool, shape (n_sites,)
        Sites whose scale is left alone.

    Returns
    -------
    SiteEffects
        Effects of the new sites.
    """
    shift, variance = deviations_of_new_sites(moments, model.intercept, model.slopes, model.sd)
    active = ~model.passed_through
    return shrink_sites(shift, variance, moments.count, active, how, scale_fixed=scale_fixed)


def estimate_like_training(
    model: SiteModel, moments: Moments, *, to_fixed_point: bool, mean_only: bool
) -> SiteEffects:
    """Estimate new sites with the prior of the training sites; one scan is enough.

    Parameters
    ----------
    model : SiteModel
        Fitted numbers of the training sites.
    moments : Moments
        Moments of the new sites.
    to_fixed_point : bool
        Iterate to the fixed point instead of the reference's stop.
    mean_only : bool
        Estimate shifts only.

    Returns
    -------
    SiteEffects
        Effects of the new sites.
    """
    shift, variance = deviations_of_new_sites(moments, model.intercept, model.slopes, model.sd)
    sizes = moments.count.max(axis=1)
    return shrink_sites(
        shift,
        variance,
        moments.count,
        ~model.passed_through,
        Shrinkage("parametric", to_fixed_point=to_fixed_point),
        scale_fixed=np.full(len(shift), mean_only),
        priors=[
            prior_from_training(model, *site) for site in zip(shift, variance, sizes, strict=True)
        ],
    )


def prior_from_training(model: SiteModel, shift: Array, variance: Array, n_scans: float) -> Prior:
    """Prior of one new site, from what the training sites show and its own mean.

    Parameters
    ----------
    model : SiteModel
        Fitted numbers of the training sites.
    shift, variance : ndarray of shape (n_features,)
        Raw estimates of the new site; NaN where there are too few scans.
    n_scans : float
        Number of scans of the new site.

    Returns
    -------
    Prior
        Where the new site's shifts and variances are expected.
    """
    active = ~model.passed_through
    shifts, variances = _spreads(model.effects, active, model.reference, model.shared_noise)
    shared = max(model.shared_noise, 1.0 / active.sum())
    level = variances.centre
    noise = shared * level / n_scans
    noise_of_variance = 2 * (shared * level) ** 2 / (n_scans - 1) if n_scans > 1 else np.inf
    return prior_from_moments(
        shifts.mean_given(float(np.nanmean(shift[active])), noise),
        shifts.within,
        variances.mean_given(_mean(variance[active]), noise_of_variance),
        variances.within,
    )


def _spreads(
    effects: SiteEffects, active: NDArray[np.bool_], skip: int | None, shared: float
) -> tuple[Spread, Spread]:
    keep = [site for site in range(len(effects.shift)) if site != skip]
    shift, variance = effects.raw_shift[keep][:, active], effects.raw_variance[keep][:, active]
    scans = np.broadcast_to(effects.count, effects.shift.shape)[keep][:, active]
    noise = variance / np.maximum(scans, 1.0)
    noise_of_variance = 2 * variance**2 / np.maximum(scans - 1.0, 1.0)
    measurable = scans.max(axis=1) > 1  # sites of one scan have no variance to learn from
    return (
        Spread.of_sites(shift[measurable], noise[measurable], shared),
        Spread.of_sites(variance[measurable], noise_of_variance[measurable], shared**2),
    )


def _mean(values: Array) -> float:
    seen = values[~np.isnan(values)]
    return float(seen.mean()) if seen.size else np.nan
