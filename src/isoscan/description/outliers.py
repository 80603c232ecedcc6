"""Find scans that stand out within their own site, round after round.

Rows are scans, columns are features. Nothing is removed from the data: a scan that is found
is only left out of the mean and SD of the next round.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoscan.description.plain import Facts
from isoscan.description.study import Study

SHARE = 0.10
"""A scan stands out if at least this share of its features is extreme."""
SD = 2.5
"""A feature is extreme beyond this many standard deviations from the site's mean."""


@dataclass(frozen=True)
class OutlyingScan:
    """One scan that stands out within its site.

    Attributes
    ----------
    row : int
        Row number.
    round : int
        Round in which it was found, from 1.
    share : float
        Share of its features that were extreme in that round.
    deviations : ndarray of shape (n_features,)
        Absolute deviations in that round, in SD; NaN where undefined.
    """

    row: int
    round: int
    share: float
    deviations: NDArray[np.float64]


def smallest_site(sd: float) -> int:
    """Return the smallest number of scans in which one can lie beyond `sd` of their own SD.

    Parameters
    ----------
    sd : float
        Threshold in standard deviations.

    Returns
    -------
    int
        Number of scans n with (n - 1) / sqrt(n) > `sd`, at least 5.

    Notes
    -----
    No value lies further than (n - 1) / sqrt(n) sample SDs from the mean of n values [1]_,
    so smaller sites would pass unseen.

    References
    ----------
    .. [1] Shiffler (1988), The American Statistician 42:79.

    Examples
    --------
    >>> smallest_site(2.5)
    9
    """
    n = 5
    while (n - 1) / np.sqrt(n) <= sd:
        n += 1
    return n


def find_outlying_scans(
    values: NDArray[np.float64],
    rows: NDArray[np.intp],
    *,
    share: float = SHARE,
    sd: float = SD,
) -> list[OutlyingScan]:
    """Apply the iterative rule to one site.

    Features are standardized with the mean and SD of the scans still in. Scans with at
    least `share` of their features beyond `sd` are taken out, and the rule is repeated
    until none is left or too few scans remain.

    Parameters
    ----------
    values : ndarray of shape (n_scans, n_features)
        Measures; NaN where missing.
    rows : ndarray of int
        Rows of the site.
    share : float
        Share of features from which a scan stands out.
    sd : float
        Standard deviations from which a feature is extreme.

    Returns
    -------
    list of OutlyingScan
        In the order in which they were found.

    Examples
    --------
    >>> values = np.tile(np.arange(12.0)[:, None], 10)
    >>> values[3] = 500.0
    >>> [(scan.row, scan.round) for scan in find_outlying_scans(values, np.arange(12))]
    [(3, 1)]
    """
    found: list[OutlyingScan] = []
    inside = rows
    turn = 0
    while len(inside) >= smallest_site(sd):
        turn += 1
        deviations = standardize_within(values[inside])
        shares = _share_beyond(deviations, sd)
        out = shares >= share - 1e-12
        if not out.any():
            break
        found += [
            OutlyingScan(int(inside[at]), turn, float(shares[at]), deviations[at])
            for at in np.flatnonzero(out)
        ]
        inside = inside[~out]
    return found


def standardize_within(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return absolute deviations from the column means, in column SDs.

    Parameters
    ----------
    values : ndarray of shape (n_scans, n_features)
        Measures of one site.

    Returns
    -------
    ndarray of shape (n_scans, n_features)
        NaN where the value is missing or the feature does not vary.
    """
    present = ~np.isnan(values)
    n = np.maximum(present.sum(axis=0), 1)
    mean = np.nansum(values, axis=0) / n
    centred = values - mean
    spread = np.sqrt(np.nansum(centred**2, axis=0) / np.maximum(n - 1, 1))
    varies = spread > 1e-12 * np.abs(mean)
    return np.asarray(np.abs(centred) / np.where(varies, spread, np.nan))


def _share_beyond(deviations: NDArray[np.float64], sd: float) -> NDArray[np.float64]:
    judged = (~np.isnan(deviations)).sum(axis=1)
    return np.asarray((deviations > sd).sum(axis=1) / np.maximum(judged, 1))


def scan_for_outliers(study: Study, *, share: float = SHARE, sd: float = SD) -> Facts:
    """Apply the iterative rule to every site.

    Parameters
    ----------
    study : Study
        The scans.
    share : float
        Share of features from which a scan stands out.
    sd : float
        Standard deviations from which a feature is extreme.

    Returns
    -------
    dict
        rule, scans (scan, site, share, round, worst features) and the sites not_checked.
    """
    found = [
        _facts_of(study, site, scan)
        for site, rows in study.rows_of.items()
        for scan in find_outlying_scans(study.values, rows, share=share, sd=sd)
    ]
    enough = smallest_site(sd)
    return {
        "rule": {"share": share, "sd": sd, "smallest_site": enough},
        "scans": sorted(found, key=lambda item: (item["site"], item["round"], item["scan"])),
        "not_checked": [site for site, rows in study.rows_of.items() if len(rows) < enough],
    }


def _facts_of(study: Study, site: str, scan: OutlyingScan) -> Facts:
    ranked = sorted(
        (-size, name)
        for size, name in zip(scan.deviations.tolist(), study.features, strict=True)
        if size == size  # not NaN
    )
    return {
        "scan": study.scans[scan.row],
        "site": site,
        "share": scan.share,
        "round": scan.round,
        "worst": [name for _, name in ranked[:5]],
    }
