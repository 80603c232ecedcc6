"""P values of the two-sample Kolmogorov-Smirnov statistic, many at a time.

The statistic of sites with m and n scans is a whole number divided by m n, so that a
whole table has few different values; each is worked out once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import kolmogorov

EXACT_UP_TO = 10_000
"""Product of the two numbers of scans up to which p is exact."""


def smirnov_p(steps: NDArray[np.int64], m: int, n: int) -> NDArray[np.float64]:
    """Probability of a distance at least this large if both sites are alike.

    Exact (Hodges' lattice paths) while m n is at most 10 000, otherwise Smirnov's limit
    with Stephens' correction for small samples, within a few percent of the exact p for
    p above 1e-6. With ties both are too large rather than too small.

    Parameters
    ----------
    steps : ndarray of int
        Distances between the empirical distributions, times m n.
    m, n : int
        Number of scans of the two sites.

    Returns
    -------
    ndarray
        Two-sided p values, in the shape of `steps`.

    References
    ----------
    .. [1] Hodges (1958), Arkiv för Matematik 3:469, doi:10.1007/BF02589501.
    .. [2] Stephens (1970), J R Stat Soc B 32:115, doi:10.1111/j.2517-6161.1970.tb00821.x.

    Examples
    --------
    >>> smirnov_p(np.array([9, 3]), 3, 3).round(3)
    array([0.1, 1. ])
    """
    distinct, position = np.unique(steps, return_inverse=True)
    if m * n <= EXACT_UP_TO:
        p = _exact(distinct, min(m, n), max(m, n))
    else:
        root = np.sqrt(m * n / (m + n))
        p = kolmogorov((root + 0.12 + 0.11 / root) * distinct / (m * n))
    return np.asarray(p[position.reshape(steps.shape)])


def _exact(steps: NDArray[np.int64], m: int, n: int) -> NDArray[np.float64]:
    """Share of the lattice paths from (0, 0) to (m, n) that stray `steps` from the diagonal.

    Row by row, `strayed` counts the paths to each point that have strayed so far: all of
    them outside the band, inside those that come from the left or from below.
    """
    columns = np.arange(n + 1)
    every = np.ones(n + 1)
    strayed = (columns * m >= steps[:, None]).astype(float)
    for row in range(1, m + 1):
        every = np.cumsum(every)
        off = row * n - columns * m
        inside = np.abs(off) < steps[:, None]
        first = (off >= steps[:, None]).sum(axis=1)
        from_left = np.where(first > 0, every[np.minimum(first, n + 1) - 1], 0.0)
        counted = np.cumsum(np.where(inside, strayed, 0.0), axis=1) + from_left[:, None]
        strayed = np.where(inside, counted, every)
    return np.asarray(np.where(steps > 0, strayed[:, -1] / every[-1], 1.0))
