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
        Rows grouped by the sites of `model`, with their covariates; those of a site beyond
        the last one are copied.
    model : SiteModel
        Fitted numbers.
    n_jobs : int, optional
        Number of threads.

    Returns
    -------
    ndarray of shape (n_scans, n_features)
        Harmonized measures, of the type of `table`.

    Raises
    ------
    InfiniteValuesError
        If a measure is infinite.
    """
    result = np.empty(table.shape, dtype=table.dtype)

    def apply_block(block: slice) -> None:
        maps = _affine_maps(model, block)
        for site, part in scans.present:
            rows, covariates = scans.rows[site], scans.covariates[part]
            if site == model.reference or site >= len(model.effects.shift):
                result[rows, block] = table[rows, block]
                continue
            values = scans.gather(table[:, block], site)
            _adjust(values, covariates, [of_sites[site] for of_sites in maps])
            if not np.isfinite(np.vdot(values, values)):
                refuse_infinite(values, scans.order[part], block.start)
            result[rows, block] = values

    for_each_block(apply_block, scans.rows_at_a_time, table.shape[1], n_jobs)
    passed = np.flatnonzero(model.passed_through)
    if passed.size:
        result[:, passed] = table[:, passed]
    return result


def _affine_maps(model: SiteModel, block: slice) -> list[Array]:
    """Factor, addend, and weights of the covariates; each (n_sites, n_features of the block).

    With m what is expected of a scan, s the residual SD, and g and d a site's shift and
    scale, y becomes ((y - m)/s - g)/d s + m' = y/d + m' - m/d - s g/d, where m' leaves
    removed covariates at their mean.
    """
    effects, slopes = model.effects, model.slopes[:, block]
    factor = 1.0 / np.sqrt(effects.variance[:, block])
    addend = model.intercept[block] * (1.0 - factor)
    addend -= model.sd[block] * effects.shift[:, block] * factor
    weights = []
    for slope, mean, removed in zip(slopes, model.removed_mean, model.removed, strict=True):
        weights.append(slope * (-factor if removed else 1.0 - factor))
        if removed:
            addend += slope * mean
    return [factor, addend, *weights]


def _adjust(values: Array, covariates: Array, of_site: list[Array]) -> None:
    """Harmonize the scans of one site in place.

    No matrix product: its rounding depends on the number of rows.
    """
    factor, addend, *weights = of_site
    values *= factor
    values += addend
    change = np.empty_like(values)
    for column, weight in zip(covariates.T, weights, strict=True):
        np.multiply(column[:, None], weight, out=change)
        values += change
