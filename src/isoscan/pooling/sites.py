"""Estimate the effect of one contrast at every site, by regression within the site."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student

from isoscan.errors import DataError, TooFewScansError, count, name_some
from isoscan.pooling import effect_sizes
from isoscan.pooling.contrast import Contrast
from isoscan.pooling.question import Question, read_question
from isoscan.pooling.site_table import KINDS, SiteEffects
from isoscan.pooling.within_site import SlopeFit, fit_slope, same_scans

Numbers = NDArray[np.float64]
Kind = Literal["d", "g", "z", "r", "beta"]
_COLUMNS = "effect se low high beta beta_se t df p n n1 n2".split()


def site_effects(
    measures: pd.DataFrame | ArrayLike,
    *,
    sites: pd.Series[Any] | ArrayLike,
    covariates: pd.DataFrame,
    contrast: str,
    adjust: str | None = None,
    groups: tuple[str, str] | None = None,
    kind: Kind | None = None,
    min_per_group: int = 5,
    min_df: int = 5,
    drop_incomplete: bool = False,
    level: float = 0.95,
) -> SiteEffects:
    """Regress each measure on the contrast and the covariates, site by site.

    A site without a measure, without a group or with too few people is skipped for that
    measure and named in `skipped`. Only scans with the measure count.

    Parameters
    ----------
    measures : DataFrame or array of shape (n_scans, n_features)
        Measures; NaN where a scan lacks one.
    sites : Series or sequence of shape (n_scans,)
        Site labels, matched by index.
    covariates : DataFrame of shape (n_scans, n_covariates)
        Covariates, matched by index.
    contrast : str
        What to test: a covariate with two groups, a continuous one, or a term such as
        ``age:dose``. A covariate of two numbers, such as 0 and 1, means groups.
    adjust : str, optional
        Formula of the covariates to adjust for, ``age + C(sex)``.
    groups : tuple of (str, str), optional
        Reference group (n1) and the group compared with it (n2): a positive effect means
        that the latter has more. Needed unless the groups are numbers. People of other
        groups are left out.
    kind : {"d", "g", "z", "r", "beta"}, optional
        Cohen's d by ENIGMA's formula (for groups, unless told), Hedges' g; Fisher's z of
        the partial correlation (for continuous predictors, unless told), the partial
        correlation itself; or the regression coefficient, which has the measure's unit.
    min_per_group : int
        Fewest people in each group.
    min_df : int
        Fewest residual degrees of freedom.
    drop_incomplete : bool
        Leave out scans that lack a covariate; they are counted in `left_out`.
    level : float
        Coverage of the intervals.

    Returns
    -------
    SiteEffects
        Its `table` has one row per site and feature; `meta_analysis` pools it.

    Raises
    ------
    DesignError
        If the contrast is not one column or its groups are not told.
    TooFewScansError
        If no site can estimate any effect.

    Notes
    -----
    d is standardized by each site's own residual spread, so a site with noisier scans has
    smaller d: pool "beta" beside it where units are shared.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> people = pd.DataFrame({"dx": ["control", "patient"] * 20, "site": ["A"] * 20 + ["B"] * 20})
    >>> thickness = pd.DataFrame({"insula": rng.normal(3 - 0.2 * (people.dx == "patient"), 0.15)})
    >>> found = site_effects(thickness, sites=people.site, covariates=people, contrast="dx",
    ...                      groups=("control", "patient"))
    >>> found.table[["site", "feature", "effect", "se", "n1", "n2"]].round(2)
      site feature  effect    se  n1  n2
    0    A  insula   -1.20  0.49  10  10
    1    B  insula   -1.27  0.49  10  10
    """
    question = read_question(
        measures,
        sites=sites,
        covariates=covariates,
        contrast=contrast,
        adjust=adjust,
        groups=groups,
        drop_incomplete=drop_incomplete,
    )
    return effects_of(question, kind=kind, min_per_group=min_per_group, min_df=min_df, level=level)


def effects_of(
    question: Question, *, kind: Kind | None, min_per_group: int, min_df: int, level: float
) -> SiteEffects:
    """Regress site by site, once the question was read; see `site_effects`.

    Parameters
    ----------
    question : Question
        Measures, sites and the contrast.
    kind : {"d", "g", "z", "r", "beta"} or None
        Kind of effect.
    min_per_group, min_df : int
        Sites with less are left out.
    level : float
        Coverage of the intervals.

    Returns
    -------
    SiteEffects
        Effects of all sites.
    """
    values, labels, features = question.values, question.sites, question.features
    asked = question.asked
    left_out = {
        key: f"{count(scans, 'scan')} without it left out"
        for key, scans in question.incomplete.items()
    }
    kind = _choose_kind(kind, asked)
    found, skipped = _every_site(values, labels, asked, features, (min_per_group, min_df), left_out)
    _add_effects(found, kind, level)
    return _assemble(asked, kind, labels, features, found, skipped, left_out)


def _assemble(
    asked: Contrast,
    kind: Kind,
    labels: NDArray[np.object_],
    features: tuple[str, ...],
    found: dict[str, Numbers],
    skipped: list[tuple[str, str, str]],
    left_out: dict[tuple[str, str], str],
) -> SiteEffects:
    _require_some(found["effect"], skipped)
    counted = {"n1", "n2"} if asked.groups is None else set()
    return SiteEffects(
        contrast=asked.name,
        groups=asked.groups,
        kind=kind,
        formula=asked.formula,
        sites=tuple(str(name) for name in pd.unique(labels)),
        features=features,
        values={name: cells for name, cells in found.items() if name not in counted},
        skipped=pd.DataFrame(skipped, columns=["site", "feature", "reason"]),
        left_out=pd.DataFrame(
            [(*key, reason) for key, reason in left_out.items()],
            columns=["site", "term", "reason"],
        ),
    )


def _every_site(
    values: Numbers,
    labels: NDArray[np.object_],
    asked: Contrast,
    features: tuple[str, ...],
    limits: tuple[int, int],
    left_out: dict[tuple[str, str], str],
) -> tuple[dict[str, Numbers], list[tuple[str, str, str]]]:
    """Tables of shape (n_sites, n_features), and what was skipped."""
    names = pd.unique(labels)
    found = {name: np.full((len(names), len(features)), np.nan) for name in _COLUMNS}
    skipped: list[tuple[str, str, str]] = []
    for row, site in enumerate(names):
        here = labels == site
        cells = {name: column[row] for name, column in found.items()}
        reasons = _one_site(values[here], asked, here, limits, cells, str(site), left_out)
        skipped += [(str(site), features[at], reasons[at]) for at in sorted(reasons)]
    return found, skipped


def _choose_kind(kind: str | None, asked: Contrast) -> Kind:
    kind = kind or ("z" if asked.groups is None else "d")
    if kind not in KINDS:
        raise DataError(f"'{kind}' is no kind of effect: {name_some(KINDS)}.")
    if kind in ("d", "g") and asked.groups is None:
        raise DataError(
            f"{KINDS[kind]} compares two groups, and '{asked.name}' is continuous: choose kind "
            f"'z', 'r' or 'beta'."
        )
    return kind  # type: ignore[return-value]


def _one_site(
    values: Numbers,
    asked: Contrast,
    here: NDArray[np.bool_],
    limits: tuple[int, int],
    cells: dict[str, Numbers],
    site: str,
    left_out: dict[tuple[str, str], str],
) -> dict[int, str]:
    """Fill in one site's row of each table; return why features are skipped."""
    reasons: dict[int, str] = {}
    column, others = asked.column[here], asked.others[here]
    for scans, at in same_scans(np.isfinite(values)):
        measured = values[:, at] if scans.all() else values[np.ix_(scans, at)]
        refusal = _refusal(column[scans], asked, limits[0])
        if refusal:
            reasons |= dict.fromkeys(at.tolist(), refusal)
            continue
        fit = fit_slope(measured, column[scans], others[scans])
        for position in fit.dropped:
            name = asked.other_names[position]
            left_out[site, name] = _why_dropped(others[scans][:, position])
        refusal = _too_little(fit, asked, limits[1])
        if refusal:
            reasons |= dict.fromkeys(at.tolist(), refusal)
            continue
        constant = np.isnan(fit.se)
        reasons |= dict.fromkeys(at[constant].tolist(), "the measure does not vary")
        at, kept = at[~constant], ~constant
        cells["beta"][at], cells["beta_se"][at] = fit.beta[kept], fit.se[kept]
        cells["t"][at], cells["df"][at] = fit.t[kept], fit.df
        cells["n"][at] = scans.sum()
        cells["n2"][at] = column[scans].sum()
        cells["n1"][at] = scans.sum() - column[scans].sum()
    return reasons


