"""Tables of what only some methods or data have: curves, spread, variances, repeated scans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from isoscan.report.listing import MOST_ROWS, write_cell
from isoscan.report.wording import is_number, number, percent, plain_term

Facts = Mapping[str, Any]


def list_curves(curves: Facts) -> dict[str, Any]:
    """One row per feature: effective degrees of freedom of each curve.

    Parameters
    ----------
    curves : mapping
        From `describe_curves`.

    Returns
    -------
    dict
        Keys columns (texts), rows (feature, cells) and left_out (number of features).
    """
    columns = [(label, values, _two_digits) for label, values in curves["edf"].items()]
    return _table(curves["features"], columns)


def list_spread(spread: Facts) -> dict[str, Any]:
    """One row per feature: effect of each scale covariate on the log SD, with its interval.

    Parameters
    ----------
    spread : mapping
        From `describe_spread`.

    Returns
    -------
    dict
        As from `list_curves`.
    """
    names = (("", "effect"), (", low", "low"), (", high", "high"))
    columns = [
        (plain_term(term) + suffix, facts[key], number)
        for term, facts in spread["terms"].items()
        for suffix, key in names
    ]
    return _table(spread["features"], columns)


def list_subjects(subjects: Facts) -> dict[str, Any]:
    """One row per feature: standard deviations between and within subjects.

    Parameters
    ----------
    subjects : mapping
        From `describe_subjects`.

    Returns
    -------
    dict
        As from `list_curves`.
    """
    columns: list[tuple[str, Sequence[Any], Any]] = [
        ("Between subjects", subjects["share"], percent),
        ("SD between", subjects["subject_sd"], number),
        ("SD within", subjects["residual_sd"], number),
    ]
    if subjects["slope_sd"] is not None:
        columns.append((f"SD of slopes of {subjects['slope']}", subjects["slope_sd"], number))
        columns.append(("Correlation", subjects["correlation"], number))
    columns.append(("At the boundary", [int(at) for at in subjects["boundary"]], _yes))
    return _table(subjects["features"], columns)


def list_people(changes: Facts, features: Sequence[str]) -> dict[str, Any]:
    """One row per feature: changes of people who moved, and of people who stayed.

    Parameters
    ----------
    changes : mapping
        Facts of the evaluation: same_site and moved.
    features : sequence of str
        Names of the features.

    Returns
    -------
    dict
        As from `list_curves`.
    """
    moved, stayed = changes["moved"], changes["same_site"]
    columns = [
        ("Moved / stayed before", moved["before"], number),
        ("Moved / stayed after", moved["after"], number),
        ("Stayed, after / before", stayed["ratio"], number),
        ("Stayed, correlation", stayed["correlation"], number),
    ]
    known = [column for column in columns if any(map(is_number, column[1]))]
    return _table(features, known)


def _table(
    features: Sequence[str], columns: Sequence[tuple[str, Sequence[Any], Any]]
) -> dict[str, Any]:
    rows = [
        {
            "feature": feature,
            "cells": [write_cell(values[at], write) for _, values, write in columns],
        }
        for at, feature in enumerate(features[:MOST_ROWS])
    ]
    return {
        "columns": ["Feature", *(label for label, _, _ in columns)],
        "rows": rows,
        "left_out": len(features) - len(rows),
    }


def _two_digits(value: Any) -> str:
    return number(value, 2) if value is None else f"{value:.1f}"


def _yes(value: Any) -> str:
    return "yes" if value else ""
