"""How far expected values and bending are from those of mgcv."""

from __future__ import annotations

import pandas as pd
from cases import SHARED

import isoscan as iso

FOLDER = SHARED / "golden" / "smooth"
TERMS = {"one": ["age"], "two": ["age", "icv"]}
LIMITS = {"one": (1e-6, 2e-3), "two": (2e-5, 2e-3)}


def distances(name: str) -> tuple[float, float]:
    """Largest difference of expected values (residual SD), and of degrees of freedom."""
    measures, people, fitted = (
        pd.read_csv(FOLDER / name / file, index_col=0)
        for file in ("X.csv.gz", "covariates.csv", "fitted.csv.gz")
    )
    model = iso.ComBat("C(sex)", smooth=TERMS[name]).fit(
        measures, sites=people.site, covariates=people
    )
    sites = pd.Index(model.sites_).get_indexer(people.site)
    numbers = model.model_
    level = numbers.intercept + numbers.effects.raw_shift[sites] * numbers.sd
    design = pd.DataFrame(model.preserve_design_.matrix(people), people.index)
    curves = pd.DataFrame(model.smooth_design_.matrix(people), people.index)
    mine = level + design.join(curves, rsuffix="s").to_numpy() @ numbers.slopes
    apart = abs(mine - fitted[measures.columns].to_numpy()) / numbers.sd
    edf = pd.read_csv(FOLDER / name / "terms.csv").pivot(
        index="term", columns="feature", values="edf"
    )
    bend = edf.loc[[f"s({term})" for term in TERMS[name]], measures.columns]
    return float(apart.max()), float(abs(numbers.curves.edf - bend.to_numpy()).max())


def print_agreement() -> bool:
    """Print the table; true if all is within tolerance."""
    print("| case | what | expected values (residual SD) | tolerance | degrees of freedom |")
    print("|---|---|---|---|---|")
    fine = True
    for name, terms in TERMS.items():
        if not (FOLDER / name).is_dir():
            continue
        values, bend = distances(name)
        fine &= values <= LIMITS[name][0] and bend <= LIMITS[name][1]
        what = " + ".join(f"s({term})" for term in terms)
        print(f"| {name} | {what} | {values:.1e} | {LIMITS[name][0]:.0e} | {bend:.1e} |")
    return fine
