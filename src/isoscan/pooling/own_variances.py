"""One regression per feature in which every site has a level and a residual variance.

The levels of the sites are taken out first. What is left of the likelihood depends on
cross-products within each site only, so a feature costs a few small matrices, however
many scans there are.

References
----------
.. [1] Pinheiro & Bates (2000), Mixed-Effects Models in S and S-PLUS, section 5.2,
   doi:10.1007/b98882.
.. [2] Welch (1947), Biometrika 34:28, doi:10.1093/biomet/34.1-2.28.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
STEPS = 500
TOLERANCE = 1e-10


@dataclass(frozen=True)
class OwnVariancesFit:
    """The coefficient of the first column, weighted by how noisy each site is.

    Attributes
    ----------
    beta, se : ndarray of shape (n_features,)
        Estimate and standard error.
    df : ndarray of shape (n_features,)
        Degrees of freedom by Welch and Satterthwaite.
    variances : ndarray of shape (n_sites, n_features)
        Residual variance of each site.
    converged : ndarray of bool, shape (n_features,)
        False where the variances still moved after the last step.
    """

    beta: Numbers
    se: Numbers
    df: Numbers
    variances: Numbers
    converged: NDArray[np.bool_]


@dataclass(frozen=True)
class SiteProducts:
    """Cross-products within each site, levels of the sites taken out.

    Attributes
    ----------
    sizes : ndarray of shape (n_sites,)
        Scans.
    columns : ndarray of shape (n_sites, n_columns, n_columns)
        Of the columns with each other.
    both : ndarray of shape (n_sites, n_columns, n_features)
        Of the columns with the features.
    squares : ndarray of shape (n_sites, n_features)
        Of the features.
    """

    sizes: Numbers
    columns: Numbers
    both: Numbers
    squares: Numbers

    @classmethod
    def of(cls, measures: Numbers, columns: Numbers, codes: NDArray[np.intp]) -> SiteProducts:
        """Centre within sites, and multiply.

        Parameters
        ----------
        measures : ndarray of shape (n_scans, n_features)
            Measures without missing values.
        columns : ndarray of shape (n_scans, n_columns)
            Columns of the regression, without intercept or sites.
        codes : ndarray of int, shape (n_scans,)
            Site of each scan, from 0.

        Returns
        -------
        SiteProducts
            The sums.
        """
        sizes, products, both, squares = [], [], [], []
        for site in range(int(codes.max()) + 1):
            here = codes == site
            x, y = columns[here], measures[here]
            x, y = x - x.mean(axis=0), y - y.mean(axis=0)
            sizes.append(float(here.sum()))
            products.append(x.T @ x)
            both.append(x.T @ y)
            squares.append(np.einsum("sf,sf->f", y, y))
        return cls(np.array(sizes), np.array(products), np.array(both), np.array(squares))

    def take(self, features: NDArray[np.intp]) -> SiteProducts:
        """Keep some of the features.

        Parameters
        ----------
        features : ndarray of int
            Their positions.

        Returns
        -------
        SiteProducts
            The same sites.
        """
        return SiteProducts(
            self.sizes, self.columns, self.both[:, :, features], self.squares[:, features]
        )

    def step(self, variances: Numbers) -> tuple[Numbers, Numbers, Numbers, Numbers]:
        """Regress with these variances, and estimate the variances anew.

        Parameters
        ----------
        variances : ndarray of shape (n_sites, n_features)
            Residual variances.

        Returns
        -------
        variances : ndarray of shape (n_sites, n_features)
            Squares of residuals over degrees of freedom.
        coefficients : ndarray of shape (n_features, n_columns)
            Of the columns.
        inverse : ndarray of shape (n_features, n_columns, n_columns)
            Covariance of the coefficients.
        degrees : ndarray of shape (n_sites, n_features)
            Degrees of freedom that each site has left.
        """
        weights = 1.0 / variances
        inverse = np.linalg.inv(np.einsum("jf,jpq->fpq", weights, self.columns, optimize=True))
        right = np.einsum("jf,jpf->fp", weights, self.both, optimize=True)
        beta = np.einsum("fpq,fq->fp", inverse, right)
        spent = weights * np.einsum("fpq,jpq->jf", inverse, self.columns, optimize=True)
        degrees = self.sizes[:, None] - 1.0 - spent
        residual = (
            self.squares
            - 2.0 * np.einsum("fp,jpf->jf", beta, self.both, optimize=True)
            + np.einsum("fp,jpq,fq->jf", beta, self.columns, beta, optimize=True)
        )
        return np.maximum(residual, 0.0) / degrees, beta, inverse, degrees


def fit_own_variances(
    measures: Numbers, columns: Numbers, codes: NDArray[np.intp]
) -> OwnVariancesFit:
    """Fit by REML; the first of the columns is asked for.

    Every site needs at least two scans more than there are columns.

    Parameters
    ----------
    measures : ndarray of shape (n_scans, n_features)
        Measures without missing values, which vary at every site.
    columns : ndarray of shape (n_scans, n_columns)
        The column asked for and those to adjust for; no intercept, no sites.
    codes : ndarray of int, shape (n_scans,)
        Site of each scan, from 0 without gaps.

    Returns
    -------
    OwnVariancesFit
        Effect and variances of every feature.
    """
    scale = np.sqrt(np.mean((columns - columns.mean(axis=0)) ** 2, axis=0))
    products = SiteProducts.of(measures, columns / scale, codes)
    variances = products.squares / (products.sizes[:, None] - 1.0)
    left = np.arange(measures.shape[1])
    for _ in range(STEPS):
        now = variances[:, left]
        new = products.take(left).step(now)[0]
        new = np.maximum(new, 1e-12 * now)
        variances[:, left] = new
        left = left[(np.abs(new - now) > TOLERANCE * now).any(axis=0)]
        if not left.size:
            break
    _, beta, inverse, degrees = products.step(variances)
    shares = np.einsum("fp,jpq,fq->jf", inverse[:, 0], products.columns, inverse[:, 0])
    shares = shares / variances / inverse[:, 0, 0]
    converged = np.ones(measures.shape[1], dtype=bool)
    converged[left] = False
    return OwnVariancesFit(
        beta=beta[:, 0] / scale[0],
        se=np.sqrt(inverse[:, 0, 0]) / scale[0],
        df=1.0 / (shares**2 / degrees).sum(axis=0),
        variances=variances,
        converged=converged,
    )
