"""Weighted regression of site effects, for many features at once.

Rows are sites, columns are features; a site without a feature has weight 0 there.
The design is shared by all features: a column of ones pools, moderators regress.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class WeightedFit:
    """Weighted least squares per feature.

    Attributes
    ----------
    weights : ndarray of shape (n_sites, n_features)
        Weights used; 0 for sites without the feature.
    coefficients : ndarray of shape (n_terms, n_features)
        Estimates.
    covariance : ndarray of shape (n_features, n_terms, n_terms)
        Inverse of X'WX.
    residuals : ndarray of shape (n_sites, n_features)
        Effect minus fitted effect.
    total : ndarray of shape (n_features,)
        Sum of the weights.
    """

    weights: Numbers
    coefficients: Numbers
    covariance: Numbers
    residuals: Numbers
    total: Numbers

    @property
    def q(self) -> Numbers:
        """Weighted sum of squared residuals."""
        return sum_over_sites(self.weights, self.residuals, self.residuals)

    @property
    def pulled(self) -> Numbers:
        """Weighted residuals."""
        return np.asarray(self.weights * self.residuals)


def fit_weighted(effects: Numbers, weights: Numbers, design: Numbers) -> WeightedFit:
    """Regress effects on the design, per feature.

    Parameters
    ----------
    effects : ndarray of shape (n_sites, n_features)
        Effects; any finite number where the weight is 0.
    weights : ndarray of shape (n_sites, n_features)
        Weights.
    design : ndarray of shape (n_sites, n_terms)
        Design columns.

    Returns
    -------
    WeightedFit
        Estimates.
    """
    products = cross_products(design, weights)
    covariance = inverse(products)
    if is_mean(design):
        mean = covariance[:, :, 0].T * sum_over_sites(weights, effects)
        return WeightedFit(weights, mean, covariance, effects - mean, products[:, 0, 0])
    coefficients = np.einsum("fpq,qf->pf", covariance, design.T @ (weights * effects))
    residuals = effects - design @ coefficients
    return WeightedFit(weights, coefficients, covariance, residuals, sum_over_sites(weights))


def trace_of_diagonal(design: Numbers, products: Numbers, *factors: Numbers) -> Numbers:
    """Trace of D, given X'DX: for a mean they are the same.

    Parameters
    ----------
    design : ndarray of shape (n_sites, n_terms)
        Design columns X.
    products : ndarray of shape (n_features, n_terms, n_terms)
        X'DX.
    *factors : ndarray of shape (n_sites, n_features)
        Factors of the diagonal of D.

    Returns
    -------
    ndarray of shape (n_features,)
        Sums over sites of the product of all factors.
    """
    return products[:, 0, 0] if is_mean(design) else sum_over_sites(*factors)


def is_mean(design: Numbers) -> bool:
    """Whether the design is a column of ones: the regression is a weighted mean.

    Parameters
    ----------
    design : ndarray of shape (n_sites, n_terms)
        Design columns.

    Returns
    -------
    bool
        True if so.
    """
    return design.shape[1] == 1 and bool((design == 1).all())


def sum_over_sites(*factors: Numbers) -> Numbers:
    """Sum over sites of the product of all factors, without storing the product.

    Parameters
    ----------
    *factors : ndarray of shape (n_sites, n_features)
        One to three factors.

    Returns
    -------
    ndarray of shape (n_features,)
        Sums.
    """
    if len(factors) == 1:
        return np.asarray(factors[0].sum(axis=0))
    return np.asarray(np.einsum(",".join(["sf"] * len(factors)) + "->f", *factors))


def cross_products(design: Numbers, *factors: Numbers) -> Numbers:
    """X'DX of every feature, where the diagonal of D is the product of the factors.

    Parameters
    ----------
    design : ndarray of shape (n_sites, n_terms)
        Design columns X.
    *factors : ndarray of shape (n_sites, n_features)
        One to three factors, such as weights.

    Returns
    -------
    ndarray of shape (n_features, n_terms, n_terms)
        Cross-products.
    """
    if is_mean(design):
        return sum_over_sites(*factors)[:, None, None]
    n_sites, n_terms = design.shape
    weights = math.prod(factors[1:], start=factors[0])
    products = (design[:, :, None] * design[:, None, :]).reshape(n_sites, n_terms**2)
    return np.ascontiguousarray((products.T @ weights).T).reshape(-1, n_terms, n_terms)


def inverse(matrices: Numbers) -> Numbers:
    """Inverse of each matrix; NaN if there is none.

    Parameters
    ----------
    matrices : ndarray of shape (n_features, n_terms, n_terms)
        Symmetric matrices.

    Returns
    -------
    ndarray of shape (n_features, n_terms, n_terms)
        Inverses.
    """
    if matrices.shape[-1] == 1:
        return 1 / np.where(matrices > 0, matrices, np.nan)
    size = np.abs(matrices).max(axis=(1, 2), initial=0.0)
    scaled = matrices / np.where(size > 0, size, 1.0)[:, None, None]
    singular = ~(np.abs(np.linalg.det(scaled)) > 1e-200)
    identity = np.eye(matrices.shape[-1])
    inverses = np.linalg.inv(np.where(singular[:, None, None], identity, matrices))
    inverses[singular] = np.nan
    return np.asarray(inverses)


def trace_of_product(first: Numbers, second: Numbers) -> Numbers:
    """Trace of AB for each feature.

    Parameters
    ----------
    first, second : ndarray of shape (n_features, n_terms, n_terms)
        Matrices.

    Returns
    -------
    ndarray of shape (n_features,)
        Traces.
    """
    return np.asarray(np.einsum("fpq,fqp->f", first, second))
