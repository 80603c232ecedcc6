"""Apply a fitted model: one affine map per site and feature.

Arithmetic is element by element, so a scan gets the same bits whether it comes
alone or in bulk, in any order of rows and columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.blocks import for_each_block
from isoscan.combat.model import SiteModel
from isoscan.combat.moments import Scans, refuse_infinite

Array = NDArray[np.float64]


def harmonize(
    table: NDArray[Any], scans: Scans, model: SiteModel, *, n_jobs: int | None = None
) -> NDArray[Any]:
    """Take site effects out of measures.

    Parameters
    ----------
    table : ndarray of shape (n_scans, n_features)
        Measures; NaN stays NaN. Not modified.
    scans : Scans
        Rows grouped by the sites of `model`, with their covariates. Rows of sites beyond
        the last one are copied.
    model : SiteModel
        Fitted numbers.
    n_jobs : int, optional
        Number of threads.

    Returns
    -------
    ndarray of shape (n_scans, n_features)
        Harmonized measures, of the type of `table` if that is floating.
    """
    result = np.empty(table.shape, dtype=table.dtype)
    copied = np.flatnonzero(model.passed_through)

    def apply_block(block: slice) -> None:
        values = scans.gather(table[:, block])
        _adjust(values, scans, model, block)
        if not np.isfinite(np.vdot(values, values)):
            refuse_infinite(values, scans, block.start)
        scans.scatter(values, result[:, block])

    for_each_block(apply_block, table.shape[0], table.shape[1], n_jobs)
    if copied.size:
        result[:, copied] = table[:, copied]
    return result


def _adjust(values: Array, scans: Scans, model: SiteModel, block: slice) -> None:
    """Replace measured by harmonized values: scale, add a constant, add what covariates do."""
    effects, slopes = model.effects, model.slopes[:, block]
    scale = 1.0 / np.sqrt(effects.variance[:, block])
    constant = model.intercept[block] * (1.0 - scale)
    constant -= model.sd[block] * effects.shift[:, block] * scale
    weights = []
    for slope, mean, removed in zip(slopes, model.removed_mean, model.removed, strict=True):
        weights.append(slope * (-scale if removed else 1.0 - scale))
        if removed:
            constant += slope * mean
    change = np.empty_like(values)
    for site, rows in scans.present:
        if site == model.reference or site >= len(scale):
            continue
        of_site, of_change = values[rows], change[rows]
        of_site *= scale[site]
        of_site += constant[site]
        for column, weight in enumerate(weights):
            np.multiply(scans.covariates[rows, column, None], weight[site], out=of_change)
            of_site += of_change
