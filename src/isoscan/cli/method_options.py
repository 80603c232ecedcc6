"""Options of the methods: what the command line calls them, and which method has which."""

from __future__ import annotations

from typing import Any

import click

from isoscan.cli import options
from isoscan.cli.sections import under

METHODS = ("combat", "covbat", "combat-ls", "longitudinal", "stepwise")


def read_bounds(
    ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, tuple[float, float]]:
    """Read covariates with two numbers each, written NAME=LOW,HIGH."""
    bounds = {}
    for text in values:
        name, _, numbers = text.rpartition("=")
        try:
            low, high = map(float, numbers.split(","))
        except ValueError:
            low = high = 0.0
        if not name or not low < high:
            raise click.BadParameter("give NAME=LOW,HIGH, such as age=18,90.", ctx, parameter)
        bounds[name] = (low, high)
    return bounds


_model, _curves, _fit = under("Model"), under("Curves"), under("Fit")
_own = under("Of single methods")

method_options = options.combine(
    _model(
        "--method",
        type=click.Choice(METHODS),
        default="combat",
        show_default=True,
        help="covbat: covariances too; combat-ls: covariates change the spread; longitudinal: "
        "repeated scans of people; stepwise: one variable after the other.",
    ),
    options.preserve,
    _model("--remove", metavar="FORMULA", help="What is taken out with the site effect."),
    _model(
        "--prior",
        type=click.Choice(["parametric", "nonparametric", "none"]),
        show_default="parametric",
        help="Empirical Bayes with fitted distributions, with the other features as prior, or "
        "each site's raw estimates.",
    ),
    _model("--mean-only", is_flag=True, help="Correct shifts only."),
    _model("--robust", is_flag=True, help="Median and midvariance instead of mean and variance."),
    _model("--reference", metavar="SITE", help="Site whose scans come back unchanged."),
    _curves(
        "--smooth",
        multiple=True,
        metavar="NAME",
        help="Covariate that is preserved as a curve; age:sex for one per sex. May be repeated.",
    ),
    _curves(
        "--smooth-bounds",
        multiple=True,
        metavar="NAME=LOW,HIGH",
        callback=read_bounds,
        help="Where a curve begins and ends; the range of the scans by default.",
    ),
    _curves(
        "--smooth-outside",
        type=click.Choice(["clamp", "error"]),
        show_default="clamp",
        help="Values beyond: expect what is expected at the bound, or refuse them.",
    ),
    _fit(
        "--fit-on",
        metavar="CONDITION",
        help="Learn from these scans, apply to all, e.g. \"diagnosis == 'control'\".",
    ),
    _fit(
        "--small-sites",
        type=click.Choice(["error", "mean-only", "drop"]),
        show_default="error",
        help="Sites of one scan: refuse, correct the shift only, or leave them out.",
    ),
    _fit(
        "--allow-single",
        "single_site",
        is_flag=True,
        flag_value="pass",
        help="Return a single site unchanged.",
    ),
    _fit(
        "--convergence",
        type=click.Choice(["reference", "full"]),
        show_default="reference",
        help="Stop where the published program stops, or at the fixed point.",
    ),
    _fit("--jobs", "n_jobs", type=int, help="Number of threads; all processors by default."),
    _own(
        "--step",
        "steps",
        multiple=True,
        metavar="COLUMN",
        help="stepwise: what to remove, first to last, as sex, round(age), site. Repeated.",
    ),
    _own(
        "--subject",
        metavar="COLUMN",
        help="longitudinal: who was scanned; subject or participant_id if there is such a column.",
    ),
    _own("--slope", metavar="COLUMN", help="longitudinal: time, if subjects differ in pace."),
    _own(
        "--variance",
        type=click.Choice(["msr", "reml"]),
        show_default="msr",
        help="longitudinal: unit of shifts and scales, mean square or residual variance.",
    ),
    _own(
        "--scale",
        metavar="FORMULA",
        help="combat-ls: what changes the spread; as --preserve if not given.",
    ),
    _own(
        "--variance-share",
        type=click.FloatRange(0, 1),
        metavar="SHARE",
        show_default="0.95",
        help="covbat: harmonize the components that explain more than this share.",
    ),
    _own(
        "--components",
        "n_components",
        type=click.IntRange(1),
        metavar="N",
        help="covbat: harmonize exactly so many components.",
    ),
    _own(
        "--score-prior",
        type=click.Choice(["parametric", "none"]),
        show_default="none",
        help="covbat: prior of the components' site effects.",
    ),
)
OPTIONS = (
    "remove prior mean_only robust reference smooth smooth_bounds smooth_outside fit_on "
    "small_sites single_site convergence n_jobs subject slope variance scale variance_share "
    "n_components score_prior steps"
).split()


def gather(settings: dict[str, Any]) -> dict[str, Any]:
    """Take the options of the method out of all settings; only those that were given."""
    given = {name: settings.pop(name) for name in OPTIONS}
    given = {name: value for name, value in given.items() if _is_given(value)}
    given |= {name: list(given[name]) for name in ("smooth", "steps") if name in given}
    return {name: None if value == "none" else value for name, value in given.items()}


def _is_given(value: Any) -> bool:
    return value is not None and value is not False and value not in ((), {})


def require_known(ctx: click.Context, method: str, names: list[str]) -> None:
    """Refuse options that the chosen method does not have, naming those that do."""
    from isoscan.harmonizing import methods_with, unknown_options

    for name in unknown_options(method, names):
        flag = next(item.opts[0] for item in ctx.command.params if item.name == name)
        raise click.UsageError(
            f"--method {method} has no {flag}; it goes with {', '.join(methods_with(name))}.", ctx
        )
