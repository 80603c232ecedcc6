"""Correct scans as the scanner of training that they resemble most."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.unseen.corrector import UnseenCorrector


def nearest_scanner(
    model: UnseenCorrector,
    volumes: pd.DataFrame,
    quality: pd.DataFrame | None,
    covariates: pd.DataFrame | None,
) -> NDArray[np.float64]:
    """Correction by the scanner whose mean profile is closest; a baseline.

    Parameters
    ----------
    model : UnseenCorrector
        A fitted model.
    volumes : DataFrame of shape (n_scans, n_features)
        Measures.
    quality : DataFrame or None
        Metrics of image quality.
    covariates : DataFrame or None
        Columns named in the formulas.

    Returns
    -------
    ndarray of shape (n_scans, n_features)
        Corrections in residual standard deviations.
    """
    rest, profiles = model.profiles(volumes, quality=quality, covariates=covariates)
    means = model.mean_profiles_
    apart = ((profiles[:, None, :] - means) ** 2).sum(axis=2)
    nearest = apart.argmin(axis=1)
    effects = model.reference_.model_.effects
    shift, scale = effects.shift[nearest], np.sqrt(effects.variance[nearest])
    return np.asarray((rest.values - shift) / scale - rest.values)
