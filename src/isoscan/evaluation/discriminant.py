"""A linear classifier that is quick, has no settings, and works with more features than scans."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
NEGLIGIBLE = 1e-10
"""Directions with a smaller share of the largest variance are rounding."""


@dataclass(frozen=True)
class Discriminant:
    """Linear discriminant analysis with a shrunken common covariance and equal priors.

    Attributes
    ----------
    weights : ndarray of shape (n_features, n_sites)
        Weight of each feature for each site.
    offsets : ndarray of shape (n_sites,)
        Constant of each site.
    """

    weights: Matrix
    offsets: Matrix

    def predict(self, values: Matrix) -> NDArray[np.intp]:
        """Guess the site of each scan.

        Parameters
        ----------
        values : ndarray of shape (n_scans, n_features)
            Measures, without missing values.

        Returns
        -------
        ndarray of int, shape (n_scans,)
            Sites, numbered as in training.
        """
        return np.asarray((values @ self.weights + self.offsets).argmax(axis=1))


def learn_discriminant(values: Matrix, codes: NDArray[np.intp]) -> Discriminant:
    """Learn what tells sites apart.

    The covariance within sites is shrunk as Ledoit and Wolf propose. Everything happens in
    the space the training scans span, which loses nothing: the shrunken covariance is a
    multiple of the identity outside it, and no site mean points there.

    Parameters
    ----------
    values : ndarray of shape (n_scans, n_features)
        Measures, standardized, without missing values.
    codes : ndarray of int, shape (n_scans,)
        Site of each scan, numbered from 0 without gaps.

    Returns
    -------
    Discriminant
        The classifier.

    References
    ----------
    .. [1] Ledoit & Wolf (2004), J Multivar Anal 88:365, doi:10.1016/S0047-259X(03)00096-4.

    Examples
    --------
    >>> values = np.array([[0.0, 0.1], [0.2, 0.0], [5.0, 5.1], [5.2, 5.0]])
    >>> learn_discriminant(values, np.array([0, 0, 1, 1])).predict(np.array([[4.0, 4.0]]))
    array([1])
    """
    basis = _span(values)
    scores = values if basis is None else values @ basis
    member = (codes[None, :] == np.arange(codes.max() + 1)[:, None]).astype(float)
    means = (member @ scores) / member.sum(axis=1)[:, None]
    covariance = shrunken_covariance(scores - means[codes], n_features=values.shape[1])
    weights = np.linalg.solve(covariance, means.T)
    offsets = -0.5 * (means * weights.T).sum(axis=1)
    return Discriminant(weights if basis is None else basis @ weights, offsets)


def shrunken_covariance(centred: Matrix, n_features: int) -> Matrix:
    """Ledoit-Wolf covariance of centred scores of `n_features` original features.

    Parameters
    ----------
    centred : ndarray of shape (n_scans, n_scores)
        Scores with mean zero; features, or features in an orthonormal basis of their span.
    n_features : int
        Number of original features.

    Returns
    -------
    ndarray of shape (n_scores, n_scores)
        Covariance pulled towards a multiple of the identity.

    Examples
    --------
    >>> scans = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.5], [0.0, -0.5]])
    >>> shrunken_covariance(scans, 2).round(2)
    array([[0.32, 0.  ], [0.  , 0.3 ]])
    """
    n_scans = len(centred)
    covariance = centred.T @ centred / n_scans
    level = np.trace(covariance) / n_features
    squared = np.square(covariance).sum()
    spread = squared - n_features * level**2
    noise = (np.square(np.square(centred).sum(axis=1)).sum() / n_scans - squared) / n_scans
    shrinkage = min(max(noise, 0.0) / spread, 1.0) if spread > 0 else 1.0
    shrunken = (1 - shrinkage) * covariance
    shrunken[np.diag_indices_from(shrunken)] += max(shrinkage * level, NEGLIGIBLE * level, 1e-300)
    return shrunken


def _span(values: Matrix) -> Matrix | None:
    """Orthonormal basis of the span of the scans; None if they span all features."""
    if values.shape[1] <= len(values):
        return None
    variance, directions = np.linalg.eigh(values @ values.T)
    kept = variance > NEGLIGIBLE * variance[-1]
    return np.asarray(values.T @ (directions[:, kept] / np.sqrt(variance[kept])))
