"""Exact p values of the two-sample Kolmogorov-Smirnov test for samples of any size.

`smirnov` is exact for small samples; here the sums stay between 0 and 1, so that they
neither overflow nor lose digits when scanners have hundreds or thousands of scans.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

EXACT_UP_TO = 10_000
"""Scans of the larger sample up to which p is exact, as in SciPy."""
NEGLIGIBLE = 1e-15
"""Below it the asymptotic p is as good: all that is lost is a part of this."""


def two_sample_p(steps: NDArray[np.int64], m: int, n: int) -> NDArray[np.float64]:
    """Probability of a distance at least this large if both samples are alike.

    The share of lattice paths that have strayed `steps` from the diagonal on their way to
    (i, j) is the mean of the shares at (i - 1, j) and (i, j - 1), weighted by i and j; where a
    point itself has strayed, it is 1. One antidiagonal after the other gives the share at
    (m, n) [1]_.

    Parameters
    ----------
    steps : ndarray of int
        Distances between the empirical distributions, times m n.
    m, n : int
        Sizes of the samples.

    Returns
    -------
    ndarray of float64
        Two-sided p values, in the shape of `steps`; those of SciPy's ``ks_2samp`` to 1e-14.
        Those below 1e-15, and all if a sample has more than 10 000 scans, are asymptotic.

    References
    ----------
    .. [1] Hodges (1958), Arkiv för Matematik 3:469, doi:10.1007/BF02589501.
    .. [2] Wei & Dudley (2012), Statistics & Probability Letters 82:636,
       doi:10.1016/j.spl.2011.11.012.

    Examples
    --------
    >>> two_sample_p(np.array([9, 3]), 3, 3).round(3)
    array([0.1, 1. ])
    """
    from scipy.stats import kstwo

    distinct, position = np.unique(steps, return_inverse=True)
    distance, effective = distinct / (m * n), m * n / (m + n)
    at_most = 2 * np.e * np.exp(-2 * effective * distance**2)  # after Wei and Dudley [2]_
    exact = (at_most > NEGLIGIBLE) & (max(m, n) <= EXACT_UP_TO)
    p = np.empty(len(distinct))
    p[exact] = _share_of_strayed(distinct[exact], min(m, n), max(m, n))
    p[~exact] = kstwo.sf(distance[~exact], max(np.round(effective), 1))
    return np.asarray(np.clip(p, 0, 1)[position.reshape(steps.shape)])


def _share_of_strayed(steps: NDArray[np.int64], m: int, n: int) -> NDArray[np.float64]:
    """Share of all paths to (m, n) that strayed, for each of several limits.

    Only points within the widest band are visited; beyond it every path has strayed.
    """
    if not steps.size or m == 0:
        return np.ones(steps.shape)
    widest = int(steps.max())
    strayed = np.ones((m + 3, len(steps)))  # row i + 1 is the point i of the smaller sample
    strayed[1] = steps <= 0
    for length in range(1, m + n + 1):
        low = max(0, length - n, -((widest - length * m) // (m + n)))
        high = min(m, length, (length * m + widest) // (m + n))
        points = np.arange(low, high + 1)
        here, below = strayed[low + 1 : high + 2], strayed[low : high + 1]
        weight = (points / length)[:, None]
        share = below - here
        share *= weight
        share += here
        far = np.abs(points * (m + n) - length * m)[:, None] >= steps
        strayed[low + 1 : high + 2] = np.where(far, 1.0, share)
        strayed[low], strayed[high + 2] = 1.0, 1.0
    return np.asarray(strayed[m + 1])
