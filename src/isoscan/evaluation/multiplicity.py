"""Many tests at once: which share is a discovery, and what the smallest p is worth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FALSE_DISCOVERY_RATE = 0.05


def share_discovered(p: NDArray[np.float64], rate: float = FALSE_DISCOVERY_RATE) -> float:
    """Share of tests that stay significant when the false discovery rate is controlled.

    Parameters
    ----------
    p : ndarray
        P values, any shape; NaN for tests that could not be done.
    rate : float
        False discovery rate.

    Returns
    -------
    float
        Share of the tests that were done; NaN if there were none.

    References
    ----------
    .. [1] Benjamini & Hochberg (1995), J R Stat Soc B 57:289,
       doi:10.1111/j.2517-6161.1995.tb02031.x.

    Examples
    --------
    >>> share_discovered(np.array([0.001, 0.02, 0.6, np.nan]))
    0.6666666666666666
    """
    done = np.sort(p[~np.isnan(p)], axis=None)
    if not done.size:
        return float("nan")
    passed = np.flatnonzero(done <= rate * np.arange(1, done.size + 1) / done.size)
    return float((passed[-1] + 1) / done.size) if passed.size else 0.0


def smallest_adjusted(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smallest p of each row, multiplied by the number of tests in that row.

    Parameters
    ----------
    p : ndarray of shape (n_rows, n_tests)
        P values; NaN for tests that could not be done.

    Returns
    -------
    ndarray of shape (n_rows,)
        Bonferroni-adjusted minimum, at most 1; NaN for rows without tests.

    Examples
    --------
    >>> smallest_adjusted(np.array([[0.01, 0.5, np.nan], [0.7, 0.9, 0.8]]))
    array([0.02, 1.  ])
    """
    done = ~np.isnan(p)
    smallest = np.where(done, p, 1.0).min(axis=1)
    n_tests = done.sum(axis=1)
    return np.where(n_tests > 0, np.minimum(smallest * n_tests, 1.0), np.nan)
