"""How far LongitudinalComBat and the tests of repeated scans are from longCombat.

    ISOSCAN_SHARED=/path/to/references python validation/longcombat.py

Prints the tables of `longcombat/README.md`; exits with 1 if an agreement is outside its tolerance.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pandas as pd
from cases import GOLDEN, Case, Run

import isoscan as iso
from isoscan.errors import IsoscanWarning
from isoscan.evaluation import site_tests_of_visits

FORMULA = "age0 + sex + dx*time"


def longitudinal(what: str, **options: object) -> Run:
    """LongitudinalComBat with options."""
    return Run(
        what, iso.LongitudinalComBat, {"subject": "participant_id", **options}, preserve=FORMULA
    )


HARMONIZED = {
    "long_REML_ri": longitudinal('longCombat, `(1\\|id)`: `variance="reml"`', variance="reml"),
    "long_REML_rs": longitudinal(
        'longCombat, `(1 + time\\|id)`: the same, `slope="time"`', variance="reml", slope="time"
    ),
    "long_MSR_ri": longitudinal('longCombat, `method="MSR"`: `variance="msr"`', variance="msr"),
    "comfam_lmer": longitudinal('ComBatFamily, `lmer`: `variance="msr"`', variance="msr"),
}


def print_harmonized() -> bool:
    """Print how far harmonized values are; true if all are within tolerance."""
    print("| case | what | largest difference (SD) | tolerance | at the fixed point |")
    print("|---|---|---|---|---|")
    fine = True
    for name, run in HARMONIZED.items():
        case = Case(name)
        apart = case.distance(case.harmonized(run))
        full = case.distance(case.harmonized(run, convergence="full"))
        allowed = case.manifest["tolerance"]["harmonized"]
        fine &= apart <= allowed
        print(f"| {name} | {run.what} | {apart:.1e} | {allowed:.0e} | {full:.1e} |")
    return fine


def print_tests() -> bool:
    """Print how far tests of site are; true if all are within tolerance."""
    case = Case("long_tests")
    allowed = case.manifest["tolerance"]
    tables = {
        "before": case.measures,
        "after": case.harmonized(HARMONIZED["long_REML_ri"]),
    }
    print("\n| scans | F (relative) | degrees of freedom (relative) | p | χ² | p of χ² |")
    print("|---|---|---|---|---|---|")
    fine = True
    for when, table in tables.items():
        found = site_tests_of_visits(
            table,
            sites=case.sites,
            covariates=case.people,
            subject="participant_id",
            preserve=FORMULA,
        )
        means, spreads = (
            case.table(f"{test}_{when}.csv").loc[found.index] for test in ("addTest", "multTest")
        )
        apart = [
            (found.f / means.F - 1).abs(),
            (found.denominator / means.ddf - 1).abs(),
            (found.p - means.p).abs(),
            (found.fligner_chi2 - spreads.chisq).abs(),
            (found.fligner_p - spreads.p).abs(),
        ]
        largest = [float(part.max()) for part in apart]
        fine &= max(largest[:3]) <= allowed["addTest"] and max(largest[3:]) <= allowed["multTest"]
        print(f"| {when} | " + " | ".join(f"{value:.1e}" for value in largest) + " |")
    return fine


def print_sizes() -> None:
    """Print how much change within people grows, by what longCombat standardizes with."""
    print('\n| visits per person | `variance="reml"` | `variance="msr"` | √(n / (n − 1)) |')
    print("|---|---|---|---|")
    for n_visits in (2, 3, 5):
        people, measures, truth = simulated(n_visits)
        sizes = []
        for variance in ("reml", "msr"):
            model = iso.LongitudinalComBat("time", variance=variance)
            after = model.fit_transform(measures, sites=people.site, covariates=people)
            sizes.append(spread_within(after, people) / spread_within(truth, people))
        reml, msr = sizes
        expected = np.sqrt(n_visits / (n_visits - 1))
        print(f"| {n_visits} | {reml:.2f} | {msr:.2f} | {expected:.2f} |")


def simulated(n_visits: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """200 people at three scanners that shift 20 measures and change nothing else."""
    random = np.random.default_rng(n_visits)
    person = np.repeat(np.arange(200), n_visits)
    site = random.integers(0, 3, len(person))
    people = pd.DataFrame(
        {
            "subject": person.astype(str),
            "time": np.tile(np.arange(float(n_visits)), 200),
            "site": np.array(["A", "B", "C"])[site],
        }
    )
    truth = random.normal(0, 1.5, (200, 20))[person] + random.normal(0, 0.5, (len(person), 20))
    measures = truth + random.normal(0, 1, (3, 20))[site]
    return people, pd.DataFrame(measures), pd.DataFrame(truth)


def spread_within(table: pd.DataFrame, people: pd.DataFrame) -> float:
    """SD of the scans of a person about their mean, for the median feature."""
    within = table - table.groupby(people.subject).transform("mean")
    return float(np.sqrt((within**2).mean()).median())


def main() -> int:
    """Print all tables."""
    if not (GOLDEN / "long_tests").is_dir():
        print("No reference outputs here. Set ISOSCAN_SHARED.")
        return 0
    warnings.simplefilter("ignore", IsoscanWarning)
    fine = print_harmonized() & print_tests()
    print_sizes()
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
