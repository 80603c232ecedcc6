"""How far pooled effects are from those of metafor.

    ISOSCAN_SHARED=/path/to/references python validation/metafor.py

Prints the first table of `metafor/README.md`; exits with 1 if an agreement is outside its
tolerance. Differences are relative to the reference, or absolute where that is said.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from cases import SHARED

import isoscan as iso
from isoscan.errors import IsoscanWarning

POOLING = SHARED / "golden" / "pooling"
METHODS = {"EE": "fe", "EB": "pm"}
TESTS = {"adhoc": "knha-bounded"}
CLOSED = ("fe", "dl", "he", "hs", "sj")
TAU2 = {"tau2": "tau2", "tau2_se": "se_tau2"}
EFFECT = {
    "effect": "beta",
    "se": "se",
    "p": "p",
    "low": "ci_lb",
    "high": "ci_ub",
    "I2": "I2",
    "H2": "H2",
    "Q": "QE",
    "Q_p": "QEp",
}
PREDICTION = {"pi_low": "pi_lb", "pi_high": "pi_ub"}
RILEY = {"pi_low": "pi_riley_lb", "pi_high": "pi_riley_ub"}
SLOPES = {"effect": "beta", "se": "se", "low": "ci_lb", "high": "ci_ub", "p": "p"}
SUMMARY = {"QM": "QM", "QM_p": "QMp", "tau2": "tau2", "tau2_se": "se_tau2", "R2": "R2"}
INFLUENCE = {
    "rstudent": "rstudent",
    "dffits": "dffits",
    "cook_distance": "cook_d",
    "covariance_ratio": "cov_r",
    "hat": "hat",
}

Found = tuple[str, float, float]
"""What, how far apart, and how far they may be."""


def read(name: str) -> dict[str, Any]:
    """Pinned numbers."""
    found = json.loads((POOLING / name).read_text())
    return {key: value for key, value in found.items() if key != "_meta"}


def options_of(fit: dict[str, Any]) -> dict[str, Any]:
    """Options of isoscan for a fit of metafor."""
    method = METHODS.get(fit["method"], fit["method"].lower())
    return {"method": method, "test": TESTS.get(fit["test"], fit["test"])}


def apart(mine: Any, theirs: Any) -> float:
    """Largest relative difference; of numbers below 1e-6, the difference in units of that."""
    ours, reference = np.asarray(mine, float), np.asarray(theirs, float)
    return float(np.max(np.abs(ours - reference) / np.maximum(np.abs(reference), 1e-6)))


def compare(mine: Any, fit: dict[str, Any], names: dict[str, str]) -> float:
    """Largest difference over the numbers that the reference has."""
    known = {ours: theirs for ours, theirs in names.items() if fit.get(theirs) is not None}
    return max((apart(mine[ours], fit[theirs]) for ours, theirs in known.items()), default=0.0)


def pooled_effects() -> Iterator[Found]:
    """Seven sets of effects, nine estimators, four tests."""
    gaps: dict[str, float] = {}
    for case in read("g03_pooling.json").values():
        se = np.sqrt(case["input"]["vi"])
        for fit in case["fits"]:
            options = options_of(fit)
            how = "closed" if options["method"] in CLOSED else "searched"
            row = iso.meta_analysis(case["input"]["yi"], se, **options).table.iloc[0]
            riley = iso.meta_analysis(
                case["input"]["yi"], se, prediction="riley", **options
            ).table.iloc[0]
            for what, gap in (
                ("tau2", compare(row, fit, TAU2)),
                ("effect", compare(row, fit, EFFECT)),
                ("prediction", max(compare(row, fit, PREDICTION), compare(riley, fit, RILEY))),
            ):
                key = f"{what} {how}"
                gaps[key] = max(gaps.get(key, 0.0), gap)
    names = {
        "tau2": "τ² and its SE",
        "effect": "effect, SE, limits, p, Q, I², H²",
        "prediction": "prediction interval, as the test and Riley's",
    }
    for key, gap in gaps.items():
        what, how = key.split()
        which = "EE, DL, HE, HS, SJ" if how == "closed" else "PM, ML, REML"
        yield f"{names[what]}: {which}", gap, 1e-10 if how == "closed" else 1e-6


def sites_left_out() -> Iterator[Found]:
    """Q-profile limits, leave-one-out and influence, as absolute differences."""
    limits, moved = 0.0, 0.0
    for case in read("g04_loo_influence_tau2ci.json").values():
        effects, se = case["input"]["yi"], np.sqrt(case["input"]["vi"])
        found = iso.meta_analysis(effects, se, preset="enigma")
        row = found.table.iloc[0][["tau2", "tau2_low", "tau2_high"]].to_numpy(float)
        limits = max(limits, float(np.abs(row - case["qprofile"]["tau2"]).max()))
        rest, influence = found.leave_one_out(), found.influence()
        for ours, theirs in {"effect": "est", "se": "se", "tau2": "tau2", "p": "p"}.items():
            gap = np.abs(rest[ours] - case["leave1out_REML_z"][theirs]).max()
            moved = max(moved, float(gap))
        for ours, theirs in INFLUENCE.items():
            moved = max(moved, float(np.abs(influence[ours] - case["influence"][theirs]).max()))
    yield "Q-profile limits of τ², absolute", limits, 2e-4
    yield "leave-one-out, influence, absolute", moved, 1e-6


def regressions() -> Iterator[Found]:
    """Slopes on moderators."""
    gap = 0.0
    cases = read("g05_metaregression.json")
    for name, mods, fits in (
        ("enigma", "mods1", "fits1"),
        ("enigma", "mods2", "fits2"),
        ("bcg_ablat_year", "mods", "fits"),
    ):
        case = cases[name]
        sites = [f"site {number}" for number in range(len(case["yi"]))]
        effects, se = pd.Series(case["yi"], sites), pd.Series(np.sqrt(case["vi"]), sites)
        moderators = pd.DataFrame(case[mods], sites).add_prefix("moderator")
        for fit in case[fits]:
            mine = iso.meta_regression(effects, se, moderators=moderators, **options_of(fit))
            gap = max(gap, compare(mine.table, fit, SLOPES))
            gap = max(gap, compare(mine.summary.iloc[0], fit, SUMMARY))
    yield "meta-regression: slopes, QM, R²", gap, 1e-6


def main() -> int:
    """Print the table."""
    if not POOLING.is_dir():
        print("No reference outputs here. Set ISOSCAN_SHARED.")
        return 0
    warnings.simplefilter("ignore", IsoscanWarning)
    print("| what | largest difference | tolerance |\n|---|---|---|")
    fine = True
    for part in (pooled_effects, sites_left_out, regressions):
        for what, gap, within in part():
            fine &= gap <= within
            print(f"| {what} | {gap:.1e} | {within:.0e} |")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
