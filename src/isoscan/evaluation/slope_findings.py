"""Say whether biology was kept: slopes of covariates, and the order of scans."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from isoscan.description.plain import Facts, percent
from isoscan.errors import count
from isoscan.evaluation.wording import Finding, say

ALIKE = 0.8
"""Correlation of slopes over features from which on they count as kept."""
ORDERED = 0.9
"""Median rank correlation from which on the order of scans counts as kept."""
CHANGED = 0.2
"""Change of the median slope, as a share, from which on it is a warning."""
DISTORTED = 0.5
"""Change of the median slope, or share of intervals apart, from which on it is a problem."""
OVERLAPPING = 0.95
"""Share of features whose intervals must overlap."""


def about_slopes(facts: Facts) -> Iterator[Finding]:
    """Compare slopes of every preserved covariate before and after.

    Parameters
    ----------
    facts : dict
        Facts of the evaluation.

    Yields
    ------
    dict
        Findings.
    """
    terms = facts["biology"]["terms"]
    if not terms:
        yield say(
            "note",
            "no-covariates",
            "No covariates were given to preserve, so that slopes were not compared. Pass "
            "preserve and covariates to see whether biology was kept.",
        )
    for term, slopes in terms.items():
        yield _about_term(term, slopes)


def about_ranks(facts: Facts) -> Iterator[Finding]:
    """Compare the order of scans within sites.

    Parameters
    ----------
    facts : dict
        Facts of the evaluation.

    Yields
    ------
    dict
        Findings.
    """
    ranks = facts["biology"]["rank_order"]
    if ranks["median"] is None:
        return
    lowest = ranks["lowest"]
    kept = ranks["median"] >= ORDERED and lowest["value"] >= DISTORTED
    yield say(
        "good" if kept else "warning",
        "rank-order",
        f"The order of scans within each site was {'kept' if kept else 'changed'}: median rank "
        f"correlation {ranks['median']:.2f}, lowest {lowest['value']:.2f} ('{lowest['feature']}' "
        f"at '{lowest['site']}').",
    )


def _about_term(term: str, slopes: Facts) -> Finding:
    overlap = slopes["share_interval_overlap"]
    if overlap is None:
        return say(
            "warning",
            "slope-unknown",
            f"The slope of '{term}' cannot be estimated in any feature: it cannot be told apart "
            f"from site or from another covariate. Whether it was kept is unknown.",
        )
    share = slopes["share_significant"]
    numbers = _numbers(slopes)
    if share["before"] == share["after"] == 0 and overlap >= OVERLAPPING:
        return say(
            "note",
            "slope-absent",
            f"The slope of '{term}' is not told apart from zero in any feature, before or after; "
            f"there is little to keep ({numbers}).",
        )
    level = _level(slopes)
    verb = {"good": "kept", "warning": "changed", "problem": "distorted"}[level]
    return say(level, f"slope-{verb}", f"Slopes of '{term}' were {verb}: {numbers}.")


def _level(slopes: Facts) -> str:
    change = abs((slopes["median_ratio"] or 1.0) - 1.0)
    overlap = slopes["share_interval_overlap"]
    if change > DISTORTED or overlap < 1 - DISTORTED:
        return "problem"
    unlike = slopes["correlation"] is not None and slopes["correlation"] < ALIKE
    return "warning" if change > CHANGED or overlap < OVERLAPPING or unlike else "good"


def _numbers(slopes: Facts) -> str:
    known = sum(
        first is not None and second is not None
        for first, second in zip(slopes["before"]["slope"], slopes["after"]["slope"], strict=True)
    )
    parts = [
        _if_known("correlation {:.2f}", slopes["correlation"]) + f"over {count(known, 'feature')}",
        _if_known("median ratio {:.2f}", slopes["median_ratio"]),
        f"intervals overlap in {percent(slopes['share_interval_overlap'])}",
        f"different from zero in {percent(slopes['share_significant']['before'])} of features "
        f"before and {percent(slopes['share_significant']['after'])} after",
    ]
    return ", ".join(part.strip() for part in parts if part)


def _if_known(template: str, value: Any) -> str:
    return "" if value is None else template.format(value) + " "
