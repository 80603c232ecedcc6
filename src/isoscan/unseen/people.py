"""What corrections of unknown scanners leave of people: their spread, and their biology."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.unseen.learning import people_kept
from isoscan.unseen.profile import within_groups
from isoscan.unseen.reading import Residuals

Array = NDArray[np.float64]


def learn_people(
    rest: Residuals,
    corrections: Array,
    scanners: NDArray[np.intp],
    covariates: pd.DataFrame | None,
) -> pd.DataFrame:
    """Compare people of one scanner before and after corrections.

    Parameters
    ----------
    rest : Residuals
        Measures and their deviations.
    corrections : ndarray of shape (n_scans, n_features)
        Of scans whose scanner was left out, in residual standard deviations.
    scanners : ndarray of int, shape (n_scans,)
        Scanner of each scan, from 0.
    covariates : DataFrame or None
        What is known of the people.

    Returns
    -------
    DataFrame
        One row per quantity, with its share kept: correlation and spread of people within
        scanners; and for each numeric or two-valued covariate, the share of its effects
        within scanners (over features, weighted by their size).
    """
    shares = share_of_people(rest, corrections, covariates, scanners)
    return pd.DataFrame({"kept": shares}).rename_axis("what")


def share_of_people(
    rest: Residuals,
    corrections: Array,
    covariates: pd.DataFrame | None,
    scanners: NDArray[np.intp] | None = None,
) -> dict[str, float]:
    """Share of what tells people of one scanner apart that corrections leave.

    Parameters
    ----------
    rest : Residuals
        Measures and their deviations.
    corrections : ndarray of shape (n_scans, n_features)
        In residual standard deviations.
    covariates : DataFrame or None
        What is known of the people.
    scanners : ndarray of int, shape (n_scans,), optional
        Scanner of each scan, from 0; one for all by default.

    Returns
    -------
    dict of {str: float}
        As the rows of `learn_people`.
    """
    groups = np.zeros(len(corrections), dtype=np.intp) if scanners is None else scanners
    correlation, spread = people_kept(rest.scaled, corrections, groups)
    shares = {"correlation of people": correlation, "spread of people": spread}
    for name, values in _numbers(covariates).items():
        shares[f"effect of {name}"] = _effect_kept(rest, corrections, groups, values)
    return shares


def _numbers(covariates: pd.DataFrame | None) -> dict[str, Array]:
    """Covariates that a slope can be fitted to, without gaps."""
    found: dict[str, Array] = {}
    for name in [] if covariates is None else covariates.columns:
        values = covariates[name]  # type: ignore[index]
        if values.isna().any() or values.nunique() < 2:
            continue
        if values.nunique() == 2:
            found[str(name)] = pd.factorize(values, sort=True)[0].astype(np.float64)
        elif pd.api.types.is_numeric_dtype(values):
            found[str(name)] = values.to_numpy(np.float64)
    return found


def _effect_kept(
    rest: Residuals, corrections: Array, scanners: NDArray[np.intp], covariate: Array
) -> float:
    own = within_groups(covariate[:, None], scanners)
    measured = np.isfinite(rest.values)
    before = np.where(measured, rest.scaled, 0.0)
    before = np.where(measured, before, before.sum(axis=0) / np.maximum(measured.sum(axis=0), 1))
    after = before + np.where(measured, corrections, 0.0)
    slopes = [
        (own * within_groups(values, scanners)).sum(axis=0) / (own**2).sum()
        for values in (before, after)
    ]
    size = (slopes[0] ** 2).sum()
    return float((slopes[0] * slopes[1]).sum() / size) if size > 0 else 1.0
