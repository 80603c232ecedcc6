"""How far corrections of unknown scanners may be off, learned from scanners left out.

Errors of scans of one scanner resemble each other, so the unit is the scanner: of each
scanner left out, the error that a share of its scans stays below; of these, the value that
the same share of scanners stays below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Margins:
    """Half widths of the intervals, in residual standard deviations.

    Attributes
    ----------
    corrected : ndarray of shape (n_features,)
        Of full corrections.
    untouched : ndarray of shape (n_features,)
        Of no correction at all.
    """

    SHAPES: ClassVar[dict[str, tuple[str, ...]]] = {
        "corrected": ("features",),
        "untouched": ("features",),
    }
    corrected: Array
    untouched: Array

    def at(self, strength: Array) -> Array:
        """Half widths for corrections of which only a share is made.

        Parameters
        ----------
        strength : ndarray of shape (n_scans,)
            Share that is made, 0 to 1.

        Returns
        -------
        ndarray of shape (n_scans, n_features)
            Half widths.
        """
        share = strength[:, None]
        return np.asarray(share * self.corrected + (1 - share) * self.untouched)


def learn_margins(
    error: Array, untouched: Array, scanners: NDArray[np.intp], level: float
) -> Margins:
    """Learn the margins from scanners that were left out.

    Parameters
    ----------
    error : ndarray of shape (n_scans, n_features)
        Error of the corrections; NaN where missing.
    untouched : ndarray of shape (n_scans, n_features)
        Error of no correction.
    scanners : ndarray of int, shape (n_scans,)
        Scanner of each scan, from 0.
    level : float
        Share of scans, and of scanners, that the intervals shall cover.

    Returns
    -------
    Margins
        Half widths.
    """
    return Margins(
        _over_scanners(error, scanners, level), _over_scanners(untouched, scanners, level)
    )


def normal_quantile(level: float) -> float:
    """Number of standard errors on each side of an interval.

    Parameters
    ----------
    level : float
        Coverage, for example 0.9.

    Returns
    -------
    float
        1.64 for 0.9.
    """
    return float(ndtri((1 + level) / 2))


def _over_scanners(error: Array, scanners: NDArray[np.intp], level: float) -> Array:
    within = [
        np.nanquantile(np.abs(error[scanners == scanner]), level, axis=0)
        for scanner in range(scanners.max() + 1)
    ]
    return np.asarray(np.nanquantile(np.stack(within), level, axis=0))
