"""Which pairs of scanners can be told apart, as Neuroharmony counts them.

Every pair, every region, two-sample Kolmogorov-Smirnov; no adjustment for covariates, none
for the number of tests. Passing this test is no proof: removing biology passes it too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.combat.inputs import match_rows
from isoscan.errors import DataError
from isoscan.evaluation.distributions import PairTests, ks_pairs
from isoscan.evaluation.kolmogorov import two_sample_p
from isoscan.evaluation.smirnov import EXACT_UP_TO as SMALL

THRESHOLD = 0.001


def ks_grid(volumes: pd.DataFrame, sites: Any) -> PairTests:
    """Compare every pair of scanners in every region, with exact p values.

    Parameters
    ----------
    volumes : DataFrame of shape (n_scans, n_features)
        Volumes before or after harmonization; NaN where missing.
    sites : Series or sequence of shape (n_scans,)
        Scanner of each scan; a Series is matched by index.

    Returns
    -------
    PairTests
        Distances and p values; ``smallest(adjusted=False)`` is the matrix of the smallest p
        over regions.

    Raises
    ------
    TooFewSitesError
        If there is one scanner only.

    Examples
    --------
    >>> from isoscan.phantom import simulate_tables
    >>> cohort = simulate_tables(5, (20, 30), site_shift=3.0, random_state=0)
    >>> tests = ks_grid(cohort.measures, cohort.people.site)
    >>> count_distinct(tests)
    (1, 1)
    """
    tests = ks_pairs(volumes, sites)
    labels, _ = match_rows(volumes, sites, None)
    known = volumes.notna().groupby(labels).sum().loc[tests.sites]
    scans = known.to_numpy(dtype=np.int64)
    return replace(tests, p=_exact_p(tests, scans))


def count_distinct(tests: PairTests, threshold: float = THRESHOLD) -> tuple[int, int]:
    """Count the pairs of scanners whose smallest p is below a threshold.

    Parameters
    ----------
    tests : PairTests
        From `ks_grid`.
    threshold : float
        Pairs with a smaller p count as distinct.

    Returns
    -------
    distinct, pairs : int
        Number of such pairs, and of all.
    """
    with np.errstate(invalid="ignore"):
        distinct = (tests.p < threshold).any(axis=1)
    return int(distinct.sum()), len(tests.pairs)


def ks_against(
    volumes: pd.DataFrame, reference: pd.DataFrame, names: list[str] | None = None
) -> pd.Series[Any]:
    """Compare two samples in every region, such as a validation and a training sample.

    Parameters
    ----------
    volumes, reference : DataFrame of shape (n_scans, n_features)
        Two samples with the same columns.
    names : list of str, optional
        Columns to compare; all of `volumes` by default.

    Returns
    -------
    Series of float
        p by feature; NaN where a sample has no value.

    Raises
    ------
    DataError
        If a column is not in both.

    Examples
    --------
    >>> low, high = pd.DataFrame({"a": [1.0, 2, 3]}), pd.DataFrame({"a": [4.0, 5, 6]})
    >>> ks_against(low, high).round(3).to_dict()
    {'a': 0.1}
    """
    columns = list(volumes.columns) if names is None else names
    absent = [name for name in columns if name not in reference or name not in volumes]
    if absent:
        raise DataError(f"both samples need the columns {absent[:5]}.", features=absent)
    steps, sizes = _steps_apart(volumes[columns], reference[columns])
    p = np.full(len(columns), np.nan)
    for m, n in np.unique(sizes[sizes.all(axis=1)], axis=0):
        these = (sizes == (m, n)).all(axis=1)
        p[these] = two_sample_p(steps[these], int(m), int(n))
    return pd.Series(p, index=pd.Index(columns), name="p")


def _steps_apart(
    first: pd.DataFrame, second: pd.DataFrame
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Largest distance of the distributions, in steps; and sizes of both samples."""
    steps = np.zeros(first.shape[1], dtype=np.int64)
    sizes = np.zeros((first.shape[1], 2), dtype=np.int64)
    for column in range(first.shape[1]):
        one, two = (
            np.sort(table.iloc[:, column].dropna().to_numpy(np.float64))
            for table in (first, second)
        )
        m, n = sizes[column] = len(one), len(two)
        if m and n:
            both = np.concatenate([one, two])
            above = (
                np.searchsorted(one, both, "right") * n - np.searchsorted(two, both, "right") * m
            )
            steps[column] = np.abs(above).max()
    return steps, sizes


def _exact_p(tests: PairTests, scans: NDArray[np.int64]) -> NDArray[np.float64]:
    """Replace what is asymptotic, each pair of sample sizes once."""
    first, second = np.array(tests.pairs).T
    sizes = np.sort(np.stack([scans[first], scans[second]]), axis=0)
    p = tests.p.copy()
    large = ~np.isnan(tests.distance) & (sizes[0] * sizes[1] > SMALL)
    for m, n in np.unique(sizes[:, large], axis=1).T.tolist():
        these = large & (sizes[0] == m) & (sizes[1] == n)
        steps = np.rint(tests.distance[these] * (m * n)).astype(np.int64)
        p[these] = two_sample_p(steps, m, n)
    return p
