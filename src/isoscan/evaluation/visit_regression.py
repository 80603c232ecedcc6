"""Regress every feature on site and covariates, with a level of its own for every person.

Scans of one person resemble each other. A random intercept per person says how much, so
that a person scanned five times does not count as five people.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.mixed import MixedFit, fit_mixed
from isoscan.errors import DataError
from isoscan.evaluation.regression import ALIASED, complete_blocks

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class VisitRegression:
    """Mixed models ``feature ~ site + covariates + (1 | person)`` by REML.

    All arrays have one column or entry per feature; NaN where a feature has too few
    values or does not vary within people.

    Attributes
    ----------
    residuals : ndarray of shape (n_scans, n_features)
        What site, covariates and person leave; from a fit by maximum likelihood, as in
        longCombat.
    adjusted : ndarray of shape (n_scans, n_features)
        Measures without covariates; site and the level of the person are still in them.
    slopes, slope_errors, df_slopes : ndarray of shape (n_columns, n_features)
        Effects of the covariates, standard errors, and Satterthwaite's degrees of freedom;
        NaN for what cannot be told apart from site or from others.
    f, numerator, denominator, p : ndarray of shape (n_features,)
        Test of all site coefficients together, of Kenward and Roger.
    """

    residuals: Matrix
    adjusted: Matrix
    slopes: Matrix
    slope_errors: Matrix
    df_slopes: Matrix
    f: Matrix
    numerator: Matrix
    denominator: Matrix
    p: Matrix


def regress_visits(
    values: Matrix,
    codes: NDArray[np.intp],
    design: Matrix,
    subjects: NDArray[Any],
    known: NDArray[np.bool_],
) -> VisitRegression:
    """Fit site, covariates and people to every feature.

    Parameters
    ----------
    values : ndarray of shape (n_scans, n_features)
        Measures; NaN where missing. Each feature uses the scans it has.
    codes : ndarray of int, shape (n_scans,)
        Site of each scan.
    design : ndarray of shape (n_scans, n_columns)
        Covariates without an intercept.
    subjects : ndarray of shape (n_scans,)
        Person of each scan.
    known : ndarray of bool, shape (n_columns, n_features)
        Which slopes the design determines.

    Returns
    -------
    VisitRegression
        Tests, slopes and what is left.
    """
    n_features = values.shape[1]
    found = VisitRegression(
        **{name: np.full(values.shape, np.nan) for name in _PER_SCAN},
        **{name: np.full(known.shape, np.nan) for name in _PER_SLOPE},
        **{name: np.full(n_features, np.nan) for name in _PER_FEATURE},
    )
    for rows, columns in complete_blocks(values):
        member, covariates = _site_columns(codes[rows]), design[rows]
        kept = _determined(member, covariates)
        model = _Visits(np.hstack([member, covariates[:, kept]]), subjects[rows])
        own = values[np.ix_(rows, columns)]
        try:
            fit, full = (fit_mixed(own, *model, method=method) for method in ("reml", "ml"))
        except DataError:  # too few scans, or nobody has two
            continue
        usable = fit.variance > 0
        _write_tests(found, columns[usable], fit, _site_contrasts(model.fixed, covariates), usable)
        _write_slopes(found, np.flatnonzero(kept), columns, fit, known[:, columns] & usable)
        scans = {
            "adjusted": own - model.explained(fit, len(member.T)),
            "residuals": own - model.explained(full) - model.of_people(full, own),
        }
        for name, left in scans.items():
            getattr(found, name)[np.ix_(rows, columns)] = np.where(usable, left, np.nan)
    return found


class _Visits(NamedTuple):
    """Columns of sites, then of covariates; and whose scans they describe."""

    fixed: Matrix
    subjects: NDArray[Any]

    def explained(self, fit: MixedFit, first: int = 0) -> Matrix:
        """What the columns from `first` on explain."""
        return self.fixed[:, first:] @ fit.coefficients[first:]

    def of_people(self, fit: MixedFit, values: Matrix) -> Matrix:
        """What the person of each scan adds."""
        left = values - self.explained(fit)
        return np.asarray(fit.predict_groups(left, self.subjects).at_scans())


_PER_SCAN = ("residuals", "adjusted")
_PER_SLOPE = ("slopes", "slope_errors", "df_slopes")
_PER_FEATURE = ("f", "numerator", "denominator", "p")


def _site_columns(codes: NDArray[np.intp]) -> Matrix:
    """One indicator for each site that has scans."""
    return np.asarray((codes[:, None] == np.unique(codes)).astype(float))


def _determined(member: Matrix, covariates: Matrix) -> NDArray[np.bool_]:
    """Covariates that follow neither from sites nor from the covariates before them."""
    basis = member / np.sqrt(member.sum(axis=0))
    kept = np.zeros(covariates.shape[1], dtype=bool)
    size = np.linalg.norm(covariates - covariates.mean(axis=0), axis=0)
    for position, column in enumerate(covariates.T):
        left = column - basis @ (basis.T @ column)
        left -= basis @ (basis.T @ left)
        length = np.linalg.norm(left)
        if length > ALIASED * size[position]:
            kept[position] = True
            basis = np.column_stack([basis, left / length])
    return kept


def _site_contrasts(everything: Matrix, covariates: Matrix) -> Matrix:
    """Directions of the coefficients in which sites add to what covariates explain."""
    simpler = np.column_stack([np.ones(len(everything)), covariates])
    simpler = simpler / np.maximum(np.linalg.norm(simpler, axis=0), 1e-300)
    left, singular, _ = np.linalg.svd(simpler, full_matrices=False)
    basis = left[:, singular > ALIASED]
    size = np.linalg.norm(everything, axis=0)
    own = everything / size
    own = own - basis @ (basis.T @ own)
    _, singular, directions = np.linalg.svd(own, full_matrices=False)
    return np.asarray(directions[singular > ALIASED] * size)


def _write_tests(
    found: VisitRegression,
    columns: NDArray[np.intp],
    fit: MixedFit,
    contrasts: Matrix,
    usable: NDArray[np.bool_],
) -> None:
    """Test site in the features that vary."""
    if not len(contrasts):
        return
    test = fit.kenward_roger(contrasts)
    found.f[columns] = test.statistic[usable]
    found.numerator[columns] = test.numerator
    found.denominator[columns] = test.denominator[usable]
    found.p[columns] = test.p_value[usable]


def _write_slopes(
    found: VisitRegression,
    kept: NDArray[np.intp],
    columns: NDArray[np.intp],
    fit: MixedFit,
    known: NDArray[np.bool_],
) -> None:
    """Keep the slopes that the design determines."""
    estimates = {
        "slopes": fit.coefficients,
        "slope_errors": fit.standard_errors(),
        "df_slopes": fit.degrees_of_freedom(),
    }
    n_sites = len(fit.coefficients) - len(kept)
    for name, values in estimates.items():
        part = np.where(known[kept], values[n_sites:], np.nan)
        getattr(found, name)[np.ix_(kept, columns)] = part
