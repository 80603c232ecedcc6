"""Tables of the report: per feature and per site, as texts with values to sort by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isoscan.report.wording import is_number, number, p_value, percent, plain_term

MOST_ROWS = 1000

Facts = Mapping[str, Any]


def list_features(evaluate: Facts) -> dict[str, Any]:
    """One row per feature: site effects and slopes, before and after.

    Parameters
    ----------
    evaluate : mapping
        Facts of the evaluation.

    Returns
    -------
    dict
        Keys columns (texts), rows (feature, cells), terms, and left_out (number of features).
    """
    measured = _measured(evaluate)
    before = evaluate["site_effects"]["before"]["partial_r2"]
    order = sorted(range(len(before)), key=lambda feature: -(before[feature] or 0))
    rows = [
        {
            "feature": evaluate["features"][feature],
            "cells": [write_cell(values[feature], write) for _, values, write in measured],
        }
        for feature in order[:MOST_ROWS]
    ]
    return {
        "columns": ["Feature", *(label for label, _, _ in measured)],
        "rows": rows,
        "terms": list(_terms(evaluate)),
        "left_out": len(order) - len(rows),
    }


def list_changes(evaluate: Facts) -> dict[str, list[list[str]]]:
    """Say in a few numbers what changed in each feature.

    Parameters
    ----------
    evaluate : mapping
        Facts of the evaluation.

    Returns
    -------
    dict of {str: list}
        Per feature, texts to show beside its picture.
    """
    effects = evaluate["site_effects"]
    lines = [
        ("site R²", "partial_r2", percent),
        ("mean differs, p", "p", p_value),
        ("variance differs, p", "levene_p", p_value),
    ]
    columns = [
        (label, effects["before"][key], effects["after"][key], write) for label, key, write in lines
    ]
    columns += [
        (f"{plain_term(term)} slope", slopes["before"]["slope"], slopes["after"]["slope"], number)
        for term, slopes in list(_terms(evaluate).items())[:3]
    ]
    return {
        str(name): [
            [label, write(before[feature]), write(after[feature])]
            for label, before, after, write in columns
        ]
        for feature, name in enumerate(evaluate["features"])
    }


def list_sites(describe: Facts) -> dict[str, Any]:
    """One row per site: scans and a summary of each covariate.

    Parameters
    ----------
    describe : mapping
        Facts of the description.

    Returns
    -------
    dict
        Keys columns (texts) and rows (site, cells).
    """
    covariates = describe.get("covariates") or {}
    columns = ["Site", "Scans"]
    for name, facts in covariates.items():
        levels = [f"{name}: {level}" for level in facts.get("levels", ())]
        columns += [f"{name}, median (range)"] if facts["kind"] == "numeric" else levels
    rows = [
        {
            "site": site,
            "cells": [
                {"text": str(scans), "value": scans},
                *(cell for facts in covariates.values() for cell in _covariate(facts, site)),
            ],
        }
        for site, scans in describe["sites"].items()
    ]
    return {"columns": columns, "rows": rows}


def list_values(describe: Facts) -> list[dict[str, Any]]:
    """One row per value far from all others, the impossible ones first.

    Parameters
    ----------
    describe : mapping
        Facts of the description.

    Returns
    -------
    list of dict
        Keys scan and cells (texts: site, measure, value, typical value, distance).
    """
    return [
        {
            "scan": item["scan"],
            "cells": [
                item["site"],
                item["feature"],
                number(item["value"], 4),
                number(item["typical"], 4),
                "impossible" if item.get("impossible") else f"{number(item['robust_z'])} SD",
            ],
        }
        for item in describe.get("extremes") or ()
    ]


def write_cell(value: Any, write: Any) -> dict[str, Any]:
    """Write a number for people, and for sorting.

    Parameters
    ----------
    value : float or None
        The number.
    write : callable
        Makes text of it.

    Returns
    -------
    dict
        Keys text and value.
    """
    return {"text": write(value), "value": f"{value:.6g}" if is_number(value) else ""}


def _measured(evaluate: Facts) -> list[tuple[str, Any, Any]]:
    effects = evaluate["site_effects"]
    named = (
        ("R²", "partial_r2", percent),
        ("mean p", "p", p_value),
        ("variance p", "levene_p", p_value),
    )
    columns = [
        (f"{label} {when}", effects[when][key], write)
        for label, key, write in named
        for when in ("before", "after")
    ]
    for term, slopes in list(_terms(evaluate).items())[:3]:
        columns += [
            (f"{plain_term(term)} {when}", slopes[when]["slope"], number)
            for when in ("before", "after")
        ]
    return columns


def _terms(evaluate: Facts) -> Facts:
    terms: Facts = (evaluate.get("biology") or {}).get("terms") or {}
    return terms


def _covariate(facts: Facts, site: str) -> list[dict[str, Any]]:
    here = facts["by_site"].get(site, {})
    if facts["kind"] != "numeric":
        counts = [here.get(level, 0) for level in facts["levels"]]
        return [{"text": str(scans), "value": scans} for scans in counts]
    middle, low, high = here.get("median"), here.get("min"), here.get("max")
    text = f"{number(middle)} ({number(low)} to {number(high)})"
    return [
        {"text": text if is_number(middle) else "–", "value": middle if is_number(middle) else ""}
    ]
