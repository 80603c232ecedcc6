"""How far a federated fit is from Distributed-ComBat for R.

    ISOSCAN_SHARED=/path/to/references python validation/distributed.py

Prints the first table of `distributed-combat/README.md`; exits with 1 if an agreement is outside
its tolerance. Differences are in standard deviations of the raw feature.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pandas as pd
from cases import GOLDEN, Case, Run

import isoscan as iso
from isoscan.errors import IsoscanWarning
from isoscan.federated import Study, Thresholds, agreed_covariates, simulate

NAME = "dcombat_R_cov"


def federated(case: Case, places: pd.Series, mode: str) -> tuple[float, float]:
    """Distance from the reference, and from the pooled fit."""
    names = [item["name"] for item in case.manifest["covariates"]]
    study = Study(
        NAME,
        dict.fromkeys(case.measures.columns, "as given"),
        agreed_covariates(case.people, names),
        preserve=case.formula,
        thresholds=Thresholds.none(),
    )
    done = simulate(
        case.measures,
        study,
        sites=case.sites,
        covariates=case.people,
        locations=places,
        mode=mode,
    )
    if done.model is None:
        return np.nan, done.largest
    after = done.model.transform(case.measures, sites=case.sites, covariates=case.people)
    return case.distance(after), done.largest


def main() -> int:
    """Print the table."""
    if not (GOLDEN / NAME).is_dir():
        print("No reference outputs here. Set ISOSCAN_SHARED.")
        return 0
    warnings.simplefilter("ignore", IsoscanWarning)
    case = Case(NAME)
    half = pd.Series(np.where(np.arange(len(case.sites)) % 2, "a", "b"), case.sites.index)
    print("| fit | from the reference | from isoscan's pooled fit | tolerance |")
    print("|---|---|---|---|")
    pooled = case.distance(case.harmonized(Run("", iso.ComBat)))
    print(f"| pooled | {pooled:.1e} | | 1e-09 |")
    fine = pooled <= 1e-9
    for what, places, mode in (
        ("federated, each site in one location", case.sites, "full"),
        ("federated, every site split over two locations", half, "full"),
        ("federated, sums mode", case.sites, "sums"),
    ):
        reference, own = federated(case, places, mode)
        fine &= own <= 1e-10 and not reference > 1e-9
        shown = "" if np.isnan(reference) else f"{reference:.1e}"
        print(f"| {what} | {shown} | {own:.1e} | 1e-09, 1e-10 |")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
