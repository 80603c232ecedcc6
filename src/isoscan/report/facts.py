"""Gather everything the report says in one dictionary that JSON can hold.

The page only renders these facts: each number and sentence in it can be tested,
saved and compared without reading HTML.
"""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.errors import FeatureMismatchError, UnmatchedRowsError, count, name_some
from isoscan.labels import as_labels
from isoscan.report.boxes import (
    STATISTICS,
    find_outlying,
    resolve_decimals,
    share_between_sites,
    summarize_boxes,
)
from isoscan.report.individuals import leave_out_individuals
from isoscan.report.verdict import key_numbers, reach_verdict
from isoscan.tables.align import align_rows

MOST_BOXES = 10_000  # features x sites x (before, after): about 0.8 MB


def collect_facts(
    before: pd.DataFrame | None = None,
    after: pd.DataFrame | None = None,
    *,
    sites: pd.Series[Any] | Sequence[Any] | NDArray[Any] | None = None,
    covariates: pd.DataFrame | None = None,
    model_facts: Mapping[str, Any] | None = None,
    describe_facts: Mapping[str, Any] | None = None,
    evaluate_facts: Mapping[str, Any] | None = None,
    title: str = "Harmonization report",
    individuals: bool = True,
) -> dict[str, Any]:
    """Gather the facts of every step and the distributions behind them.

    Parameters
    ----------
    before : DataFrame of shape (n_scans, n_features), optional
        Measures as they came from the scanners.
    after : DataFrame of shape (n_scans, n_features), optional
        Harmonized measures, same scans and features.
    sites : Series or array of shape (n_scans,), optional
        Site of each scan; a Series is matched by index. Needed with `before`.
    covariates : DataFrame, optional
        Shown beside the name of outlying scans; matched by index.
    model_facts, describe_facts, evaluate_facts : mapping, optional
        Facts of each step; None when it was not done.
    title : str
        Heading of the report.
    individuals : bool
        Whether single scans may be named, with value and covariates. Numbers of scans and the
        range of each site stay.

    Returns
    -------
    dict
        Facts for `render_report`: plain text, numbers, lists and dictionaries.

    Raises
    ------
    UnmatchedRowsError
        If sites, covariates or `after` lack scans of `before`.
    FeatureMismatchError
        If `after` lacks features of `before`.

    Examples
    --------
    >>> from isoscan.phantom import simulate_tables
    >>> cohort = simulate_tables(3, (8, 6), random_state=0)
    >>> facts = collect_facts(cohort.measures, cohort.clean, sites=cohort.people.site)
    >>> facts["features"]["sites"], len(facts["features"]["names"])
    (['SITE01', 'SITE02'], 3)
    """
    if not individuals:
        scans: Iterable[object] = () if before is None else before.index
        model_facts, describe_facts, evaluate_facts = (
            leave_out_individuals(facts, scans)
            for facts in (model_facts, describe_facts, evaluate_facts)
        )
    features = None
    if before is not None:
        labels = _match_sites(sites, before)
        features = _distributions(before, _match_after(after, before), labels, evaluate_facts)
        features["notes"] = _notes(features["scans"], covariates, before)
        features = features if individuals else leave_out_individuals(features, ())
    facts = {
        "title": title,
        "created": dt.date.today().isoformat(),
        "software": {"isoscan": _version()},
        "verdict": reach_verdict(describe_facts, evaluate_facts, model_facts),
        "key_numbers": key_numbers(evaluate_facts),
        "describe": describe_facts,
        "model": model_facts,
        "evaluate": evaluate_facts,
        "features": features,
    }
    return {key: as_plain(value) for key, value in facts.items()}


def as_plain(value: Any) -> Any:
    """Turn arrays, numpy numbers and NaN into what JSON can hold.

    Parameters
    ----------
    value : object
        Numbers, text, mappings, sequences, arrays, frames.

    Returns
    -------
    object
        Dictionaries, lists, text, numbers, booleans and None; NaN and infinities become None.

    Examples
    --------
    >>> as_plain({"share": np.float64(0.5), "p": np.array([1.0, np.nan])})
    {'share': 0.5, 'p': [1.0, None]}
    """
    if value is None or isinstance(value, bool | int | str) or value is pd.NA:
        return None if value is pd.NA else value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): as_plain(part) for key, part in value.items()}
    if isinstance(value, pd.DataFrame):
        return as_plain(value.to_dict("list"))
    if isinstance(value, np.ndarray | np.generic | pd.Series | pd.Index):
        return as_plain(value.tolist())
    if isinstance(value, Iterable):
        return [as_plain(part) for part in value]
    return str(value)


