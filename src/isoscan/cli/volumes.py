"""`isoscan volumes`: maps listed in a table, harmonized voxel by voxel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from isoscan.cli import options
from isoscan.cli.harmonize import _who_was_scanned
from isoscan.cli.method_options import method_options
from isoscan.cli.sections import SectionedCommand, under
from isoscan.cli.volumes_dask import connected, dask, require_usable
from isoscan.cli.volumes_progress import hint_to_resume, shown, tell
from isoscan.cli.volumes_shards import combine_command, moments_command, plan_command, planned
from isoscan.cli.volumes_table import (
    columns,
    maps,
    mask,
    one_or_all,
    outside,
    own_options,
    read_maps,
    resume,
)

_data, _results = under("Data"), under("Results")
_HELP = {"help_option_names": ["-h", "--help"]}


class InOrder(click.Group):
    """A group that lists its commands in the order of the work."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Commands as they were added."""
        return list(self.commands)


@click.group("volumes", cls=InOrder, context_settings=_HELP)
def command() -> None:
    """Harmonize maps (FA, MD, thickness, grey matter) voxel by voxel.

    Maps are NIfTI files, registered to one template and resampled to one grid. TABLE lists
    them, one row per scan: an id, the file (column path), the site, and covariates. Or all
    maps are one stack in Zarr, named with --zarr.

    \b
    isoscan volumes harmonize maps.tsv --preserve "age + C(sex)" --mask brain.nii.gz -o out
    isoscan demo volumes     # simulated maps and such a table, to try it on
    """  # noqa: D301 (the sign for lines that are kept as they are)


@command.command(
    "harmonize",
    cls=SectionedCommand,
    context_settings=_HELP,
    short_help="Fit and apply, in one go.",
)
@maps
@mask
@method_options
@options.output()
@outside
@resume
@dask
@_results("--figures/--no-figures", default=True, help="Draw maps before and after.")
@click.pass_context
def harmonize_command(
    ctx: click.Context,
    /,
    table: Path,
    path_column: str,
    stack: Path | None,
    sites: tuple[str, ...],
    method: str,
    output: Path,
    dask: str | None,
    figures: bool,
    **rest: Any,
) -> None:
    """Fit and apply: harmonize the maps listed in TABLE.

    Writes the harmonized maps, model.isoscan, mask.nii.gz, maps of the site effects, and
    report.html with figures of a few scans of each site. If the name of --output ends in
    .zarr, all maps go into one Zarr store, and the model beside it; those of --zarr always do.
    """
    from isoscan.volumes.stacks import is_store

    own = own_options(ctx, method, rest)
    if dask is not None:
        require_usable(method, sites)
    figures = figures and stack is None and not is_store(output)
    if figures and not rest["resume"] and not (output / "journal.jsonl").exists():
        _require_no_page(output, overwrite=rest["overwrite"])
    paths, people = read_maps(table, path_column, sites, stack)
    own |= _who_was_scanned(method, own, people)
    settings = {"site": one_or_all(sites), **rest, **own}
    with hint_to_resume(), shown() as progress:
        written, model = _harmonize(
            dask, paths, people, method=method, output=output, progress=progress, **settings
        )
    tell(model, 0 if is_store(output) else len(written), output)
    if figures:
        _draw(model, paths, written, people, sites[0], output)


def _harmonize(dask: str | None, *data: Any, method: str, **settings: Any) -> Any:
    from isoscan.volumes import harmonize_volumes, harmonize_with_dask

    if dask is None:
        return harmonize_volumes(*data, method=method, **settings)
    with connected(dask) as client:
        return harmonize_with_dask(*data, client=client, **settings)


@command.command(
    "fit",
    cls=SectionedCommand,
    context_settings=_HELP,
    short_help="Estimate site effects only.",
)
@maps
@mask
@method_options
@options.output()
@click.pass_context
def fit_command(
    ctx: click.Context,
    /,
    table: Path,
    path_column: str,
    stack: Path | None,
    sites: tuple[str, ...],
    method: str,
    output: Path,
    **rest: Any,
) -> None:
    """Estimate site effects from the maps listed in TABLE; apply nothing.

    Writes model.isoscan, mask.nii.gz and maps of the site effects.
    """
    from isoscan.volumes import fit_volumes

    own = own_options(ctx, method, rest)
    paths, people = read_maps(table, path_column, sites, stack)
    own |= _who_was_scanned(method, own, people)
    with shown() as progress:
        model = fit_volumes(
            paths,
            people,
            site=one_or_all(sites),
            method=method,
            output=output,
            progress=progress,
            **rest,
            **own,
        )
    tell(model, 0, output)


@command.command(
    "apply",
    cls=SectionedCommand,
    context_settings=_HELP,
    short_help="Apply a model to other maps.",
)
@click.argument("model", type=options.EXISTING)
@options.combine(click.argument("table", type=options.EXISTING, required=False), *columns)
@options.output(required=False)
@_data(
    "--new-site",
    type=click.Choice(["error", "estimate", "skip"]),
    default="error",
    show_default=True,
    help="Sites the model has not seen: refuse, estimate from their maps, or leave as they are.",
)
@outside
@resume
@_data("--shard", type=int, metavar="N", help="With MODEL the folder of a plan: this shard only.")
def apply_command(
    model: Path,
    table: Path | None,
    path_column: str,
    stack: Path | None,
    sites: tuple[str, ...],
    new_site: Any,
    shard: int | None,
    **rest: Any,
) -> None:
    """Apply MODEL (a model.isoscan file of maps) to the maps listed in TABLE.

    With --shard, MODEL is the folder of a plan, and there is no TABLE.
    """
    from isoscan.errors import count
    from isoscan.volumes import VolumeModel, apply_shard

    if shard is not None:
        with hint_to_resume(), shown() as progress:
            written = apply_shard(model, *planned(model), shard, progress=progress)
        click.echo(f"Shard {shard}: {count(written, 'map')} harmonized. Written to {model}.")
        return
    if table is None or rest["output"] is None:
        raise click.UsageError("TABLE and --output are needed, or --shard.")
    fitted = VolumeModel.load(model)
    paths, people = read_maps(table, path_column, sites, stack)
    with hint_to_resume(), shown() as progress:
        written = fitted.transform(
            paths,
            people,
            site=one_or_all(sites),
            unknown_sites=new_site,
            progress=progress,
            **rest,
        )
    what = "Maps" if isinstance(written, Path) else count(written, "map")
    click.echo(f"{what} harmonized. Written to {rest['output']}.")


def _require_no_page(folder: Path, *, overwrite: bool) -> None:
    from isoscan.harmonizing import require_free
    from isoscan.volumes.page import PAGE

    require_free(folder, [PAGE], overwrite=overwrite)


def _draw(
    model: Any, paths: dict[Any, Path], written: list[Path], people: Any, site: str, output: Path
) -> None:
    """Draw maps before and after; scans that the model left out are not among them."""
    from isoscan.volumes.damaged import read_list
    from isoscan.volumes.page import write_page

    skipped = read_list(output)
    unread = {one.scan for one in skipped}
    labels = people[site].astype(str)[[str(scan) not in unread for scan in people.index]]
    if len(written) < len(labels):
        labels = labels[labels.duplicated(keep=False)]
    before = [paths[scan] for scan in labels.index]
    page = write_page(
        output, model, before, written, labels.tolist(), skipped=skipped, overwrite=True
    )
    click.echo(f"Open {page}")


for _of_shards in (plan_command, moments_command, combine_command):
    command.add_command(_of_shards)
