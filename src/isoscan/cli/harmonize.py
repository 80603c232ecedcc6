"""`isoscan harmonize`: fit, apply, evaluate and report on a table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from isoscan.cli import options
from isoscan.cli.progress import steps


@click.command(
    "harmonize",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: isoscan harmonize aseg.tsv lh.tsv rh.tsv --participants participants.tsv "
    "--preserve 'age + C(sex)' -o harmonized",
)
@click.argument("measures", nargs=-1, required=True, type=options.EXISTING)
@options.output()
@options.cohort
@options.preserve
@options.individuals
@click.option("--remove", metavar="FORMULA", help="What is taken out with the site effect.")
@click.option("--method", type=click.Choice(["combat"]), default="combat", show_default=True)
@click.option(
    "--prior",
    type=click.Choice(["parametric", "none"]),
    default="parametric",
    show_default=True,
    help="Empirical Bayes, or each site's raw estimates.",
)
@click.option("--mean-only", is_flag=True, help="Correct shifts only.")
@click.option("--reference", metavar="SITE", help="Site whose scans come back unchanged.")
@click.option(
    "--small-sites",
    type=click.Choice(["error", "mean-only", "drop"]),
    default="error",
    show_default=True,
    help="Sites of one scan: refuse, correct the shift only, or leave them out.",
)
@click.option("--drop-site", "dropped", multiple=True, metavar="SITE", help="Leave a site out.")
@click.option("--allow-single", is_flag=True, help="Return a single site unchanged.")
@click.option(
    "--missing",
    type=click.Choice(["keep", "error"]),
    default="keep",
    show_default=True,
    help="Missing measures stay missing, or are refused.",
)
@click.option(
    "--convergence",
    type=click.Choice(["reference", "full"]),
    default="reference",
    show_default=True,
    help="Stop where neuroCombat stops, or at the fixed point.",
)
@click.option("--jobs", type=int, help="Number of threads; all processors by default.")
@click.option("--title", default="Harmonization report", help="Heading of the report.")
def command(
    measures: tuple[Path, ...],
    output: Path,
    overwrite: bool,
    preserve: str | None,
    remove: str | None,
    method: str,
    small_sites: str,
    dropped: tuple[str, ...],
    missing: str,
    title: str,
    individuals: bool,
    **rest: Any,
) -> None:
    """Harmonize MEASURES: one or more tables, or a FreeSurfer or MRIQC folder.

    Writes harmonized.tsv with its sidecar, model.isoscan, report.html and facts.json.
    """
    from isoscan.cli.cohort import read_cohort, without_sites
    from isoscan.harmonizing import FILES, harmonize, require_complete, require_free

    require_free(output, FILES, overwrite=overwrite)
    own = {name: rest.pop(name) for name in ("prior", "mean_only", "reference", "convergence")}
    single, jobs = rest.pop("allow_single"), rest.pop("jobs")
    with steps(["read", "harmonize", "write"]) as step:
        step()
        cohort = read_cohort(measures, formulas=(preserve, remove), **rest)
        cohort = without_sites(cohort, dropped)
        if missing == "error":
            require_complete(cohort.table, cohort.features)
        step()
        done = harmonize(
            cohort.table,
            features=cohort.features,
            site=cohort.site,
            preserve=preserve,
            remove=remove,
            method=method,
            title=title,
            individuals=individuals,
            **own | {"prior": None if own["prior"] == "none" else own["prior"]},
            small_sites=small_sites,
            single_site="pass" if single else "error",
            n_jobs=jobs,
        )
        step()
        folder = replace(done, table=done.table[cohort.columns]).to_folder(
            output, sidecar=cohort.sidecar, overwrite=overwrite
        )
    tell(done.facts, folder)


def tell(facts: dict[str, Any], folder: Path) -> None:
    """Print what was found and where it is."""
    from isoscan.cli.findings import as_lines

    click.echo("\n".join(as_lines(facts)))
    click.echo(
        f"\nWritten to {folder}: harmonized.tsv, harmonized.json, model.isoscan, report.html, "
        f"facts.json"
    )
