"""Measure how far the covariate ranges of the sites overlap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.description.plain import Facts
from isoscan.description.study import Study

MOST_PAIRS = 200
"""Pairs of sites listed by name; all are counted."""


def find_overlap(study: Study, numeric: Mapping[str, pd.Series[Any]]) -> Facts:
    """Compare the ranges of each numeric covariate across sites.

    Parameters
    ----------
    study : Study
        The scans.
    numeric : mapping of {str: Series of float}
        Covariates without codes for missing values.

    Returns
    -------
    dict
        Per covariate: common_range (None if some sites do not overlap), share_inside,
        share inside by_site, pairs_without_overlap (at most 200, sorted), their number
        n_pairs_without_overlap, ranges by site, and limited_by, the sites whose ranges bound
        the common one.

    Examples
    --------
    >>> from isoscan.description.study import gather_study
    >>> study = gather_study([[0.0]] * 4, list("AABB"), None)
    >>> found = find_overlap(study, {"age": pd.Series([20.0, 40.0, 30.0, 50.0])})["age"]
    >>> found["common_range"], found["share_inside"], found["limited_by"]
    ([30.0, 40.0], 0.5, ['B', 'A'])
    """
    if len(study.rows_of) < 2:
        return {}
    found = {name: _compare(study, column.to_numpy()) for name, column in numeric.items()}
    return {name: facts for name, facts in found.items() if facts}


def _compare(study: Study, values: NDArray[np.float64]) -> Facts:
    inside_site = {site: values[rows] for site, rows in study.rows_of.items()}
    ranges = {
        site: (np.nanmin(own), np.nanmax(own))
        for site, own in inside_site.items()
        if not np.isnan(own).all()
    }
    if len(ranges) < 2:
        return {}
    names = list(ranges)
    lows, highs = np.array(list(ranges.values())).T
    low, high = lows.max(), highs.min()
    apart = np.triu((lows[:, None] > highs) | (highs[:, None] < lows))
    pairs = [[names[a], names[b]] for a, b in np.argwhere(apart)[:MOST_PAIRS]]
    inside = (values >= low) & (values <= high)
    return {
        "common_range": [float(low), float(high)] if low <= high else None,
        "share_inside": float(inside.sum() / (~np.isnan(values)).sum()),
        "by_site": {
            site: float(inside[study.rows_of[site]].sum() / (~np.isnan(inside_site[site])).sum())
            for site in names
        },
        "pairs_without_overlap": pairs,
        "n_pairs_without_overlap": int(apart.sum()),
        "ranges": {site: [float(own[0]), float(own[1])] for site, own in ranges.items()},
        "limited_by": [names[int(lows.argmax())], names[int(highs.argmin())]],
    }
