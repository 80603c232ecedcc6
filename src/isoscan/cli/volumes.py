"""`isoscan volumes`: maps listed in a table, harmonized voxel by voxel."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from isoscan.cli import options
from isoscan.cli.harmonize import _who_was_scanned
from isoscan.cli.method_options import gather, method_options, require_known
from isoscan.cli.sections import SectionedCommand, under

_data, _results = under("Data"), under("Results")
_HELP = {"help_option_names": ["-h", "--help"]}

_columns = (
    _data(
        "--path",
        "path_column",
        default="path",
        show_default=True,
        metavar="COLUMN",
        help="Column with the file of each map; relative to the folder of TABLE.",
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
)
_maps = options.combine(click.argument("table", type=options.EXISTING), *_columns)
_mask = options.combine(
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
_outside = _results(
    "--outside",
    type=click.Choice(["zero", "keep", "nan"]),
    default="zero",
    show_default=True,
    help="What voxels outside the mask become.",
)
_shard = _data("--shard", type=int, required=True, metavar="N", help="Number of the shard, from 1.")
_folder = click.argument("folder", type=options.FOLDER)
_resume = _results("--resume", is_flag=True, help="Take up a run that was stopped.")


@click.group("volumes", context_settings=_HELP)
def command() -> None:
    """Harmonize maps (FA, MD, thickness, grey matter) voxel by voxel.

    Maps are NIfTI files on one grid, listed in a table with one row per scan: id, path, site
    and covariates.
    """


@command.command("harmonize", cls=SectionedCommand, context_settings=_HELP)
@_maps
@_mask
@method_options
@options.output()
@_outside
@_resume
@_results("--figures/--no-figures", default=True, help="Draw maps before and after.")
@click.pass_context
def harmonize_command(
    ctx: click.Context,
    /,
    table: Path,
    path_column: str,
    sites: tuple[str, ...],
    method: str,
    output: Path,
    figures: bool,
    **rest: Any,
) -> None:
    """Fit and apply: harmonize the maps listed in TABLE.

    Writes the harmonized maps, model.isoscan, mask.nii.gz, maps of the site effects, and
    report.html with figures of a few scans of each site.
    """
    from isoscan.volumes import harmonize_volumes

    own = _own_options(ctx, method, rest)
    if figures and not rest["resume"] and not (output / "journal.jsonl").exists():
        _require_no_page(output, overwrite=rest["overwrite"])
    paths, people = _read(table, path_column, sites)
    own |= _who_was_scanned(method, own, people)
    with _shown() as progress:
        written, model = harmonize_volumes(
            paths,
            people,
            site=_one_or_all(sites),
            method=method,
            output=output,
            progress=progress,
            **rest,
            **own,
        )
    _tell(model, len(written), output)
    if figures:
        _draw(model, paths, written, people, sites[0], output)


@command.command("fit", cls=SectionedCommand, context_settings=_HELP)
@_maps
@_mask
@method_options
@options.output()
@click.pass_context
def fit_command(
    ctx: click.Context,
    /,
    table: Path,
    path_column: str,
    sites: tuple[str, ...],
    method: str,
    output: Path,
    overwrite: bool,
    **rest: Any,
) -> None:
    """Estimate site effects from the maps listed in TABLE; apply nothing.

    Writes model.isoscan, mask.nii.gz and maps of the site effects.
    """
    from isoscan.volumes.harmonizing import fit_volumes, require_empty, save_fit

    own = _own_options(ctx, method, rest)
    require_empty(output, overwrite=overwrite)
    paths, people = _read(table, path_column, sites)
    own |= _who_was_scanned(method, own, people)
    with _shown() as progress:
        model = fit_volumes(
            paths,
            people,
            site=_one_or_all(sites),
            method=method,
            progress=progress,
            **rest,
            **own,
        )
    save_fit(model, output, overwrite=overwrite)
    _tell(model, 0, output)


@command.command("apply", cls=SectionedCommand, context_settings=_HELP)
@click.argument("model", type=options.EXISTING)
@options.combine(click.argument("table", type=options.EXISTING, required=False), *_columns)
@options.output(required=False)
@_data(
    "--new-site",
    type=click.Choice(["error", "estimate", "skip"]),
    default="error",
    show_default=True,
    help="Sites the model has not seen: refuse, estimate from their maps, or leave as they are.",
)
@_outside
@_resume
@_data("--shard", type=int, metavar="N", help="With MODEL the folder of a plan: this shard only.")
def apply_command(
    model: Path,
    table: Path | None,
    path_column: str,
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
        with _shown() as progress:
            written = apply_shard(model, *_planned(model), shard, progress=progress)
        click.echo(f"Shard {shard}: {count(written, 'map')} harmonized. Written to {model}.")
        return
    if table is None or rest["output"] is None:
        raise click.UsageError("TABLE and --output are needed, or --shard.")
    fitted = VolumeModel.load(model)
    paths, people = _read(table, path_column, sites)
    with _shown() as progress:
        written = fitted.transform(
            paths,
            people,
            site=_one_or_all(sites),
            unknown_sites=new_site,
            progress=progress,
            **rest,
        )
    click.echo(f"{count(written, 'map')} harmonized. Written to {rest['output']}.")


@command.command("plan", cls=SectionedCommand, context_settings=_HELP)
@_maps
@_mask
@method_options
@_data("--shards", type=int, required=True, metavar="N", help="In how many parts to work.")
@options.output()
@_outside
@click.pass_context
def plan_command(
    ctx: click.Context,
    /,
    table: Path,
    path_column: str,
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
    table = table.absolute()
    own = _own_options(ctx, method, rest)
    paths, people = _read(table, path_column, sites)
    listed = {"path": str(table), "column": path_column, "sites": list(sites)}
    with _shown():
        plan = plan_shards(paths, people, output, site=sites[0], table=listed, **rest, **own)
    click.echo(f"{len(paths)} maps, {len(plan.mask.voxels):,} voxels, {plan.n_shards} shards.")
    click.echo(f"Next, for N = 1 to {plan.n_shards}: isoscan volumes moments {output} --shard N")


@command.command("moments", cls=SectionedCommand, context_settings=_HELP)
@_folder
@_shard
def moments_command(folder: Path, shard: int) -> None:
    """Gather the moments of one shard of a plan; nothing is done if that is finished."""
    from isoscan.volumes import gather_shard

    with _shown() as progress:
        done = gather_shard(folder, *_planned(folder), shard, progress=progress)
    click.echo(f"Shard {shard}: {'gathered' if done else 'was finished already'}.")


@command.command("combine", cls=SectionedCommand, context_settings=_HELP)
@_folder
def combine_command(folder: Path) -> None:
    """Make the model from the moments of all shards of a plan."""
    from isoscan.volumes import combine_shards

    with _shown() as progress:
        model = combine_shards(folder, *_planned(folder), progress=progress)
    _tell(model, 0, folder)
    click.echo(f"Next, for every shard: isoscan volumes apply {folder} --shard N")


def _planned(folder: Path) -> tuple[dict[Any, Path], Any]:
    """Read again what the plan was made of."""
    from isoscan.errors import DataError
    from isoscan.volumes.plan import Plan

    table = Plan.read(folder).table
    if not table:
        raise DataError(f"the plan in {folder} was made in Python; go on with it there.")
    return _read(Path(table["path"]), table["column"], tuple(table["sites"]))


def _require_no_page(folder: Path, *, overwrite: bool) -> None:
    from isoscan.harmonizing import require_free
    from isoscan.volumes.page import PAGE

    require_free(folder, [PAGE], overwrite=overwrite)


def _draw(
    model: Any, paths: dict[Any, Path], written: list[Path], people: Any, site: str, output: Path
) -> None:
    """Draw maps before and after; scans that the model left out are not among them."""
    from isoscan.volumes.page import write_page

    labels = people[site].astype(str)
    if len(written) < len(labels):
        labels = labels[labels.duplicated(keep=False)]
    before = [paths[scan] for scan in labels.index]
    page = write_page(output, model, before, written, labels.tolist(), overwrite=True)
    click.echo(f"Open {page}")


def _own_options(ctx: click.Context, method: str, rest: dict[str, Any]) -> dict[str, Any]:
    """Take the options of the method out of all others."""
    own = gather(rest)
    preserve = rest.pop("preserve")
    if preserve is not None:
        own["preserve"] = preserve
    require_known(ctx, method, list(own))
    return own


def _one_or_all(sites: tuple[str, ...]) -> Any:
    return sites[0] if len(sites) == 1 else list(sites)


def _read(table: Path, column: str, sites: tuple[str, ...]) -> tuple[dict[Any, Path], Any]:
    """Paths by scan, and everything else about the scans."""
    from isoscan.errors import MissingColumnError, MissingFileError, count, name_some
    from isoscan.tables import read_participants

    people = read_participants(table, labels=(*sites, column))
    if column not in people.columns:
        raise MissingColumnError(
            f"no column '{column}' in {table.name}: {name_some(people.columns, 8)}. Name the "
            f"column with the files with --path.",
            column=column,
        )
    paths = {scan: table.parent / str(name) for scan, name in people[column].items()}
    absent = [str(path) for path in paths.values() if not path.is_symlink() and not path.is_file()]
    if absent:
        raise MissingFileError(
            f"{len(absent)} of {count(paths, 'map')} are not there: {name_some(absent, 3)}.",
            paths=absent,
        )
    return paths, people.drop(columns=column)


@contextmanager
def _shown() -> Iterator[Callable[[str, int, int], None]]:
    """Print what is needed before it is used, and show how far the work is."""
    import sys

    from tqdm import tqdm

    log = logging.getLogger("isoscan.volumes")
    handler, level = _Echo(), log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    bar = tqdm(disable=not sys.stderr.isatty(), leave=False, unit="map")

    def progress(stage: str, done: int, total: int) -> None:
        bar.total = total
        bar.set_description(stage)
        bar.n = done
        bar.refresh()

    try:
        yield progress
    finally:
        bar.close()
        log.removeHandler(handler)
        log.setLevel(level)


class _Echo(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        click.echo(record.getMessage(), err=True)


def _tell(model: Any, n_maps: int, output: Path) -> None:
    from isoscan.errors import count

    voxels = f"{len(model.mask.voxels):,} voxels"
    if n_maps:
        click.echo(f"{count(n_maps, 'map')} harmonized in {voxels}.")
    if model.site_f is not None:
        import numpy as np

        before, after = np.nanmedian(model.site_f, axis=1)
        click.echo(f"Site, F of the median voxel: {before:.3g} before, {after:.3g} after.")
    click.echo(f"Written to {output}: model.isoscan, mask.nii.gz, effects/ and the journal.")
