"""Measure how far isoscan is from the reference implementations, case by case.

    ISOSCAN_SHARED=/path/to/references python validation/compare.py [reference ...]

Expects `golden/combat/<case>/` below that folder: inputs (`X.csv.gz`, `covars.csv`), outputs of
the reference, and `manifest.json` with its version, call and tolerance; and `golden/smooth/` with
fits of mgcv. Cases that are not there are skipped. Differences are the largest over all cells, in
standard deviations of the raw feature. Prints Markdown; exits with 1 if an agreement is outside
its tolerance.
"""

from __future__ import annotations

import sys
import warnings

import distributed
import lme4
import longcombat
import metafor
import mgcv
from agreements import AGREES
from cases import GOLDEN, Case, Run
from differences import DIFFERS

from isoscan.errors import IsoscanWarning


def print_agreement(reference: str) -> bool:
    """Print the table of agreements; true if all are within tolerance."""
    print("| case | what | largest difference | tolerance | at the fixed point |")
    print("|---|---|---|---|---|")
    fine = True
    for name, run in AGREES[reference].items():
        if not (GOLDEN / name).is_dir():
            continue
        case = Case(name)
        apart = case.distance(case.harmonized(run))
        within = case.manifest["tolerance"]["harmonized"]
        fine &= apart <= within
        full = at_fixed_point(case, run) if run.iterates else ""
        print(f"| {name} | {run.what} | {apart:.1e} | {within:.0e} | {full} |")
    return fine


def at_fixed_point(case: Case, run: Run) -> str:
    """Distance of the reference from where it was heading."""
    return f"{case.distance(case.harmonized(run, convergence='full')):.1e}"


def print_differences(reference: str) -> None:
    """Print the table of what does not agree."""
    present = [item for item in DIFFERS.get(reference, []) if (GOLDEN / item[0]).is_dir()]
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
    others = {
        "mgcv": mgcv.print_agreement,
        "longcombat": lambda: longcombat.main() == 0,
        "lme4": lambda: lme4.main() == 0,
        "metafor": lambda: metafor.main() == 0,
        "federated": lambda: distributed.main() == 0,
    }
    for reference in references or [*AGREES, *others]:
        print(f"\n## {reference}\n")
        if reference in others:
            fine &= others[reference]()
            continue
        fine &= print_agreement(reference)
        print_differences(reference)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
