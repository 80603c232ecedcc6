"""`isoscan demo`: the whole job on real scans, and on simulated ones whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isoscan.cli import options
from isoscan.cli.progress import steps

if TYPE_CHECKING:
    import pandas as pd

INPUT = ("measures.tsv", "participants.tsv", "new_measures.tsv", "new_participants.tsv")
NEW_SCANS = 20
"""Every so many-th simulated scan is kept for `isoscan apply`."""


@click.command("demo", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("what", type=click.Choice(["tables", "volumes", "unseen"]), default="tables")
@click.option(
    "-o",
    "--output",
    type=options.FOLDER,
    default=Path("isoscan-demo"),
    show_default=True,
    help="Folder for the results.",
)
@click.option("--overwrite", is_flag=True, help="Replace results that exist.")
def command(what: str, output: Path, overwrite: bool) -> None:
    """Harmonize image quality of 1 101 real scans from 17 scanners, then a simulated cohort.

    The real table ships with the package mriqc-learn (pip install 'isoscan[demo]'). The
    simulated one has known site effects and known effects of age, sex and diagnosis. Its
    tables are written too, some scans apart, so that harmonize and apply can be tried on them.

    With `volumes`: simulated maps of grey matter on the MNI152 template, whose truth is known
    (pip install 'isoscan[images,volumes]').

    With `unseen`: scanners that nobody trained on. Real metrics that tell nothing of them, and
    simulated ones that do (pip install 'isoscan[demo]').
    """
    if what == "volumes":
        from isoscan.cli.demo_volumes import run

        run(output, overwrite=overwrite)
        return
    if what == "unseen":
        from isoscan.cli import demo_unseen

        demo_unseen.run(output, overwrite=overwrite)
        return
    from isoscan.cli.findings import as_lines
    from isoscan.harmonizing import FILES, harmonize, require_free

    require_free(output / "input", INPUT, overwrite=overwrite)
    folders = output / "real", output / "simulated"
    for folder in folders:
        require_free(folder, FILES, overwrite=overwrite)
    with steps(["read", "harmonize real scans", "harmonize simulated scans", "write"]) as step:
        step()
        real = read_image_quality()
        step()
        scanners = harmonize(
            real,
            title="MRIQC measures of 17 ABIDE scanners",
        )
        step()
        cohort, new = simulate_two()
        simulated = harmonize(
            cohort.people.join(cohort.measures),
            preserve="age + C(sex) + C(diagnosis)",
            title="Simulated cohort with known truth",
        )
        step()
        scanners.to_folder(folders[0], overwrite=overwrite)
        simulated.to_folder(folders[1], overwrite=overwrite)
        write_input(output / "input", cohort, new, overwrite=overwrite)
    click.echo(f"1. {len(real)} real scans, {len(scanners.features)} measures of image quality")
    click.echo("   This table has no covariates, so there is nothing to preserve.\n")
    click.echo("\n".join(as_lines(scanners.facts)))
    click.echo("\n2. Simulated cohort: was the truth found?\n")
    click.echo("\n".join(compare_with_truth(simulated, cohort)))
    click.echo(f"\nOpen {folders[0] / 'report.html'} and {folders[1] / 'report.html'}")
    click.echo(f"Tables of the simulated cohort to try: {output / 'input'}")


def simulate_two() -> tuple[Any, Any]:
    """Simulate one cohort and split it: scans to harmonize, and new scans of the same sites."""
    import numpy as np

    from isoscan.phantom import simulate_tables

    whole = simulate_tables(
        n_features=100, scans_per_site=(126, 95, 64, 48, 32, 22), random_state=7
    )
    new = np.arange(len(whole.people)) % NEW_SCANS == NEW_SCANS - 1

    def part(rows: Any) -> Any:
        tables = {name: getattr(whole, name)[rows] for name in ("measures", "people", "clean")}
        return replace(whole, **tables)

    return part(~new), part(new)


def write_input(folder: Path, cohort: Any, new: Any, *, overwrite: bool) -> None:
    """Write the tables of both parts of the simulated cohort."""
    from isoscan.tables import write_table

    tables = (cohort.measures, cohort.people, new.measures, new.people)
    for name, table in zip(INPUT, tables, strict=True):
        write_table(table, folder / name, overwrite=overwrite)


def read_image_quality() -> pd.DataFrame:
    """Read the table of MRIQC measures that ships with mriqc-learn, as a package resource."""
    from importlib.resources import as_file, files

    from isoscan.errors import MissingPackageError
    from isoscan.tables import read_table

    try:
        resource = files("mriqc_learn") / "datasets" / "abide.tsv"
    except ModuleNotFoundError:
        raise MissingPackageError(
            "the demo reads real scans from the package mriqc-learn. Install it: "
            "pip install 'isoscan[demo]'."
        ) from None
    with as_file(resource) as path:
        return read_table(path, index="subject_id")


def compare_with_truth(done: Any, cohort: Any) -> list[str]:
    """Say in lines how close the estimates are to what was simulated."""
    import numpy as np

    effects = done.model.site_effects_.set_index(["site", "feature"])
    lines = []
    for name, truth, unit in (("shift", cohort.shift, "residual SD"), ("scale", cohort.scale, "")):
        mine = effects[name].unstack()[truth.columns]
        agreement = np.corrcoef(mine.to_numpy().ravel(), truth.to_numpy().ravel())[0, 1]
        lines.append(
            f"  {name} of sites: correlation with the truth {agreement:.3f} {unit}".rstrip()
        )
    spread = cohort.clean.std()
    for name, table in (("before", cohort.measures), ("after", done.table[cohort.clean.columns])):
        error = float(np.sqrt((((table - cohort.clean) / spread) ** 2).mean(axis=None)))
        lines.append(f"  distance from a cohort without site effects, {name}: {error:.2f} SD")
    slopes = done.model.coefficients_
    age = np.corrcoef(slopes["age"], cohort.slopes.loc["age"])[0, 1]
    lines.append(f"  effect of age: correlation with the truth {age:.3f}")
    return lines
