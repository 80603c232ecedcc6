"""How strong corrections are: by region, and by what they remove at each scanner.

Rows are scans, columns are features. A correction is what was added to a measure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from isoscan.combat.inputs import match_rows
from isoscan.errors import DataError
from isoscan.tables.align import align_rows, require_unique


def correction_ratio(
    volumes: pd.DataFrame, corrections: pd.DataFrame, *, signed: bool = False
) -> pd.DataFrame:
    """Compare the size of corrections with the size and the spread of every feature.

    Parameters
    ----------
    volumes : DataFrame of shape (n_scans, n_features)
        Measures before harmonization.
    corrections : DataFrame of shape (n_scans, n_features)
        What was added; matched by id and name.
    signed : bool
        Take the median of the corrections as they are [1]_. They cancel, and the ratio can be
        anything; by default the median of their sizes is taken.

    Returns
    -------
    DataFrame
        Indexed by feature: median_volume, median_correction (of sizes, unless `signed`),
        ratio (volume over correction), percent (correction in percent of the volume), cv
        (100 SD / mean) and qcv (100 (Q3 - Q1) / Q2) of the measures.

    References
    ----------
    .. [1] Garcia-Dias et al. (2020), NeuroImage 220:117127,
       doi:10.1016/j.neuroimage.2020.117127, section 2.6.

    Examples
    --------
    >>> volumes = pd.DataFrame({"hippocampus": [3.0, 4.0, 5.0]})
    >>> changed = pd.DataFrame({"hippocampus": [0.1, -0.2, 0.2]})
    >>> correction_ratio(volumes, changed).round(1).iloc[0].to_dict()
    {'median_volume': 4.0, 'median_correction': 0.2, 'ratio': 20.0, 'percent': 5.0, 'cv': 25.0,
     'qcv': 25.0}
    """
    matched = _matched(corrections, volumes)
    median = volumes.median()
    typical = matched.median() if signed else matched.abs().median()
    low, high = volumes.quantile(0.25), volumes.quantile(0.75)
    return pd.DataFrame(
        {
            "median_volume": median,
            "median_correction": typical,
            "ratio": median / typical.where(typical != 0),
            "percent": 100 * typical / median,
            "cv": 100 * volumes.std() / volumes.mean(),
            "qcv": 100 * (high - low) / median,
        }
    )


def covariate_contributions(
    corrections: Mapping[str, pd.DataFrame], sites: Any, *, spread: pd.Series[Any] | None = None
) -> pd.DataFrame:
    """Split the correction of each scanner among what was removed: sex, age, scanner.

    At each scanner the median size of the corrections of a feature is summed over features,
    for every step, and divided by the sum of all steps [1]_.

    Parameters
    ----------
    corrections : mapping of {str: DataFrame of shape (n_scans, n_features)}
        What each step added, such as `Neuroharmony.step_corrections_`.
    sites : Series or sequence of shape (n_scans,)
        Scanner of each scan; a Series is matched by index.
    spread : Series, optional
        Divide the corrections of each feature by this, such as ``volumes.std()``. Otherwise
        large regions count more than small ones, as in the paper.

    Returns
    -------
    DataFrame of shape (n_sites, n_steps)
        Shares; rows sum to 1.

    References
    ----------
    .. [1] Garcia-Dias et al. (2020), NeuroImage 220:117127,
       doi:10.1016/j.neuroimage.2020.117127, section 2.7.

    Examples
    --------
    >>> age = pd.DataFrame({"a": [1.0, -1.0], "b": [0.0, 2.0]})
    >>> covariate_contributions({"age": age, "site": 3 * age}, ["A", "B"])
        age  site
    A  0.25  0.75
    B  0.25  0.75
    """
    if not corrections:
        raise DataError("corrections are empty: give those of at least one step.")
    first = next(iter(corrections.values()))
    labels, _ = match_rows(first, sites, None)
    sums = {}
    for step, table in corrections.items():
        sizes = _matched(table, first).abs()
        if spread is not None:
            sizes = sizes / spread[list(sizes.columns)]
        sums[step] = sizes.groupby(labels).median().sum(axis=1)
    together = pd.DataFrame(sums)
    return together.div(together.sum(axis=1).where(lambda total: total > 0), axis=0)


def _matched(table: pd.DataFrame, like: pd.DataFrame) -> pd.DataFrame:
    """The same rows and columns in the same order."""
    require_unique(like.columns, "features")
    absent = like.columns.difference(table.columns)
    if len(absent):
        raise DataError(
            f"corrections lack {len(absent)} of {like.shape[1]} features: {list(absent[:5])}.",
            features=list(absent),
        )
    rows = align_rows(table, like.index, what="corrections", rows="scans", extra="ignore")
    return pd.DataFrame(rows[list(like.columns)])