def _match_sites(sites: Any, before: pd.DataFrame) -> NDArray[np.object_]:
    if isinstance(sites, pd.Series):
        sites = align_rows(sites, before.index, what="sites")
    elif sites is None or len(sites) != len(before):
        given = 0 if sites is None else len(sites)
        raise UnmatchedRowsError(
            f"{count(given, 'site label')} for {count(len(before), 'scan')}. "
            f"Pass one site per scan, or a Series indexed by scan."
        )
    return as_labels(sites)


def _match_after(after: pd.DataFrame | None, before: pd.DataFrame) -> pd.DataFrame | None:
    if after is None:
        return None
    absent = before.columns.difference(after.columns, sort=False)
    if len(absent):
        raise FeatureMismatchError(
            f"{len(absent)} of {before.shape[1]} features are not in the harmonized table: "
            f"{name_some(absent)}. Compare tables with the same columns.",
            features=list(absent),
        )
    matched: pd.DataFrame = align_rows(after, before.index, what="harmonized measures")
    return matched[before.columns]


def _distributions(
    before: pd.DataFrame,
    after: pd.DataFrame | None,
    sites: NDArray[np.object_],
    evaluate_facts: Mapping[str, Any] | None,
) -> dict[str, Any]:
    names = sorted(set(sites))
    effect = _site_effect(before, sites, evaluate_facts)
    worst_first = np.argsort(-np.nan_to_num(effect), kind="stable")
    tables = [before] if after is None else [before, after]
    room = max(MOST_BOXES // (len(tables) * len(names)), 1)
    shown = worst_first[:room]
    tables = [table.iloc[:, shown] for table in tables]
    return {
        "names": [str(name) for name in before.columns[shown]],
        "left_out": before.shape[1] - len(shown),
        "site_effect": [_round(float(value), 5) for value in effect[shown]],
        "sites": names,
        "statistics": list(STATISTICS),
        **_boxes_and_outlying(tables, sites, names),
    }


def _boxes_and_outlying(
    tables: list[pd.DataFrame], sites: NDArray[np.object_], names: list[str]
) -> dict[str, Any]:
    boxes = [summarize_boxes(table, sites, names) for table in tables]
    decimals = resolve_decimals(*boxes)
    outlying = [find_outlying(table, sites, names) for table in tables]
    scans = sorted(
        {scan for part in outlying for row in part for cell in row for scan, _ in cell}, key=str
    )
    position = {scan: number for number, scan in enumerate(scans)}
    facts: dict[str, Any] = {"scans": [str(scan) for scan in scans], "before": None, "after": None}
    facts["outlying"] = {"before": None, "after": None}
    for when, box, far in zip(("before", "after"), boxes, outlying, strict=False):
        facts[when] = [
            [[int(n), *(_round(x, digits) for x in cell)] for n, *cell in row]
            for row, digits in zip(box.tolist(), decimals, strict=True)
        ]
        facts["outlying"][when] = [
            [[[position[scan], _round(x, digits)] for scan, x in cell] for cell in row]
            for row, digits in zip(far, decimals, strict=True)
        ]
    return facts


def _site_effect(
    before: pd.DataFrame, sites: NDArray[np.object_], evaluate_facts: Mapping[str, Any] | None
) -> NDArray[np.float64]:
    """Partial R² where it was evaluated, else the plain share of variance between sites."""
    plain = share_between_sites(before, sites)
    if not evaluate_facts:
        return plain
    known = dict(
        zip(
            evaluate_facts["features"],
            evaluate_facts["site_effects"]["before"]["partial_r2"],
            strict=True,
        )
    )
    values = [known.get(str(name), share) for name, share in zip(before, plain, strict=True)]
    return np.array([np.nan if value is None else value for value in values], dtype=float)


def _notes(scans: list[str], covariates: pd.DataFrame | None, before: pd.DataFrame) -> list[str]:
    """Age, sex and the like of the scans that are named."""
    if covariates is None:
        return [""] * len(scans)
    known = align_rows(covariates, before.index).drop(columns="site", errors="ignore")
    known = known.set_axis([str(scan) for scan in known.index])
    return [
        ", ".join(f"{name} {_short(value)}" for name, value in row.items() if not pd.isna(value))
        for _, row in known.loc[scans].astype(object).iterrows()
    ]


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _round(value: float, decimals: int) -> float | int | None:
    if not math.isfinite(value):
        return None
    rounded = round(value, decimals)
    return int(rounded) if rounded == int(rounded) else rounded


def _version() -> str:
    try:
        return importlib.metadata.version("isoscan")
    except importlib.metadata.PackageNotFoundError:  # run from a folder, not installed
        return "unknown"
