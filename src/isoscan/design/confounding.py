"""Which terms cannot be told apart from site, or from each other?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.linalg
from numpy.typing import NDArray

from isoscan.design.matrix import Design
from isoscan.errors import ConfoundedDesignError, TooManyTermsError, count, name_some

TOLERANCE = 1e-7
"""A column whose part not explained by the others is smaller than this share is aliased."""


@dataclass(frozen=True)
class Confounding:
    """One term that cannot be estimated.

    Attributes
    ----------
    term : str
        Term of the formula.
    sentence : str
        What it cannot be told apart from, with numbers.
    """

    term: str
    sentence: str


def require_identifiable(
    matrix: NDArray[np.float64],
    design: Design,
    sites: NDArray[Any],
    table: pd.DataFrame | None,
) -> None:
    """Refuse a design whose effects cannot be separated from site or each other.

    Parameters
    ----------
    matrix : ndarray of shape (n_scans, n_columns)
        Design columns.
    design : Design
        The design they come from.
    sites : ndarray of shape (n_scans,)
        Site labels.
    table : DataFrame or None
        Covariates, for the words of the message.

    Raises
    ------
    TooManyTermsError
        If there are more columns than scans.
    ConfoundedDesignError
        If a term is aliased.
    """
    n_scans, n_columns = matrix.shape
    n_sites = len(set(sites))
    if n_columns and n_scans < n_columns + n_sites + 1:
        raise TooManyTermsError(
            f"{n_columns + n_sites} columns (of covariates {n_columns}, of sites {n_sites}) for "
            f"{count(n_scans, 'scan')}: nothing is left to measure the noise. Is a continuous "
            f"covariate read as a category? Terms: {name_some(design.terms)}.",
            columns=n_columns + n_sites,
            scans=n_scans,
        )
    found = find_confounding(matrix, design, sites, table)
    if found:
        raise ConfoundedDesignError(
            " ".join(item.sentence for item in found), terms=[item.term for item in found]
        )


def find_confounding(
    matrix: NDArray[np.float64],
    design: Design,
    sites: NDArray[Any],
    table: pd.DataFrame | None,
) -> list[Confounding]:
    """Name every term that is determined by site or by other terms.

    Parameters
    ----------
    matrix : ndarray of shape (n_scans, n_columns)
        Design columns.
    design : Design
        The design they come from.
    sites : ndarray of shape (n_scans,)
        Site labels.
    table : DataFrame or None
        Covariates, for the words of the message.

    Returns
    -------
    list of Confounding
        Empty if every term can be estimated.

    Examples
    --------
    >>> people = pd.DataFrame({"sex": ["F", "F", "M", "M"]})
    >>> design = Design.fit("sex", people)
    >>> sites = np.array(["A", "A", "B", "B"])
    >>> find_confounding(design.matrix(people), design, sites, people)[0].sentence
    "'sex' is determined by site: all 2 scans with 'F' are at 'A', all 2 with 'M' at 'B'. ..."
    """
    if not matrix.shape[1]:
        return []
    within, share = _within_sites(matrix, sites)
    found = []
    by_site = share <= TOLERANCE
    for term, positions in design.terms.items():
        if by_site[positions].all():
            found.append(Confounding(term, _determined_by_site(term, design, sites, table)))
        elif by_site[positions].any():
            names = [design.columns[position] for position in positions if by_site[position]]
            found.append(
                Confounding(
                    term,
                    f"{name_some(names)} (part of '{term}') is the same for all scans of a site, "
                    f"so it cannot be told apart from site. Merge the level with another, or "
                    f"drop the term.",
                )
            )
    return found + _determined_by_terms(within[:, ~by_site], np.flatnonzero(~by_site), design)


def _within_sites(
    matrix: NDArray[np.float64], sites: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Columns without their site means, scaled to unit total size, and what is left of them."""
    codes = pd.factorize(sites)[0]
    sums = np.zeros((codes.max() + 1, matrix.shape[1]))
    np.add.at(sums, codes, matrix)
    within = matrix - (sums / np.bincount(codes)[:, None])[codes]
    total = np.linalg.norm(matrix - matrix.mean(axis=0), axis=0)
    within = within / np.where(total > 0, total, 1.0)
    return within, np.linalg.norm(within, axis=0)


def _determined_by_terms(
    within: NDArray[np.float64], positions: NDArray[np.intp], design: Design
) -> list[Confounding]:
    if not within.shape[1]:
        return []
    unit = within / np.linalg.norm(within, axis=0)
    _, r, order = scipy.linalg.qr(unit, mode="economic", pivoting=True)
    rank = int((np.abs(np.diag(r)) > TOLERANCE).sum())
    found = []
    for dependent in sorted(order[rank:]):
        weights = np.linalg.lstsq(unit[:, order[:rank]], unit[:, dependent], rcond=None)[0]
        partners = [
            design.columns[positions[kept]]
            for kept, weight in zip(order[:rank], weights, strict=True)
            if abs(weight) > 1e-6
        ]
        name = design.columns[positions[dependent]]
        found.append(
            Confounding(
                _term_of(int(positions[dependent]), design),
                f"'{name}' is determined by {name_some(partners)} and site, so its effect cannot "
                f"be told apart from theirs. {_remedy(name)}",
            )
        )
    return found


def _remedy(name: str) -> str:
    if name.startswith(("cr(", "cc(")) and "constraints" not in name:
        return "Splines by cr and cc need constraints='center' beside an intercept per site."
    return "Drop one of them."


def _term_of(position: int, design: Design) -> str:
    return next(term for term, positions in design.terms.items() if position in positions)


def _determined_by_site(
    term: str, design: Design, sites: NDArray[Any], table: pd.DataFrame | None
) -> str:
    name = next((name for name in design.covariates if term in (name, f"C({name})")), None)
    opening = f"'{name or term}' is determined by site"
    remedy = (
        "Site and covariate effects cannot be separated: add a site where it varies, "
        "or drop it from the formula."
    )
    if name is None or table is None:
        return f"{opening}. {remedy}"
    covariate = design.covariates[name]
    values = covariate.encode(table[name]).to_numpy()
    if covariate.levels is None:
        by_site = pd.Series(values).groupby(pd.Series(sites).to_numpy()).first()
        examples = ", ".join(f"{value:g} at '{site}'" for site, value in by_site.head(4).items())
        return f"{opening}: it has one value per site ({examples}). {remedy}"
    clauses = [
        f"all {np.sum(values == level)}{' scans' * (not position)} with '{level}' "
        f"{'are ' * (not position)}at {name_some(sorted(set(sites[values == level])))}"
        for position, level in enumerate(covariate.levels)
    ]
    return f"{opening}: {', '.join(clauses)}. {remedy}"
