"""How much of each voxel is site, before and after, from moments alone.

Harmonizing is an affine map of each site and voxel, so the moments of the harmonized maps
follow from those of the measured ones: no map is read again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.apply import affine_maps
from isoscan.combat.blocks import for_each_block
from isoscan.combat.model import SiteModel
from isoscan.combat.moments import Moments, merge_all
from isoscan.combat.regression import regress
from isoscan.combat.smooth import Penalty

Array = NDArray[np.float64]


def site_f(
    moments: Moments, per_site: Array, penalties: Sequence[Penalty] = ()
) -> NDArray[np.float64]:
    """F statistic of site, added to the covariates.

    Parameters
    ----------
    moments : Moments
        Of all sites.
    per_site : ndarray of shape (n_sites,)
        Number of scans.
    penalties : sequence of Penalty
        Design columns that draw curves.

    Returns
    -------
    ndarray of shape (n_voxels,)
        NaN where nothing varies.
    """
    n_sites, n_columns = moments.covariate_mean.shape[:2]
    scans = moments.count.sum(axis=0)
    together = merge_all([_of_site(moments, site) for site in range(n_sites)])
    with_site, without = (
        scans * regress(part, sizes, reference=None, tolerance=0.0, penalties=penalties).sd ** 2
        for part, sizes in ((moments, per_site), (together, per_site.sum(keepdims=True)))
    )
    present = (moments.count > 0).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        explained = (without - with_site) / (present - 1)
        f: Array = explained / (with_site / (scans - present - n_columns))
    return np.where(with_site > 0, np.maximum(f, 0.0), np.nan)


def _of_site(moments: Moments, site: int) -> Moments:
    return Moments(**{name: value[site : site + 1] for name, value in vars(moments).items()})


def harmonized_moments(moments: Moments, model: SiteModel, block: slice) -> Moments:
    """Moments of the harmonized values.

    Parameters
    ----------
    moments : Moments
        Of the measured values of a block of voxels.
    model : SiteModel
        Fitted numbers.
    block : slice
        Which voxels of the model these are.

    Returns
    -------
    Moments
        As if the harmonized values had been collected.
    """
    factor, lines = affine_maps(model, block)
    untouched = np.zeros(factor.shape, dtype=bool)
    untouched[:, model.passed_through[block]] = True
    if model.reference is not None:
        untouched[model.reference] = True
    factor[untouched], lines[:, untouched] = 1.0, 0.0
    addend, weights = lines[0], np.ascontiguousarray(lines[1:].swapaxes(0, 1))  # site, column
    cross = moments.cross_products
    bent = _times(moments.covariate_products, weights)
    mean = factor * moments.feature_mean + addend
    mean += _times(moments.covariate_mean[:, None], weights)[:, 0]
    squares = factor**2 * moments.feature_squares
    squares += np.einsum("bqv,bqv->bv", weights, 2 * factor[:, None] * cross + bent)
    return replace(
        moments,
        feature_mean=mean,
        cross_products=factor[:, None] * cross + bent,
        feature_squares=np.maximum(squares, 0.0),
    )


def _times(matrices: Array, weights: Array) -> Array:
    """Matrix of each site times the weights of each voxel; one matrix for all voxels, or many."""
    if matrices.shape[-1] == 1:
        return np.asarray(matrices[..., 0] @ weights)
    return np.asarray(np.einsum("brqv,bqv->brv", matrices, weights))


def site_f_before_and_after(
    moments_of: Callable[[slice], Moments],
    model: SiteModel,
    per_site: Array,
    penalties: Sequence[Penalty],
    n_jobs: int | None,
) -> tuple[Array, Array]:
    """F statistics of site for the measured and the harmonized values.

    Parameters
    ----------
    moments_of : callable
        Gives the moments of a slice of voxels.
    model : SiteModel
        Fitted numbers.
    per_site : ndarray of shape (n_sites,)
        Number of scans.
    penalties : sequence of Penalty
        Design columns that draw curves.
    n_jobs : int or None
        Number of threads.

    Returns
    -------
    before, after : ndarray of shape (n_voxels,)
        The second is optimistic by construction: the effect was estimated from these scans.
    """

    def test(block: slice) -> tuple[Array, Array]:
        moments = moments_of(block)
        after = harmonized_moments(moments, model, block)
        return site_f(moments, per_site, penalties), site_f(after, per_site, penalties)

    found = for_each_block(test, per_site.mean(), len(model.sd), n_jobs)
    return np.concatenate([pair[0] for pair in found]), np.concatenate([pair[1] for pair in found])
