"""Simulate a cohort on many scanners whose images tell how their measures are off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.phantom.tables import simulate_tables
from isoscan.quality.definitions import METRICS

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ScannerPhantom:
    """Simulated scans of many scanners, with the truth behind them.

    Attributes
    ----------
    measures : DataFrame of shape (n_scans, n_features)
        Cortical thickness as the scanners reported it, in mm.
    quality : DataFrame of shape (n_scans, 68)
        Metrics of image quality under MRIQC's names.
    people : DataFrame of shape (n_scans, 4)
        Columns site, age (years), sex (F or M) and diagnosis.
    clean : DataFrame of shape (n_scans, n_features)
        What one scanner without shift would have reported.
    """

    measures: pd.DataFrame
    quality: pd.DataFrame
    people: pd.DataFrame
    clean: pd.DataFrame


def simulate_scanners(
    n_scanners: int = 16,
    scans_per_scanner: int = 20,
    n_features: int = 40,
    *,
    told: float = 0.9,
    shift: float = 0.8,
    random_state: int | np.random.Generator | None = None,
) -> ScannerPhantom:
    """Simulate scanners that differ in few properties, which images and measures both show.

    Three hidden properties of a scanner, such as contrast, noise and sharpness, shift the
    measures, each in its own pattern over the features. Metrics of image quality follow the
    same properties; they also differ from scan to scan.

    Parameters
    ----------
    n_scanners : int
        Number of scanners.
    scans_per_scanner : int
        Scans of each.
    n_features : int
        Number of measures.
    told : float
        Share of the variance of the shifts that the hidden properties explain, 0 to 1; with
        0 the images tell nothing.
    shift : float
        Standard deviation of the shifts between scanners, in residual standard deviations.
    random_state : int, Generator or None
        Seed.

    Returns
    -------
    ScannerPhantom
        The scans and the truth.

    Examples
    --------
    >>> cohort = simulate_scanners(4, 5, 3, random_state=0)
    >>> cohort.measures.shape, cohort.quality.shape
    ((20, 3), (20, 68))
    """
    random = np.random.default_rng(random_state)
    cohort = simulate_tables(
        n_features,
        (scans_per_scanner,) * n_scanners,
        site_shift=0.0,
        site_scale=0.0,
        random_state=random,
    )
    people = cohort.people.assign(site=cohort.people.site.str.replace("SITE", "SCANNER"))
    scanner = np.repeat(np.arange(n_scanners), scans_per_scanner)
    properties = random.normal(size=(n_scanners, 3))
    pattern = random.normal(size=(3, n_features)) / np.sqrt(3)
    own = random.normal(size=(n_scanners, n_features))
    shifts = shift * (np.sqrt(told) * properties @ pattern + np.sqrt(1 - told) * own)
    spread = _spread(cohort.clean, people)
    return ScannerPhantom(
        measures=cohort.clean + shifts[scanner] * spread,
        quality=_metrics(random, properties[scanner], people.index),
        people=people,
        clean=cohort.clean,
    )


def _spread(clean: pd.DataFrame, people: pd.DataFrame) -> Array:
    """Standard deviation of what age, sex and diagnosis do not explain."""
    known = np.column_stack(
        [np.ones(len(people)), people.age, people.sex == "M", people.diagnosis == "patient"]
    ).astype(np.float64)
    values = clean.to_numpy()
    rest = values - known @ np.linalg.lstsq(known, values, rcond=None)[0]
    return np.asarray(rest.std(axis=0))


def _metrics(random: np.random.Generator, properties: Array, scans: pd.Index) -> pd.DataFrame:
    """Metrics that follow the properties, half as variable within a scanner as between."""
    weights = random.normal(size=(properties.shape[1], len(METRICS)))
    weights /= np.linalg.norm(weights, axis=0)
    level = properties @ weights
    grid = np.array([name.startswith(("size_", "spacing_")) for name in METRICS])
    level += np.where(grid, 0.0, 0.5) * random.normal(size=level.shape)
    size = np.exp(random.normal(1.0, 1.0, len(METRICS)))
    return pd.DataFrame(size * np.exp(0.2 * level), index=scans, columns=list(METRICS))
