"""Count scans, missing values and features that do not vary."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.description.plain import Facts
from isoscan.description.study import Study


def count_scans(study: Study) -> dict[str, int]:
    """Count the scans of each site.

    Parameters
    ----------
    study : Study
        The scans.

    Returns
    -------
    dict of {str: int}
        Scans per site, sites sorted.
    """
    return {site: len(rows) for site, rows in study.rows_of.items()}


def count_missing(study: Study) -> Facts:
    """Count missing values by feature and by site; only those that occur are listed.

    Parameters
    ----------
    study : Study
        The scans.

    Returns
    -------
    dict
        cells, share, features, sites, empty_features, empty_scans; infinite values count
        as missing.
    """
    missing = np.isnan(study.values)
    by_site = {site: int(missing[rows].sum()) for site, rows in study.rows_of.items()}
    by_feature = dict(zip(study.features, missing.sum(axis=0).tolist(), strict=True))
    empty_scans = missing.all(axis=1) if missing.shape[1] else np.zeros(len(missing), dtype=bool)
    return {
        "cells": int(missing.sum()),
        "share": float(missing.mean()) if missing.size else 0.0,
        "features": {name: number for name, number in sorted(by_feature.items()) if number},
        "sites": {name: number for name, number in by_site.items() if number},
        "empty_features": sorted(
            name for name, number in by_feature.items() if number == len(missing)
        ),
        "empty_scans": sorted(study.scans[row] for row in np.flatnonzero(empty_scans)),
    }


def list_infinite(study: Study) -> list[Facts]:
    """List the infinite values.

    Parameters
    ----------
    study : Study
        The scans.

    Returns
    -------
    list of dict
        scan, site and feature of each, sorted.
    """
    found = [
        {"scan": study.scans[row], "site": study.sites[row], "feature": study.features[column]}
        for row, column in zip(*np.nonzero(study.infinite), strict=True)
    ]
    return sorted(found, key=lambda item: (item["scan"], item["feature"]))


def find_constant(study: Study) -> tuple[list[str], list[dict[str, str]]]:
    """Find features that do not vary, everywhere or within one site.

    Parameters
    ----------
    study : Study
        The scans.

    Returns
    -------
    everywhere : list of str
        Features with one value only.
    within_site : list of dict
        feature and site of those that vary, but not within that site; sites with fewer
        than two values are not judged.

    Examples
    --------
    >>> from isoscan.description.study import gather_study
    >>> study = gather_study([[1, 5], [1, 5], [1, 6], [1, 7]], list("AABB"), None)
    >>> find_constant(study)
    (['feature0'], [{'feature': 'feature1', 'site': 'A'}])
    """
    everywhere = _constant_columns(study.values, at_least=1)
    within = [
        {"feature": study.features[column], "site": site}
        for site, rows in study.rows_of.items()
        for column in np.flatnonzero(_constant_columns(study.values[rows], 2) & ~everywhere)
    ]
    return (
        sorted(study.features[column] for column in np.flatnonzero(everywhere)),
        sorted(within, key=lambda item: (item["feature"], item["site"])),
    )


def _constant_columns(values: NDArray[np.float64], at_least: int) -> NDArray[np.bool_]:
    """Mark columns with enough values, all of them equal."""
    present = ~np.isnan(values)
    low = np.where(present, values, np.inf).min(axis=0, initial=np.inf)
    high = np.where(present, values, -np.inf).max(axis=0, initial=-np.inf)
    return np.asarray((present.sum(axis=0) >= at_least) & (low == high))


def find_identical_scans(study: Study) -> list[list[str]]:
    """Group scans whose values agree in every feature: entered twice under two names?

    Parameters
    ----------
    study : Study
        The scans.

    Returns
    -------
    list of list of str
        Groups of two or more scans; scans without values are left out.
    """
    if study.values.shape[1] < 2:
        return []
    present = np.flatnonzero(~np.isnan(study.values).all(axis=1))
    keys = pd.util.hash_pandas_object(pd.DataFrame(study.values[present]), index=False)
    groups: dict[int, list[str]] = defaultdict(list)
    for row, key in zip(present, keys, strict=True):
        groups[int(key)].append(study.scans[row])
    return sorted(sorted(group) for group in groups.values() if len(group) > 1)
