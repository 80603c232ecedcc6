"""`isoscan unseen`: correct scans of scanners that nobody trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from isoscan.cli import options, unseen_options
from isoscan.cli.sections import SectionedCommand, under

HELP = {"help_option_names": ["-h", "--help"]}
_results = under("Results")


@click.group("unseen", context_settings=HELP)
def command() -> None:
    """Correct scans of scanners that nobody trained on.

    fit learns from many scanners, and checks what it learned on scanners it leaves out. apply
    corrects scans of any scanner, one at a time if need be. calibrate, with a few scans of a
    new scanner, makes a model for that scanner: it tells more than image quality does.
    """


@command.command(
    "fit",
    short_help="Learn from many scanners, and check what was learned.",
    cls=SectionedCommand,
    context_settings=HELP,
    epilog="Example: isoscan unseen fit aseg.tsv --quality group_T1w.tsv --participants "
    "participants.tsv --preserve 'age + C(sex)' --total EstimatedTotalIntraCranialVol -o model",
)
@click.argument("measures", nargs=-1, required=True, type=options.EXISTING)
@unseen_options.training
@unseen_options.model
@unseen_options.check
@options.output()
@_results("--title", default="Unknown scanners", help="Heading of the report.")
@options.individuals
@click.pass_context
def fit_command(ctx: click.Context, /, method: str, **settings: Any) -> None:
    """Learn from MEASURES of many scanners, and tell what unknown scanners can expect.

    Writes model.isoscan, scanners.tsv, report.html and facts.json; with --check, also
    left_out.tsv and left_out_scanners.tsv: the model beside simpler corrections.
    """
    from isoscan.cli.unseen_fit import fit

    unseen_options.require_known(ctx, method)
    fit(method, **settings)


@command.command(
    "calibrate",
    short_help="Teach a model one new scanner from a few scans.",
    cls=SectionedCommand,
    context_settings=HELP,
)
@click.argument("model", type=options.EXISTING)
@click.argument("measures", nargs=-1, required=True, type=options.EXISTING)
@unseen_options.new_scans
@options.output()
def calibrate_command(
    model: Path, measures: tuple[Path, ...], output: Path, overwrite: bool, **rest: Any
) -> None:
    """Teach MODEL one new scanner: all rows of MEASURES are its scans.

    Writes a new model.isoscan that corrects scans of this scanner only, and learned.tsv: shift
    and scale of every measure. MODEL stays as it is.
    """
    from isoscan.cli.unseen_apply import calibrate

    calibrate(model, measures, output, overwrite=overwrite, **rest)


@command.command(
    "apply",
    short_help="Correct scans of any scanner.",
    cls=SectionedCommand,
    context_settings=HELP,
)
@click.argument("model", type=options.EXISTING)
@click.argument("measures", nargs=-1, required=True, type=options.EXISTING)
@unseen_options.new_scans
@unseen_options.total_again
@options.output()
@options.individuals
def apply_command(
    model: Path,
    measures: tuple[Path, ...],
    output: Path,
    overwrite: bool,
    individuals: bool,
    **rest: Any,
) -> None:
    """Correct the scans in MEASURES, whatever their scanner.

    Writes harmonized.tsv with its sidecar, predictions.tsv (every correction with its interval,
    and how unlike training the scan is) and report.html.
    """
    from isoscan.cli.unseen_apply import apply

    apply(model, measures, output, overwrite=overwrite, individuals=individuals, **rest)
