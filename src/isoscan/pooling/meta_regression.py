"""Do features of the sites explain why their effects differ? Meta-regression."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.linalg
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2
from scipy.stats import f as fisher_f

from isoscan.design import Design
from isoscan.errors import (
    ConfoundedDesignError,
    MissingCovariateError,
    PrecisionWarning,
    TooFewSitesError,
    UnmatchedRowsError,
    count,
    name_some,
)
from isoscan.labels import as_labels
from isoscan.pooling.evidence import Evidence
from isoscan.pooling.heterogeneity import Method, estimate_tau2
from isoscan.pooling.meta import Test, choose_options
from isoscan.pooling.pooled import (
    BLOCK,
    Options,
    degrees_of_freedom,
    heterogeneity,
    scale_of_variance,
    significance,
)
from isoscan.pooling.site_table import SiteEffects
from isoscan.pooling.studies import Studies, as_studies
from isoscan.pooling.weighted import fit_weighted
from isoscan.pooling.within_site import TOLERANCE, same_scans

Numbers = NDArray[np.float64]
SITES_PER_MODERATOR = 10


@dataclass(frozen=True, repr=False)
class MetaRegression:
    """How effects depend on moderators.

    Attributes
    ----------
    table : DataFrame
        feature, term, effect (slope; the intercept is the effect where all moderators
        are 0), se, low, high, statistic, df, p, log10_p.
    summary : DataFrame
        feature, k, QM (moderators together: chi-squared for test "z", else F), QM_df,
        QM_p, tau2 (left over), tau2_se, R2 (percent of tau² explained), Q (left over),
        Q_p, I2, H2.
    studies : Studies
        The site effects.
    options : Options
        Estimator, test and level.
    notes : DataFrame
        feature, note: where the regression was not possible.
    """

    table: pd.DataFrame
    summary: pd.DataFrame
    studies: Studies
    options: Options
    notes: pd.DataFrame

    def __repr__(self) -> str:
        """Say in one line what this is."""
        terms = name_some(self.table["term"].unique())
        return f"<MetaRegression: {count(self.studies.features, 'feature')} on {terms}>"


def meta_regression(
    effects: SiteEffects | pd.DataFrame | pd.Series[Any] | ArrayLike,
    se: pd.DataFrame | pd.Series[Any] | ArrayLike | None = None,
    *,
    moderators: pd.DataFrame,
    formula: str | None = None,
    method: Method | None = None,
    test: Test | None = None,
    level: float = 0.95,
) -> MetaRegression:
    """Regress site effects on properties of the sites.

    A site's mean age is not a person's age: a slope over sites says nothing about people
    (the ecological fallacy). It describes sites, such as field strength or vendor.

    Parameters
    ----------
    effects : SiteEffects, DataFrame, Series or array
        As for `meta_analysis`.
    se : DataFrame, Series or array, optional
        As for `meta_analysis`.
    moderators : DataFrame of shape (n_sites, n_moderators)
        One row per site, indexed by site.
    formula : str, optional
        Which moderators enter, and how; all columns by default.
    method : {"reml", "fe", "dl", "he", "hs", "sj", "pm", "ml"}, optional
        Estimator of the variance between sites that moderators leave, REML unless told.
    test : {"knha-bounded", "knha", "t", "z"}, optional
        As for `meta_analysis`.
    level : float
        Coverage of the intervals.

    Returns
    -------
    MetaRegression
        Slopes in `table`, what is explained and left over in `summary`.

    Raises
    ------
    ConfoundedDesignError
        If a moderator is determined by others.
    TooFewSitesError
        If no feature has two sites more than the regression has terms.

    Warns
    -----
    PrecisionWarning
        Under ten sites per moderator.

    References
    ----------
    .. [1] Thompson & Higgins (2002), Stat Med 21:1559, doi:10.1002/sim.1187.

    Examples
    --------
    >>> effects = pd.Series([0.2, 0.5, 0.1, 0.8, 0.35, 0.4], list("ABCDEF"))
    >>> scanners = pd.DataFrame({"tesla": [1.5, 3, 1.5, 3, 1.5, 3]}, list("ABCDEF"))
    >>> with warnings.catch_warnings(action="ignore"):
    ...     found = meta_regression(effects, effects * 0 + 0.15, moderators=scanners)
    >>> found.table[["term", "effect", "p"]].round(3)
            term  effect      p
    0  intercept  -0.133  0.581
    1      tesla   0.233  0.067
    """
    options = choose_options(method, test, None, "as-test", level, None)
    studies = as_studies(effects, se)
    matrix, terms = _moderator_matrix(studies, moderators, formula)
    possible, notes = _possible(studies, matrix)
    _warn_of_few_sites(studies, matrix.shape[1] - 1)
    basis, triangle = np.linalg.qr(matrix)
    evidence = studies.evidence(basis)
    blocks = [
        _regress_block(evidence.take(chosen), np.linalg.inv(triangle), options)
        for chosen in np.array_split(possible, -(-possible.size // BLOCK))
    ]
    found = {name: _spread(blocks, name, possible, len(studies.features)) for name in blocks[0]}
    slopes, rest = _frames(found, studies, terms)
    return MetaRegression(slopes, rest, studies, options, notes)


def _moderator_matrix(
    studies: Studies, moderators: pd.DataFrame, formula: str | None
) -> tuple[Numbers, list[str]]:
    moderators = moderators.set_axis(as_labels(moderators.index), axis=0)
    absent = [site for site in studies.sites if site not in moderators.index]
    if absent:
        raise UnmatchedRowsError(
            f"{count(absent, 'site')} without moderators: {name_some(absent)}. The moderators "
            f"have one row per site, indexed by its name.",
            sites=absent,
        )
    if formula is None and not moderators.shape[1]:
        raise MissingCovariateError("the moderators have no column.", covariates=[])
    formula = formula or " + ".join(f"`{name}`" for name in moderators.columns)
    if len(studies.sites) < 3:
        raise TooFewSitesError(
            f"a regression needs at least two sites more than terms; there are "
            f"{len(studies.sites)} sites."
        )
    table = moderators.loc[list(studies.sites)]
    design = Design.fit(formula, table)
    matrix = np.column_stack([np.ones(len(table)), design.matrix(table)])
    terms = ["intercept", *(name.replace("`", "") for name in design.columns)]
    _refuse_collinear(matrix, terms)
    return matrix, terms


def _refuse_collinear(matrix: Numbers, terms: list[str]) -> None:
    unit = matrix.copy()
    unit[:, 1:] -= unit[:, 1:].mean(axis=0)
    unit = unit / np.linalg.norm(unit, axis=0)
    _, triangle, order = scipy.linalg.qr(unit, mode="economic", pivoting=True)
    rank = int((np.abs(np.diag(triangle)) > TOLERANCE).sum())
    if rank == matrix.shape[1]:
        return
    dependent = [terms[position] for position in sorted(order[rank:])]
    raise ConfoundedDesignError(
        f"{name_some(dependent)} {'is' if len(dependent) == 1 else 'are'} determined by the other "
        f"moderators ({len(matrix)} sites, {count(terms, 'term')}): their slopes cannot be told "
        f"apart. Drop one of them.",
        terms=dependent,
    )


def _possible(studies: Studies, matrix: Numbers) -> tuple[NDArray[np.intp], pd.DataFrame]:
    """Features whose sites can tell the moderators apart, and why the others cannot."""
    n_terms = matrix.shape[1]
    reasons: dict[int, str] = {}
    for sites, at in same_scans(np.isfinite(studies.effects)):
        k = int(sites.sum())
        if k < n_terms + 2:
            reason = f"{count(k, 'site')} for {n_terms} terms; it takes {n_terms + 2}"
        elif np.linalg.matrix_rank(matrix[sites], tol=None) < n_terms:
            reason = "at the sites that have it, moderators cannot be told apart"
        else:
            continue
        reasons |= dict.fromkeys(at.tolist(), reason)
    features = np.array(studies.features, dtype=object)
    rows = [(features[at], reasons[at]) for at in sorted(reasons)]
    possible = np.setdiff1d(np.arange(len(features)), list(reasons))
    if not possible.size:
        raise TooFewSitesError(
            f"no feature can be regressed: {name_some(dict.fromkeys(reasons.values()))}. Leave "
            f"out moderators, or pool without them (meta_analysis)."
        )
    return possible, pd.DataFrame(rows, columns=["feature", "note"])


def _warn_of_few_sites(studies: Studies, n_moderators: int) -> None:
    n_sites = len(studies.sites)
    if n_sites < SITES_PER_MODERATOR * n_moderators:
        warnings.warn(
            f"{n_sites} sites for {count(n_moderators, 'moderator')}: with fewer than "
            f"{SITES_PER_MODERATOR} per moderator slopes are fragile.",
            PrecisionWarning,
            stacklevel=3,
        )


def _regress_block(evidence: Evidence, to_terms: Numbers, options: Options) -> dict[str, Numbers]:
    with np.errstate(divide="ignore", invalid="ignore"):
        tau2, tau2_se = estimate_tau2(evidence, options.method)
        fit = fit_weighted(evidence.effects, evidence.weights(tau2), evidence.design)
        scale = scale_of_variance(fit, evidence.df, options.test)
        coefficients = to_terms @ fit.coefficients
        covariance = to_terms @ fit.covariance @ to_terms.T * scale[:, None, None]
        df = degrees_of_freedom(evidence.df, options.test)
        se = np.sqrt(np.einsum("fpp->pf", covariance))
        found = {"effect": coefficients, "se": se}
        found |= significance(coefficients, se, np.broadcast_to(df, se.shape), options.level)
        found |= _omnibus(coefficients, covariance, df)
        found |= {"k": evidence.k, "tau2": tau2, "tau2_se": tau2_se}
        found |= {"R2": _explained(evidence, tau2, options.method)}
        return found | heterogeneity(evidence, tau2, options.method)


def _omnibus(coefficients: Numbers, covariance: Numbers, df: Numbers) -> dict[str, Numbers]:
    """Test of all moderators together."""
    slopes = coefficients[1:].T[..., None]
    n_slopes = slopes.shape[1]
    solved = np.linalg.solve(covariance[:, 1:, 1:], slopes)
    wald = (slopes * solved).sum(axis=(1, 2))
    normal = np.isinf(df)
    return {
        "QM": np.where(normal, wald, wald / n_slopes),
        "QM_df": np.full_like(wald, n_slopes),
        "QM_p": np.where(
            normal,
            chi2.sf(wald, n_slopes),
            fisher_f.sf(wald / n_slopes, n_slopes, np.where(normal, 1.0, df)),
        ),
    }


def _explained(evidence: Evidence, tau2: Numbers, method: str) -> Numbers:
    """Percent of tau² that moderators explain; adjusted R² of the weighted regression for "fe"."""
    plain = Evidence(
        evidence.effects,
        evidence.variances,
        evidence.present,
        np.ones((evidence.design.shape[0], 1)),
    )
    if method == "fe":
        left, total = (
            fit_weighted(part.effects, part.weights(), part.design).q / part.df
            for part in (evidence, plain)
        )
    else:
        left, total = tau2, estimate_tau2(plain, method)[0]
    share = np.where(total > 0, 1 - left / total, 0.0)
    return np.asarray(100 * np.maximum(share, 0.0))


def _spread(
    blocks: list[dict[str, Numbers]], name: str, possible: NDArray[np.intp], n_features: int
) -> Numbers:
    values = np.concatenate([block[name] for block in blocks], axis=-1)
    cells = np.full((*values.shape[:-1], n_features), np.nan)
    cells[..., possible] = values
    return cells


def _frames(
    found: dict[str, Numbers], studies: Studies, terms: list[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    features = np.array(studies.features, dtype=object)
    slopes = pd.DataFrame(
        {"feature": np.repeat(features, len(terms)), "term": terms * len(features)}
        | {name: values.T.ravel() for name, values in found.items() if values.ndim == 2}
    )
    rest = {name: values for name, values in found.items() if values.ndim == 1}
    rest["k"] = np.isfinite(studies.effects).sum(axis=0)
    order = "k QM QM_df QM_p tau2 tau2_se R2 Q Q_p I2 H2".split()
    summary = pd.DataFrame({"feature": features} | {name: rest[name] for name in order})
    return slopes, summary
