"""`isoscan apply`: a saved model on new scans."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from isoscan.cli import options

FILES = ("harmonized.tsv", "harmonized.json", "flags.tsv")


@click.command("apply", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model", type=options.EXISTING)
@click.argument("measures", nargs=-1, required=True, type=options.EXISTING)
@options.output()
@options.cohort
@click.option(
    "--new-site",
    type=click.Choice(["error", "estimate", "skip"]),
    default="error",
    show_default=True,
    help="Sites the model has not seen: refuse, estimate from their scans, or leave as they are.",
)
def command(
    model: Path,
    measures: tuple[Path, ...],
    output: Path,
    overwrite: bool,
    new_site: Any,
    **rest: Any,
) -> None:
    """Apply MODEL (a model.isoscan file) to the scans in MEASURES.

    Writes harmonized.tsv with its sidecar, and flags.tsv: which scans lie outside what the
    model has seen.
    """
    from isoscan.cli.cohort import read_cohort
    from isoscan.cli.earlier import warn_if_harmonized
    from isoscan.errors import count
    from isoscan.harmonizing import covariates_of, require_free
    from isoscan.report import describe_columns
    from isoscan.tables import write_table

    require_free(output, FILES, overwrite=overwrite)
    fitted = _load_sites(model)
    _answer_new_sites(fitted, new_site)
    if fitted.batches_ is not None and rest["sites"] == ("site",):
        rest["sites"] = tuple(fitted.batches_.levels)
    rest["features"] = tuple(rest["features"]) or tuple(fitted.get_feature_names_out())
    cohort = read_cohort(measures, needed=covariates_of(fitted), **rest)
    warn_if_harmonized(measures, cohort.features)
    people = cohort.people
    after = fitted.transform(cohort.measures, sites=cohort.sites, covariates=people)
    table = cohort.table[cohort.columns].copy()
    table[cohort.features] = after
    sidecar = describe_columns(table.columns, cohort.features, fitted, cohort.sidecar)
    write_table(table, output / FILES[0], sidecar=sidecar, overwrite=overwrite)
    flags = _flags(fitted, cohort)
    write_table(flags, output / FILES[2], overwrite=overwrite)
    flagged = int(flags["flagged"].sum())
    click.echo(
        f"{count(len(table), 'scan')} harmonized, {flagged} of them outside what the model has "
        f"seen.\nWritten to {output}: {', '.join(FILES)}"
    )


def _load_sites(path: Path) -> Any:
    """Load a model of known sites; refuse others."""
    import isoscan as iso
    from isoscan.errors import ModelFileError

    model = iso.load(path)
    if not hasattr(model, "batches_"):
        raise ModelFileError(
            f"{path.name} holds a model of {type(model).__name__}, which corrects scans of unknown "
            f"scanners: use 'isoscan unseen apply'."
        )
    return model


def _answer_new_sites(fitted: Any, answer: str) -> None:
    for part in _parts(fitted):
        several = part.batches_ is not None
        if answer == "estimate" and (several or not hasattr(part, "adapt")):
            of_what = " of several batch variables" * several
            raise click.UsageError(
                f"--new-site estimate: {type(part).__name__}{of_what} cannot estimate new sites. "
                f"Leave them as they are (--new-site skip), or fit again with their scans."
            )
        part.unknown_sites = answer


def _parts(fitted: Any) -> list[Any]:
    """Models of all steps, or the one there is."""
    return list(getattr(fitted, "models_", [fitted]))


def _flags(model: Any, cohort: Any) -> Any:
    """One row per scan: is its site known, is every covariate within the training range?"""
    import pandas as pd

    people = cohort.people
    flags = pd.DataFrame({"site": cohort.labels, "site_known": _is_known(model, cohort)})
    outside: dict[str, Any] = {}
    for part in _parts(model):
        for name in part.DESIGNS:
            for covariate, beyond in _outside(getattr(part, f"{name}_design_"), people):
                column = f"{covariate}_outside_range"
                outside[column] = outside.get(column, False) | beyond
    flags = flags.assign(**outside)
    is_outside = flags[list(outside)].any(axis=1)
    return flags.assign(flagged=~flags["site_known"] | is_outside)


def _is_known(model: Any, cohort: Any) -> Any:
    """Whether the model has seen the level of every batch variable of each scan."""
    import numpy as np

    people = cohort.people
    seen = [people[name].isin(levels) for name, levels in _levels(model, cohort.batches)]
    return np.all(seen, axis=0) if seen else True


def _levels(model: Any, batches: list[str]) -> Iterator[tuple[str, Any]]:
    """Columns with sites, and the sites that the model knows."""
    if hasattr(model, "models_"):
        for (name, _), part in zip(model.steps, model.models_, strict=True):
            if name in ("site", *batches):
                yield name if name in batches else batches[0], part.sites_
    elif model.batches_ is not None:
        yield from model.batches_.levels.items()
    else:
        yield batches[0], model.sites_


def _outside(design: Any, people: Any) -> Iterator[tuple[str, Any]]:
    """Covariates of one design, and which scans lie beyond their range or bounds."""
    if hasattr(design, "outside_range"):
        yield from design.outside_range(people).items()
    for spline in getattr(design, "splines", ()):
        yield spline.name, spline.outside(people[spline.name])
