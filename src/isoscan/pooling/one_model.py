"""Fit the models of a mega-analysis: plain arrays in, plain arrays out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.combat.mixed import fit_mixed
from isoscan.errors import (
    ConfoundedDesignError,
    DesignError,
    TooFewScansError,
    count,
    name_some,
)
from isoscan.pooling.own_variances import fit_own_variances
from isoscan.pooling.question import Question
from isoscan.pooling.within_site import fit_slope, orthonormal, same_scans

Numbers = NDArray[np.float64]
EXACT = "it does not vary beyond the regression"


@dataclass(frozen=True)
class Fitted:
    """What a model found for each feature.

    Attributes
    ----------
    effect, se, df : ndarray of shape (n_features,)
        Estimate, standard error, degrees of freedom; NaN where there is none.
    tau2, site_variance, residual_variance : ndarray of shape (n_features,)
        Variance of the effect and of the level between sites, and within sites.
    singular : ndarray of bool, shape (n_features,)
        Whether the optimum lies on the boundary.
    notes : dict of {int: str}
        What to know, by position of the feature.
    site_sd : ndarray of shape (n_sites, n_features) or None
        Residual standard deviations of sites, if each has its own.
    redundant : dict of {str: None}
        Covariates that the levels of sites determine, in order: they change nothing.
    """

    effect: Numbers
    se: Numbers
    df: Numbers
    tau2: Numbers
    site_variance: Numbers
    residual_variance: Numbers
    singular: NDArray[np.bool_]
    notes: dict[int, str] = field(default_factory=dict)
    site_sd: Numbers | None = None
    redundant: dict[str, None] = field(default_factory=dict)

    @classmethod
    def empty(cls, n_features: int, **more: Any) -> Fitted:
        """Room for the answers.

        Parameters
        ----------
        n_features : int
            Columns.
        **more : object
            Other attributes.

        Returns
        -------
        Fitted
            Nothing known yet; the effect is taken to be the same at all sites.
        """
        effect, se, df, site_variance, residual_variance = np.full((5, n_features), np.nan)
        tau2, singular = np.zeros(n_features), np.zeros(n_features, dtype=bool)
        return cls(effect, se, df, tau2, site_variance, residual_variance, singular, **more)


def fit_model(
    question: Question, model: str, *, correlated: bool = True, n_jobs: int | None = None
) -> Fitted:
    """Fit one model to all features.

    Parameters
    ----------
    question : Question
        Measures, sites and design columns.
    model : {"none", "fixed", "intercept", "slope", "heteroscedastic"}
        What sites may differ by; "none" ignores sites.
    correlated : bool
        Whether levels and effects of sites may be correlated.
    n_jobs : int or None
        Number of threads.

    Returns
    -------
    Fitted
        The answers.

    Raises
    ------
    DesignError
        If sites or covariates determine the contrast in every feature.
    """
    _require_independent(question)
    if model in ("intercept", "slope"):
        return _mixed(question, model, correlated, n_jobs)
    if model == "heteroscedastic":
        found = _own_variances(question)
    else:
        found = _least_squares(question, with_sites=model == "fixed")
    if not np.isfinite(found.effect).any():
        reasons = list(dict.fromkeys(found.notes.values())) or ["no measure varies"]
        raise DesignError(
            f"the effect of '{question.asked.name}' cannot be estimated for any feature: "
            f"{'; '.join(reasons[:4])}."
        )
    return found


def count_scans(question: Question) -> dict[str, NDArray[np.int_]]:
    """Sites and scans that each feature has.

    Parameters
    ----------
    question : Question
        Measures and sites.

    Returns
    -------
    dict of {str: ndarray of int, shape (n_features,)}
        k, n, and n1 and n2 for groups.
    """
    asked = question.asked
    names = ["k", "n"] + (["n1", "n2"] if asked.groups is not None else [])
    counts = {name: np.zeros(len(question.features), dtype=int) for name in names}
    for scans, at in same_scans(np.isfinite(question.values)):
        counts["k"][at] = len(set(question.sites[scans]))
        counts["n"][at] = scans.sum()
        if asked.groups is not None:
            counts["n1"][at] = (asked.column[scans] == 0).sum()
            counts["n2"][at] = (asked.column[scans] == 1).sum()
    return counts


def _mixed(question: Question, model: str, correlated: bool, n_jobs: int | None) -> Fitted:
    asked = question.asked
    design = np.column_stack([asked.column, np.ones(len(asked.column)), asked.others])
    slope = asked.column if model == "slope" else None
    fit = fit_mixed(
        question.values, design, question.sites, slope=slope, correlated=correlated, n_jobs=n_jobs
    )
    weights = np.eye(design.shape[1])[0]
    between = fit.between if fit.between.ndim == 1 else fit.between[:, 0, 0]
    exact = fit.solvable & (fit.variance == 0)
    notes = dict.fromkeys(np.flatnonzero(~fit.solvable).tolist(), "too few scans or sites have it")
    return Fitted(
        effect=fit.coefficients[0],
        se=np.where(exact, np.nan, fit.standard_errors(weights)[0]),
        df=fit.degrees_of_freedom(weights)[0],
        tau2=np.zeros(len(between)) if slope is None else fit.between[:, 1, 1],
        site_variance=between,
        residual_variance=fit.variance,
        singular=fit.singular,
        notes=notes | dict.fromkeys(np.flatnonzero(exact).tolist(), EXACT),
    )


def _require_independent(question: Question) -> None:
    """Refuse covariates that follow from those before them, by name."""
    asked = question.asked
    columns = np.column_stack([asked.column, asked.others])
    dropped = orthonormal(columns - columns.mean(axis=0))[1]
    if dropped:
        name = [asked.name, *asked.other_names][dropped[0]]
        raise ConfoundedDesignError(
            f"'{name}' is determined by the contrast and the covariates before it. Drop it from "
            f"adjust.",
            columns=[name],
        )


def _least_squares(question: Question, *, with_sites: bool) -> Fitted:
    asked, found = question.asked, Fitted.empty(len(question.features))
    for scans, at in same_scans(np.isfinite(question.values)):
        column, others = asked.column[scans], asked.others[scans]
        if len(column) < 3:
            found.notes.update(dict.fromkeys(at.tolist(), "fewer than 3 scans have it"))
            continue
        if with_sites:
            codes, names = pd.factorize(question.sites[scans])
            others = np.column_stack([np.eye(len(names))[codes][:, 1:], others])
        fit = fit_slope(_of(question, scans, at), column, others)
        found.effect[at], found.se[at], found.df[at] = fit.beta, fit.se, fit.df
        found.residual_variance[at] = fit.se**2 * _own_part(column, others)
        exact = at[np.isnan(fit.se)].tolist() if not fit.aliased else []
        found.notes.update(dict.fromkeys(exact, EXACT))
        first = others.shape[1] - asked.others.shape[1]
        _tell_redundant(found, question, scans, at, [place - first for place in fit.dropped])
        if fit.aliased:
            reason = f"'{asked.name}' is determined by {'sites and ' * with_sites}covariates"
            found.notes.update(dict.fromkeys(at.tolist(), reason))
    return found


def _tell_redundant(
    found: Fitted,
    question: Question,
    scans: NDArray[np.bool_],
    at: NDArray[np.intp],
    dropped: list[int],
) -> None:
    """Name covariates that sites determine; those that do in all scans once, not per feature."""
    names = [question.asked.other_names[position] for position in dropped]
    if scans.all():
        found.redundant.update(dict.fromkeys(names))
        return
    own = [name for name in names if name not in found.redundant]
    if own:
        found.notes.update(dict.fromkeys(at.tolist(), f"{name_some(own)} determined by sites"))


def _own_part(column: Numbers, others: Numbers) -> float:
    """Squares of the column that the others do not explain."""
    design = np.column_stack([np.ones(len(column)), others])
    left = column - design @ np.linalg.lstsq(design, column, rcond=None)[0]
    return float(left @ left)


def _own_variances(question: Question) -> Fitted:
    names = pd.unique(question.sites)
    found = Fitted.empty(
        len(question.features), site_sd=np.full((len(names), len(question.features)), np.nan)
    )
    for scans, at in same_scans(np.isfinite(question.values)):
        try:
            codes, present, columns, dropped = _own_columns(question, scans)
        except (TooFewScansError, DesignError) as refusal:
            found.notes.update(dict.fromkeys(at.tolist(), str(refusal)))
            continue
        _tell_redundant(found, question, scans, at, dropped)
        values = _of(question, scans, at)
        constant = _constant_somewhere(values, codes)
        found.notes.update(dict.fromkeys(at[constant].tolist(), "it does not vary at a site"))
        at, values = at[~constant], values[:, ~constant]
        fit = fit_own_variances(values, columns, codes)
        found.effect[at], found.se[at], found.df[at] = fit.beta, fit.se, fit.df
        assert found.site_sd is not None
        found.site_sd[np.ix_(pd.Index(names).get_indexer(present), at)] = np.sqrt(fit.variances)
        found.notes.update(dict.fromkeys(at[~fit.converged].tolist(), "did not converge"))
    return found


def _of(question: Question, scans: NDArray[np.bool_], at: NDArray[np.intp]) -> Numbers:
    return question.values[:, at] if scans.all() else question.values[np.ix_(scans, at)]


def _enough_scans(sites: Any, n_columns: int) -> tuple[NDArray[np.intp], Any]:
    if not len(sites):
        raise TooFewScansError("no scan has it")
    codes, names = pd.factorize(sites)
    sizes = np.bincount(codes, minlength=len(names))
    few = [str(name) for name, size in zip(names, sizes, strict=True) if size < n_columns + 2]
    if few:
        raise TooFewScansError(
            f"{few[0]} has {count(int(sizes[list(names).index(few[0])]), 'scan')}; a residual "
            f"variance of its own needs at least {n_columns + 2}"
        )
    return codes, names


def _own_columns(
    question: Question, scans: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], Any, Numbers, list[int]]:
    """Site of each scan, the sites, columns that vary within sites, and covariates that do not."""
    asked = question.asked
    codes, present = _enough_scans(question.sites[scans], 1 + asked.others.shape[1])
    columns = np.column_stack([asked.column, asked.others])[scans]
    means = np.array([columns[codes == site].mean(axis=0) for site in range(len(present))])
    within = columns - means[codes]
    spread = np.sqrt(((columns - columns.mean(axis=0)) ** 2).sum(axis=0))
    within[:, np.sqrt((within**2).sum(axis=0)) <= 1e-9 * spread] = 0.0
    basis, dropped = orthonormal(within[:, 1:])
    left = within[:, 0] - basis @ (basis.T @ within[:, 0])
    if np.sqrt(left @ left) <= 1e-9 * spread[0]:
        raise DesignError(f"'{asked.name}' is determined by sites and covariates")
    return codes, present, np.delete(columns, [1 + position for position in dropped], 1), dropped


def _constant_somewhere(values: Numbers, codes: NDArray[np.intp]) -> NDArray[np.bool_]:
    constant = np.zeros(values.shape[1], dtype=bool)
    for site in range(codes.max() + 1):
        constant |= np.ptp(values[codes == site], axis=0) == 0
    return constant
