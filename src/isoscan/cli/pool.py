"""`isoscan pool`: one effect from many sites."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from isoscan.cli import options
from isoscan.cli.sections import SectionedCommand, under

_question, _pooling, _results = under("Question"), under("Pooling"), under("Results")


@click.command(
    "pool",
    cls=SectionedCommand,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: isoscan pool lh.tsv rh.tsv --participants participants.tsv --contrast dx "
    "--groups control patient --adjust 'age + C(sex)' --compare -o pooled",
)
@click.argument("measures", nargs=-1, required=True, type=options.EXISTING)
@options.cohort
@under("Data")("--drop-site", "dropped", multiple=True, metavar="SITE", help="Leave a site out.")
@_question("--contrast", metavar="TERM", help="What to test: diagnosis, or age.")
@_question(
    "--groups",
    nargs=2,
    metavar="REFERENCE COMPARED",
    help="Two groups of the contrast; a positive effect means that COMPARED has more. Needed "
    "unless groups are numbers.",
)
@_question("--adjust", metavar="FORMULA", help="Covariates to adjust for, e.g. 'age + C(sex)'.")
@_question(
    "--kind",
    type=click.Choice(["d", "g", "z", "r", "beta"]),
    show_default="d for groups, z for numbers",
    help="Cohen's d, Hedges' g, Fisher's z, partial correlation, or in units of the measure.",
)
@_question(
    "--min-per-group", default=5, show_default=True, help="Sites with fewer people are left out."
)
@_question(
    "--effects-only",
    is_flag=True,
    help="Only write site_effects.tsv, to be pooled elsewhere; one site is enough.",
)
@_pooling(
    "--method",
    type=click.Choice(["reml", "fe", "dl", "he", "hs", "sj", "pm", "ml"]),
    show_default="reml",
    help="Estimator of the variance between sites; fe takes it as 0.",
)
@_pooling(
    "--test",
    type=click.Choice(["knha-bounded", "knha", "t", "z"]),
    show_default="knha-bounded; z with fe",
    help="Test of Knapp and Hartung, or Wald's.",
)
@_pooling("--preset", type=click.Choice(["enigma"]), help="As ENIGMA does: REML with Wald's test.")
@_pooling(
    "--p-adjust",
    type=click.Choice(["bh", "by", "holm", "hochberg", "bonferroni", "none"]),
    default="bh",
    show_default=True,
    help="Adjustment of p for the number of measures.",
)
@_pooling(
    "--mega",
    "models",
    multiple=True,
    type=click.Choice(["fixed", "intercept", "slope", "heteroscedastic"]),
    help="Also a model over all scans; may be repeated.",
)
@_pooling("--compare", is_flag=True, help="Also seven strategies side by side, ComBat among them.")
@options.output()
@_results(
    "--forest",
    "forests",
    multiple=True,
    metavar="MEASURE",
    help="Draw the sites' effects on this measure; may be repeated. Default: the smallest p.",
)
def command(
    measures: tuple[Path, ...],
    output: Path,
    overwrite: bool,
    dropped: tuple[str, ...],
    contrast: str | None,
    groups: tuple[str, str] | None,
    adjust: str | None,
    effects_only: bool,
    models: tuple[str, ...],
    compare: bool,
    forests: tuple[str, ...],
    kind: str | None,
    min_per_group: int,
    p_adjust: str,
    **rest: Any,
) -> None:
    """Pool one effect over the sites of MEASURES, which are not harmonized.

    Without --contrast, MEASURES are tables of effects that sites found themselves: site, feature,
    effect, se (site_effects.tsv is one). A table without a column of sites is one site.

    Writes pooled.tsv, site_effects.tsv, leave_one_out.tsv and influence.tsv with their meaning,
    skipped.tsv if a site lacks something, enigma.tsv for Cohen's d, figures as SVG, and pool.html.
    """
    from isoscan.cli import pooled

    how = {name: rest.pop(name) for name in ("method", "test", "preset")}
    adjustment = None if p_adjust == "none" else p_adjust
    if contrast is None:
        asked_for = (groups, adjust, kind, effects_only, models, compare, dropped)
        if any(asked_for) or rest["participants"]:
            raise click.UsageError("say what to test: --contrast TERM.")
        pooled.answer_from_effects(measures, how, adjustment, forests, output, overwrite=overwrite)
        return
    asked = pooled.Asked(
        cohort=_read(measures, contrast, adjust, dropped, rest),
        contrast=contrast,
        groups=groups or None,
        adjust=adjust,
        kind=kind,
        min_per_group=min_per_group,
        p_adjust=adjustment,
        models=tuple(dict.fromkeys(models)),
        compare=compare,
    )
    if effects_only:
        pooled.only_effects(asked, output, overwrite=overwrite)
    else:
        pooled.answer(asked, how, forests, output, overwrite=overwrite)


def _read(
    measures: tuple[Path, ...],
    contrast: str,
    adjust: str | None,
    dropped: tuple[str, ...],
    rest: dict[str, Any],
) -> Any:
    from isoscan.cli.cohort import read_cohort, without_sites
    from isoscan.harmonizing import named_in

    used = named_in(contrast, adjust)
    return without_sites(read_cohort(measures, needed=used, **rest), dropped)
