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
    ones = np.column_stack([np.ones(len(scans.order)), scans.covariates])

    def apply_block(block: slice) -> None:
        factor, lines = affine_maps(model, block)
        before, after = table[:, block], result[:, block]
        for site, part in scans.present:
            rows = scans.rows[site]
            if site == model.reference or site >= len(model.effects.shift):
                after[rows] = before[rows]
                continue
            values = scans.gather(before, site)
            values *= factor[site]
            # Not by a matrix product of the linear algebra library: its rounding depends on
            # the number of rows.
            values += np.einsum("sc,cf->sf", ones[part], lines[:, site])
            if not np.isfinite(np.vdot(values, values)):
                refuse_infinite(values, scans.order[part], block.start)
            after[rows] = values

    for_each_block(apply_block, scans.rows_at_a_time, table.shape[1], n_jobs)
    passed = np.flatnonzero(model.passed_through)
    if passed.size:
        result[:, passed] = table[:, passed]
    return result


def affine_maps(model: SiteModel, block: slice, sites: slice = slice(None)) -> tuple[Array, Array]:
    """Factor of every site; and what is added there, for 1 and a unit of each covariate.

    With m what is expected of a scan, s the residual SD, and g and d a site's shift and
    scale, y becomes ((y - m)/s - g)/d s + m' = y/d + m' - m/d - s g/d, where m' leaves
    removed covariates at their mean.

    Parameters
    ----------
    model : SiteModel
        Fitted numbers.
    block : slice
        Features.
    sites : slice
        Which sites.

    Returns
    -------
    factor : ndarray of shape (n_sites, n_features of the block)
        What measures are multiplied with.
    lines : ndarray of shape (1 + n_covariates, n_sites, n_features of the block)
        What is added. The reference site, and features that do not vary, are left alone by
        the caller.
    """
    effects, slopes = model.effects, model.slopes[:, block]
    factor = 1.0 / np.sqrt(effects.variance[sites, block])
    lines = np.empty((1 + len(slopes), *factor.shape))
    lines[0] = model.intercept[block] * (1.0 - factor)
    lines[0] -= model.sd[block] * effects.shift[sites, block] * factor
    lines[0] += (model.removed_mean[:, None] * slopes)[model.removed].sum(axis=0)
    kept = np.where(model.removed, 0.0, 1.0)[:, None, None]
    np.multiply(slopes[:, None], kept - factor, out=lines[1:])
    return factor, lines
