"""`isoscan evaluate`: is site gone, is biology still there?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from isoscan.cli import options
from isoscan.cli.sections import under

_model = under("Model")


@click.command("evaluate", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("before", type=options.EXISTING)
@click.argument("after", type=options.EXISTING)
@options.output(required=False)
@options.cohort
@options.preserve
@_model(
    "--subject",
    metavar="COLUMN",
    help="Who was scanned, if people were scanned more than once; scans of a person are then not "
    "taken for those of different people.",
)
@_model(
    "--time",
    metavar="COLUMN",
    help="With --subject: what orders the scans of a person, such as age; the order of rows by "
    "default.",
)
@options.individuals
def command(
    before: Path,
    after: Path,
    output: Path | None,
    overwrite: bool,
    preserve: str | None,
    subject: str | None,
    time: str | None,
    individuals: bool,
    **rest: Any,
) -> None:
    """Compare a table BEFORE harmonization with the one AFTER, made by any program.

    With -o, also writes evaluate.json and report.html.
    """
    if time is not None and subject is None:
        raise click.UsageError("--time orders the scans of a person: say whose with --subject.")
    from isoscan.cli.cohort import read_cohort
    from isoscan.evaluation import as_text, evaluate
    from isoscan.harmonizing import named_in, require_free
    from isoscan.tables import align_rows, read_measures, require_numbers

    if output is not None:
        require_free(output, ("evaluate.json", "report.html"), overwrite=overwrite)
    whose = {"--subject": subject, "--time": time}
    needed = [*named_in(preserve), *filter(None, whose.values())]
    cohort = read_cohort((before,), needed=needed, **rest)
    _require_columns(cohort, whose)
    later = require_numbers(
        read_measures(after, decimal=rest["decimal"], session=rest["session"]),
        cohort.features,
        after.name,
    )
    later = align_rows(later, cohort.table.index, what="harmonized measures")
    facts = evaluate(
        cohort.measures,
        later,
        sites=cohort.labels,
        covariates=cohort.people,
        preserve=preserve,
        subject=subject,
        time=time,
    )
    click.echo(as_text(facts))
    if output is not None:
        _write(facts, cohort, later, output, individuals=individuals, overwrite=overwrite)


def _require_columns(cohort: Any, named: Mapping[str, str | None]) -> None:
    """Refuse columns that are in neither table, by the option that names them."""
    from isoscan.errors import MissingColumnError, name_some

    for flag, column in named.items():
        if column is not None and column not in cohort.table.columns:
            known = [name for name in cohort.table.columns if name not in cohort.features]
            raise MissingColumnError(
                f"no column '{column}' to be {flag}: {name_some(known or cohort.columns, 8)}. "
                f"Name one that is there.",
                column=column,
            )


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
