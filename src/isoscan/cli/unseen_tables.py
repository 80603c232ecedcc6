"""Tables that `isoscan unseen` writes, each with what its columns mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

Tables = dict[str, tuple[pd.DataFrame, dict[str, Any]]]
SD = "residual standard deviations"
MEANINGS: dict[str, dict[str, str]] = {
    "scans": {"Description": "Number of scans in training"},
    "shift_before": {"Description": "Mean absolute shift without correction", "Units": SD},
    "shift_after": {
        "Description": "Mean absolute shift after correction by a model of the other scanners",
        "Units": SD,
    },
    "shift_calibrated": {"Description": "The same, calibrated with 3 scans", "Units": SD},
    "error_ratio": {
        "Description": "Sum of the distances to the correction that knows the scanner, relative "
        "to no correction"
    },
    "coverage": {"Description": "Share of the corrections inside their interval"},
    "low": {"Description": "Lower limit of the 95 % interval of error_ratio over scanners"},
    "high": {"Description": "Upper limit of the 95 % interval of error_ratio over scanners"},
    "done": {"Description": "What was done, in words"},
    "ks_share": {
        "Description": "Share of the measures whose distribution is like that of the other "
        "scanners (Kolmogorov-Smirnov, p above 0.001)"
    },
    "worst": {"Description": "Largest error_ratio of a scanner"},
    "worsened": {"Description": "Number of scanners with an error_ratio above 1.1"},
    "r2": {"Description": "Share of the corrections that is explained, scan by scan"},
    "r2_mean": {"Description": "Share of the scanner's mean correction that is explained"},
    "shift_left": {"Description": "Mean absolute shift that is left", "Units": SD},
    "correlation of people": {
        "Description": "Correlation of people of one scanner, before and after"
    },
    "spread of people": {
        "Description": "Standard deviation of people of one scanner, after divided by before"
    },
    "seconds": {"Description": "Time of all fits", "Units": "s"},
    "scan": {"Description": "Scan"},
    "feature": {"Description": "Measure"},
    "shift": {"Description": "Shift of the scanner, as its scans show it", "Units": SD},
    "shift_se": {"Description": "Standard error of the shift", "Units": SD},
    "scale": {"Description": "Spread of the scanner relative to that of training"},
    "scale_low": {"Description": "Lower limit of the 95 % interval of the scale"},
    "scale_high": {"Description": "Upper limit of the 95 % interval of the scale"},
    "correction": {"Description": "What was added, in the unit of the harmonized measure"},
    "correction_low": {"Description": "Lower limit of the interval of the correction"},
    "correction_high": {"Description": "Upper limit of the interval of the correction"},
    "shift_score": {
        "Description": "How unlike training the scan is; about 1 for scans of training, missing "
        "where no metrics were given"
    },
    "abstained": {"Description": "Less than half of the correction was made"},
    "out_of_range": {"Description": "Inputs of the scan outside the range of training"},
}


def scanners_table(facts: Mapping[str, Any]) -> Tables:
    """One row per scanner of training: how it was corrected by the others."""
    names = {
        "scans": "scans",
        "before": "shift_before",
        "after": "shift_after",
        "few": "shift_calibrated",
        "error_ratio": "error_ratio",
        "coverage": "coverage",
    }
    table = pd.DataFrame(facts["scanners"], columns=["scanner", *names]).rename(columns=names)
    table = table.set_index("scanner").dropna(axis=1, how="all").astype({"scans": int})
    return {"scanners.tsv": (table, describe(table.columns))}


def left_out_tables(left_out: Any, facts: Mapping[str, Any]) -> Tables:
    """The comparison, and the same for every scanner, means over draws."""
    rows = {row["model"]: row for row in facts["baselines"]}
    table = left_out.table.copy()
    table.insert(0, "done", [rows[name]["label"] for name in table.index])
    limits = {name: [rows[key][name] for key in table.index] for name in ("low", "high")}
    table = table.assign(**limits).astype(dict.fromkeys(limits, float))
    grouped = left_out.scanners.groupby(["model", "scanner"], sort=False)
    detail = grouped.mean(numeric_only=True).drop(columns=["draw", "error", "size"]).reset_index()
    detail = detail.set_index("model")
    return {
        "left_out.tsv": (table, describe(table.columns)),
        "left_out_scanners.tsv": (detail, describe(detail.columns)),
    }


def learned_table(model: Any) -> Tables:
    """What a calibration learned of the new scanner."""
    import numpy as np

    known, features = model.calibration_, model.reference_.get_feature_names_out()
    error = 1.96 * np.sqrt(known.log_scale_variance)
    table = pd.DataFrame(
        {
            "shift": known.shift,
            "shift_se": np.sqrt(known.shift_variance),
            "scale": np.exp(known.log_scale),
            "scale_low": np.exp(known.log_scale - error),
            "scale_high": np.exp(known.log_scale + error),
        },
        index=pd.Index(features, name="feature"),
    )
    return {"learned.tsv": (table, describe(table.columns))}


def predictions_table(predicted: pd.DataFrame, model: Any) -> Tables:
    """Every correction with its interval."""
    names = {"low": "correction_low", "high": "correction_high"}
    table = predicted.rename(columns=names).set_index("scan")
    table = table.rename(columns={"correction_low": "low", "correction_high": "high"})
    sidecar = describe(table.columns)
    for limit in {"low", "high"} & set(table.columns):
        sidecar[limit] = MEANINGS[names[limit]] | {"Level": model.interval}
    return {"predictions.tsv": (table, sidecar | generated_by(model))}


def describe(columns: Iterable[str]) -> dict[str, Any]:
    """What columns mean; effects of covariates by their name."""
    said: dict[str, Any] = {}
    for name in map(str, columns):
        if name.startswith("effect of "):
            said[name] = {"Description": f"Share of the {name} within scanners that is left"}
        elif name in MEANINGS:
            said[name] = dict(MEANINGS[name])
    return said


def describe_corrected(
    columns: Iterable[str], features: Iterable[str], model: Any, sidecar: Mapping[str, Any]
) -> dict[str, Any]:
    """Say in a BIDS sidecar what the columns of a corrected table are."""
    corrected = set(features)
    total = getattr(model, "total", None)
    relative = total is not None and model.total_strategy in ("ratio", "harmonized")
    said: dict[str, Any] = {}
    for name in map(str, columns):
        entry = dict(sidecar.get(name, {}))
        if name in corrected:
            entry["Harmonized"] = True
        if name in corrected and relative:
            entry["Units"] = f"share of {total}"
        elif name in corrected and total is not None:
            entry["AdjustedFor"] = total
        if entry:
            said[name] = entry
    return said | generated_by(model)


def generated_by(model: Any) -> dict[str, Any]:
    """The program and the model that made a table."""
    from isoscan.combat.store import software_versions

    known = getattr(model, "calibration_", None)
    made = {
        "Name": "isoscan",
        "Version": software_versions()["isoscan"],
        "Method": type(model).__name__,
        "Preserve": getattr(model, "preserve", None),
        "CalibratedWith": None if known is None else known.n_scans,
        "ModelSHA256": model.hash_,
    }
    return {"GeneratedBy": [{key: value for key, value in made.items() if value is not None}]}
