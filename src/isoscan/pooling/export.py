"""Tables of pooled effects in the layout others read, and what their columns mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd

from isoscan.errors import DataError
from isoscan.pooling.site_table import KINDS, SiteEffects
from isoscan.pooling.studies import Studies

Layout = Literal["isoscan", "enigma"]

_ENIGMA = {
    "feature": "Structure",
    "effect": "d_icv",
    "se": "se_icv",
    "low": "low_ci_icv",
    "high": "up_ci_icv",
    "n1": "n_controls",
    "n2": "n_patients",
    "p": "pobs",
    "p_adjusted": "fdr_p",
}
_MEANINGS = {
    "feature": "name of the measure",
    "k": "number of sites",
    "effect": "pooled effect",
    "se": "its standard error",
    "low": "lower confidence limit",
    "high": "upper confidence limit",
    "statistic": "effect over standard error",
    "df": "degrees of freedom of the test; inf for a normal distribution",
    "p": "two-sided p",
    "log10_p": "decimal logarithm of p",
    "p_adjusted": "p adjusted for the number of features",
    "tau2": "variance of true effects between sites",
    "tau2_se": "its standard error",
    "tau2_low": "lower confidence limit of tau2 (Q-profile)",
    "tau2_high": "upper confidence limit of tau2 (Q-profile)",
    "Q": "Cochran's Q",
    "Q_p": "p of Q: do sites differ more than their errors allow?",
    "I2": "percent of the variance of site effects that is between sites",
    "H2": "total over sampling variance",
    "pi_low": "lower limit of the effect expected at a new site",
    "pi_high": "upper limit of the effect expected at a new site",
    "n1": "people in the reference group",
    "n2": "people in the compared group",
    "n": "people",
    "site": "name of the site",
    "kind": "kind of effect",
    "beta": "regression coefficient, in units of the measure",
    "beta_se": "its standard error",
    "t": "coefficient over standard error",
    "reason": "why the site does not count for this measure",
    "term": "covariate of the regression",
    "shift": "move of the pooled effect, in its standard errors",
    "moves_effect": "whether the effect moves by more than one standard error",
    "moves_tau2": "whether tau2 changes by more than half",
    "rstudent": "distance from the answer of the other sites, in its standard errors",
    "dffits": "move of the answer, in standard deviations",
    "cook_distance": "squared move of the answer, in squared standard errors",
    "covariance_ratio": "variance of the answer without the site over that with it",
    "hat": "weight of the site, as a share",
    "weight": "weight of the site, in percent",
}
_AT_SITES = {
    "effect": "effect at the site",
    "df": "residual degrees of freedom",
    "p": "two-sided p of the coefficient",
}
_WITHOUT = {"site": "site left out"}


def in_layout(table: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    """Choose and name columns.

    Parameters
    ----------
    table : DataFrame
        Pooled effects.
    layout : {"isoscan", "enigma"}
        All columns, or those of the ENIGMA Toolbox. The latter's names end in _icv
        whatever was adjusted for; counts that are unknown are NaN.

    Returns
    -------
    DataFrame
        The table in that layout.

    Raises
    ------
    DataError
        If the layout is unknown.
    """
    if layout == "isoscan":
        return table
    if layout != "enigma":
        raise DataError(f"'{layout}' is no layout: 'isoscan' or 'enigma'.")
    unknown = {name: np.nan for name in _ENIGMA if name not in table.columns}
    return table.assign(**unknown)[list(_ENIGMA)].rename(columns=_ENIGMA)


def sidecar(frame: pd.DataFrame, conventions: str, studies: Studies) -> dict[str, Any]:
    """Say what the columns mean.

    Parameters
    ----------
    frame : DataFrame
        Table in the layout that is written.
    conventions : str
        How the numbers were computed.
    studies : Studies
        Where they come from.

    Returns
    -------
    dict
        Content of the JSON file.
    """
    meanings = _MEANINGS | {theirs: _MEANINGS[ours] for ours, theirs in _ENIGMA.items()}
    facts: dict[str, Any] = {"Description": f"Effects pooled over sites: {conventions}"}
    facts["Effect"] = KINDS.get(studies.kind or "", studies.kind or "as given")
    facts["Sites"] = list(studies.sites)
    return facts | meanings_of(frame.columns, meanings)


def describe_effects(effects: SiteEffects) -> dict[str, Any]:
    """Say what a table of the effects of sites is, and what its columns mean.

    Parameters
    ----------
    effects : SiteEffects
        Effects of all sites.

    Returns
    -------
    dict
        Content of the JSON file.
    """
    versus = f" ({effects.groups[1]} minus {effects.groups[0]})" if effects.groups else ""
    facts = {
        "Description": f"Effect of {effects.contrast}{versus} at each site: "
        f"{KINDS[effects.kind]}, from {effects.formula}"
    }
    return facts | meanings_of(effects.table.columns, _AT_SITES)


def describe_sites_left_out(table: pd.DataFrame, about: str) -> dict[str, Any]:
    """Say what a table of leaving out sites, or of their influence, means.

    Parameters
    ----------
    table : DataFrame
        Result of `MetaAnalysis.leave_one_out` or `MetaAnalysis.influence`.
    about : str
        What it is.

    Returns
    -------
    dict
        Content of the JSON file.
    """
    own = _WITHOUT if "shift" in table else {}
    return {"Description": about} | meanings_of(table.columns, own)


def meanings_of(columns: Iterable[str], own: Mapping[str, str]) -> dict[str, Any]:
    """Say what each column means.

    Parameters
    ----------
    columns : iterable of str
        Columns of a table.
    own : mapping of {str: str}
        Meanings that only this table has; they win over the usual ones.

    Returns
    -------
    dict of {str: dict}
        Part of the JSON file.
    """
    known = _MEANINGS | dict(own)
    return {str(name): {"Description": known[str(name)]} for name in columns}
