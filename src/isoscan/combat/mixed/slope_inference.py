"""How the covariance of fixed effects depends on the covariance of intercept and slope."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.blocks import column_blocks
from isoscan.combat.mixed.standard import Standard
from isoscan.combat.mixed.surface import GroupSums, Shrinkage

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SlopeCovariance:
    """Covariance of estimates with a random intercept and slope.

    Attributes
    ----------
    to_coefficients : ndarray of shape (n_columns, n_columns)
        Turns weights of the basis into coefficients of the design.
    sums : GroupSums
        Sums of the design per group.
    standard : Standard
        Scale of the slope.
    """

    to_coefficients: Array
    sums: GroupSums
    standard: Standard

    def variances(self, contrasts: Array, variance: Array, relative: Array) -> Array:
        """Variance of each contrast.

        Parameters
        ----------
        contrasts : ndarray of shape (n_contrasts, n_columns)
            Weights of the coefficients.
        variance : ndarray of shape (n_features,)
            Residual variance.
        relative : ndarray of shape (n_features, 2, 2)
            Covariance between groups over residual variance.

        Returns
        -------
        ndarray of shape (n_contrasts, n_features)
            Squared standard errors.
        """
        weights = contrasts @ self.to_coefficients
        found = np.empty((len(contrasts), len(variance)))
        for part, shrunk in self._blocks(relative):
            inverse = np.linalg.inv(self._precision(shrunk))
            found[:, part] = np.einsum("ci,fij,cj->cf", weights, inverse, weights, optimize=True)
        return found * variance

    def gradients(self, contrasts: Array, variance: Array, relative: Array) -> Array:
        """Derivatives of the variances by the variance parameters.

        Parameters
        ----------
        contrasts : ndarray of shape (n_contrasts, n_columns)
            Weights of the coefficients.
        variance : ndarray of shape (n_features,)
            Residual variance.
        relative : ndarray of shape (n_features, 2, 2)
            Covariance between groups over residual variance.

        Returns
        -------
        ndarray of shape (n_contrasts, n_features, 4)
            By the residual variance, then by intercept, both and standardized slope.
        """
        weights = contrasts @ self.to_coefficients
        found = np.empty((len(contrasts), len(variance), 4))
        found[:, :, 0] = self.variances(contrasts, np.ones_like(variance), relative)
        for part, shrunk in self._blocks(relative):
            moved = np.linalg.solve(self._precision(shrunk), weights.T)
            for number, middle in enumerate(shrunk.outer(), start=1):
                inner = self.sums.sandwich(middle)
                found[:, part, number] = np.einsum("fic,fij,fjc->cf", moved, inner, moved)
        found[:, :, 1:] *= variance[:, None]
        return found

    def _blocks(self, relative: Array) -> Iterator[tuple[slice, Shrinkage]]:
        covariance = self.standard.standardize(relative)
        n_groups = self.sums.counts.shape[1]
        for part in column_blocks(16 * n_groups, len(relative)):
            yield part, Shrinkage.of(self.sums.counts, covariance[part])

    def _precision(self, shrunk: Shrinkage) -> Array:
        return np.eye(self.sums.n_columns) - self.sums.sandwich(shrunk.effect)
