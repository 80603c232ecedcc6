"""`isoscan demo unseen`: where image quality tells nothing, and where it tells the scanner."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isoscan.cli.progress import steps

if TYPE_CHECKING:
    import pandas as pd

    from isoscan.cli.unseen_reading import Scans

INPUT = (
    "measures.tsv", "quality.tsv", "participants.tsv", "new_measures.tsv", "new_quality.tsv",
    "new_participants.tsv", "three_measures.tsv",
)  # fmt: skip
SCANNERS, SCANS, MEASURES = 14, 20, 30
NEW = f"SCANNER{SCANNERS}"
FORMULA = "age + C(sex)"
FEW = (1, 3, 10)
TREES = 20
OF_BRAIN = ("icvs_", "rpve_", "tpm_overlap_", "size_", "spacing_")
"""Metrics that measure the brain, or the grid of the image."""


def run(output: Path, *, overwrite: bool) -> None:
    """Do both, and print what came of them."""
    from isoscan.cli.unseen_apply import CORRECTED
    from isoscan.cli.unseen_fit import CHECKED, FILES
    from isoscan.harmonizing import require_free

    require_free(output / "input", INPUT, overwrite=overwrite)
    for folder in ("no-transfer", "model"):
        require_free(output / folder, (*FILES, *CHECKED), overwrite=overwrite)
    require_free(output / "new", CORRECTED, overwrite=overwrite)
    with steps(["real metrics", "simulated scanners"]) as step:
        step()
        told = without_transfer(output / "no-transfer", overwrite=overwrite)
        step()
        told += with_transfer(output, overwrite=overwrite)
    click.echo("\n".join(told))


def without_transfer(folder: Path, *, overwrite: bool) -> list[str]:
    """Real metrics of image quality, and tissue fractions that they tell nothing of."""
    from isoscan.cli.demo import read_image_quality
    from isoscan.cli.unseen_fit import learn, make_unseen, write_fit
    from isoscan.cli.unseen_reading import Scans
    from isoscan.cli.unseen_words import fit_lines
    from isoscan.quality.definitions import METRICS
    from isoscan.report.unseen_facts import collect_unseen_facts

    table = read_image_quality()
    fractions = [name for name in table.columns if str(name).startswith("icvs_")]
    metrics = [name for name in METRICS if not name.startswith(OF_BRAIN) and name[-2:] != "_n"]
    scans = Scans(table[fractions], table[metrics], None, table["site"])
    model = make_unseen({"use_volumes": False})
    with _quiet():
        model, left_out = learn("unseen", model, scans, check=True, draws=1, few=(3,))
    facts = collect_unseen_facts(model, left_out=left_out, title="Tissue fractions of ABIDE")
    write_fit(folder, model, facts, left_out, overwrite=overwrite)
    random, grouped = remembered(scans, model.metrics_)
    return [
        f"1. {len(table)} real scans of {table['site'].nunique()} scanners: do metrics of image "
        f"quality tell how tissue fractions are off?",
        "   A random forest predicts the corrections of ComBat with an R² of "
        f"{random:.2f} in random folds,",
        f"   and of {grouped:.2f} when whole scanners are left out: it only knew them again.\n",
        *fit_lines(facts),
    ]


def with_transfer(output: Path, *, overwrite: bool) -> list[str]:
    """Simulated scanners whose images tell how measures are off; one of them is new."""
    from isoscan.cli.unseen_apply import correct
    from isoscan.cli.unseen_fit import learn, make_unseen, write_fit
    from isoscan.cli.unseen_reading import Scans
    from isoscan.cli.unseen_words import fit_lines
    from isoscan.phantom import simulate_scanners
    from isoscan.report.unseen_facts import collect_unseen_facts
    from isoscan.report.unseen_page import write_unseen_report

    cohort = simulate_scanners(SCANNERS, SCANS, MEASURES, random_state=4)
    new = cohort.people["site"] == NEW
    usual = (cohort.measures - cohort.clean)[~new].mean()  # what the known scanners share
    write_input(output / "input", cohort, new, overwrite=overwrite)
    people = cohort.people
    known, unknown = (
        Scans(cohort.measures[rows], cohort.quality[rows], people[rows], people["site"][rows])
        for rows in (~new, new)
    )
    with _quiet():
        model, left_out = learn(
            "unseen", make_unseen({"preserve": FORMULA}), known, check=True, draws=2, few=FEW
        )
        facts = collect_unseen_facts(model, left_out=left_out, title="Simulated scanners")
        write_fit(output / "model", model, facts, left_out, overwrite=overwrite)
        predicted = correct(model, unknown, output / "new", overwrite=overwrite)
    about = collect_unseen_facts(model, predicted=predicted, title="Scans of a new scanner")
    write_unseen_report(about, output / "new" / "report.html", overwrite=overwrite)
    return [
        "\n2. Simulated scanners whose images tell how measures are off\n",
        *fit_lines(facts),
        f"\n   {NEW} was kept apart. Mean distance of its scans from the truth (residual SD):",
        *distances(model, unknown, cohort.clean[new] + usual),
        f"\nOpen {output / 'no-transfer' / 'report.html'}, {output / 'model' / 'report.html'} and "
        f"{output / 'new' / 'report.html'}",
        f"Tables of the simulated scanners to try: {output / 'input'}",
    ]


def remembered(scans: Scans, metrics: Sequence[str]) -> tuple[float, float]:
    """R² of a forest that learns ComBat's corrections: in random folds, and scanners left out."""
    import numpy as np
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.metrics import r2_score
    from sklearn.model_selection import KFold, LeaveOneGroupOut, cross_val_predict

    from isoscan.combat import ComBat
    from isoscan.unseen.metrics import metric_values

    after = ComBat().fit_transform(scans.volumes, sites=scans.labels)
    corrections = (after - scans.volumes).to_numpy(np.float64)
    assert scans.quality is not None
    inputs = metric_values(scans.quality, list(metrics))
    forest = RandomForestRegressor(TREES, max_features=1 / 3, random_state=0)
    inputs = inputs.fillna(inputs.median())

    def r2(folds: Any, scanners: Any = None) -> float:
        found = cross_val_predict(forest, inputs, corrections, cv=folds, groups=scanners)
        return float(r2_score(corrections, found))

    return r2(KFold(5, shuffle=True, random_state=0)), r2(LeaveOneGroupOut(), scans.labels)


