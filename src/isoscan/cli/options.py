"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

EXISTING = click.Path(exists=True, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


def combine(*options: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """Make one decorator of several, listed in reading order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def output(*, required: bool = True) -> Callable[[Command], Command]:
    """Where results go."""
    return combine(
        click.option(
            "-o", "--output", type=FOLDER, required=required, help="Folder for the results."
        ),
        click.option("--overwrite", is_flag=True, help="Replace results that exist."),
    )


cohort = combine(
    click.option(
        "--participants",
        type=EXISTING,
        help="Table of people with site and covariates (participants.tsv); matched by id. "
        "Without it, site and covariates are columns of the measures.",
    ),
    click.option("--site", default="site", show_default=True, help="Column with the site."),
    click.option(
        "--feature",
        "features",
        multiple=True,
        metavar="PATTERN",
        help="Columns that are measures, e.g. '*_thickness'; may be repeated. "
        "Default: all numeric columns but covariates and totals.",
    ),
    click.option(
        "--with-totals", is_flag=True, help="Treat totals (intracranial volume, ...) as measures."
    ),
    click.option(
        "--unmatched",
        type=click.Choice(["error", "drop"]),
        default="error",
        show_default=True,
        help="Scans without a partner in another table.",
    ),
    click.option(
        "--drop-incomplete", is_flag=True, help="Leave out scans whose covariates are missing."
    ),
    click.option(
        "--normalize-labels", is_flag=True, help="Merge site labels that differ by case or space."
    ),
    click.option(
        "--merge-site",
        "merged",
        multiple=True,
        metavar="OLD=NEW",
        help="Give the scans of one site to another; may be repeated.",
    ),
    click.option(
        "--session",
        metavar="COLUMN",
        help="Column that tells the scans of a person apart, if it is not called session.",
    ),
    click.option("--decimal", default=".", show_default=True, help="Decimal sign of numbers."),
)

individuals = click.option(
    "--individuals/--no-individuals",
    default=True,
    show_default=True,
    help="Whether reports and facts may name single scans, with values and covariates.",
)
preserve = click.option(
    "--preserve", metavar="FORMULA", help="What must survive, e.g. 'age + C(sex)'."
)
