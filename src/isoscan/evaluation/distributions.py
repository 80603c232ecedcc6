"""Do any two sites differ anywhere in the distribution? Kolmogorov-Smirnov for every pair."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.description.plain import Facts, plain
from isoscan.evaluation.facts import as_numbers
from isoscan.evaluation.multiplicity import share_discovered, smallest_adjusted
from isoscan.evaluation.sample import Sample, Table, gather_sample, require_sites
from isoscan.evaluation.smirnov import EXACT_UP_TO, smirnov_p

BLOCK = 1_000_000
"""Numbers held at once while empirical distributions are compared."""

METHOD = (
    "two-sample Kolmogorov-Smirnov on measures adjusted for covariates within sites; p exact "
    f"while the product of the scans of both sites is at most {EXACT_UP_TO}, asymptotic beyond"
)
ADJUSTMENT = "minimum p over features, times the number of features (Bonferroni), at most 1"

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class PairTests:
    """Kolmogorov-Smirnov tests of every pair of sites and every feature.

    Attributes
    ----------
    sites : list of str
        Sites in sorted order.
    features : list of str
        Names of the features.
    pairs : list of tuple of int
        Positions in `sites` of the two sites of each row of `distance` and `p`.
    distance : ndarray of shape (n_pairs, n_features)
        Largest difference between the two empirical distributions; NaN where a site has
        no values or the feature does not vary.
    p : ndarray of shape (n_pairs, n_features)
        Two-sided p values, not adjusted for their number.
    """

    sites: list[str]
    features: list[str]
    pairs: list[tuple[int, int]]
    distance: Matrix
    p: Matrix

    def smallest(self, *, adjusted: bool = True) -> pd.DataFrame:
        """Smallest p over features for every pair of sites.

        Parameters
        ----------
        adjusted : bool
            Multiply by the number of features (Bonferroni), at most 1.

        Returns
        -------
        DataFrame of shape (n_sites, n_sites)
            Symmetric; NaN on the diagonal.
        """
        if adjusted:
            return self._square(smallest_adjusted(self.p), np.nan)
        lowest = np.where(np.isnan(self.p), np.inf, self.p).min(axis=1)
        return self._square(np.where(np.isfinite(lowest), lowest, np.nan), np.nan)

    def worst_features(self) -> pd.DataFrame:
        """Name the feature with the smallest p for every pair of sites.

        Returns
        -------
        DataFrame of shape (n_sites, n_sites)
            Symmetric; None on the diagonal and where nothing could be tested.
        """
        position = np.where(np.isnan(self.p), np.inf, self.p).argmin(axis=1)
        known = (~np.isnan(self.p)).sum(axis=1) > 0
        names = [self.features[at] if ok else None for at, ok in zip(position, known, strict=True)]
        return self._square(np.array(names, dtype=object), None)

    def _square(self, values: NDArray[Any], diagonal: object) -> pd.DataFrame:
        square = np.full((len(self.sites), len(self.sites)), diagonal, dtype=values.dtype)
        rows, columns = np.array(self.pairs).T
        square[rows, columns] = square[columns, rows] = values
        return pd.DataFrame(square, self.sites, self.sites, dtype=values.dtype)


def ks_pairs(
    X: Table,
    sites: Any,
    covariates: pd.DataFrame | None = None,
    preserve: str | None = None,
) -> PairTests:
    """Compare the distributions of every feature between every two sites.

    Measures are adjusted for covariates with their slope within sites, so that a
    difference of age is not taken for a scanner, nor a scanner for age. Site stays in.
    Where sites hardly overlap in age, the error of that slope looks like a site effect.

    Parameters
    ----------
    X : DataFrame or array of shape (n_scans, n_features)
        Measures; NaN where missing. Each pair uses the scans it has.
    sites : Series or sequence of shape (n_scans,)
        Site of each scan; a Series is matched by index.
    covariates : DataFrame, optional
        Covariates named in `preserve`, matched by index.
    preserve : str, optional
        Formula of the covariates to adjust for.

    Returns
    -------
    PairTests
        Distances and p values; `smallest` gives the matrix of minimum p.

    Raises
    ------
    TooFewSitesError
        If there is one site only.
    DataError
        If rows do not match.

    Examples
    --------
    >>> from isoscan.phantom import simulate_tables
    >>> cohort = simulate_tables(n_features=5, site_shift=2.0, random_state=0)
    >>> tests = ks_pairs(cohort.measures, cohort.people.site, cohort.people, "age + C(sex)")
    >>> tests.distance.shape
    (6, 5)
    >>> bool(tests.smallest().min().max() < 0.001)
    True
    """
    sample = gather_sample(X, sites, covariates, preserve)
    require_sites(sample)
    return compare_pairs(sample)


def compare_pairs(sample: Sample) -> PairTests:
    """Compare every two sites of a sample whose rows are matched already.

    Parameters
    ----------
    sample : Sample
        The scans.

    Returns
    -------
    PairTests
        As from `ks_pairs`.
    """
    n_scans, n_sites = len(sample.codes), len(sample.sites)
    step = max(BLOCK // (n_scans * n_sites), 1)
    blocks = [
        _distances(sample.adjusted[:, start : start + step], sample.codes, n_sites)
        for start in range(0, len(sample.features), step)
    ]
    distance = np.concatenate([block for block, _ in blocks], axis=1)
    scans = np.concatenate([counts for _, counts in blocks], axis=1)
    pairs = list(combinations(range(n_sites), 2))
    p = _p_values(distance, scans, np.array(pairs))
    return PairTests(sample.sites, sample.features, pairs, distance, p)


def _distances(
    values: Matrix, codes: NDArray[np.intp], n_sites: int
) -> tuple[Matrix, NDArray[np.int64]]:
    """Largest differences of empirical distributions, and the values of each site."""
    order = np.argsort(values, axis=0, kind="stable")
    ordered = np.take_along_axis(values, order, axis=0)
    site_of = np.where(np.isnan(ordered), -1, codes[order])
    last_of_ties = np.ones(values.shape, dtype=bool)
    last_of_ties[:-1] = ordered[1:] != ordered[:-1]
    below = np.stack([np.cumsum(site_of == site, axis=0) for site in range(n_sites)])
    scans = below[:, -1]
    share = below / np.maximum(scans, 1)[:, None] * last_of_ties
    distance = np.concatenate(
        [np.abs(share[site + 1 :] - share[site]).max(axis=1) for site in range(n_sites - 1)]
    )
    first, second = np.array(list(combinations(range(n_sites), 2))).T
    return np.where((scans[first] > 0) & (scans[second] > 0), distance, np.nan), scans


def _p_values(distance: Matrix, scans: NDArray[np.int64], pairs: NDArray[np.int64]) -> Matrix:
    """Look p up once for each pair of sample sizes, then share it among equal sizes."""
    smaller = np.minimum(scans[pairs[:, 0]], scans[pairs[:, 1]])
    larger = np.maximum(scans[pairs[:, 0]], scans[pairs[:, 1]])
    p = np.full(distance.shape, np.nan)
    known = ~np.isnan(distance)
    sizes = (smaller * (larger.max() + 1) + larger)[known]
    order = np.argsort(sizes, kind="stable")
    flat, ordered = distance[known][order], sizes[order]
    results = np.empty(flat.size)
    edges = [*np.flatnonzero(np.diff(ordered, prepend=-1)), flat.size]
    for start, stop in pairwise(edges):
        m, n = divmod(int(ordered[start]), int(larger.max()) + 1)
        steps = np.rint(flat[start:stop] * (m * n)).astype(np.int64)
        results[start:stop] = smirnov_p(steps, m, n)
    unsorted = np.empty(flat.size)
    unsorted[order] = results
    p[known] = unsorted
    return p


def distribution_facts(before: PairTests, after: PairTests) -> Facts:
    """Write the tests of both tables as plain facts.

    Parameters
    ----------
    before, after : PairTests
        From `ks_pairs`.

    Returns
    -------
    dict
        sites; before and after (adjusted minimum p), unadjusted, worst_feature,
        share_significant (of all pairs and features, at a false discovery rate of 5 %),
        method and adjustment in words.
    """
    tables = {"before": before, "after": after}
    facts: Facts = {"sites": list(before.sites)}
    facts |= {when: as_numbers(tests.smallest().to_numpy()) for when, tests in tables.items()}
    facts["unadjusted"] = {
        when: as_numbers(tests.smallest(adjusted=False).to_numpy())
        for when, tests in tables.items()
    }
    facts["worst_feature"] = {
        when: tests.worst_features().to_numpy().tolist() for when, tests in tables.items()
    }
    facts["share_significant"] = {
        when: plain(share_discovered(tests.p)) for when, tests in tables.items()
    }
    return facts | {"method": METHOD, "adjustment": ADJUSTMENT}
