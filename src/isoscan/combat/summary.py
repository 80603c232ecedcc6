"""Fitted numbers as tidy tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from isoscan.combat.model import SiteModel


def site_effects_frame(
    model: SiteModel, sites: Sequence[str], features: Sequence[str]
) -> pd.DataFrame:
    """One row per site and feature.

    Parameters
    ----------
    model : SiteModel
        Fitted numbers.
    sites : sequence of str
        Site labels.
    features : sequence of str
        Feature names.

    Returns
    -------
    DataFrame
        Columns site, feature, shift, scale, raw_shift, raw_scale, shift_se, scale_se, n.
        Shifts are in residual standard deviations, scales are ratios of standard deviations.
    """
    effects = model.effects
    shift_error, scale_error = effects.errors()
    untouched = np.broadcast_to(model.passed_through, effects.shift.shape).copy()
    if model.reference is not None:
        untouched[model.reference] = True
    shape = effects.shift.shape
    return pd.DataFrame(
        {
            "site": np.repeat(np.asarray(sites, dtype=object), shape[1]),
            "feature": np.tile(np.asarray(features, dtype=object), shape[0]),
            "shift": effects.shift.ravel(),
            "scale": np.sqrt(effects.variance).ravel(),
            "raw_shift": effects.raw_shift.ravel(),
            "raw_scale": np.sqrt(effects.raw_variance).ravel(),
            "shift_se": np.where(untouched, 0.0, shift_error).ravel(),
            "scale_se": np.where(untouched, 0.0, scale_error).ravel(),
            "n": np.broadcast_to(effects.count, shape).astype(int).ravel(),
        }
    )


def coefficients_frame(
    model: SiteModel, columns: Sequence[str], features: Sequence[str]
) -> pd.DataFrame:
    """One row per feature: what is expected of it.

    Parameters
    ----------
    model : SiteModel
        Fitted numbers.
    columns : sequence of str
        Names of the design columns.
    features : sequence of str
        Feature names.

    Returns
    -------
    DataFrame
        Columns intercept, one per design column, and residual_sd; in units of the feature.
    """
    return pd.DataFrame(
        {
            "intercept": model.intercept,
            **dict(zip(columns, model.slopes, strict=True)),
            "residual_sd": model.sd,
        },
        index=pd.Index(features, name="feature"),
    )


def priors_frame(model: SiteModel, sites: Sequence[str]) -> pd.DataFrame:
    """One row per site: the distribution its effects are shrunk to.

    Parameters
    ----------
    model : SiteModel
        Fitted numbers.
    sites : sequence of str
        Site labels.

    Returns
    -------
    DataFrame
        Columns shift_mean, shift_variance (normal), shape, rate (inverse gamma); the
        literature's gamma bar, tau squared, a and b. NaN without a prior.
    """
    names = ["shift_mean", "shift_variance", "shape", "rate"]
    rows = [
        [np.nan] * 4 if prior is None else [getattr(prior, name) for name in names]
        for prior in model.effects.priors
    ]
    return pd.DataFrame(rows, index=pd.Index(sites, name="site"), columns=names)
