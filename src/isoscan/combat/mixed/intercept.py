"""Restricted maximum likelihood of one random intercept, exact, for all features at once.

Differences between groups that no term of the design explains fall into independent
directions, the same for every feature. Along one direction, the effects of `scale` scans
add up. Groups of the same size share a scale in all but a few directions, so that a
thousand subjects with two to four scans need some dozens of numbers, not a thousand.

References
----------
.. [1] Kang et al. (2008), Genetics 178:1709, doi:10.1534/genetics.107.080101: the
   spectral form of the likelihood.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from isoscan.combat.mixed.blocks import BlockFit
from isoscan.combat.mixed.design import Basis, Groups
from isoscan.combat.mixed.inference import InterceptCovariance
from isoscan.combat.mixed.profile import LARGEST, Profile, best_ratio
from isoscan.errors import MixedModelError, count

Array = NDArray[np.float64]
NOTHING_LEFT = 1e-12
"""A direction with a smaller share of its groups is explained by the design."""


@dataclass(frozen=True)
class SizeClass:
    """Groups of one size, and the directions in which the design tells them apart.

    Attributes
    ----------
    groups : slice
        Which groups.
    size : float
        Scans in each.
    spanned : ndarray of shape (n_groups of the class, n_columns)
        Orthonormal; what the design can explain lies within.
    """

    groups: slice
    size: float
    spanned: Array

    @property
    def free(self) -> float:
        """Number of directions the design knows nothing about."""
        return float(self.spanned.shape[0] - self.spanned.shape[1])


@dataclass(frozen=True)
class Spectrum:
    """Independent directions of the differences between groups.

    Attributes
    ----------
    scales : ndarray of shape (n_directions,)
        Scans that share an effect; 0 where the design explains the direction.
    directions : ndarray of shape (n_directions, n_kept)
        Turns what is kept of the group sums into directions.
    explained : ndarray of shape (n_columns, n_directions)
        What one unit along a direction adds to the weights of the basis.
    classes : tuple of SizeClass
        Classes with more groups than the design has columns.
    kept : ndarray of int
        All other groups.
    group_sums : ndarray of shape (n_groups, n_columns)
        Sums of the basis per group.
    group_sizes : ndarray of shape (n_groups,)
        Scans per group.
    """

    scales: Array
    directions: Array
    explained: Array
    classes: tuple[SizeClass, ...]
    kept: NDArray[np.intp]
    group_sums: Array
    group_sizes: Array

    @classmethod
    def of(cls, basis: Basis, groups: Groups, *, by_size: bool = True) -> Spectrum:
        """Find the directions.

        Parameters
        ----------
        basis : Basis
            The design.
        groups : Groups
            Who belongs together.
        by_size : bool
            Use that groups of the same size share a scale.

        Returns
        -------
        Spectrum
            One for all features.
        """
        sums = groups.membership @ basis.columns
        classes, kept = _size_classes(sums, groups.sizes) if by_size else ((), groups.sizes >= 0)
        reduced = [sums[kept], *(part.spanned.T @ sums[part.groups] for part in classes)]
        explained = np.concatenate(reduced)
        sizes = [groups.sizes[kept]]
        sizes += [np.full(part.spanned.shape[1], part.size) for part in classes]
        products = np.diag(np.concatenate(sizes)) - explained @ explained.T
        scales, vectors = linalg.eigh(products)
        scales[scales < NOTHING_LEFT * groups.sizes.max()] = 0.0
        return cls(
            scales=scales,
            directions=vectors.T,
            explained=explained.T @ vectors,
            classes=classes,
            kept=np.flatnonzero(kept),
            group_sums=sums,
            group_sizes=groups.sizes,
        )

    @property
    def all_scales(self) -> Array:
        """Scales of the directions, then of the classes."""
        return np.concatenate([self.scales, [part.size for part in self.classes]])

    @property
    def counts(self) -> Array:
        """Number of directions behind each of `all_scales`."""
        own = (self.scales > 0).astype(float)
        return np.concatenate([own, [part.free for part in self.classes]])

    def amplitudes(self, sums: Array) -> tuple[Array, Array]:
        """Differences between groups along the directions.

        Parameters
        ----------
        sums : ndarray of shape (n_groups, n_features)
            Group sums of the residuals.

        Returns
        -------
        amplitudes : ndarray of shape (n_directions, n_features)
            Signed, 0 where the design explains a direction.
        energies : ndarray of shape (n_directions + n_classes, n_features)
            Squares, and what is left of each class.
        """
        kept, left = [sums[self.kept]], []
        for part in self.classes:
            of_class = sums[part.groups]
            seen = part.spanned.T @ of_class
            rest = np.einsum("gp,gp->p", of_class, of_class) - np.einsum("gp,gp->p", seen, seen)
            kept.append(seen)
            left.append(np.maximum(rest, 0.0)[None] / part.size)
        root = np.sqrt(self.scales)
        inverse = np.divide(1.0, root, out=np.zeros_like(root), where=root > 0)
        amplitudes = (inverse[:, None] * self.directions) @ np.concatenate(kept)
        return amplitudes, np.concatenate([amplitudes**2, *left])


def _size_classes(sums: Array, sizes: Array) -> tuple[tuple[SizeClass, ...], NDArray[np.bool_]]:
    classes, kept = [], np.ones(len(sizes), dtype=bool)
    distinct, first, members = np.unique(sizes, return_index=True, return_counts=True)
    for size, start, n_groups in zip(distinct, first, members, strict=True):
        if n_groups > sums.shape[1] + 1:
            groups = slice(int(start), int(start + n_groups))
            spanned: Array = np.linalg.qr(sums[groups])[0]
            classes.append(SizeClass(groups, float(size), spanned))
            kept[groups] = False
    return tuple(classes), kept


@dataclass(frozen=True)
class InterceptModel:
    """A random intercept for one set of scans.

    Attributes
    ----------
    basis : Basis
        The design.
    groups : Groups
        Who belongs together.
    spectrum : Spectrum
        Directions in which groups differ.
    restricted : bool
        REML rather than ML.
    """

    basis: Basis
    groups: Groups
    spectrum: Spectrum
    restricted: bool

    @classmethod
    def of(cls, basis: Basis, groups: Groups, *, restricted: bool) -> InterceptModel:
        """Prepare what all features share.

        Parameters
        ----------
        basis : Basis
            The design.
        groups : Groups
            Who belongs together.
        restricted : bool
            REML rather than ML.

        Returns
        -------
        InterceptModel
            Fits any number of features.

        Raises
        ------
        MixedModelError
            If a variance between groups cannot be told from the rest.
        """
        groups.require_repeats()
        spectrum = Spectrum.of(basis, groups)
        n_scans, n_columns = basis.columns.shape
        between = int(spectrum.counts.sum())
        if not between:
            raise MixedModelError(
                f"the design explains all differences between the "
                f"{count(len(groups.sizes), 'group')}, so nothing is left for a random intercept. "
                f"Drop the terms that name the groups."
            )
        if n_scans - n_columns - between < 1:
            raise MixedModelError(
                f"{count(n_scans, 'scan')} of {count(len(groups.sizes), 'group')} leave nothing to "
                f"estimate a residual variance from, beside {count(n_columns, 'column')} of the "
                f"design. Add repeated scans or drop terms."
            )
        return cls(basis, groups, spectrum, restricted)

    @property
    def terms(self) -> int:
        """Numbers per feature that a fit works on at a time."""
        return len(self.spectrum.all_scales)

    @property
    def covariance(self) -> InterceptCovariance:
        """What inference needs, without any scan."""
        return InterceptCovariance(
            to_coefficients=self.basis.to_coefficients,
            effects=self.basis.to_coefficients @ self.spectrum.explained,
            scales=self.spectrum.scales,
            counts=self.spectrum.counts,
            all_scales=self.spectrum.all_scales,
        )

    def group_sums(self, residuals: Array) -> Array:
        """Sum residuals within groups.

        Parameters
        ----------
        residuals : ndarray of shape (n_scans, n_features)
            Residuals of ordinary least squares.

        Returns
        -------
        ndarray of shape (n_groups, n_features)
            Sums.
        """
        return np.asarray(self.groups.membership @ residuals)

    def fit(self, sums: Array, weights: Array, squares: Array) -> BlockFit:
        """Fit a block of features.

        Parameters
        ----------
        sums : ndarray of shape (n_groups, n_features)
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
        amplitudes, energies = self.spectrum.amplitudes(sums)
        empty = squares <= 0
        residual = np.maximum(squares - energies.sum(axis=0), 0.0)
        residual[empty] = 1.0
        energies[:, empty] = 0.0
        profile = self._profile(energies, residual)
        ratio = best_ratio(profile)
        variance = profile.squares(ratio) / profile.degrees
        variance[empty] = ratio[empty] = 0.0
        scales = self.spectrum.scales[:, None]
        pulled = amplitudes * (ratio * np.sqrt(scales) / (1.0 + ratio * scales))
        weights = weights - self.spectrum.explained @ pulled
        return BlockFit(
            coefficients=self.basis.to_coefficients @ weights,
            variance=variance,
            between=ratio * variance,
            minus_two_log_likelihood=self._likelihood(profile, ratio, variance),
            singular=(ratio <= 0) | (ratio >= np.exp(LARGEST)),
            uncertainty=_uncertainty(profile, ratio, variance),
        )

    def _profile(self, energies: Array, residual: Array) -> Profile:
        n_scans, n_columns = self.basis.columns.shape
        scales, counts = self.spectrum.all_scales, self.spectrum.counts
        if self.restricted:
            penalty, times = scales[counts > 0], counts[counts > 0]
        else:
            penalty, whole = np.unique(self.groups.sizes, return_counts=True)
            times = whole.astype(float)
        return Profile(
            energies=energies,
            scales=scales[:, None],
            residual=residual,
            penalty_scales=penalty[:, None],
            penalty_counts=times[:, None],
            degrees=float(n_scans - n_columns if self.restricted else n_scans),
        )

    def _likelihood(self, profile: Profile, ratio: Array, variance: Array) -> Array:
        constant = self.basis.log_determinant if self.restricted else 0.0
        with np.errstate(divide="ignore"):
            logs = np.log(2.0 * np.pi * variance)
        return profile.degrees * (1.0 + logs) + profile.log_determinant(ratio) + constant


def _uncertainty(profile: Profile, ratio: Array, variance: Array) -> Array:
    """Twice the inverse of the curvature in the residual variance and the ratio."""
    known = np.where(variance > 0, variance, 1.0)
    squares, first, second, _, bend = profile.derivatives(ratio)
    curvature = np.empty((len(ratio), 2, 2))
    curvature[:, 0, 0] = (2.0 * squares / known - profile.degrees) / known**2
    curvature[:, 0, 1] = curvature[:, 1, 0] = -first / known**2
    curvature[:, 1, 1] = second / known + bend
    determinant = curvature[:, 0, 0] * curvature[:, 1, 1] - curvature[:, 0, 1] ** 2
    usable = (ratio > 0) & (variance > 0) & (determinant > 0)
    inverse = np.full_like(curvature, np.nan)
    inverse[:, 0, 0], inverse[:, 1, 1] = curvature[:, 1, 1], curvature[:, 0, 0]
    inverse[:, 0, 1] = inverse[:, 1, 0] = -curvature[:, 0, 1]
    inverse *= (2.0 / np.where(usable, determinant, np.nan))[:, None, None]
    return inverse
