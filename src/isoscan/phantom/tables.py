"""Simulate multi-site measures whose site effects and biology are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray


@dataclass(frozen=True)
class TablePhantom:
    """Simulated measures of one cohort, with the truth behind them.

    Attributes
    ----------
    measures : DataFrame of shape (n_scans, n_features)
        What the scanners reported.
    people : DataFrame of shape (n_scans, 4)
        Columns site, age (years), sex (F or M) and diagnosis (control or patient).
    clean : DataFrame of shape (n_scans, n_features)
        What one scanner without shift or scale would have reported.
    shift : DataFrame of shape (n_sites, n_features)
        True shift in residual standard deviations.
    scale : DataFrame of shape (n_sites, n_features)
        True ratio of residual standard deviations.
    slopes : DataFrame of shape (3, n_features)
        True effect of age (per year), sex (M minus F) and diagnosis (patient minus control).
    """

    measures: pd.DataFrame
    people: pd.DataFrame
    clean: pd.DataFrame
    shift: pd.DataFrame
    scale: pd.DataFrame
    slopes: pd.DataFrame


def simulate_tables(
    n_features: int = 40,
    scans_per_site: tuple[int, ...] = (60, 45, 30, 24),
    *,
    site_shift: float = 0.5,
    site_scale: float = 0.2,
    shared_noise: float = 0.3,
    age_gap: float = 0.0,
    random_state: int | np.random.Generator | None = None,
) -> TablePhantom:
    """Simulate cortical thickness of one cohort scanned at several sites.

    Residuals of different features are correlated, as those of neighbouring
    regions are. A site's shifts vary around a shift common to all its features.

    Parameters
    ----------
    n_features : int
        Number of measures.
    scans_per_site : tuple of int
        Number of scans of each site.
    site_shift : float
        Standard deviation of the shifts between sites, in residual standard deviations.
    site_scale : float
        Standard deviation of the log ratios of residual standard deviations.
    shared_noise : float
        Correlation of the residuals of different features.
    age_gap : float
        Years by which the mean age rises from each site to the next.
    random_state : int, Generator or None
        Seed.

    Returns
    -------
    TablePhantom
        The measures and the truth.

    Examples
    --------
    >>> cohort = simulate_tables(n_features=3, scans_per_site=(5, 4), random_state=0)
    >>> cohort.measures.shape, sorted(cohort.people.site.unique())
    ((9, 3), ['SITE01', 'SITE02'])
    """
    random = np.random.default_rng(random_state)
    names = [f"SITE{number + 1:02d}" for number in range(len(scans_per_site))]
    sites = np.repeat(np.arange(len(names)), scans_per_site)
    people = _people(random, sites, names, age_gap)
    features = [f"region{number + 1:03d}_thickness" for number in range(n_features)]
    mean = random.uniform(1.8, 3.2, n_features)
    spread = mean * random.uniform(0.04, 0.10, n_features)
    slopes = _slopes(random, spread)
    covariates = np.column_stack(
        [people.age - 45.0, people.sex == "M", people.diagnosis == "patient"]
    ).astype(float)
    expected = mean + covariates @ slopes
    noise = _correlated_noise(random, len(sites), n_features, shared_noise)
    shift, scale = _site_effects(random, len(names), n_features, site_shift, site_scale)
    index = people.index
    return TablePhantom(
        measures=pd.DataFrame(
            expected + spread * (shift[sites] + scale[sites] * noise), index, features
        ),
        people=people,
        clean=pd.DataFrame(expected + spread * noise, index, features),
        shift=pd.DataFrame(shift, names, features),
        scale=pd.DataFrame(scale, names, features),
        slopes=pd.DataFrame(slopes, ["age", "sex", "diagnosis"], features),
    )


def _people(
    random: np.random.Generator, sites: NDArray[np.int64], names: list[str], age_gap: float
) -> pd.DataFrame:
    n_scans = len(sites)
    age = np.clip(random.normal(45 + age_gap * sites, 14), 18, 90).round(1)
    return pd.DataFrame(
        {
            "site": np.array(names, dtype=object)[sites],
            "age": age,
            "sex": np.where(random.random(n_scans) < 0.5, "F", "M"),
            "diagnosis": np.where(random.random(n_scans) < 0.4, "patient", "control"),
        },
        index=pd.Index(
            [f"sub-{number + 1:04d}" for number in range(n_scans)], name="participant_id"
        ),
    )


def _slopes(random: np.random.Generator, spread: NDArray[np.float64]) -> NDArray[np.float64]:
    per_sd = np.vstack(
        [
            random.normal(-0.03, 0.01, spread.size),
            random.normal(0.2, 0.15, spread.size),
            random.normal(-0.3, 0.15, spread.size),
        ]
    )
    return np.asarray(per_sd * spread)


def _correlated_noise(
    random: np.random.Generator, n_scans: int, n_features: int, shared: float
) -> NDArray[np.float64]:
    common = random.normal(size=(n_scans, 1))
    own = random.normal(size=(n_scans, n_features))
    return np.asarray(np.sqrt(shared) * common + np.sqrt(1 - shared) * own)


def _site_effects(
    random: np.random.Generator, n_sites: int, n_features: int, shift_sd: float, scale_sd: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Half of the variance is common to all features of a site, half is their own."""
    half = np.sqrt(0.5)
    shift = (
        shift_sd
        * half
        * (random.normal(size=(n_sites, 1)) + random.normal(size=(n_sites, n_features)))
    )
    log_scale = (
        scale_sd
        * half
        * (random.normal(size=(n_sites, 1)) + random.normal(size=(n_sites, n_features)))
    )
    return shift - shift.mean(axis=0), np.exp(log_scale - log_scale.mean(axis=0))
