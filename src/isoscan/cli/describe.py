"""`isoscan describe`: can these data be harmonized?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from isoscan.cli import options


@click.command("describe", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("measures", nargs=-1, required=True, type=options.EXISTING)
@options.output(required=False)
@options.cohort
@options.preserve
@options.individuals
def command(
    measures: tuple[Path, ...],
    output: Path | None,
    overwrite: bool,
    preserve: str | None,
    individuals: bool,
    **rest: Any,
) -> None:
    """Say whether MEASURES can be harmonized, and what stands in the way.

    With -o, also writes describe.json and report.html.
    """
    from isoscan.cli.cohort import read_cohort
    from isoscan.description import as_text, describe
    from isoscan.harmonizing import named_in, require_free
    from isoscan.report import leave_out_individuals

    if output is not None:
        require_free(output, ("describe.json", "report.html"), overwrite=overwrite)
    cohort = read_cohort(measures, needed=named_in(preserve), **rest | {"with_totals": True})
    people = cohort.people
    facts = describe(cohort.measures, sites=cohort.labels, covariates=people, preserve=preserve)
    if not individuals:
        facts = leave_out_individuals(facts, people.index)
    click.echo(as_text(facts))
    if output is not None:
        _write(facts, cohort, output, individuals=individuals, overwrite=overwrite)


def _write(
    facts: dict[str, Any], cohort: Any, folder: Path, *, individuals: bool, overwrite: bool
) -> None:
    from isoscan.report import collect_facts, write_report
    from isoscan.tables import write_json

    write_json(folder / "describe.json", facts, overwrite=overwrite)
    page = collect_facts(
        cohort.measures,
        sites=cohort.labels,
        covariates=cohort.people,
        describe_facts=facts,
        title="Description of the data",
        individuals=individuals,
    )
    write_report(page, folder / "report.html", overwrite=overwrite)
    click.echo(f"\nWritten to {folder}: describe.json, report.html")
