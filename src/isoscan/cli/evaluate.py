"""`isoscan evaluate`: is site gone, is biology still there?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from isoscan.cli import options


@click.command("evaluate", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("before", type=options.EXISTING)
@click.argument("after", type=options.EXISTING)
@options.output(required=False)
@options.cohort
@options.preserve
@options.individuals
def command(
    before: Path,
    after: Path,
    output: Path | None,
    overwrite: bool,
    preserve: str | None,
    individuals: bool,
    **rest: Any,
) -> None:
    """Compare a table BEFORE harmonization with the one AFTER, made by any program.

    With -o, also writes evaluate.json and report.html.
    """
    from isoscan.cli.cohort import read_cohort
    from isoscan.evaluation import as_text, evaluate
    from isoscan.harmonizing import named_in, require_free
    from isoscan.tables import align_rows, read_measures, require_numbers

    if output is not None:
        require_free(output, ("evaluate.json", "report.html"), overwrite=overwrite)
    cohort = read_cohort((before,), needed=named_in(preserve), **rest)
    people = cohort.people
    later = require_numbers(
        read_measures(after, decimal=rest["decimal"]), cohort.features, after.name
    )
    later = align_rows(later, cohort.table.index, what="harmonized measures")
    facts = evaluate(
        cohort.measures, later, sites=cohort.labels, covariates=people, preserve=preserve
    )
    click.echo(as_text(facts))
    if output is not None:
        _write(facts, cohort, later, output, individuals=individuals, overwrite=overwrite)


def _write(
    facts: dict[str, Any],
    cohort: Any,
    later: Any,
    folder: Path,
    *,
    individuals: bool,
    overwrite: bool,
) -> None:
    from isoscan.report import collect_facts, write_report
    from isoscan.tables import write_json

    write_json(folder / "evaluate.json", facts, overwrite=overwrite)
    page = collect_facts(
        cohort.measures,
        later,
        sites=cohort.labels,
        covariates=cohort.people,
        evaluate_facts=facts,
        title="Evaluation of a harmonization",
        individuals=individuals,
    )
    write_report(page, folder / "report.html", overwrite=overwrite)
    click.echo(f"\nWritten to {folder}: evaluate.json, report.html")
