"""F tests of several coefficients at once that allow for estimated variances.

With few groups the variance between them is known badly, and ordinary tests are too
generous. Kenward and Roger enlarge the covariance of the estimates and choose degrees of
freedom that give the statistic the moments of an F distribution. With a random intercept
all of it is a sum over the directions in which groups differ.

References
----------
.. [1] Kenward & Roger (1997), Biometrics 53:983, doi:10.2307/2533558.
.. [2] Halekoh & Højsgaard (2014), J Stat Softw 59(9), doi:10.18637/jss.v059.i09.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from isoscan.combat.mixed.inference import InterceptCovariance

Array = NDArray[np.float64]
NEAR_TWO = 1e-2
"""So close to two denominator degrees of freedom the scaling has no moments to match."""


@dataclass(frozen=True)
class KenwardRoger:
    """One test per feature.

    Attributes
    ----------
    statistic : ndarray of shape (n_features,)
        Scaled F.
    numerator : int
        Number of contrasts tested together.
    denominator : ndarray of shape (n_features,)
        Degrees of freedom.
    log_p : ndarray of shape (n_features,)
        Natural logarithm of the p value, which does not underflow.
    standard_errors : ndarray of shape (n_contrasts, n_features)
        Adjusted standard error of each contrast.
    """

    statistic: Array
    numerator: int
    denominator: Array
    log_p: Array
    standard_errors: Array

    @property
    def p_value(self) -> Array:
        """Probability of so large a statistic by chance."""
        return np.asarray(np.exp(self.log_p))


@dataclass(frozen=True)
class Pieces:
    """Covariance of the contrasts, and what depends on the variances in it.

    Attributes
    ----------
    covariance : ndarray of shape (n_features, n_contrasts, n_contrasts)
        As if the variances were known.
    slopes : tuple of two ndarray of shape (n_features, n_contrasts, n_contrasts)
        Its derivatives by residual variance and variance between groups.
    correction : ndarray of shape (n_features, n_contrasts, n_contrasts)
        What is added because they are estimated.
    uncertainty : ndarray of shape (n_features, 2, 2)
        Covariance of the two variances, from their expected information.
    """

    covariance: Array
    slopes: tuple[Array, Array]
    correction: Array
    uncertainty: Array

    @classmethod
    def of(
        cls, design: InterceptCovariance, contrasts: Array, variance: Array, relative: Array,
        degrees: Array,
    ) -> Pieces:  # fmt: skip
        """Sum over the directions in which groups differ.

        Parameters
        ----------
        design : InterceptCovariance
            What the features share.
        contrasts : ndarray of shape (n_contrasts, n_columns)
            Weights of the coefficients.
        variance : ndarray of shape (n_features,)
            Residual variance, positive.
        relative : ndarray of shape (n_features,)
            Variance between groups over residual variance.
        degrees : ndarray of shape (n_features,)
            Scans less columns of the design.

        Returns
        -------
        Pieces
            Of every feature.
        """
        own = contrasts @ design.to_coefficients
        own = own @ own.T
        along = contrasts @ design.effects
        pairs = np.einsum("ik,jk->kij", along, along)
        scales = design.scales[:, None]
        shrink = 1.0 / (1.0 + scales * relative)

        def total(weights: Array) -> Array:
            return np.asarray(np.einsum("kf,kij->fij", weights, pairs, optimize=True))

        uncertainty = _uncertainty(design, variance, relative, degrees)
        spread = (
            uncertainty[:, 1, 1]
            - 2.0 * relative * uncertainty[:, 0, 1]
            + relative**2 * uncertainty[:, 0, 0]
        )
        return cls(
            covariance=variance[:, None, None] * (own + total(relative * shrink)),
            slopes=(own + total(relative**2 * scales * shrink**2), total(shrink**2)),
            correction=total(2.0 * spread / variance * scales * shrink**3),
            uncertainty=uncertainty,
        )


def _uncertainty(
    design: InterceptCovariance, variance: Array, relative: Array, degrees: Array
) -> Array:
    """Twice the inverse of the expected information of the two variances."""
    scales, counts = design.all_scales[:, None], design.counts[:, None]
    squared = counts / (1.0 + scales * relative) ** 2
    information = np.empty((len(variance), 2, 2))
    information[:, 0, 0] = degrees - counts.sum() + squared.sum(axis=0)
    information[:, 0, 1] = information[:, 1, 0] = (squared * scales).sum(axis=0)
    information[:, 1, 1] = (squared * scales**2).sum(axis=0)
    inverse = np.linalg.inv(information)
    return np.asarray(2.0 * variance[:, None, None] ** 2 * inverse)


def kenward_roger(
    design: InterceptCovariance,
    contrasts: Array,
    coefficients: Array,
    variance: Array,
    relative: Array,
    degrees: Array,
) -> KenwardRoger:
    """Test that all contrasts are 0.

    Parameters
    ----------
    design : InterceptCovariance
        What the features share.
    contrasts : ndarray of shape (n_contrasts, n_columns)
        Weights of the coefficients, linearly independent.
    coefficients : ndarray of shape (n_columns, n_features)
        Estimates.
    variance : ndarray of shape (n_features,)
        Residual variance of a restricted fit; no test where it is 0.
    relative : ndarray of shape (n_features,)
        Variance between groups over residual variance.
    degrees : ndarray of shape (n_features,)
        Scans less columns of the design.

    Returns
    -------
    KenwardRoger
        One test per feature.
    """
    usable = variance > 0
    pieces = Pieces.of(design, contrasts, np.where(usable, variance, 1.0), relative, degrees)
    adjusted = pieces.covariance + pieces.correction
    effects = (contrasts @ coefficients).T
    solved = np.linalg.solve(adjusted, effects[:, :, None])[:, :, 0]
    statistic = np.einsum("fc,fc->f", effects, solved) / len(contrasts)
    denominator, scaling = _moments(pieces, len(contrasts))
    statistic = np.where(usable, statistic * scaling, np.nan)
    denominator = np.where(usable, denominator, np.nan)
    errors = np.sqrt(np.diagonal(adjusted, axis1=1, axis2=2)).T
    return KenwardRoger(
        statistic=statistic,
        numerator=len(contrasts),
        denominator=denominator,
        log_p=log_tail(statistic, len(contrasts), denominator),
        standard_errors=np.where(usable, errors, np.nan),
    )


def log_tail(statistic: Array, numerator: float, denominator: Array) -> Array:
    """Logarithm of the upper tail of the F distribution, also where the tail underflows.

    Parameters
    ----------
    statistic : ndarray of shape (n_features,)
        Values of F; NaN where unknown.
    numerator : float
        Degrees of freedom.
    denominator : ndarray of shape (n_features,)
        Degrees of freedom.

    Returns
    -------
    ndarray of shape (n_features,)
        Natural logarithms of p values.

    Examples
    --------
    >>> log_tail(np.array([3.0, 1e9]), 1, np.array([10.0, 200.0])).round(2)
    array([   -2.17, -1545.37])
    """
    a, b = 0.5 * denominator, 0.5 * numerator
    x = denominator / (denominator + numerator * statistic)
    tail = special.betainc(a, b, x)
    far = tail < 1e-290
    near_zero = np.where(far, x, 0.5)
    series = a * np.log(near_zero) + b * np.log1p(-near_zero) - np.log(a) - special.betaln(a, b)
    series += np.log(special.hyp2f1(a + b, 1.0, a + 1.0, near_zero))
    return np.asarray(np.where(far, series, np.log(np.where(far, 1.0, tail))))


def _moments(pieces: Pieces, n: int) -> tuple[Array, Array]:
    """Degrees of freedom and scaling that match mean and variance of the statistic."""
    turned = [np.linalg.solve(pieces.covariance, slope) for slope in pieces.slopes]
    traces = np.stack([np.trace(one, axis1=1, axis2=2) for one in turned], axis=1)
    products = np.array([[np.einsum("fij,fji->f", a, b) for a in turned] for b in turned])
    first = np.einsum("fi,fij,fj->f", traces, pieces.uncertainty, traces)
    second = np.einsum("ijf,fij->f", products, pieces.uncertainty)
    both = (first + 6.0 * second) / (2.0 * n)
    g = ((n + 1) * first - (n + 4) * second) / ((n + 2) * second)
    share = 3 * n + 2 * (1 - g)
    above = 1.0 + g / share * both
    above = np.where(np.abs(above) < 1e-10, 0.0, above)
    below = 1.0 - (n - g) / share * both
    last = 1.0 - (n + 2 - g) / share * both
    mean = 1.0 - second / n
    ratio = np.where((np.abs(mean) < 1e-14) & (np.abs(below) < 1e-14), 1.0, mean / below)
    rho = ratio**2 * above / last / n
    denominator = 4.0 + (n + 2) / (n * rho - 1.0)
    near = np.abs(denominator - 2.0) < NEAR_TWO
    scaling = denominator * mean / np.where(near, 1.0, denominator - 2.0)
    return denominator, np.where(near, 1.0, scaling)


def put_together(
    tests: list[KenwardRoger], features: list[NDArray[np.intp]], n_features: int
) -> KenwardRoger:
    """Put tests of some features each in the order of the table.

    Parameters
    ----------
    tests : list of KenwardRoger
        At least one.
    features : list of ndarray of int
        Columns of the table behind each.
    n_features : int
        Columns of the table.

    Returns
    -------
    KenwardRoger
        NaN for features without a test.
    """
    n = tests[0].numerator
    table = np.full((3 + n, n_features), np.nan)
    for test, columns in zip(tests, features, strict=True):
        table[:3, columns] = test.statistic, test.denominator, test.log_p
        table[3:, columns] = test.standard_errors
    return KenwardRoger(table[0], n, table[1], table[2], table[3:])
