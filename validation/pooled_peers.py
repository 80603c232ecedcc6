"""Run PyMARE and statsmodels beside isoscan on the effects of sites.

    pip install "PyMARE>=0.0.13" statsmodels
    python validation/pooled_peers.py

Effects are simulated, 500 measures at 15 sites. Differences in effects, standard errors and limits
are in standard errors of the pooled effect; those in tau² are relative to tau² plus the typical
variance within sites; others are relative. Exits with 1 if one is outside its tolerance.
"""

from __future__ import annotations

import sys
import warnings
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import isoscan as iso
from isoscan.errors import IsoscanWarning

Array = NDArray[np.float64]
CLOSED, SEARCHED = 1e-10, 1e-5
FEW = 40
"""Measures that statsmodels is given, which takes one at a time."""


def simulate() -> tuple[Array, Array]:
    """Effects and standard errors; the true effects differ between sites in two of three."""
    random = np.random.default_rng(7)
    se = random.uniform(0.1, 0.4, (15, 500))
    between = 0.2 * (np.arange(500) % 3 > 0)
    return 0.3 + random.normal(size=se.shape) * np.hypot(se, between), se


def ours(effects: Array, se: Array, **options: Any) -> pd.DataFrame:
    """Pool with isoscan."""
    return iso.meta_analysis(effects, se, **options).table


def pymare(effects: Array, se: Array, method: str, correction: str) -> dict[str, Array]:
    """Pool with PyMARE."""
    from pymare import Dataset, estimators

    made = {
        "fe": lambda: estimators.WeightedLeastSquares(small_sample_correction=correction),
        "dl": lambda: estimators.DerSimonianLaird(small_sample_correction=correction),
        "he": lambda: estimators.Hedges(small_sample_correction=correction),
    }
    likelihood = estimators.VarianceBasedLikelihoodEstimator
    made |= {
        name: lambda name=name: likelihood(method=name.upper(), small_sample_correction=correction)
        for name in ("ml", "reml")
    }
    found = made[method]().fit_dataset(Dataset(y=effects, v=se**2, X_names=None)).summary()
    stats, rest = found.get_fe_stats(), found.get_heterogeneity_stats()
    tau2 = np.broadcast_to(np.asarray(found.tau2, dtype=float).ravel(), effects.shape[1:])
    numbers = {
        "effect": stats["est"],
        "se": stats["se"],
        "low": stats["ci_l"],
        "high": stats["ci_u"],
        "tau2": tau2,
        "Q": rest["Q"],
    }
    return {name: np.asarray(values, dtype=float).ravel() for name, values in numbers.items()}


def statsmodels(effects: Array, se: Array, method: str) -> dict[str, Array]:
    """Pool with statsmodels, measure by measure; Knapp and Hartung's standard error."""
    from statsmodels.stats.meta_analysis import combine_effects

    names = {"dl": "chi2", "pm": "iterated"}
    rows = []
    for effect, variance in zip(effects.T[:FEW], (se**2).T[:FEW], strict=True):
        found = combine_effects(effect, variance, method_re=names[method], use_t=True)
        rows.append((found.mean_effect_re, found.sd_eff_w_re_hksj, found.tau2, found.q))
    return dict(zip(("effect", "se", "tau2", "Q"), np.array(rows).T, strict=True))


def apart(mine: pd.DataFrame, theirs: dict[str, Array], se: Array) -> dict[str, float]:
    """Largest difference of each number, in its unit; where τ² is 0 only if theirs is."""
    same = theirs["tau2"] >= 0
    mine = mine.iloc[: len(same)][same]
    theirs = {name: values[same] for name, values in theirs.items()}
    within = 1 / (1 / se[:, : len(same)] ** 2).mean(axis=0)[same]
    units = {"tau2": mine["tau2"] + within, "Q": mine["Q"]}
    gaps = {}
    for name, values in theirs.items():
        unit = np.asarray(units.get(name, mine["se"]))
        gaps[name] = float(np.max(np.abs(mine[name] - values) / unit))
    return gaps


def main() -> int:
    """Print what was found as a Markdown table."""
    warnings.simplefilter("ignore", IsoscanWarning)
    warnings.simplefilter("ignore")
    effects, se = simulate()
    print(f"PyMARE {version('PyMARE')}, statsmodels {version('statsmodels')}\n")
    print("| package | estimator | test | effect | SE | limits | τ² | Q | tolerance |")
    print("|---|---|---|---|---|---|---|---|---|")
    corrections = {
        "z": "wald",
        "knha": "knapp-hartung",
        "knha-bounded": "knapp-hartung-conservative",
    }
    jobs = [
        ("PyMARE", method, test, pymare(effects, se, method, corrections[test]))
        for method in ("fe", "dl", "he", "ml", "reml")
        for test in (("z",) if method == "fe" else corrections)
    ]
    jobs += [("statsmodels", m, "knha", statsmodels(effects, se, m)) for m in ("dl", "pm")]
    fine = True
    for package, method, test, theirs in jobs:
        gaps = apart(ours(effects, se, method=method, test=test), theirs, se)
        within = SEARCHED if method in ("ml", "reml", "pm") else CLOSED
        fine &= max(gaps.values()) <= within
        limits = [gaps[name] for name in ("low", "high") if name in gaps]
        shown = [gaps["effect"], gaps["se"], max(limits, default=np.nan), gaps["tau2"], gaps["Q"]]
        cells = " | ".join("" if np.isnan(gap) else f"{gap:.0e}" for gap in shown)
        print(f"| {package} | {method} | {test} | {cells} | {within:.0e} |")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
