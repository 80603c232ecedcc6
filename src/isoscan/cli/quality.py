"""`isoscan quality`: image quality metrics of T1-weighted images."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isoscan.cli import options
from isoscan.cli.sections import SectionedCommand, under

if TYPE_CHECKING:
    from isoscan.quality.job import Outcome

_data, _results = under("Data"), under("Results")


@click.command(
    "quality", cls=SectionedCommand, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.argument("images", nargs=-1, required=True, type=options.EXISTING)
@_data(
    "--masks",
    metavar="FOLDER",
    help="Derivatives of fMRIPrep, SUBJECTS_DIR of FreeSurfer, or a pattern for brain masks such "
    "as 'masks/{subject}/{name}_mask.nii.gz'. Without it all masks are made from the image.",
)
@under("Method")(
    "--definition",
    type=click.Choice(["corrected", "mriqc-24", "mriqc-0.15"]),
    default="corrected",
    show_default=True,
    help="MRIQC 24 without its errors, or the numbers of one of its versions.",
)
@under("Method")(
    "--register/--no-register",
    default=True,
    show_default=True,
    help="Bring a template to each head: slower; tells where brows are, and overlaps of tissues.",
)
@options.output()
@_results("--resume", is_flag=True, help="Leave out images that were measured before.")
@_results("--figures", is_flag=True, help="Draw the masks of each image (PNG).")
@_results(
    "--keep-sentinels",
    is_flag=True,
    help="Write -1 and 0 where MRIQC does, not n/a; see the guide.",
)
@under("Computation")(
    "--n-jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Images at a time; each needs up to 3 GB at 1 mm.",
)
def command(
    images: tuple[Path, ...],
    output: Path,
    masks: str | None,
    n_jobs: int,
    resume: bool,
    overwrite: bool,
    **settings: Any,
) -> None:
    """Measure the quality of T1-weighted IMAGES, or of all in a BIDS folder.

    Writes one JSON file per image as soon as it is done, and group_T1w.tsv, both as MRIQC does.
    An image that cannot be measured is named, and the others go on.
    """
    from isoscan.quality.cohort import find_images
    from isoscan.quality.job import Settings, measure_images

    found = find_images(images)
    with _bar(len(found)) as progress:
        outcome = measure_images(
            found,
            output,
            Settings(masks=masks, **settings),
            n_jobs=n_jobs,
            resume=resume,
            overwrite=overwrite,
            progress=progress,
        )
    _tell(outcome, len(found), output)
    if outcome.failed:
        sys.exit(1)


@contextmanager
def _bar(total: int) -> Iterator[Any]:
    from tqdm import tqdm

    with tqdm(total=total, disable=not sys.stderr.isatty(), leave=False, unit="image") as bar:

        def progress(name: str, done: int, total: int) -> None:
            bar.total, bar.n = total, done
            bar.set_description(name)
            bar.refresh()

        yield progress


def _tell(outcome: Outcome, total: int, output: Path) -> None:
    """Say what was measured, what was not, and what to know about it."""
    from isoscan.errors import count

    for words in outcome.warned.values():
        for sentence in words:
            click.echo(click.style("Note: ", fg="yellow") + sentence, err=True)
    for name, why in outcome.failed.items():
        sentence = why if name in why else f"{name}: {why}"
        click.echo(click.style("Error: ", fg="red", bold=True) + sentence, err=True)
    n_measured = total - len(outcome.failed)
    if outcome.table is not None:
        missing = int(outcome.table.isna().any(axis=1).sum())
        lacks = f", {missing} with metrics that are missing" if missing else ""
        click.echo(f"{n_measured} of {count(total, 'image')} measured{lacks}.")
        click.echo(f"Written to {output}: group_T1w.tsv and one JSON file per image.")
    if outcome.failed:
        click.echo(f"{count(outcome.failed, 'image')} could not be measured; see above.", err=True)
