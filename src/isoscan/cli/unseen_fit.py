"""Learn from many scanners, check on scanners left out, and write what came of it."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isoscan.cli.unseen_reading import Scans, read_training

if TYPE_CHECKING:
    from isoscan.evaluation.left_out import LeftOut

FILES = ("model.isoscan", "scanners.tsv", "scanners.json", "report.html", "facts.json")
CHECKED = ("left_out.tsv", "left_out.json", "left_out_scanners.tsv", "left_out_scanners.json")


def fit(
    method: str,
    *,
    measures: tuple[Path, ...],
    output: Path,
    overwrite: bool,
    check: bool,
    draws: int,
    title: str,
    individuals: bool,
    jobs: int | None,
    **rest: Any,
) -> None:
    """Do what `isoscan unseen fit` says."""
    from isoscan.cli.unseen_words import fit_lines
    from isoscan.harmonizing import require_free, warnings_noted
    from isoscan.report.unseen_facts import collect_unseen_facts

    require_free(output, (*FILES, *(CHECKED if check else ())), overwrite=overwrite)
    names = ("preserve", "remove", "smooth", "total", "total_strategy", "use_volumes", "metrics",
             "on_shift", "keep", "interval")  # fmt: skip
    own = {name: rest.pop(name) for name in names}
    own["metrics"] = own["metrics"] or None
    model = make_unseen(own)
    with warnings_noted() as notes:
        scans = read_training(measures, needed=_needed(method, own), total=own["total"], **rest)
        fitted, left_out = learn(
            method, model, scans, check=check, draws=draws, jobs=jobs, preserve=own["preserve"]
        )
    untold = [note for note in notes if not note["sentence"].startswith("no transfer")]
    facts = collect_unseen_facts(
        fitted,
        left_out=left_out,
        title=title,
        notes=untold,
        individuals=individuals,
        scans=scans.volumes.index,
    )
    write_fit(output, fitted, facts, left_out, overwrite=overwrite)
    click.echo("\n".join(fit_lines(facts)))
    click.echo(f"\nWritten to {output}: {', '.join(_written(left_out))}")


def make_unseen(own: dict[str, Any]) -> Any:
    """Make an unfitted `UnseenScanner`."""
    from isoscan.unseen import UnseenScanner

    return UnseenScanner(**own)


def learn(
    method: str,
    model: Any,
    scans: Scans,
    *,
    check: bool,
    draws: int,
    jobs: int | None = None,
    preserve: str | None = None,
    few: tuple[int, ...] = (1, 3, 5, 10),
) -> tuple[Any, LeftOut | None]:
    """Fit, and leave one scanner out after the other."""
    from isoscan.evaluation.left_out import leave_one_scanner_out

    others, fitted = {}, model
    volumes = scans.volumes
    if method == "neuroharmony":
        fitted = make_neuroharmony(preserve, model.metrics, jobs)
        others["Neuroharmony"] = fitted
        volumes = _relative(scans, model.total)
    known: dict[str, Any] = {
        "quality": scans.quality,
        "sites": scans.labels,
        "covariates": scans.people,
    }
    fitted = fitted.fit(volumes, **known)
    if not check:
        return fitted, None
    with progress_bar("scanners left out") as progress, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the fit to all scanners has said it
        left_out = leave_one_scanner_out(
            model, scans.volumes, others=others, few=few, draws=draws, progress=progress, **known
        )
    return fitted, left_out


def make_neuroharmony(preserve: str | None, metrics: Any, jobs: int | None) -> Any:
    """Make the published method; steps of its own if something is to be preserved."""
    from isoscan.combat import ComBat
    from isoscan.unseen import Neuroharmony

    own: dict[str, Any] = {"metrics": metrics, "n_jobs": jobs}
    if preserve is not None:
        own["steps"] = [("site", ComBat(preserve))]
    return Neuroharmony(**own)


def _relative(scans: Scans, total: str | None) -> Any:
    from isoscan.unseen import relative_volumes

    return scans.volumes if total is None else relative_volumes(scans.volumes, total)


def _needed(method: str, own: dict[str, Any]) -> set[str]:
    """Columns of the covariates that formulas, curves and the method name."""
    from isoscan.harmonizing import named_in

    curves = {part for name in own["smooth"] for part in name.split(":")}
    published = {"age", "sex"} if method == "neuroharmony" else set()
    return {*named_in(own["preserve"], own["remove"]), *curves, *published}


def write_fit(
    folder: Path, model: Any, facts: dict[str, Any], left_out: Any, *, overwrite: bool
) -> None:
    """Write the model, its tables and the report."""
    from isoscan.cli.unseen_tables import left_out_tables, scanners_table
    from isoscan.report.unseen_page import write_unseen_report
    from isoscan.tables import write_json, write_table

    model.save(folder / FILES[0], overwrite=overwrite)
    tables = scanners_table(facts) | ({} if left_out is None else left_out_tables(left_out, facts))
    for name, (table, sidecar) in tables.items():
        write_table(table, folder / name, sidecar=sidecar, overwrite=overwrite)
    write_unseen_report(facts, folder / "report.html", overwrite=overwrite)
    write_json(folder / "facts.json", facts, overwrite=overwrite)


def _written(left_out: Any) -> list[str]:
    names = FILES if left_out is None else (*FILES[:2], CHECKED[0], CHECKED[2], *FILES[3:])
    return [name for name in names if name != "scanners.json"]


@contextmanager
def progress_bar(unit: str) -> Iterator[Any]:
    """Show how many scanners are done, on a terminal."""
    from tqdm import tqdm

    with tqdm(
        disable=not sys.stderr.isatty(),
        leave=False,
        bar_format="{desc} {bar} {n_fmt}/{total_fmt} {elapsed}<{remaining}",
    ) as bar:

        def progress(name: str, done: int, total: int) -> None:
            bar.total, bar.n = total, done
            bar.set_description(f"{unit}: {name}")
            bar.refresh()

        yield progress
