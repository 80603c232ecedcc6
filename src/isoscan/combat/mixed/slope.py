"""A random intercept and a random slope, for all features at once.

Each group has its own level and its own slope along one covariate: subjects with their own
rate of change, or sites with their own effect of a diagnosis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from isoscan.combat.mixed.blocks import BlockFit
from isoscan.combat.mixed.design import Basis, Groups
from isoscan.combat.mixed.search import LARGEST, best_factor, by_factor, factor_to_covariance
from isoscan.combat.mixed.slope_inference import SlopeCovariance
from isoscan.combat.mixed.standard import Standard
from isoscan.combat.mixed.surface import GroupSums, Point, Surface
from isoscan.errors import MixedModelError, count

Array = NDArray[np.float64]
CONSTANT = 1e-10


@dataclass(frozen=True)
class SlopeModel:
    """A random intercept and slope for one set of scans.

    Attributes
    ----------
    basis : Basis
        The design.
    groups : Groups
        Who belongs together.
    weighted : sparse array of shape (n_groups, n_scans)
        Membership times the standardized slope.
    sums : GroupSums
        Sums of the design per group.
    standard : Standard
        Scale of the slope.
    correlated : bool
        Whether intercept and slope may be correlated.
    restricted : bool
        REML rather than ML.
    """

    basis: Basis
    groups: Groups
    weighted: sparse.csr_array
    sums: GroupSums
    standard: Standard
    correlated: bool
    restricted: bool

    @classmethod
    def of(
        cls, basis: Basis, groups: Groups, slope: Array, *, correlated: bool, restricted: bool
    ) -> SlopeModel:
        """Prepare what all features share.

        Parameters
        ----------
        basis : Basis
            The design.
        groups : Groups
            Who belongs together.
        slope : ndarray of shape (n_scans,)
            Values of the slope.
        correlated : bool
            Whether intercept and slope may be correlated.
        restricted : bool
            REML rather than ML.

        Returns
        -------
        SlopeModel
            Fits any number of features.

        Raises
        ------
        MixedModelError
            If slopes of the groups cannot be told from the rest.
        """
        groups.require_repeats()
        standard = Standard.of(slope, correlated=correlated)
        values = (slope - standard.centre) / standard.unit
        _require_change(groups, values)
        weighted = sparse.csr_array(groups.membership * values[None, :])
        counts = np.stack([groups.sizes, weighted @ np.ones(len(slope)), weighted @ values])
        sums = GroupSums(counts, groups.membership @ basis.columns, weighted @ basis.columns)
        _require_residuals(basis, groups, sums)
        return cls(basis, groups, weighted, sums, standard, correlated, restricted)

    @property
    def terms(self) -> int:
        """Numbers per feature that a fit works on at a time."""
        return 16 * len(self.groups.sizes)

    @property
    def covariance(self) -> SlopeCovariance:
        """What inference needs, without any scan."""
        return SlopeCovariance(self.basis.to_coefficients, self.sums, self.standard)

    def group_sums(self, residuals: Array) -> Array:
        """Sum residuals within groups, plain and weighted by the slope.

        Parameters
        ----------
        residuals : ndarray of shape (n_scans, n_features)
            Residuals of ordinary least squares.

        Returns
        -------
        ndarray of shape (2, n_groups, n_features)
            Sums.
        """
        return np.stack([self.groups.membership @ residuals, self.weighted @ residuals])

    def fit(self, sums: Array, weights: Array, squares: Array) -> BlockFit:
        """Fit a block of features.

        Parameters
        ----------
        sums : ndarray of shape (2, n_groups, n_features)
            Group sums of the residuals of ordinary least squares.
        weights : ndarray of shape (n_columns, n_features)
            Ordinary least squares, in the basis.
        squares : ndarray of shape (n_features,)
            Residual squares; 0 where the design explains a feature.

        Returns
        -------
        BlockFit
            The optimum of each feature.
        """
        n_scans, n_columns = self.basis.columns.shape
        degrees = float(n_scans - n_columns if self.restricted else n_scans)
        empty = squares <= 0
        unit = np.sqrt(np.where(empty, 1.0, squares / degrees))
        plain, weighted = np.where(empty, 0.0, sums / unit).transpose(0, 2, 1)
        surface = Surface(
            self.sums,
            np.ascontiguousarray(plain),
            np.ascontiguousarray(weighted),
            np.full(len(squares), degrees),
            degrees,
            self.restricted,
        )
        factor = best_factor(surface, correlated=self.correlated)
        point = surface.at(factor_to_covariance(factor))
        variance = np.where(empty, 0.0, unit**2 * point.squares / degrees)
        relative = self.standard.restore(factor_to_covariance(factor))
        constant = self.basis.log_determinant if self.restricted else 0.0
        with np.errstate(divide="ignore"):
            logs = np.log(2.0 * np.pi * variance)
        return BlockFit(
            coefficients=self.basis.to_coefficients @ (weights + point.weights.T * unit),
            variance=variance,
            between=relative * variance[:, None, None],
            minus_two_log_likelihood=degrees * (1.0 + logs) + point.log_determinant + constant,
            singular=(factor[:, [0, 2]] == 0).any(axis=1) | (np.abs(factor) >= LARGEST).any(axis=1),
            uncertainty=_uncertainty(point, factor, variance, correlated=self.correlated),
        )


def _require_change(groups: Groups, values: Array) -> None:
    means = (groups.membership @ values) / groups.sizes
    if np.abs(values - means[groups.codes]).max() <= CONSTANT * np.abs(values).max():
        raise MixedModelError(
            f"the slope is constant within each of {count(len(groups.sizes), 'group')}, so groups "
            f"cannot have slopes of their own. Choose a covariate that changes within groups, or "
            f"fit a random intercept only."
        )


def _require_residuals(basis: Basis, groups: Groups, sums: GroupSums) -> None:
    """Count what is left when every group takes its own intercept and slope."""
    n, m, s = sums.counts
    spread = s - m * m / n
    sloped = spread > CONSTANT * s.max()
    between = (sums.plain / n[:, None]).T @ sums.plain
    along = (sums.weighted - (m / n)[:, None] * sums.plain)[sloped]
    within = np.eye(sums.n_columns) - between - (along / spread[sloped, None]).T @ along
    rank = int((np.linalg.eigvalsh(within) > CONSTANT).sum())
    left = len(groups.codes) - len(n) - int(sloped.sum()) - rank
    if left < 1:
        raise MixedModelError(
            f"{count(len(groups.codes), 'scan')} of {count(len(n), 'group')} leave nothing to "
            f"estimate a residual variance from: each group takes an intercept and a slope. Fit a "
            f"random intercept only, or add repeated scans."
        )


def _uncertainty(point: Point, factor: Array, variance: Array, *, correlated: bool) -> Array:
    """Covariance of the residual variance and the relative covariance, by the delta method.

    Derivatives are taken by the factor: on the boundary its zeros drop out by themselves.
    """
    degrees = point.surface.degrees
    mean = point.squares / degrees
    first, second, slope, bend = point.derivatives()
    first, second = first / mean[:, None], second / mean[:, None, None]
    _, bend, change = by_factor(factor, slope + first, bend + second)
    curvature = np.zeros((len(factor), 4, 4))
    curvature[:, 0, 0] = degrees
    curvature[:, 1:, 1:] = bend
    curvature[:, 0, 1:] = curvature[:, 1:, 0] = -(first[:, None] @ change)[:, 0]
    if not correlated:
        curvature[:, 2] = curvature[:, :, 2] = 0.0
    out = np.zeros_like(curvature)
    out[:, 0, 0] = np.where(variance > 0, variance, np.nan)
    out[:, 1:, 1:] = change
    values, vectors = np.linalg.eigh(curvature)
    usable = values > 1e-8 * values[:, -1:]
    inverse = np.where(usable, 2.0 / np.where(usable, values, 1.0), 0.0)
    turned = out @ vectors
    return np.asarray((turned * inverse[:, None]) @ turned.transpose(0, 2, 1))