def _refusal(column: Numbers, asked: Contrast, min_per_group: int) -> str | None:
    if not column.size:
        return "no scan has this measure"
    if asked.groups is None:
        return f"'{asked.name}' does not vary" if np.ptp(column) == 0 else None
    sizes = {asked.groups[0]: int((column == 0).sum()), asked.groups[1]: int(column.sum())}
    for group, size in sizes.items():
        if size == 0:
            return f"no scan of group '{group}'"
    for group, size in sizes.items():
        if size < min_per_group:
            return f"only {count(size, 'scan')} of group '{group}', fewer than {min_per_group}"
    return None


def _why_dropped(column: Numbers) -> str:
    return "it does not vary" if np.ptp(column) == 0 else "determined by the covariates before it"


def _too_little(fit: SlopeFit, asked: Contrast, min_df: int) -> str | None:
    if fit.aliased:
        return f"'{asked.name}' is determined by the covariates of '{asked.formula}'"
    if fit.df < min_df:
        left = max(fit.df, 0)
        return f"{count(left, 'residual degree')} of freedom, fewer than {min_df}"
    return None


def _add_effects(found: dict[str, Numbers], kind: Kind, level: float) -> None:
    t, df = found["t"], found["df"]
    with np.errstate(invalid="ignore"):
        found["p"][:] = 2 * student.sf(np.abs(t), df)
        found["effect"][:], found["se"][:] = _EFFECTS[kind](found)
        found["low"][:], found["high"][:] = effect_sizes.interval(
            found["effect"], found["se"], level
        )


