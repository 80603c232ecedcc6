"""What sites report, as numbers: the input of every estimator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
WORTH_COPYING = 0.7
"""A search goes on with the features that still move, once these are a smaller share."""


@dataclass(frozen=True)
class Evidence:
    """What sites report about many features.

    Attributes
    ----------
    effects : ndarray of shape (n_sites, n_features)
        Effects; 0 where a site lacks a feature.
    variances : ndarray of shape (n_sites, n_features)
        Squared standard errors; 1 where a site lacks a feature.
    present : ndarray of shape (n_sites, n_features)
        1.0 where a site has a feature, else 0.0.
    design : ndarray of shape (n_sites, n_terms)
        A column of ones, and moderators if there are any.
    """

    effects: Numbers
    variances: Numbers
    present: Numbers
    design: Numbers

    @property
    def k(self) -> Numbers:
        """Number of sites of each feature."""
        return np.asarray(self.present.sum(axis=0))

    @property
    def df(self) -> Numbers:
        """Number of sites less number of terms."""
        return np.asarray(self.k - self.design.shape[1])

    def weights(self, tau2: Numbers | float = 0.0) -> Numbers:
        """Inverse variances, the between-site part included.

        Parameters
        ----------
        tau2 : ndarray of shape (n_features,) or float
            Between-site variance.

        Returns
        -------
        ndarray of shape (n_sites, n_features)
            Weights; 0 where a site lacks a feature.
        """
        weights: Numbers = self.present / (self.variances + tau2)
        return weights

    def take(self, features: NDArray[np.intp] | slice) -> Evidence:
        """Keep some of the features.

        Parameters
        ----------
        features : ndarray of int or slice
            Their positions.

        Returns
        -------
        Evidence
            The same sites.
        """
        if isinstance(features, slice):
            return self._each(lambda array: array[:, features])
        return self._each(lambda array: array.take(features, axis=1))  # faster than indexing

    def _each(self, choose: Callable[[Numbers], Numbers]) -> Evidence:
        return Evidence(
            choose(self.effects), choose(self.variances), choose(self.present), self.design
        )

    def without(self, site: int) -> Evidence:
        """Leave one site out.

        Parameters
        ----------
        site : int
            Its row.

        Returns
        -------
        Evidence
            The same features; the row stays, with weight 0.
        """
        present = self.present.copy()
        present[site] = 0.0
        return Evidence(self.effects, self.variances, present, self.design)
