"""`isoscan harmonize`: fit, apply, evaluate and report on a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from isoscan.cli import options
from isoscan.cli.method_options import gather, method_options, require_known
from isoscan.cli.progress import steps
from isoscan.cli.sections import SectionedCommand, under

_data, _results = under("Data"), under("Results")


@click.command(
    "harmonize",
    cls=SectionedCommand,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: isoscan harmonize aseg.tsv lh.tsv rh.tsv --participants participants.tsv "
    "--preserve 'C(sex)' --smooth age -o harmonized",
)
@click.argument("measures", nargs=-1, required=True, type=options.EXISTING)
@options.cohort
@_data("--drop-site", "dropped", multiple=True, metavar="SITE", help="Leave a site out.")
@_data(
    "--missing",
    type=click.Choice(["keep", "error"]),
    default="keep",
    show_default=True,
    help="Missing measures stay missing, or are refused.",
)
@method_options
@options.output()
@_results("--title", default="Harmonization report", help="Heading of the report.")
@options.individuals
@click.pass_context
def command(
    ctx: click.Context,
    /,
    measures: tuple[Path, ...],
    output: Path,
    overwrite: bool,
    title: str,
    individuals: bool,
    preserve: str | None,
    method: str,
    **rest: Any,
) -> None:
    """Harmonize MEASURES: one or more tables, or a FreeSurfer or MRIQC folder.

    Writes harmonized.tsv with its sidecar, model.isoscan, report.html and facts.json.
    """
    from isoscan.harmonizing import FILES, harmonize, require_free

    require_free(output, FILES, overwrite=overwrite)
    own = gather(rest)
    if preserve is not None:
        own["preserve"] = preserve
    require_known(ctx, method, list(own))
    with steps(["read", "harmonize", "write"]) as step:
        step()
        cohort = _read(measures, method, own, **rest)
        step()
        done = harmonize(
            cohort.table,
            features=cohort.features,
            site=cohort.batches,
            method=method,
            title=title,
            individuals=individuals,
            **own | _who_was_scanned(method, own, cohort.table),
        )
        step()
        done = replace(
            done, table=done.table[cohort.columns], facts=done.facts | {"columns": cohort.choice}
        )
        folder = done.to_folder(output, sidecar=cohort.sidecar, overwrite=overwrite)
    tell(done.facts, folder)


def _read(
    measures: tuple[Path, ...],
    method: str,
    own: Mapping[str, Any],
    *,
    dropped: tuple[str, ...],
    missing: str,
    **rest: Any,
) -> Any:
    """Read what the method needs, without the sites that are to be left out."""
    from isoscan.cli.cohort import read_cohort, without_sites
    from isoscan.cli.earlier import warn_if_harmonized
    from isoscan.harmonizing import columns_of, covariates_of, make_model, require_complete

    model = make_model(method, own)
    needed = covariates_of(model)
    if "subject" not in own:
        needed -= {"subject"}  # who was scanned is found when the table is read
    cohort = read_cohort(measures, needed=needed, used=columns_of(model), **rest)
    warn_if_harmonized(measures, cohort.features)
    cohort = without_sites(cohort, dropped)
    if missing == "error":
        require_complete(cohort.table, cohort.features)
    return cohort


def _who_was_scanned(method: str, own: Mapping[str, Any], table: Any) -> dict[str, str]:
    """Subjects are participants, unless a column says otherwise."""
    named = "subject" in own or "subject" in table.columns
    if method != "longitudinal" or named or "participant_id" not in table.columns:
        return {}
    return {"subject": "participant_id"}


def tell(facts: Mapping[str, Any], folder: Path) -> None:
    """Print what was found and where it is."""
    from isoscan.cli.findings import as_lines

    click.echo("\n".join(as_lines(facts)))
    click.echo(
        f"\nWritten to {folder}: harmonized.tsv, harmonized.json, model.isoscan, report.html, "
        f"facts.json"
    )
