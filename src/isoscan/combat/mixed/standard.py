"""The scale on which a random slope is fitted, whatever the unit of its covariate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Standard:
    """How the slope is standardized, and what that does to the covariance.

    Attributes
    ----------
    centre, unit : float
        Subtracted, then divided by.
    """

    centre: float
    unit: float

    @classmethod
    def of(cls, slope: Array, *, correlated: bool) -> Standard:
        """Mean and spread; a slope that is not correlated with the intercept keeps its zero.

        Parameters
        ----------
        slope : ndarray of shape (n_scans,)
            Values of the slope.
        correlated : bool
            Whether intercept and slope may be correlated.

        Returns
        -------
        Standard
            The scale to work on.
        """
        centre = float(slope.mean()) if correlated else 0.0
        unit = float(np.sqrt(np.mean((slope - centre) ** 2)))
        return cls(centre, unit if unit > 0 else 1.0)

    @property
    def to_original(self) -> Array:
        """Turns effects on the standardized scale into effects on the given one."""
        return np.array([[1.0, -self.centre / self.unit], [0.0, 1.0 / self.unit]])

    def restore(self, covariance: Array) -> Array:
        """Covariance of intercept and slope on the given scale.

        Parameters
        ----------
        covariance : ndarray of shape (n_features, 3)
            Upper triangles, on the standardized scale.

        Returns
        -------
        ndarray of shape (n_features, 2, 2)
            Symmetric matrices.
        """
        whole = covariance[:, [0, 1, 1, 2]].reshape(-1, 2, 2)
        return np.asarray(self.to_original @ whole @ self.to_original.T)

    def standardize(self, covariance: Array) -> Array:
        """Covariance of intercept and slope on the standardized scale.

        Parameters
        ----------
        covariance : ndarray of shape (n_features, 2, 2)
            On the given scale.

        Returns
        -------
        ndarray of shape (n_features, 3)
            Upper triangles.
        """
        back = np.linalg.inv(self.to_original)
        whole = back @ covariance @ back.T
        return np.stack([whole[:, 0, 0], whole[:, 0, 1], whole[:, 1, 1]], axis=1)
