"""Scans whose regions are far from those of their scanner, in many regions at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.combat.inputs import match_rows
from isoscan.errors import DataError


@dataclass(frozen=True)
class OutlierRule:
    """A scan is an outlier if many of its regions are far from the mean of its scanner.

    Means and standard deviations (n - 1) are computed again without the outliers, until
    there are none.

    Attributes
    ----------
    n_rois : int
        Regions that must be far out.
    sd : float
        How far, in standard deviations.
    max_rounds : int or None
        Most rounds; None for as many as it takes.
    """

    n_rois: int = 10
    sd: float = 2.5
    max_rounds: int | None = None

    def __post_init__(self) -> None:
        """Refuse what is no rule."""
        rounds_ok = self.max_rounds is None or self.max_rounds >= 1
        if self.n_rois < 1 or self.sd <= 0 or not rounds_ok:
            raise DataError(f"{self} is no rule: all numbers must be positive.")


def find_outliers(
    volumes: pd.DataFrame, sites: Any, rule: OutlierRule | None = None
) -> pd.DataFrame:
    """Apply the rule within each scanner, round by round.

    Parameters
    ----------
    volumes : DataFrame of shape (n_scans, n_features)
        Volumes; missing values are not far out.
    sites : Series or sequence of shape (n_scans,)
        Scanner of each scan; a Series is matched by index.
    rule : OutlierRule, optional
        10 regions beyond 2.5 SD, until nobody is left to remove, by default.

    Returns
    -------
    DataFrame
        One row per outlier: scan, site, round (from 1), n_rois (regions that were far out).

    Examples
    --------
    >>> values = np.random.default_rng(0).normal(size=(40, 12))
    >>> values[5] += 8
    >>> find_outliers(pd.DataFrame(values), ["A"] * 40)
       scan site  round  n_rois
    0     5    A      1      12
    """
    rule = rule or OutlierRule()
    labels, _ = match_rows(volumes, sites, None)
    table = volumes.to_numpy(dtype=np.float64)
    inside = np.ones(len(table), dtype=bool)
    rows = []
    number = 0
    while rule.max_rounds is None or number < rule.max_rounds:
        far = _far_regions(np.where(inside[:, None], table, np.nan), labels, rule.sd)
        out = np.flatnonzero(inside & (far >= rule.n_rois))
        if not out.size:
            break
        number += 1
        inside[out] = False
        rows += [(volumes.index[at], labels[at], number, int(far[at])) for at in out.tolist()]
    return pd.DataFrame(rows, columns=["scan", "site", "round", "n_rois"])


def _far_regions(
    table: NDArray[np.float64], labels: NDArray[np.object_], sd: float
) -> NDArray[np.int64]:
    """Number of regions of each scan that are far from the mean of its scanner."""
    groups = pd.DataFrame(table).groupby(labels)
    spread = groups.transform("std").to_numpy()
    with np.errstate(invalid="ignore"):
        distance = np.abs(table - groups.transform("mean").to_numpy())
        return np.asarray((distance > sd * spread).sum(axis=1))
