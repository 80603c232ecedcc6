"""Every quantity and figure of the paper, on ABIDE: three scanners are kept for validation.

    python paper.py folder [n_jobs]

Ages and sexes are removed as in the paper; the only person of an age is corrected in shift only.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from abide import Cohort, read_cohort

import isoscan as iso
from isoscan.evaluation.corrections import correction_ratio, covariate_contributions
from isoscan.evaluation.ks_grid import count_distinct, ks_against, ks_grid
from isoscan.report import neuroharmony as figures
from isoscan.unseen import Neuroharmony, remove_in_steps, sum_tissues

VALIDATION = ("CMU", "OLIN", "UCLA_2")
STEPS = ("sex", "round(age)", "site")
mpl.use("Agg")


def main(folder: Path, n_jobs: int) -> None:
    warnings.simplefilter("ignore", iso.errors.IsoscanWarning)
    folder.mkdir(parents=True, exist_ok=True)
    cohort = read_cohort()
    facts = harmonization(cohort, folder) | validation(cohort, folder, n_jobs)
    (folder / "numbers.json").write_text(json.dumps(facts, indent=1))
    print(json.dumps(facts, indent=1))


def harmonization(cohort: Cohort, folder: Path) -> dict[str, Any]:
    """ComBat on everybody: figures 1, 2, 3, 5, 6, 7."""
    volumes, people = cohort.volumes, cohort.people
    steps = remove_in_steps(
        volumes, STEPS, sites=people.site, covariates=people, small_groups="mean-only"
    )
    only_site = remove_in_steps(volumes, ["site"], sites=people.site).total
    start = time.perf_counter()
    before, after = (ks_grid(table, people.site) for table in (volumes, volumes + steps.total))
    seconds = time.perf_counter() - start
    ratios = correction_ratio(volumes, steps.total)
    shares = covariate_contributions(steps.corrections, people.site)
    scaled = covariate_contributions(steps.corrections, people.site, spread=volumes.std())
    save(figures.plot_scanners(volumes, people.site, "rh_middletemporal_volume"), folder, 1)
    save(figures.plot_ages(people, people.site), folder, 2)
    save(figures.plot_sexes(people, people.site), folder, 3)
    save(figures.plot_smallest_p(before, after), folder, 5)
    save(figures.plot_correction_ratios(ratios), folder, 6)
    save(figures.plot_contributions(shares), folder, 7)
    outliers = cohort.selection.log.query("step == 'outliers'")
    with_age = {
        name: float(table.corrwith(people.age).abs().mean())
        for name, table in {
            "raw": volumes,
            "scanner": volumes + only_site,
            "stepwise": volumes + steps.total,
        }.items()
    }
    return {
        "scans": len(volumes),
        "outliers": len(outliers),
        "rounds": int(outliers["round"].max()),
        "distinct_before": count_distinct(before),
        "distinct_after": count_distinct(after),
        "distinct_after_scanner_only": count_distinct(ks_grid(volumes + only_site, people.site)),
        "seconds_of_two_grids": seconds,
        "contributions": shares.mean().to_dict(),
        "contributions_scaled": scaled.mean().to_dict(),
        "ratio": [float(ratios.ratio.min()), float(ratios.ratio.max())],
        "ratio_signed": signed_range(volumes, steps.total),
        "mean_abs_correlation_with_age": with_age,
    }


def signed_range(volumes: pd.DataFrame, corrections: pd.DataFrame) -> list[float]:
    ratio = correction_ratio(volumes, corrections, signed=True).ratio
    return [float(ratio.min()), float(ratio.max())]


def validation(cohort: Cohort, folder: Path, n_jobs: int) -> dict[str, Any]:
    """The recipe on scanners it has not seen: figures 4, 8, 9, 10."""
    volumes, people, quality = cohort.volumes, cohort.people, cohort.quality
    new = people.site.isin(VALIDATION).to_numpy()
    start = time.perf_counter()
    model = Neuroharmony(STEPS, components=20, small_groups="mean-only", n_jobs=n_jobs)
    model.fit(volumes[~new], quality=quality, sites=people.site[~new], covariates=people)
    seconds = time.perf_counter() - start
    corrected = model.transform(volumes[new], quality=quality, covariates=people)
    training = volumes[~new] + model.corrections_
    raw_p, new_p = (ks_against(table, training) for table in (volumes[new], corrected))
    tissues = ks_against(sum_tissues(corrected), sum_tissues(training))
    worst = new_p.sort_values().index[:8]
    sites = people.site
    save(figures.plot_data_flow(cohort.selection, sites[~new], sites[new]), folder, 4)
    save(figures.plot_validation_p(raw_p, new_p), folder, 8)
    figure = figures.plot_distributions(training, corrected, volumes[new], list(worst))
    figure.savefig(folder / "figure09.png", dpi=90)
    inputs = model.encoder_.encode(quality.set_index("participant_id").loc[volumes.index], people)
    save(figures.plot_correlations(inputs), folder, 10)
    model.save(folder / "model.isoscan", overwrite=True)
    return {
        "fit_seconds": seconds,
        "file_megabytes": (folder / "model.isoscan").stat().st_size / 1e6,
        "features_passed_before": int((raw_p > 0.001).sum()),
        "features_passed_after": int((new_p > 0.001).sum()),
        "p_of_tissues": tissues.to_dict(),
    }


def save(axes: Any, folder: Path, number: int) -> None:
    axes.figure.savefig(folder / f"figure{number:02d}.png", dpi=90)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)
