"""Correct scans of any scanner by a saved model, or teach it a new scanner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from isoscan.cli.unseen_reading import Scans, read_new
from isoscan.errors import ModelFileError

CORRECTED = ("harmonized.tsv", "harmonized.json", "predictions.tsv", "predictions.json",
             "report.html")  # fmt: skip
CALIBRATED = ("model.isoscan", "learned.tsv", "learned.json")


def apply(
    path: Path,
    measures: Sequence[Path],
    output: Path,
    *,
    overwrite: bool,
    individuals: bool,
    **rest: Any,
) -> None:
    """Do what `isoscan unseen apply` says."""
    from isoscan.cli.unseen_words import applied_lines
    from isoscan.harmonizing import require_free, warnings_noted
    from isoscan.report.unseen_facts import collect_unseen_facts
    from isoscan.report.unseen_page import write_unseen_report

    require_free(output, CORRECTED, overwrite=overwrite)
    model = load_model(path)
    with warnings_noted() as notes:
        scans = read_for(model, measures, **rest)
        predicted = correct(model, scans, output, overwrite=overwrite)
    facts = collect_unseen_facts(
        model, predicted=predicted, title="Scans of unknown scanners",
        notes=_not_said(notes), individuals=individuals,
    )  # fmt: skip
    write_unseen_report(facts, output / "report.html", overwrite=overwrite)
    click.echo("\n".join(applied_lines(facts)))
    shown = [name for name in CORRECTED if not name.endswith("json")]
    click.echo(f"\nWritten to {output}: {', '.join(shown)}")


def correct(model: Any, scans: Scans, output: Path, *, overwrite: bool) -> Any:
    """Write corrected measures and predictions; give the latter back."""
    import warnings

    from isoscan.cli.unseen_tables import describe_corrected, predictions_table
    from isoscan.tables import write_table

    predicted = model.predict(scans.volumes, quality=scans.quality, covariates=scans.people)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # predict has said it
        after = model.transform(scans.volumes, quality=scans.quality, covariates=scans.people)
    read = scans.volumes if scans.table is None else scans.table
    table = read.drop(columns=getattr(model, "total", None) or [])
    table[list(after.columns)] = after
    sidecar = describe_corrected(table.columns, after.columns, model, scans.sidecar)
    write_table(table, output / CORRECTED[0], sidecar=sidecar, overwrite=overwrite)
    for name, (told, meaning) in predictions_table(predicted, model).items():
        write_table(told, output / name, sidecar=meaning, overwrite=overwrite)
    return predicted


def calibrate(
    path: Path, measures: Sequence[Path], output: Path, *, overwrite: bool, **rest: Any
) -> None:
    """Do what `isoscan unseen calibrate` says."""
    from isoscan.cli.unseen_tables import learned_table
    from isoscan.cli.unseen_words import learned_lines
    from isoscan.harmonizing import require_free
    from isoscan.tables import write_table

    require_free(output, CALIBRATED, overwrite=overwrite)
    model = load_model(path)
    if not hasattr(model, "calibrate"):
        raise ModelFileError(
            f"{path.name} holds a model of {type(model).__name__}, which cannot be calibrated. "
            f"Fit one with --method unseen."
        )
    scans = read_for(model, measures, one_scanner=True, **rest)
    taught = model.calibrate(scans.volumes, quality=scans.quality, covariates=scans.people)
    taught.save(output / CALIBRATED[0], overwrite=overwrite)
    for name, (table, sidecar) in learned_table(taught).items():
        write_table(table, output / name, sidecar=sidecar, overwrite=overwrite)
    click.echo("\n".join(learned_lines(taught, model)))
    click.echo(f"\nWritten to {output}: {', '.join(CALIBRATED[:2])}")


def load_model(path: Path) -> Any:
    """Load a model for unknown scanners; refuse others."""
    import isoscan as iso

    model = iso.load(path)
    if type(model).__name__ not in ("UnseenScanner", "Neuroharmony"):
        raise ModelFileError(
            f"{path.name} holds a model of {type(model).__name__}, which needs to know the site of "
            f"every scan: use 'isoscan apply'."
        )
    return model


def read_for(
    model: Any, measures: Sequence[Path], *, total: str | None = None, **rest: Any
) -> Scans:
    """Read the measures and covariates that a model knows."""
    from isoscan.harmonizing import named_in

    if not hasattr(model, "columns_"):
        return _read_relative(model, measures, total, **rest)
    if total not in (None, model.total):
        raise click.UsageError(f"--total {total}: the model was trained with {model.total!r}.")
    features = [name for name in model.columns_ if name != model.total]
    curves = {part for name in model.smooth for part in name.split(":")}
    needed = {*named_in(model.preserve, model.remove), *curves}
    return read_new(measures, features=features, needed=needed, total=model.total, **rest)


def _read_relative(model: Any, measures: Sequence[Path], total: str | None, **rest: Any) -> Scans:
    """Read what Neuroharmony knows, and divide it by the total if there is one."""
    from isoscan.unseen import relative_volumes

    features = list(model.feature_names_in_)
    needed = set(model.predictors)
    scans = read_new(measures, features=features, needed=needed, total=total, **rest)
    if total is None or scans.table is None:
        return scans
    units = {name: {**scans.sidecar.get(name, {}), "Units": f"share of {total}"}
             for name in features}  # fmt: skip
    return replace(
        scans,
        volumes=relative_volumes(scans.volumes, total),
        table=scans.table.drop(columns=total),
        sidecar=scans.sidecar | units,
    )


def _not_said(notes: list[dict[str, str]]) -> list[dict[str, str]]:
    """Warnings that matter for the scans, and that the report does not say in its own words."""
    return [
        note
        for note in notes
        if note["code"] != "AlignmentWarning" and "unlike those of training" not in note["sentence"]
    ]
