"""The `isoscan` command. Verbs are imported when they are called, so that help is instant."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

VERBS = {
    "demo": "Run a complete job on real data and show what it found.",
    "describe": "Can these data be harmonized? Counts, overlap, confounding, outliers.",
    "harmonize": "Fit, apply, evaluate and report on a table of measures.",
    "apply": "Apply a saved model to new scans.",
    "pool": "One effect from many sites: meta-analysis, mega-analysis, or both beside ComBat.",
    "federated": "Harmonize without pooling: sites send sums, never a row of data.",
    "volumes": "Harmonize maps (FA, MD, thickness) voxel by voxel.",
    "unseen": "Correct scans of scanners that nobody trained on.",
    "quality": "Image quality metrics of T1-weighted images, as MRIQC defines them.",
    "evaluate": "Compare tables before and after: is site gone, is biology still there?",
}


class LazyVerbs(click.Group):
    """A group that knows its verbs by name and imports them on call."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Verbs in the order of the work."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one verb."""
        if cmd_name not in VERBS:
            return None
        module = import_module(f"isoscan.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=LazyVerbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="isoscan", prog_name="isoscan")
def cli() -> None:
    """Make multi-site MRI data comparable.

    Tables are TSV, CSV or Parquet; tables of FreeSurfer, MRIQC and ENIGMA are recognised.
    Results go into the folder given with -o. Nothing that exists is overwritten unless you
    say --overwrite.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; what isoscan raises on purpose is printed, not traced.

    Parameters
    ----------
    arguments : sequence of str, optional
        Words after `isoscan`; those of the process by default.
    """
    import warnings

    from isoscan.errors import IsoscanError, IsoscanWarning

    warnings.showwarning = _print_warning
    warnings.simplefilter("ignore")  # what other packages warn of is for programmers
    warnings.filterwarnings("always", category=IsoscanWarning)
    try:
        cli.main(arguments, prog_name="isoscan", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.Abort:
        click.echo("Interrupted; nothing half-written was left behind.", err=True)
        sys.exit(130)
    except click.ClickException as wrong:
        wrong.show()
        sys.exit(2)
    except BrokenPipeError:  # the reader of our output, such as head, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except (IsoscanError, OSError) as error:
        click.echo(click.style("Error: ", fg="red", bold=True) + str(error), err=True)
        sys.exit(1)


def _print_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    click.echo(click.style("Note: ", fg="yellow") + str(message), err=True)
