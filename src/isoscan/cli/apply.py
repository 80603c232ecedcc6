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
    import isoscan as iso
    from isoscan.cli.cohort import read_cohort
    from isoscan.errors import count
    from isoscan.harmonizing import covariates_of, require_free
    from isoscan.report import describe_columns
    from isoscan.tables import write_table

    require_free(output, FILES, overwrite=overwrite)
    fitted = iso.load(model)
    _answer_new_sites(fitted, new_site)
    rest["features"] = tuple(rest["features"]) or tuple(fitted.get_feature_names_out())
    cohort = read_cohort(measures, needed=covariates_of(fitted), **rest)
    people = cohort.people
    after = fitted.transform(cohort.measures, sites=cohort.sites, covariates=people)
    table = cohort.table[cohort.columns].copy()
    table[cohort.features] = after
    sidecar = describe_columns(table.columns, cohort.features, fitted, cohort.sidecar)
    write_table(table, output / FILES[0], sidecar=sidecar, overwrite=overwrite)
    flags = _flags(fitted, people, cohort.labels)
    write_table(flags, output / FILES[2], overwrite=overwrite)
    flagged = int(flags["flagged"].sum())
    click.echo(
        f"{count(len(table), 'scan')} harmonized, {flagged} of them outside what the model has "
        f"seen.\nWritten to {output}: {', '.join(FILES)}"
    )


def _answer_new_sites(fitted: Any, answer: str) -> None:
    if answer == "estimate" and not hasattr(fitted, "adapt"):
        raise click.UsageError(
            f"--new-site estimate: {type(fitted).__name__} cannot estimate new sites. Leave them "
            f"as they are (--new-site skip), or fit again with their scans."
        )
    fitted.unknown_sites = answer


def _flags(model: Any, people: Any, sites: Any) -> Any:
    """One row per scan: is its site known, is every covariate within the training range?"""
    import pandas as pd

    flags = pd.DataFrame({"site": sites, "site_known": sites.isin(model.sites_)})
    outside: dict[str, Any] = {}
    for name in model.DESIGNS:
        for covariate, beyond in _outside(getattr(model, f"{name}_design_"), people):
            column = f"{covariate}_outside_range"
            outside[column] = outside.get(column, False) | beyond
    flags = flags.assign(**outside)
    is_outside = flags[list(outside)].any(axis=1)
    return flags.assign(flagged=~flags["site_known"] | is_outside)


def _outside(design: Any, people: Any) -> Iterator[tuple[str, Any]]:
    """Covariates of one design, and which scans lie beyond their range or bounds."""
    if hasattr(design, "outside_range"):
        yield from design.outside_range(people).items()
    for spline in getattr(design, "splines", ()):
        yield spline.name, spline.outside(people[spline.name])
