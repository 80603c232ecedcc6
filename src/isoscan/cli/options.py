"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from isoscan.cli.sections import under

Command = TypeVar("Command", bound=Callable[..., Any])

_data, _results = under("Data"), under("Results")
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
        _results("-o", "--output", type=FOLDER, required=required, help="Folder for the results."),
        _results("--overwrite", is_flag=True, help="Replace results that exist."),
    )


cohort = combine(
    _data(
        "--participants",
        type=EXISTING,
        help="Table of people with site and covariates (participants.tsv); matched by id. "
        "Without it, site and covariates are columns of the measures.",
    ),
    _data(
        "--site",
        "sites",
        multiple=True,
        default=("site",),
        show_default="site",
        metavar="COLUMN",
        help="Column with the site; may be repeated for several batch variables.",
    ),
    _data(
        "--feature",
        "features",
        multiple=True,
        metavar="PATTERN",
        help="Columns that are measures, e.g. '*_thickness'; may be repeated. "
        "Default: all numeric columns but covariates, people's columns, codes and totals.",
    ),
    _data(
        "--with-totals", is_flag=True, help="Treat totals (intracranial volume, ...) as measures."
    ),
    _data(
        "--unmatched",
        type=click.Choice(["error", "drop"]),
        default="error",
        show_default=True,
        help="Scans without a partner in another table.",
    ),
    _data(
        "--drop-duplicates", is_flag=True, help="Leave out copies of rows, identical in every cell."
    ),
    _data("--drop-incomplete", is_flag=True, help="Leave out scans whose covariates are missing."),
    _data(
        "--normalize-labels", is_flag=True, help="Merge site labels that differ by case or space."
    ),
    _data(
        "--merge-site",
        "merged",
        multiple=True,
        metavar="OLD=NEW",
        help="Give the scans of one site to another; may be repeated.",
    ),
    _data(
        "--session",
        metavar="COLUMN",
        help="Column that tells the scans of a person apart, if it is not called session.",
    ),
    _data("--decimal", default=".", show_default=True, help="Decimal sign of numbers."),
)

individuals = _results(
    "--individuals/--no-individuals",
    default=True,
    show_default=True,
    help="Whether reports and facts may name single scans, with values and covariates.",
)
preserve = under("Model")(
    "--preserve", metavar="FORMULA", help="What must survive, e.g. 'age + C(sex)'."
)
