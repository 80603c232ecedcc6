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
    rows = scans.rows()

    def apply_block(block: slice) -> None:
        values = np.empty((len(scans.order), block.stop - block.start))
        values[...] = table[rows, block]
        for site, of_site in enumerate(scans.sites):
            if of_site.start < of_site.stop and site != model.reference:
                _adjust(values[of_site], scans.covariates[of_site], model, site, block)
        if not np.isfinite(np.add.reduce(values, axis=None)):
            refuse_infinite(values, scans, block.start)
        result[rows, block] = values

    for_each_block(apply_block, table.shape[0], table.shape[1], n_jobs)
    if copied.size:
        result[:, copied] = table[:, copied]
    return result


def _adjust(values: Array, covariates: Array, model: SiteModel, site: int, block: slice) -> None:
    """Replace the values of one site's scans by harmonized ones."""
    effects, slopes = model.effects, model.slopes[:, block]
    scale = 1.0 / np.sqrt(effects.variance[site, block])
    values *= scale
    constant = model.intercept[block] * (1.0 - scale)
    constant -= model.sd[block] * effects.shift[site, block] * scale
    for column, slope in enumerate(slopes):
        if model.removed[column]:
            constant += slope * model.removed_mean[column]
    values += constant
    change = np.empty_like(values)
    for column, slope in enumerate(slopes):
        weight = slope * (-scale if model.removed[column] else 1.0 - scale)
        np.multiply(covariates[:, column, None], weight, out=change)
        values += change
