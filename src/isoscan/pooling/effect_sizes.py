"""Turn a regression's t statistic into an effect size that sites can share.

Everything works on numbers and on arrays of any shape; NaN in, NaN out. Where
implementations differ the numbers are those of metafor 5.1 (``mi`` of a partial
correlation counts all predictors, the variance of its Fisher z is 1 / (n - mi - 2)).
Cohen's d and its standard error follow the ENIGMA working-group scripts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln
from scipy.stats import norm

Numbers = NDArray[np.float64]


def cohens_d(t: ArrayLike, n1: ArrayLike, n2: ArrayLike, df: ArrayLike | None = None) -> Numbers:
    """Standardized difference of two groups from the t of a regression.

    With covariates this is ENIGMA's formula, t (n1 + n2) / (sqrt(n1 n2) sqrt(df)).

    Parameters
    ----------
    t : array_like
        Statistic of the group difference.
    n1, n2 : array_like
        Number of people in each group.
    df : array_like, optional
        Residual degrees of freedom of the regression. Without them t comes from two
        groups and no covariates, and d = t sqrt(1/n1 + 1/n2).

    Returns
    -------
    ndarray
        Cohen's d, with the sign of t.

    Examples
    --------
    >>> float(cohens_d(2.5, 30, 40).round(6)), float(cohens_d(2.5, 30, 40, df=68).round(6))
    (0.603807, 0.612623)
    """
    t, n1, n2 = _floats(t, n1, n2)
    if df is None:
        return np.asarray(t * np.sqrt(1 / n1 + 1 / n2))
    return np.asarray(t * (n1 + n2) / np.sqrt(n1 * n2 * np.asarray(df, dtype=float)))


def cohens_d_se(d: ArrayLike, n1: ArrayLike, n2: ArrayLike) -> Numbers:
    """Standard error of Cohen's d as ENIGMA computes it.

    It leaves out the degrees of freedom that covariates take.

    Parameters
    ----------
    d : array_like
        Cohen's d.
    n1, n2 : array_like
        Number of people in each group.

    Returns
    -------
    ndarray
        Standard error.

    Examples
    --------
    >>> float(cohens_d_se(0.612623, 30, 40).round(6))
    0.24717
    """
    d, n1, n2 = _floats(d, n1, n2)
    return np.sqrt((n1 + n2) / (n1 * n2) + d**2 / (2 * (n1 + n2 - 2)))


def small_sample_factor(m: ArrayLike, *, exact: bool = True) -> Numbers:
    """Hedges' J(m), which takes the upward bias out of Cohen's d.

    Parameters
    ----------
    m : array_like
        Degrees of freedom, n1 + n2 - 2; more than 1.
    exact : bool
        By gamma functions; otherwise 1 - 3 / (4m - 1).

    Returns
    -------
    ndarray
        A number a little below 1.

    References
    ----------
    .. [1] Hedges (1981), J Educ Stat 6:107, doi:10.3102/10769986006002107.

    Examples
    --------
    >>> float(small_sample_factor(22).round(6))
    0.965451
    >>> float(small_sample_factor(22, exact=False).round(6))
    0.965517
    """
    m = np.asarray(m, dtype=float)
    if not exact:
        return 1 - 3 / (4 * m - 1)
    return np.asarray(np.exp(gammaln(m / 2) - np.log(m / 2) / 2 - gammaln((m - 1) / 2)))


def hedges_g(
    d: ArrayLike,
    n1: ArrayLike,
    n2: ArrayLike,
    *,
    df: ArrayLike | None = None,
    exact: bool = True,
) -> Numbers:
    """Cohen's d without its small-sample bias.

    Parameters
    ----------
    d : array_like
        Cohen's d.
    n1, n2 : array_like
        Number of people in each group.
    df : array_like, optional
        Residual degrees of freedom of a regression with covariates, which estimated the
        spread that d is measured in; n1 + n2 - 2 by default.
    exact : bool
        Exact or approximate factor, see `small_sample_factor`.

    Returns
    -------
    ndarray
        Hedges' g.

    Examples
    --------
    >>> float(hedges_g(0.6038073644, 30, 40).round(6))
    0.597119
    """
    d, n1, n2 = _floats(d, n1, n2)
    return d * small_sample_factor(n1 + n2 - 2 if df is None else df, exact=exact)


def hedges_g_se(g: ArrayLike, n1: ArrayLike, n2: ArrayLike, *, unbiased: bool = False) -> Numbers:
    """Standard error of Hedges' g.

    Parameters
    ----------
    g : array_like
        Hedges' g.
    n1, n2 : array_like
        Number of people in each group.
    unbiased : bool
        The unbiased variance (metafor's "UB"); otherwise the large-sample one ("LS").

    Returns
    -------
    ndarray
        Standard error.

    Examples
    --------
    >>> float((hedges_g_se(0.597119, 30, 40) ** 2).round(6))
    0.06088
    """
    g, n1, n2 = _floats(g, n1, n2)
    if not unbiased:
        return np.sqrt(1 / n1 + 1 / n2 + g**2 / (2 * (n1 + n2)))
    m = n1 + n2 - 2
    share = 1 - (m - 2) / (m * small_sample_factor(m) ** 2)
    return np.sqrt(1 / n1 + 1 / n2 + share * g**2)


def partial_correlation(t: ArrayLike, df: ArrayLike) -> Numbers:
    """Partial correlation from the t of a continuous predictor.

    Parameters
    ----------
    t : array_like
        Statistic of the predictor.
    df : array_like
        Residual degrees of freedom.

    Returns
    -------
    ndarray
        Correlation given the other predictors.

    Examples
    --------
    >>> float(partial_correlation(-4.1, 56).round(6))
    -0.480494
    """
    t, df = _floats(t, df)
    return t / np.sqrt(t**2 + df)


def partial_correlation_se(r: ArrayLike, df: ArrayLike) -> Numbers:
    """Standard error of a partial correlation.

    Parameters
    ----------
    r : array_like
        Partial correlation.
    df : array_like
        Residual degrees of freedom; the variance is (1 - r²)² / (df + 1).

    Returns
    -------
    ndarray
        Standard error.

    Examples
    --------
    >>> float((partial_correlation_se(-0.480494, 56) ** 2).round(6))
    0.010378
    """
    r, df = _floats(r, df)
    return (1 - r**2) / np.sqrt(df + 1)


def fisher_z(r: ArrayLike) -> Numbers:
    """Fisher's transformation of a correlation.

    Parameters
    ----------
    r : array_like
        Correlation.

    Returns
    -------
    ndarray
        atanh r.
    """
    return np.asarray(np.arctanh(np.asarray(r, dtype=float)))


def fisher_z_se(df: ArrayLike) -> Numbers:
    """Standard error of Fisher's z of a partial correlation.

    Parameters
    ----------
    df : array_like
        Residual degrees of freedom; the variance is 1 / (df - 1), that is
        1 / (n - 3) for a plain correlation.

    Returns
    -------
    ndarray
        Standard error; NaN where df is 1 or less.

    Examples
    --------
    >>> float((fisher_z_se(56) ** 2).round(6))
    0.018182
    """
    df = np.asarray(df, dtype=float)
    return np.asarray(1 / np.sqrt(np.where(df > 1, df - 1, np.nan)))


def interval(effect: ArrayLike, se: ArrayLike, level: float = 0.95) -> tuple[Numbers, Numbers]:
    """Normal confidence interval.

    Parameters
    ----------
    effect, se : array_like
        Effect and standard error.
    level : float
        Coverage. ENIGMA's scripts write 1.96 for the exact 1.959964 used here.

    Returns
    -------
    low, high : ndarray
        Limits.
    """
    effect, se = _floats(effect, se)
    margin = norm.ppf(0.5 + level / 2) * se
    return effect - margin, effect + margin


def _floats(*values: ArrayLike) -> tuple[Numbers, ...]:
    return tuple(np.asarray(value, dtype=float) for value in values)
