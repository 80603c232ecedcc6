"""`isoscan apply`: a saved model on new scans."""

from __future__ import annotations

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
    from isoscan.harmonizing import require_free
    from isoscan.report import describe_columns
    from isoscan.tables import write_table

    require_free(output, FILES, overwrite=overwrite)
    fitted = iso.load(model)
    fitted.unknown_sites = new_site
    features = list(fitted.get_feature_names_out())
    rest["features"] = tuple(rest["features"]) or tuple(features)
    cohort = read_cohort(measures, formulas=(fitted.preserve, fitted.remove), **rest)
    people = cohort.people
    after = fitted.transform(cohort.measures, sites=people[cohort.site], covariates=people)
    table = cohort.table[cohort.columns].copy()
    table[cohort.features] = after
    sidecar = describe_columns(table.columns, cohort.features, fitted, cohort.sidecar)
    write_table(table, output / FILES[0], sidecar=sidecar, overwrite=overwrite)
    flags = _flags(fitted, people, cohort.site)
    write_table(flags, output / FILES[2], overwrite=overwrite)
    flagged = int(flags["flagged"].sum())
    click.echo(
        f"{count(len(table), 'scan')} harmonized, {flagged} of them outside what the model has "
        f"seen.\nWritten to {output}: {', '.join(FILES)}"
    )


def _flags(model: Any, people: Any, site: str) -> Any:
    """One row per scan: is its site known, is every covariate within the training range?"""
    import pandas as pd

    flags = pd.DataFrame({"site": people[site], "site_known": people[site].isin(model.sites_)})
    for design in (model.preserve_design_, model.remove_design_):
        outside = design.outside_range(people)
        flags = flags.join(outside.add_suffix("_outside_range"))
    is_outside = flags.filter(like="_outside_range").any(axis=1)
    return flags.assign(flagged=~flags["site_known"] | is_outside)
