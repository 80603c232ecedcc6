"""`isoscan volumes plan`, `moments`, `combine`: shards, for computers that share a disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from isoscan.cli import options
from isoscan.cli.method_options import method_options
from isoscan.cli.sections import SectionedCommand, under
from isoscan.cli.volumes_progress import shown, tell
from isoscan.cli.volumes_table import maps, mask, outside, own_options, read_maps

_data = under("Data")
_HELP = {"help_option_names": ["-h", "--help"]}
_shard = _data("--shard", type=int, required=True, metavar="N", help="Number of the shard, from 1.")
_folder = click.argument("folder", type=options.FOLDER)


@click.command(
    "plan", cls=SectionedCommand, context_settings=_HELP, short_help="In shards: cut the job."
)
@maps
@mask
@method_options
@_data("--shards", type=int, required=True, metavar="N", help="In how many parts to work.")
@options.output()
@outside
@click.pass_context
def plan_command(
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
    """Cut the job in shards, for computers that share a disk.

    Then, for every shard N, `isoscan volumes moments FOLDER --shard N`; once, `isoscan volumes
    combine FOLDER`; for every shard, `isoscan volumes apply FOLDER --shard N`.
    """
    from isoscan.volumes import plan_shards

    if method != "combat" or len(sites) > 1:
        raise click.UsageError("shards need --method combat and one --site.")
    if stack is not None:
        raise click.UsageError("shards are of files; a stack is worked on with --dask.")
    table = table.absolute()
    own = own_options(ctx, method, rest)
    paths, people = read_maps(table, path_column, sites)
    listed = {"path": str(table), "column": path_column, "sites": list(sites)}
    with shown():
        plan = plan_shards(paths, people, output, site=sites[0], table=listed, **rest, **own)
    n_maps = len(paths) - len(plan.skipped)
    click.echo(f"{n_maps} maps, {len(plan.mask.voxels):,} voxels, {plan.n_shards} shards.")
    click.echo(f"Next, for N = 1 to {plan.n_shards}: isoscan volumes moments {output} --shard N")


@click.command(
    "moments",
    cls=SectionedCommand,
    context_settings=_HELP,
    short_help="In shards: read one of them.",
)
@_folder
@_shard
def moments_command(folder: Path, shard: int) -> None:
    """Gather the moments of one shard of a plan; nothing is done if that is finished."""
    from isoscan.volumes import gather_shard

    with shown() as progress:
        done = gather_shard(folder, *planned(folder), shard, progress=progress)
    click.echo(f"Shard {shard}: {'gathered' if done else 'was finished already'}.")


@click.command(
    "combine", cls=SectionedCommand, context_settings=_HELP, short_help="In shards: make the model."
)
@_folder
def combine_command(folder: Path) -> None:
    """Make the model from the moments of all shards of a plan."""
    from isoscan.volumes import combine_shards

    with shown() as progress:
        model = combine_shards(folder, *planned(folder), progress=progress)
    tell(model, 0, folder)
    click.echo(f"Next, for every shard: isoscan volumes apply {folder} --shard N")


def planned(folder: Path) -> tuple[dict[Any, Path], Any]:
    """Read again what the plan was made of."""
    from isoscan.errors import DataError
    from isoscan.volumes.plan import Plan

    table = Plan.read(folder).table
    if not table:
        raise DataError(f"the plan in {folder} was made in Python; go on with it there.")
    return read_maps(Path(table["path"]), table["column"], tuple(table["sites"]))
