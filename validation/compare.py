"""Measure how far isoscan is from the reference implementations, case by case.

    ISOSCAN_SHARED=/path/to/references python validation/compare.py [reference ...]

Expects `golden/combat/<case>/` below that folder: inputs (`X.csv.gz`, `covars.csv`), outputs of
the reference, and `manifest.json` with its version, call and tolerance. Cases that are not
there are skipped. Differences are the largest over all cells, in standard deviations of the
raw feature. Prints Markdown; exits with 1 if an agreement is outside its tolerance.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pandas as pd

import isoscan as iso
from isoscan.errors import IsoscanError, IsoscanWarning

SHARED = Path(os.environ.get("ISOSCAN_SHARED", Path(__file__).resolve().parents[2] / "shared"))
GOLDEN = SHARED / "golden" / "combat"

# Reference -> case -> (options of iso.ComBat, what the case is).
AGREES: dict[str, dict[str, tuple[dict[str, object], str]]] = {
    "neurocombat-r": {
        "nc_R_param_cov": ({}, "parametric, age + sex + diagnosis"),
        "nc_R_param_nocov": ({}, "parametric, no covariates"),
        "nc_R_volumes_cov": ({}, "volumes"),
        "nc_R_ixi_cov": ({}, "IXI, 3 sites"),
        "nc_R_fcon23_cov": ({}, "FCON1000, 23 sites"),
        "nc_R_noeb_cov": ({"prior": None}, "no prior (`eb=FALSE`)"),
        "nc_R_meanonly_cov": ({"mean_only": True}, "mean only"),
        "nc_R_singleton_meanonly": ({"mean_only": True}, "mean only, a site of one scan"),
        "nc_R_ref_cov": ({"reference": "NYU"}, "reference site"),
        "nc_R_missing_cov": ({}, "missing values"),
        "nc_R_tinysite": ({}, "tiny site"),
        "nc_R_tinysite_noeb": ({"prior": None}, "tiny site, no prior"),
        "nc_R_const_within_site": ({}, "feature constant at one site"),
        "nc_R_offset1e6": ({}, "10⁶ added to every value"),
        "nc_R_fromtraining_nomod": ({}, "training, then new scans, no covariates"),
    },
    "neurocombat-python": {
        "nc_py_param_cov": ({}, "parametric, age + sex + diagnosis"),
        "nc_py_noeb_cov": ({"prior": None}, "no prior (`eb=False`)"),
        "nc_py_meanonly_cov": ({"mean_only": True}, "mean only"),
        "nc_py_ref_cov": ({"reference": "NYU"}, "reference site"),
        "nc_py_offset1e6": ({}, "10⁶ added to every value"),
    },
    "sva": {
        "sva_param_cov": ({}, "parametric, age + sex + diagnosis"),
        "sva_meanonly_cov": ({"mean_only": True}, "mean only"),
        "sva_ref_cov": ({"reference": "NYU"}, "reference site"),
        "sva_tinysite_const": ({}, "a feature constant everywhere, a site of two scans"),
    },
    "combatfamily": {
        "comfam_lm_cov": ({}, "`lm`, covariates"),
        "comfam_lm_interaction": ({}, "`lm`, interaction and square"),
        "comfam_lm_ref": ({"reference": "NYU"}, "`lm`, reference site"),
        "comfam_predict_known": ({}, "`predict`, new scans of known sites"),
        "comfam_predict_newbatch": ({}, '`predict`, a new site: `adapt(prior="own")`'),
    },
    "neuroharmonize": {
        "nh_linear_apply": ({}, "linear, training, then new scans"),
        "nh_linear_ref": ({"reference": "HH"}, "linear, reference site"),
        "nh_newsite": ({}, '`orig_model`, three new sites: `adapt(prior="own")`'),
    },
    "distributed-combat": {
        "dcombat_R_cov": ({}, "covariates, each site in one location"),
    },
}


class Case:
    """One reference case: inputs, outputs and what they promise."""

    def __init__(self, name: str) -> None:
        self.folder = GOLDEN / name
        self.manifest = json.loads((self.folder / "manifest.json").read_text())
        self.measures = self.table("X.csv.gz")
        self.people = pd.read_csv(
            self.folder / "covars.csv", index_col="row_id", dtype={"participant_id": str}
        )
        self.sites = self.people[self.manifest["batch"]["column"]]
        self.preserve = self._formula()
        is_training = self.people.get("train", pd.Series(1, self.people.index)) == 1
        self.training, self.rest = self.people.index[is_training], self.people.index[~is_training]

    def table(self, file: str) -> pd.DataFrame:
        """Read one table of the case."""
        return pd.read_csv(self.folder / file, index_col=0)

    def _formula(self) -> str | None:
        given = self.manifest["extra"].get("formula")
        if given:
            return str(given).split("~")[1].replace("I(age^2)", "I(age**2)")
        return " + ".join(item["name"] for item in self.manifest["covariates"]) or None

    def harmonized(self, **options: object) -> pd.DataFrame:
        """Harmonize as the case asks: in one go, or train, adapt if needed, and apply."""
        model, fitted = self.fit(**options)
        if not len(self.rest):
            return fitted
        new, sites = self.measures.loc[self.rest], self.sites[self.rest]
        if set(sites) - set(model.sites_):
            model = model.adapt(new, sites=sites, covariates=self.people)
        return model.transform(new, sites=sites, covariates=self.people)

    def fit(self, **options: object) -> tuple[iso.ComBat, pd.DataFrame]:
        """Fit to the training scans."""
        model = iso.ComBat(self.preserve, **options)
        rows = self.training
        table = model.fit_transform(
            self.measures.loc[rows], sites=self.sites[rows], covariates=self.people
        )
        return model, table

    def distance(self, mine: pd.DataFrame, file: str = "harmonized.csv.gz") -> float:
        """Largest difference in standard deviations of the raw feature."""
        reference = self.table(file)
        mine = mine.loc[reference.index, reference.columns]
        if not (mine.isna() == reference.isna()).all(axis=None):
            return float("inf")
        spread = self.measures.std().replace(0, 1)
        return float(((mine - reference).abs() / spread).max(axis=None))


def differs() -> dict[str, list[tuple[str, str, Callable[[Case], str]]]]:
    """What does not agree: reference -> (case, what, how it is measured)."""
    plain = _plain_distance
    return {
        "neurocombat-r": [
            ("nc_R_fromtraining_mod", "FromTraining after covariates", plain),
            ("nc_R_constfeature_error", "feature constant everywhere: R stops", _constant_passes),
            ("nc_R_singleton_error", "site of one scan: both refuse", _is_refused),
        ],
        "neurocombat-python": [
            ("nc_py_fromtraining", "FromTraining after covariates", plain),
            ("nc_py_offset1e6_dataframe", "measures given as a DataFrame", plain),
        ],
        "sva": [
            ("sva_const_within_site", "feature constant at one site", _by_feature),
        ],
        "combatfamily": [
            ("comfam_predict_quirks", "`predict(eb=FALSE)`, reference site", _quirks),
        ],
    }


def _plain_distance(case: Case) -> str:
    return f"{case.distance(case.harmonized()):.1e}"


def _constant_passes(case: Case) -> str:
    mine = case.harmonized()
    same = [name for name in mine if mine[name].equals(case.measures[name])]
    return f"passed through unchanged: {', '.join(same)}"


def _is_refused(case: Case) -> str:
    try:
        case.harmonized()
    except IsoscanError as error:
        return f"{type(error).__name__}: {str(error).split(';')[0]}"
    return "not refused"


def _by_feature(case: Case) -> str:
    """Compare the odd feature, then the others after a fit without it."""
    odd = case.manifest["independent_numpy_check"]["note"].split(": ")[1].split(", ")
    mine, reference = case.harmonized(), case.table("harmonized.csv.gz")
    apart = ((mine - reference)[odd].abs() / case.measures[odd].std()).max(axis=None)
    rest = case.measures.drop(columns=odd)
    others = iso.ComBat(case.preserve).fit_transform(rest, sites=case.sites, covariates=case.people)
    without = case.distance(others.join(case.measures[odd]))
    return f"{', '.join(odd)}: {apart:.1e}; the others, fitted without it: {without:.1e}"


def _quirks(case: Case) -> str:
    """Tell new scans of the reference site from those of other sites, with and without prior."""
    theirs, label = case.table("harmonized.csv.gz"), "HH"
    is_reference = case.sites[theirs.index] == label
    parts = []
    for prior in ("parametric", None):
        mine = case.harmonized(reference=label, prior=prior)
        away = (mine - theirs[mine.columns]).abs() / case.measures.std()
        parts.append(
            f"prior={prior!r}: {away[is_reference].max(axis=None):.1e} at the reference site, "
            f"{away[~is_reference].max(axis=None):.1e} elsewhere"
        )
    return "; ".join(parts)


def print_agreement(reference: str) -> bool:
    """Print the table of agreements; true if all are within tolerance."""
    print("| case | what | largest difference | tolerance | at the fixed point |")
    print("|---|---|---|---|---|")
    fine = True
    for name, (options, what) in AGREES[reference].items():
        if not (GOLDEN / name).is_dir():
            continue
        case = Case(name)
        apart = case.distance(case.harmonized(**options))
        within = case.manifest["tolerance"]["harmonized"]
        full = "" if {"prior", "mean_only"} & set(options) else _at_fixed_point(case, options)
        fine &= apart <= within
        print(f"| {name} | {what} | {apart:.1e} | {within:.0e} | {full} |")
    return fine


def _at_fixed_point(case: Case, options: dict[str, object]) -> str:
    return f"{case.distance(case.harmonized(convergence='full', **options)):.1e}"


def print_differences(reference: str) -> None:
    """Print the table of what does not agree."""
    present = [item for item in differs().get(reference, []) if (GOLDEN / item[0]).is_dir()]
    if not present:
        return
    print("\n| case | what | measured |\n|---|---|---|")
    for name, what, measure in present:
        print(f"| {name} | {what} | {measure(Case(name))} |")


def main(references: list[str]) -> int:
    """Print both tables of each reference."""
    if not GOLDEN.is_dir():
        print("No reference outputs here. Set ISOSCAN_SHARED.")
        return 0
    warnings.simplefilter("ignore", IsoscanWarning)
    fine = True
    for reference in references or list(AGREES):
        print(f"\n## {reference}\n")
        fine &= print_agreement(reference)
        print_differences(reference)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