def distances(model: Any, scans: Scans, truth: pd.DataFrame) -> list[str]:
    """Shift of the new scanner from the truth: before, after, and calibrated with 3 scans."""
    seen, rest = scans.volumes.iloc[:3], scans.volumes.iloc[3:]
    calibrated = model.calibrate(seen, covariates=scans.people)
    known = {"covariates": scans.people}
    tables = {
        "as they were": rest,
        "corrected without a scan of the scanner": model.transform(
            rest, quality=scans.quality, **known
        ),
        "calibrated with 3 other scans of it": calibrated.transform(rest, **known),
    }
    sd = model.reference_.model_.sd
    return [
        f"   {name}: {((table - truth.loc[rest.index]).mean() / sd).abs().mean():.2f}"
        for name, table in tables.items()
    ]


def write_input(folder: Path, cohort: Any, new: Any, *, overwrite: bool) -> None:
    """Write the tables of the known scanners, of the new one, and of three of its scans."""
    from isoscan.tables import write_table

    parts = [getattr(cohort, name)[rows] for rows in (~new, new)
             for name in ("measures", "quality", "people")]  # fmt: skip
    for name, table in zip(INPUT, [*parts, cohort.measures[new].iloc[:3]], strict=True):
        write_table(table, folder / name, overwrite=overwrite)


@contextmanager
def _quiet() -> Iterator[None]:
    """The report says what would be warned of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
