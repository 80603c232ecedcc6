"""Take the size of the head out of volumes, in one of the ways of the field.

The intracranial volume carries an error of its own scanner. Dividing by it copies that error
into every region, with the same sign; the other ways copy less of it.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.errors import DataError, MissingValuesWarning, count, name_counts
from isoscan.unseen.profile import within_groups
from isoscan.unseen.relative import relative_volumes

Array = NDArray[np.float64]
Strategy = Literal["ratio", "residual", "power", "harmonized"]
STRATEGIES = ("ratio", "residual", "power", "harmonized")


@dataclass(frozen=True)
class HeadSize:
    """How volumes are adjusted for the intracranial volume; learned in training.

    Attributes
    ----------
    strategy : str
        "residual" subtracts what the total explains, "power" divides by a power of it.
    centre : float
        Typical total: mean, or geometric mean for a power.
    slopes : ndarray of shape (n_features,)
        Effect of the total within scanners, per mm³ or as an exponent.
    """

    SHAPES: ClassVar[dict[str, tuple[str, ...]]] = {"slopes": ("features",)}
    strategy: str
    centre: float
    slopes: Array

    def adjust(self, volumes: pd.DataFrame, totals: pd.Series[float]) -> pd.DataFrame:
        """Adjust volumes.

        Parameters
        ----------
        volumes : DataFrame of shape (n_scans, n_features)
            Absolute volumes.
        totals : Series of shape (n_scans,)
            Intracranial volumes of the same scans.

        Returns
        -------
        DataFrame of shape (n_scans, n_features)
            In the unit of the volumes.
        """
        size = totals.to_numpy()[:, None]
        if self.strategy == "residual":
            return volumes.sub((size - self.centre) * self.slopes)
        return volumes.div((size / self.centre) ** self.slopes)


def learn_head_size(
    volumes: pd.DataFrame,
    totals: pd.Series[float],
    scanners: NDArray[np.intp],
    strategy: str,
) -> HeadSize:
    """Learn the effect of the total from differences within scanners.

    Parameters
    ----------
    volumes : DataFrame of shape (n_scans, n_features)
        Absolute volumes; NaN where missing.
    totals : Series of shape (n_scans,)
        Intracranial volumes.
    scanners : ndarray of int, shape (n_scans,)
        Scanner of each scan, from 0.
    strategy : {"residual", "power"}
        In what form.

    Returns
    -------
    HeadSize
        The adjustment.
    """
    sizes = totals.to_numpy(dtype=np.float64)[:, None]
    values = volumes.to_numpy(dtype=np.float64)
    if strategy == "power":
        sizes, values = np.log(sizes), np.log(values)
    values = np.where(np.isnan(values), np.nanmean(values, axis=0), values)
    own = within_groups(np.asarray(sizes, dtype=np.float64), scanners)
    slopes = (own * within_groups(values, scanners)).sum(axis=0) / (own**2).sum()
    centre = float(sizes.mean())
    return HeadSize(strategy, float(np.exp(centre)) if strategy == "power" else centre, slopes)


def split_total(
    volumes: pd.DataFrame, total: str | None, strategy: str
) -> tuple[pd.DataFrame, pd.Series[float] | None]:
    """Check volumes against their total, and tell the two apart.

    Parameters
    ----------
    volumes : DataFrame of shape (n_scans, n_features)
        Volumes and their total.
    total : str or None
        Column that holds the intracranial volume; None if volumes are to be taken as they are.
    strategy : str
        How they will be adjusted.

    Returns
    -------
    volumes : DataFrame
        Without the total; a volume of 0, which FreeSurfer writes for a structure it did not
        find, is missing.
    totals : Series or None
        The total.

    Raises
    ------
    DataError
        If volumes are relative already, or in another unit than the total.
    MissingValuesError
        If a total is not that of a person.

    Warns
    -----
    MissingValuesWarning
        If volumes are 0.
    """
    if strategy not in STRATEGIES:
        raise DataError(f"total_strategy must be one of {STRATEGIES}, got {strategy!r}.")
    if total is None:
        return volumes, None
    relative_volumes(volumes, total)
    table = volumes.drop(columns=total).astype(np.float64)
    return _without_zeros(table), volumes[total].astype(np.float64)


def _without_zeros(volumes: pd.DataFrame) -> pd.DataFrame:
    zeros = volumes == 0
    per_feature = zeros.sum()
    found = per_feature[per_feature > 0]
    if found.empty:
        return volumes
    warnings.warn(
        f"{count(int(found.sum()), 'volume')} of 0 in {count(found, 'feature')} "
        f"({name_counts(found.to_dict(), 3)}) count as missing: FreeSurfer writes 0 for a "
        f"structure that it did not find.",
        MissingValuesWarning,
        stacklevel=4,
    )
    return volumes.mask(zeros)
