"""How far mixed models are from those of lme4, lmerTest and pbkrtest.

    ISOSCAN_SHARED=/path/to/references python validation/lme4.py

Prints the tables of `lme4/README.md`; exits with 1 if an agreement is outside its tolerance.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from cases import GOLDEN, SHARED
from numpy.typing import NDArray

from isoscan.combat.mixed import MixedFit, fit_mixed

Array = NDArray[np.float64]
POOLING = SHARED / "golden" / "pooling"
QUANTITIES = ("τ²", "σ²", "β", "se", "−2 log L", "df, Satterthwaite", "df, KR", "se, KR")
"""In units of: total variance (twice), se, itself, 1, and the rest of itself."""
TOLERANCE = dict(zip(QUANTITIES, (1e-5, 1e-5, 1e-5, 1e-5, 1e-6, 1e-4, 1e-4, 1e-4), strict=True))


@dataclass(frozen=True)
class Study:
    """One data set, how it is fitted, and what the reference found in each feature."""

    what: str
    fit: MixedFit
    expected: list[dict[str, Any]]

    def distances(self) -> dict[str, float]:
        """Largest difference of each quantity, over features."""
        found: dict[str, float] = {}
        for feature, expected in enumerate(self.expected):
            for name, apart in self.of_feature(feature, expected):
                found[name] = max(found.get(name, 0.0), float(np.max(apart)))
        return found

    def of_feature(self, feature: int, expected: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        """Differences in one feature."""
        fit = self.fit
        total = expected["tau2"].ravel()[0] + expected["sigma2"]
        between = np.atleast_2d(fit.between[feature])
        yield "τ²", np.abs(between - expected["tau2"]) / total
        yield "σ²", abs(fit.variance[feature] - expected["sigma2"]) / total
        se = np.array(expected["se"])
        yield "β", np.abs(fit.coefficients[:, feature] - expected["beta"]) / se
        yield "se", np.abs(fit.standard_errors()[:, feature] / se - 1)
        height = fit.minus_two_log_likelihood[feature]
        yield "−2 log L", abs(height - expected["m2ll"])
        if not fit.singular[feature]:
            degrees = fit.degrees_of_freedom()[:, feature]
            yield "df, Satterthwaite", np.abs(degrees / expected["df"] - 1)
        if expected.get("df_kr") and fit.method == "reml" and fit.between.ndim == 1:
            tests = [fit.kenward_roger(row) for row in np.eye(len(se))]
            degrees = np.array([test.denominator[feature] for test in tests])
            errors = np.array([test.standard_errors[0, feature] for test in tests])
            yield "df, KR", np.abs(degrees / expected["df_kr"] - 1)
            yield "se, KR", np.abs(errors / expected["se_kr"] - 1)


def of_roi(roi: dict[str, Any], correlated: bool = True) -> dict[str, Any]:
    """Numbers of one fit of the six sites."""
    parts = roi["varcorr"]
    own = [part["vcov"] for part in parts if part["grp"] != "Residual" and part["v2"] is None]
    tau2 = np.diag(own)
    for part in parts:
        if part["v2"] is not None:
            tau2[0, 1] = tau2[1, 0] = part["vcov"]
    listed = {
        "beta": "beta", "se": "se", "df": "df_satterthwaite", "df_kr": "df_kr", "se_kr": "se_kr"
    }  # fmt: skip
    found = {
        name: np.array(list(roi[key].values()), float) for name, key in listed.items() if roi[key]
    }
    found = {name: values for name, values in found.items() if np.isfinite(values).all()}
    if "df_kr" in found:
        found["df_kr"] = list(found["df_kr"])
    sigma2 = next(part["vcov"] for part in parts if part["grp"] == "Residual")
    return {**found, "tau2": tau2, "sigma2": sigma2, "m2ll": roi["m2ll"]}


def simulated() -> Iterator[Study]:
    """20 features at sites, and 20 of subjects."""
    for name, what in (("site", "people at sites"), ("subj", "visits of subjects")):
        data = pd.read_csv(POOLING / f"lmm_{name}.csv")
        rows = json.loads((POOLING / f"g10_lmm_{name}.json").read_text())["rows"]
        columns = [column for column in data if column.startswith("x")]
        design = np.column_stack([np.ones(len(data)), data[columns]])
        measures = data[[column for column in data if column.startswith("y")]].to_numpy()
        for method in ("reml", "ml"):
            own = [row for row in rows if row["crit"].lower() == method]
            for row in own:
                row |= {"df": row["df_satterthwaite"], "tau2": np.array([[row["tau2"]]])}
            fit = fit_mixed(measures, design, data["g"].to_numpy(), method=method)
            yield Study(f"simulated, {what}, {method.upper()}", fit, own)


def six_sites() -> Iterator[Study]:
    """Four measures at six sites, with and without random slopes."""
    data = pd.read_csv(POOLING / "raw_6sites.csv")
    rois = json.loads((POOLING / "g07_mega_lmm.json").read_text())["rois"].values()
    measures = data[["roi1", "roi2", "roi3", "roi4"]].to_numpy()
    measures[:, 3] = (measures[:, 3] - 1e6) / 1000
    design = np.column_stack([np.ones(len(data)), data[["dx", "age", "sex"]]])
    runs: list[tuple[str, str, dict[str, Any]]] = [
        ("ri_reml", "random intercept, REML", {}),
        ("ri_ml", "random intercept, ML", {"method": "ml"}),
        ("rs_reml", "random slope, REML", {"slope": data.dx}),
        ("rs_uncor_reml", "random slope, uncorrelated", {"slope": data.dx, "correlated": False}),
    ]
    for key, what, options in runs:
        fit = fit_mixed(measures, design, data.site.to_numpy(), **options)
        yield Study(f"simulated, 6 sites, {what}", fit, [of_roi(roi[key]) for roi in rois])


def abide() -> Iterator[Study]:
    """Ten volumes of 1035 people at 20 sites."""
    folder = GOLDEN / "lmer_abide"
    measures = pd.read_csv(folder / "X.csv.gz", index_col=0)
    people = pd.read_csv(folder / "covars.csv", index_col=0).loc[measures.index]
    effects = pd.read_csv(folder / "fixed_effects.csv")
    variances = pd.read_csv(folder / "variance_components.csv")
    columns = [np.ones(len(people)), people.age, people.sex == "M", people.dx == "ASD"]
    for method in ("reml", "ml"):
        fit = fit_mixed(measures, np.column_stack(columns), people.site.to_numpy(), method=method)
        reml = method == "reml"
        expected = []
        for name in measures:
            rows = effects[(effects.reml == reml) & (effects.feature == name)]
            parts = variances[(variances.reml == reml) & (variances.feature == name)]
            parts = parts.set_index("grp")
            expected.append(
                {
                    "beta": rows.estimate.to_numpy(), "se": rows.se.to_numpy(),
                    "df": rows.df_satterthwaite.to_numpy(), "df_kr": list(rows.df_kr),
                    "se_kr": rows.se_kr.to_numpy(), "tau2": np.array([[parts.vcov["site"]]]),
                    "sigma2": parts.vcov["Residual"], "m2ll": -2 * parts.logLik["site"],
                }
            )  # fmt: skip
        yield Study(f"ABIDE, 20 sites, {method.upper()}", fit, expected)


def main() -> int:
    """Print one row per study and quantity."""
    if not POOLING.is_dir():
        print("No reference outputs here. Set ISOSCAN_SHARED.")
        return 0
    studies = [*simulated(), *six_sites(), *abide()]
    names = QUANTITIES
    print("| data, model | features | " + " | ".join(names) + " |")
    print("|---|---|" + "---|" * len(names))
    worst: dict[str, float] = {}
    for study in studies:
        found = study.distances()
        cells = [f"{found[name]:.1e}" if name in found else "" for name in names]
        print(f"| {study.what} | {len(study.expected)} | " + " | ".join(cells) + " |")
        worst = {name: max(worst.get(name, 0.0), found.get(name, 0.0)) for name in names}
    print("| **tolerance** | | " + " | ".join(f"{TOLERANCE[name]:.0e}" for name in names) + " |")
    print_boundary(studies)
    return 0 if all(worst[name] <= TOLERANCE[name] for name in names) else 1


def print_boundary(studies: list[Study]) -> None:
    """Compare likelihoods, and degrees of freedom where no variance between groups is left."""
    apart: dict[str, list[float]] = {"reml": [], "ml": []}
    lower, higher = 0.0, 0.0
    for study in studies:
        fit = study.fit
        for feature, expected in enumerate(study.expected):
            gain = expected["m2ll"] - fit.minus_two_log_likelihood[feature]
            lower, higher = max(lower, gain), max(higher, -gain)
            if fit.singular[feature]:
                degrees = fit.degrees_of_freedom()[:, feature]
                apart[fit.method].append(float(np.abs(degrees / expected["df"] - 1).max()))
    for method, found in apart.items():
        print(
            f"\n{len(found)} fits by {method.upper()} on the boundary: Satterthwaite's degrees of "
            f"freedom differ by up to {max(found):.1e} (relative)."
        )
    print(f"−2 log L is at most {lower:.1e} below and {higher:.1e} above that of lme4.")


if __name__ == "__main__":
    sys.exit(main())
