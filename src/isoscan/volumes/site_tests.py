"""How much of each voxel is site, before and after, from moments alone.

Harmonizing is an affine map of each site and voxel, so the moments of the harmonized maps
follow from those of the measured ones: no map is read again. Where no value is missing and
there are no curves, one projection gives the F statistics of all voxels; elsewhere every voxel is
regressed again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

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
    tests = _Tests(moments_of, model, per_site, penalties)
    rows_at_a_time = 2 * len(per_site) * max(len(model.slopes), 1)
    found = for_each_block(tests.of, rows_at_a_time, len(model.sd), n_jobs)
    return np.concatenate([pair[0] for pair in found]), np.concatenate([pair[1] for pair in found])


class _Tests:
    """Both tests of blocks of voxels, in the shortest way."""

    def __init__(
        self,
        moments_of: Callable[[slice], Moments],
        model: SiteModel,
        per_site: Array,
        penalties: Sequence[Penalty],
    ) -> None:
        self.moments_of, self.model, self.per_site = moments_of, model, per_site
        self.penalties = penalties
        self.plain = not penalties and (model.reference is None or not model.removed.any())
        self.projection: Projection | None = None

    def of(self, block: slice) -> tuple[Array, Array]:
        moments = self.moments_of(block)
        if self.plain and not moments.has_missing:
            if self.projection is None:  # the same for all voxels
                self.projection = Projection.of(moments)
            if self.projection.solvable:
                return projected_site_f(moments, self.model, block, self.projection)
        after = harmonized_moments(moments, self.model, block)
        before, after_f = (site_f(m, self.per_site, self.penalties) for m in (moments, after))
        return before, after_f


@dataclass(frozen=True)
class Projection:
    """What covariates explain of differences between sites; no value is missing.

    Attributes
    ----------
    count : ndarray of shape (n_sites, 1)
        Scans.
    mean : ndarray of shape (n_sites, n_covariates)
        Means of the covariates.
    products : ndarray of shape (n_sites, n_covariates, n_covariates)
        Their centred products.
    """

    count: Array
    mean: Array
    products: Array

    @classmethod
    def of(cls, moments: Moments) -> Projection:
        """Take it from the moments of any voxels.

        Parameters
        ----------
        moments : Moments
            Of all sites.

        Returns
        -------
        Projection
            The same for all voxels.
        """
        return cls(
            moments.count, moments.covariate_mean[..., 0], moments.covariate_products[..., 0]
        )

    @cached_property
    def within(self) -> Array:
        """Inverse of the products within sites."""
        return _inverse(self.products.sum(axis=0))

    @property
    def solvable(self) -> bool:
        """Whether covariates can be told apart within sites."""
        return bool(np.isfinite(self.within).all())

    @cached_property
    def between(self) -> Array:
        """What turns levels of sites into what site explains: the sum of squares of the product.

        A square root of Z'MZ, where Z says which scan is of which site and M takes out the mean
        and the covariates.
        """
        offset = self.mean - (self.count * self.mean).sum(axis=0) / self.count.sum()
        total = self.products.sum(axis=0) + offset.T @ (self.count * offset)
        weighted = self.count * offset
        explained = np.diagflat(self.count) - self.count @ self.count.T / self.count.sum()
        values, vectors = np.linalg.eigh(explained - weighted @ _inverse(total) @ weighted.T)
        root: Array = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
        return root

    def f(self, levels: Array, left: Array) -> Array:
        """F statistic of site.

        Parameters
        ----------
        levels : ndarray of shape (n_sites, n_voxels)
            Estimated level of each site.
        left : ndarray of shape (n_voxels,)
            Sum of squares that site and covariates leave.

        Returns
        -------
        ndarray of shape (n_voxels,)
            NaN where nothing varies.
        """
        explained = np.square(self.between @ levels).sum(axis=0)
        n_sites, n_covariates = self.mean.shape
        factor = (self.count.sum() - n_sites - n_covariates) / (n_sites - 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(left > 0, explained / left * factor, np.nan)


def _inverse(matrix: Array) -> Array:
    """Inverse of products of covariates, scaled by their own spread; NaN if there is none."""
    spread = np.sqrt(np.diag(matrix))
    spread = np.where(spread > 0, spread, 1.0)
    scaled = matrix / np.outer(spread, spread)
    if len(matrix) and np.linalg.eigvalsh(scaled)[0] <= 1e-12:
        return np.full_like(matrix, np.nan)
    return np.asarray(np.linalg.inv(scaled) / np.outer(spread, spread))


def projected_site_f(
    moments: Moments, model: SiteModel, block: slice, projection: Projection
) -> tuple[Array, Array]:
    """F statistics of site before and after, without another regression.

    With E the products of covariates and residuals within each site, f the factor of a site, W
    the products of covariates within sites: harmonizing changes the slopes by W^-1 of the sum of
    f E, and levels and squares follow.

    Parameters
    ----------
    moments : Moments
        Complete moments of the measured values of a block of voxels.
    model : SiteModel
        Fitted numbers, without curves.
    block : slice
        Which voxels of the model these are.
    projection : Projection
        Of the same scans.

    Returns
    -------
    before, after : ndarray of shape (n_voxels of the block,)
        NaN where nothing varies.
    """
    slopes, sd, effects = model.slopes[:, block], model.sd[block], model.effects
    n_sites, n_columns = projection.mean.shape
    products = projection.products.reshape(n_sites * n_columns, n_columns)
    left = (products @ slopes).reshape(moments.cross_products.shape)
    np.subtract(moments.cross_products, left, out=left)
    squares = moments.feature_squares - np.einsum("bqv,qv->bv", moments.cross_products, slopes)
    squares -= np.einsum("bqv,qv->bv", left, slopes)
    np.maximum(squares, 0.0, out=squares)
    levels = moments.feature_mean - projection.mean @ slopes - model.intercept[block]
    before = projection.f(levels, squares.sum(axis=0))
    factor = 1.0 / np.sqrt(effects.variance[:, block])
    levels -= sd * effects.shift[:, block]
    levels *= factor
    bent = np.einsum("bv,bqv->qv", factor, left)
    change = projection.within @ bent
    squares *= factor**2
    after = squares.sum(axis=0) - np.einsum("qv,qv->v", bent, change)
    return before, projection.f(levels - projection.mean @ change, after)
