"""Gather what is known of a model for unknown scanners in one dictionary that JSON can hold."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.combat.store import software_versions
from isoscan.report.facts import as_plain
from isoscan.report.individuals import leave_out_individuals
from isoscan.report.unseen_methods import describe_unseen
from isoscan.report.unseen_verdict import reach_unseen_verdict, unseen_numbers
from isoscan.report.unseen_words import KNOWN, NOTHING, UNSEEN, label_of, n_scans_of

if TYPE_CHECKING:
    from isoscan.evaluation.left_out import LeftOut

Array = NDArray[np.float64]
FEW = 3
"""Number of scans that stands for a few."""
_RESAMPLES = 2000


def collect_unseen_facts(
    model: Any,
    *,
    left_out: LeftOut | None = None,
    predicted: pd.DataFrame | None = None,
    title: str = "Unknown scanners",
    notes: Iterable[Mapping[str, str]] = (),
    individuals: bool = True,
    scans: Iterable[object] = (),
) -> dict[str, Any]:
    """Gather facts about a model, about scanners left out, and about scans it corrected.

    Parameters
    ----------
    model : UnseenScanner or Neuroharmony
        A fitted model.
    left_out : LeftOut, optional
        From `leave_one_scanner_out`; without it, what training knows of each scanner is told.
    predicted : DataFrame, optional
        What `model.predict` says of scans that were corrected.
    title : str
        Heading of the report.
    notes : iterable of mapping
        Warnings of the work: code and sentence.
    individuals : bool
        Whether single scans may be named.
    scans : iterable
        Names of scans that notes may hold.

    Returns
    -------
    dict
        Facts for `render_unseen_report`: plain text, numbers, lists and dictionaries.

    Examples
    --------
    >>> from isoscan.phantom import simulate_scanners
    >>> from isoscan.unseen import UnseenScanner
    >>> cohort = simulate_scanners(8, 12, 4, random_state=0)
    >>> model = UnseenScanner().fit(cohort.measures, sites=cohort.people.site)
    >>> facts = collect_unseen_facts(model)
    >>> facts["training"]["scanners"], facts["source"]
    (8, 'training')
    """
    own = "this model" if type(model).__name__ == "UnseenScanner" else "UnseenScanner"
    row = UNSEEN if own == "this model" else type(model).__name__
    applied = None if predicted is None else applied_scans(model, predicted)
    facts: dict[str, Any] = {
        "title": title,
        "created": dt.date.today().isoformat(),
        "software": software_versions(),
        "model": describe_unseen(model),
        "training": _training(model),
        "source": "training" if left_out is None else "check",
        "row": row,
        "scanners": _known_scanners(model) if left_out is None else _scanners(model, left_out, row),
        "baselines": [] if left_out is None else _baselines(left_out, own, row),
        "curve": None if left_out is None else _curve(left_out, row),
        "people": _people(model),
        "applied": applied,
    }
    plain: dict[str, Any] = as_plain(facts)
    plain["verdict"] = reach_unseen_verdict(plain, notes)
    plain["key_numbers"] = unseen_numbers(plain)
    if individuals:
        return plain
    names = [*scans, *([] if applied is None else applied["names"])]
    hidden: dict[str, Any] = leave_out_individuals(plain, names)
    if hidden["applied"]:
        hidden["applied"]["names"] = []
    return hidden


def ratio_interval(errors: Array, sizes: Array) -> tuple[float, float]:
    """95 % interval of a ratio of sums, had other scanners been left out.

    Parameters
    ----------
    errors, sizes : ndarray of shape (n_scanners,)
        Sums of errors of each scanner, with and without correction.

    Returns
    -------
    low, high : float
        Percentiles over samples of scanners drawn with replacement, always the same ones.

    Examples
    --------
    >>> ratio_interval(np.array([1.0, 1.0]), np.array([2.0, 2.0]))
    (0.5, 0.5)
    """
    drawn = np.random.default_rng(0).integers(len(errors), size=(_RESAMPLES, len(errors)))
    ratios = errors[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(low), float(high)


def applied_scans(model: Any, predicted: pd.DataFrame) -> dict[str, Any]:
    """Sum up predictions scan by scan.

    Parameters
    ----------
    model : UnseenScanner or Neuroharmony
        The model.
    predicted : DataFrame
        From its `predict`.

    Returns
    -------
    dict
        Keys names, score (missing after calibration), abstained, size and width (mean absolute
        correction and mean half width of the intervals, in residual standard deviations;
        missing where unknown), outside (inputs out of range, for Neuroharmony) and usual
        (largest score that is usual in training).
    """
    by_scan = predicted.groupby("scan", sort=False)
    facts: dict[str, Any] = {"names": [str(name) for name in by_scan.groups]}
    if "shift_score" not in predicted:
        facts["outside"] = by_scan["out_of_range"].first().tolist()
        return facts | {"score": None, "abstained": None, "size": None, "width": None}
    features = model.reference_.get_feature_names_out()
    sd = dict(zip(features, model.reference_.model_.sd, strict=True))
    unit = predicted["feature"].map(sd).where(lambda values: values > 0)
    size = (predicted["correction"].abs() / unit).groupby(predicted["scan"], sort=False).mean()
    width = (predicted["high"] - predicted["low"]) / 2 / unit
    return {
        **facts,
        "score": None if predicted["shift_score"].isna().all() else by_scan["shift_score"].first(),
        "abstained": by_scan["abstained"].first(),
        "size": size,
        "width": width.groupby(predicted["scan"], sort=False).mean(),
        "usual": model.usual_score_,
        "outside": None,
    }


def _training(model: Any) -> dict[str, Any]:
    own, reference = hasattr(model, "reference_"), _reference(model)
    return {
        "scanners": len(reference.sites_),
        "scans": int(sum(reference.scans_per_site_.values())),
        "features": int(reference.n_features_in_),
        "metrics": model.metrics_ if own else model.encoder_.metrics,
        "definition": model.definition_ if own else model.encoder_.definition,
        "strength": model.strength_ if own else None,
        "interval": model.interval if own else None,
        "calibrated": model.calibration_.n_scans if own and model.calibration_ else None,
    }


def _reference(model: Any) -> Any:
    """What knows the scanners of training and how many scans they have."""
    return getattr(model, "reference_", model)


def _known_scanners(model: Any) -> list[dict[str, Any]]:
    """What training tells of each scanner, corrected by the others."""
    if not hasattr(model, "scanners_"):
        return []
    return [
        {
            "scanner": str(name),
            "scans": int(row["scans"]),
            "before": row["shift_before"],
            "after": row["shift_after"],
            "few": None,
            "error_ratio": row["error_ratio"],
            "coverage": None,
        }
        for name, row in model.scanners_.iterrows()
    ]


def _scanners(model: Any, left_out: LeftOut, row: str) -> list[dict[str, Any]]:
    means = _by_scanner(left_out)
    before, after = means.loc[NOTHING], means.loc[row]
    few = means.loc[f"{FEW} scans"] if f"{FEW} scans" in left_out.table.index else None
    scans = _reference(model).scans_per_site_
    return [
        {
            "scanner": str(name),
            "scans": scans.get(str(name)),
            "before": before.loc[name, "shift_left"],
            "after": after.loc[name, "shift_left"],
            "few": None if few is None or name not in few.index else few.loc[name, "shift_left"],
            "error_ratio": after.loc[name, "error_ratio"],
            "coverage": after.loc[name, "coverage"],
        }
        for name in before.index
    ]


def _baselines(left_out: LeftOut, own: str, row: str) -> list[dict[str, Any]]:
    means = _by_scanner(left_out)
    rows = []
    for name, scores in left_out.table.iterrows():
        errors, few = means.loc[str(name)], n_scans_of(str(name))
        low, high = ratio_interval(errors["error"].to_numpy(), errors["size"].to_numpy())
        exact = name in (NOTHING, KNOWN)
        rows.append(
            {
                "model": str(name),
                "label": label_of(str(name), own),
                "kind": "own" if name == row else "calibrated" if few else "other",
                "scanners": len(errors),
                "low": None if exact else low,
                "high": None if exact else high,
                **{str(key): value for key, value in scores.items()},
            }
        )
    return rows


def _curve(left_out: LeftOut, row: str) -> dict[str, Any] | None:
    """Shift that is left against the number of scans, over scanners that have as many."""
    named = {n_scans_of(str(name)): str(name) for name in left_out.table.index}
    means = _by_scanner(left_out)["shift_left"]
    everyone = set(means.loc[NOTHING].index)
    having = {number: set(means.loc[named[number]].index) for number in named if number}
    numbers = sorted(n for n, some in having.items() if 2 * len(some) >= len(everyone))
    if not numbers:
        return None
    scanners = sorted(set.intersection(*(having[number] for number in numbers)))
    at = {0: means.loc[row].loc[scanners]}
    at |= {number: means.loc[named[number]].loc[scanners] for number in numbers}
    return {
        "scans": list(at),
        "left": [values.mean() for values in at.values()],
        "low": [values.quantile(0.1) for values in at.values()],
        "high": [values.quantile(0.9) for values in at.values()],
        "nothing": means.loc[NOTHING].loc[scanners].mean(),
        "scanners": len(scanners),
        "left_out": sorted(str(name) for name in everyone.difference(scanners)),
    }


def _by_scanner(left_out: LeftOut) -> pd.DataFrame:
    """Scores of each model and scanner, averaged over draws."""
    scores = left_out.scanners.groupby(["model", "scanner"], sort=False)
    return pd.DataFrame(scores.mean(numeric_only=True))


def _people(model: Any) -> dict[str, Any]:
    if not hasattr(model, "biology_"):
        return {}
    return {str(name): float(kept) for name, kept in model.biology_["kept"].items()}
