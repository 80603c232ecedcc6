"""Splits and samples of training that no single scanner dominates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isoscan.errors import DataError, TooFewSitesError, count

MERGED = "merged"
SECOND = "second-largest"


def merge_small_sites(sites: NDArray[np.object_], min_per_split: int) -> NDArray[np.object_]:
    """Put the scanners with few scans into one group, for splits only.

    Parameters
    ----------
    sites : ndarray of str objects, shape (n_scans,)
        Scanner of each scan.
    min_per_split : int
        Scanners with fewer scans are merged.

    Returns
    -------
    ndarray of str objects, shape (n_scans,)
        Group of each scan; "merged" for small scanners.

    Raises
    ------
    TooFewSitesError
        If a single group is left.

    Examples
    --------
    >>> merge_small_sites(np.array(["A", "A", "B", "C"], dtype=object), 2).tolist()
    ['A', 'A', 'merged', 'merged']
    """
    names, codes, sizes = np.unique(sites.astype(str), return_inverse=True, return_counts=True)
    large = sizes >= min_per_split
    name = MERGED
    while name in names[large]:
        name += "_"
    groups = np.where(large, names, name).astype(object)
    if len(set(groups)) < 2:
        raise TooFewSitesError(
            f"leaving one scanner out needs at least 2 groups: of {count(len(names), 'site')}, "
            f"{int((~large).sum())} have fewer than min_per_split={min_per_split} scans and are "
            f"merged. Lower min_per_split.",
            sites=list(names),
        )
    return np.asarray(groups[codes])


def cap_sites(
    sites: NDArray[np.object_],
    max_per_site: int | str | None,
    random_state: int | np.random.Generator | None,
) -> NDArray[np.intp]:
    """Draw at most so many scans of each scanner, so that none dominates.

    Parameters
    ----------
    sites : ndarray of str objects, shape (n_scans,)
        Scanner of each scan.
    max_per_site : int, "second-largest" or None
        Most scans of a scanner; the size of the second-largest scanner; or no limit.
    random_state : int, Generator or None
        Which scans are drawn.

    Returns
    -------
    ndarray of int
        Rows that are kept, in their order.

    Raises
    ------
    DataError
        If `max_per_site` is not one of these.

    Examples
    --------
    >>> cap_sites(np.array(list("AAAAB"), dtype=object), 1, 0).size
    2
    """
    names, codes, sizes = np.unique(sites.astype(str), return_inverse=True, return_counts=True)
    if max_per_site is None:
        return np.arange(len(sites))
    if max_per_site == SECOND:
        most = int(np.sort(sizes)[-2:][0])
    elif isinstance(max_per_site, int | np.integer) and max_per_site >= 1:
        most = int(max_per_site)
    else:
        raise DataError(
            f"max_per_site must be a number of scans, '{SECOND}' or None, got {max_per_site!r}."
        )
    generator = np.random.default_rng(random_state)
    kept = [
        generator.choice(rows, most, replace=False) if len(rows) > most else rows
        for rows in (np.flatnonzero(codes == code) for code in range(len(names)))
    ]
    return np.sort(np.concatenate(kept))
