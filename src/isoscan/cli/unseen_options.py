"""Options of `isoscan unseen`, and which of them belong to which method."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import click

from isoscan.cli import options
from isoscan.cli.sections import under

_data, _model, _check = under("Data"), under("Model"), under("Check")
_EARLIER = "__click_params__"  # where click keeps options until the command is made

OF_NEUROHARMONY = {"jobs"}
OF_UNSEEN = {
    "remove",
    "smooth",
    "total_strategy",
    "use_volumes",
    "on_shift",
    "keep",
    "interval",
}


def _only(names: Iterable[str], several: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Take some of several options."""
    wanted = set(names)

    def decorate(command: Any) -> Any:
        def bare() -> None: ...

        several(bare)
        kept = [option for option in getattr(bare, _EARLIER) if option.name in wanted]
        setattr(command, _EARLIER, [*getattr(command, _EARLIER, ()), *kept])
        return command

    return decorate


_quality = _data(
    "--quality",
    type=options.EXISTING,
    help="Image quality metrics: MRIQC's group table or output folder; matched by id.",
)
_implausible = _data(
    "--drop-implausible",
    is_flag=True,
    help="Leave out scans whose intracranial volume is missing or not that of a person.",
)
training = options.combine(
    options.cohort,
    _data("--drop-site", "dropped", multiple=True, metavar="SITE", help="Leave a scanner out."),
    _quality,
    _implausible,
)
new_scans = options.combine(
    _only(
        ("participants", "unmatched", "drop_duplicates", "drop_incomplete", "session", "decimal"),
        options.cohort,
    ),
    _quality,
    _implausible,
)

total_again = _data(
    "--total",
    metavar="COLUMN",
    help="Of a model by --method neuroharmony: the intracranial volume to divide by, as in "
    "training. Other models know it.",
)

model = options.combine(
    _model(
        "--method",
        type=click.Choice(["unseen", "neuroharmony"]),
        default="unseen",
        show_default=True,
        help="neuroharmony: the published forests; volumes are divided by --total.",
    ),
    options.preserve,
    _model("--remove", metavar="FORMULA", help="What is taken out with the scanner."),
    _model(
        "--smooth",
        multiple=True,
        metavar="NAME",
        help="Covariate that is preserved as a curve; may be repeated.",
    ),
    _model(
        "--total",
        metavar="COLUMN",
        help="Column with the intracranial volume, to adjust volumes for. Without it, measures "
        "are taken as they are.",
    ),
    _model(
        "--total-strategy",
        type=click.Choice(["ratio", "residual", "power", "harmonized"]),
        default="ratio",
        show_default=True,
        help="Divide by the total; subtract what it explains within scanners; divide by a power "
        "of it; or correct the total itself first and divide by that.",
    ),
    _model(
        "--volumes/--no-volumes",
        "use_volumes",
        default=True,
        show_default=True,
        help="Learn from the measures too, or from image quality alone.",
    ),
    _model(
        "--metric",
        "metrics",
        multiple=True,
        metavar="NAME",
        help="Metric to learn from; may be repeated. Default: those of MRIQC that do not name "
        "the scanner.",
    ),
    _model(
        "--on-shift",
        type=click.Choice(["shrink", "warn", "raise", "identity"]),
        default="shrink",
        show_default=True,
        help="Scans unlike those of training: correct less the further they are, warn only, "
        "refuse them, or leave them as they are.",
    ),
    _model(
        "--keep",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        default=0.95,
        show_default=True,
        help="Least correlation and spread of people within scanners that is to be left.",
    ),
    _model(
        "--interval",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        default=0.9,
        show_default=True,
        help="Coverage of the intervals.",
    ),
    _model("--jobs", type=click.IntRange(min=1), help="neuroharmony: number of threads."),
)

check = options.combine(
    _check(
        "--check/--no-check",
        default=True,
        show_default=True,
        help="Leave out one scanner after the other, with all that is learned, and compare with "
        "simpler corrections and with a few scans of the scanner.",
    ),
    _check(
        "--draws",
        type=click.IntRange(min=1),
        default=3,
        show_default=True,
        help="How often a few scans are drawn.",
    ),
)


def require_known(ctx: click.Context, method: str) -> None:
    """Refuse options that the method does not have, and those it needs that are absent."""
    if method == "neuroharmony" and ctx.params["quality"] is None:
        raise click.UsageError("--method neuroharmony learns from image quality: give --quality.")
    if not ctx.params["use_volumes"] and ctx.params["quality"] is None:
        raise click.UsageError("--no-volumes learns from image quality alone: give --quality.")
    foreign = OF_UNSEEN if method == "neuroharmony" else OF_NEUROHARMONY
    given = click.core.ParameterSource.COMMANDLINE
    for parameter in ctx.command.params:
        name = str(parameter.name)
        if name in foreign and ctx.get_parameter_source(name) is given:
            raise click.UsageError(f"{parameter.opts[0]} is no option of --method {method}.")
