"""The table that lists maps, and the options that say how to read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from isoscan.cli import options
from isoscan.cli.method_options import gather, require_known
from isoscan.cli.sections import under

_data, _results = under("Data"), under("Results")

columns = (
    _data(
        "--path",
        "path_column",
        default="path",
        show_default=True,
        metavar="COLUMN",
        help="Column with the file of each map; relative to the folder of TABLE.",
    ),
    _data(
        "--zarr",
        "stack",
        type=options.EXISTING,
        metavar="STACK",
        help="All maps in one Zarr array or group, instead of a column with files.",
    ),
    _data(
        "--site",
        "sites",
        multiple=True,
        default=("site",),
        show_default="site",
        metavar="COLUMN",
        help="Column with the site; may be repeated for several batch variables.",
    ),
    _data(
        "--skip-bad",
        "bad",
        is_flag=True,
        flag_value="skip",
        default="error",
        help="Go on without maps that cannot be read, and list them in skipped.tsv. All files "
        "are read once more, beforehand.",
    ),
)
maps = options.combine(click.argument("table", type=options.EXISTING), *columns)
mask = options.combine(
    _data(
        "--registered",
        is_flag=True,
        help="Do not look whether the maps lie over each other: they do.",
    ),
    _data(
        "--mask",
        type=options.EXISTING,
        help="Voxels to harmonize; by default those that all maps have.",
    ),
    _data(
        "--mask-threshold",
        type=float,
        metavar="VALUE",
        help="What exceeds it is inside; needed for masks of probabilities.",
    ),
    _data(
        "--missing",
        type=click.Choice(["keep", "exclude", "error"]),
        default="keep",
        show_default=True,
        help="Voxels without a value at some scans: harmonize the others, leave out, refuse.",
    ),
)
outside = _results(
    "--outside",
    type=click.Choice(["zero", "keep", "nan"]),
    default="zero",
    show_default=True,
    help="What voxels outside the mask become.",
)
resume = _results("--resume", is_flag=True, help="Take up a run that was stopped.")


def read_maps(
    table: Path, column: str, sites: tuple[str, ...], stack: Path | None = None
) -> tuple[Any, Any]:
    """Paths by scan, or the stack; and everything else about the scans."""
    from isoscan.errors import MissingColumnError, name_some
    from isoscan.tables import read_participants

    people = read_participants(table, labels=sites if stack else (*sites, column))
    if stack is not None:
        return _as_stack(stack), people
    if column not in people.columns:
        raise MissingColumnError(
            f"no column '{column}' in {table.name}: {name_some(people.columns, 8)}. Name the "
            f"column with the files with --path, or the stack of all maps with --zarr.",
            column=column,
        )
    paths = {scan: table.parent / str(name) for scan, name in people[column].items()}
    return paths, people.drop(columns=column)


def _as_stack(path: Path) -> Any:
    """A path that says by its name that it is a stack, or the array itself."""
    from isoscan.volumes.stacks import import_zarr, is_store

    return path if is_store(path) else import_zarr().open(path, mode="r")


def one_or_all(sites: tuple[str, ...]) -> Any:
    """One column with the site, or a list of batch variables."""
    return sites[0] if len(sites) == 1 else list(sites)


def own_options(ctx: click.Context, method: str, rest: dict[str, Any]) -> dict[str, Any]:
    """Take the options of the method out of all others."""
    own = gather(rest)
    preserve = rest.pop("preserve")
    if preserve is not None:
        own["preserve"] = preserve
    require_known(ctx, method, list(own))
    return own