def _d(found: dict[str, Numbers]) -> tuple[Numbers, Numbers]:
    d = effect_sizes.cohens_d(found["t"], found["n1"], found["n2"], found["df"])
    return d, effect_sizes.cohens_d_se(d, found["n1"], found["n2"])


def _g(found: dict[str, Numbers]) -> tuple[Numbers, Numbers]:
    g = effect_sizes.hedges_g(_d(found)[0], found["n1"], found["n2"], df=found["df"])
    return g, effect_sizes.hedges_g_se(g, found["n1"], found["n2"])


def _r(found: dict[str, Numbers]) -> tuple[Numbers, Numbers]:
    r = effect_sizes.partial_correlation(found["t"], found["df"])
    return r, effect_sizes.partial_correlation_se(r, found["df"])


def _z(found: dict[str, Numbers]) -> tuple[Numbers, Numbers]:
    return effect_sizes.fisher_z(_r(found)[0]), effect_sizes.fisher_z_se(found["df"])


def _beta(found: dict[str, Numbers]) -> tuple[Numbers, Numbers]:
    return found["beta"], found["beta_se"]


_EFFECTS: dict[str, Callable[[dict[str, Numbers]], tuple[Numbers, Numbers]]] = {
    "d": _d,
    "g": _g,
    "r": _r,
    "z": _z,
    "beta": _beta,
}


def _require_some(effects: Numbers, skipped: list[tuple[str, str, str]]) -> None:
    if np.isfinite(effects).any():
        return
    reasons = [f"{site}: {reason}" for site, _, reason in skipped]
    raise TooFewScansError(
        f"no site can estimate the effect: {'; '.join(list(dict.fromkeys(reasons))[:6])}.",
        reasons=reasons,
    )
