"""What the work on maps needs, how far it is, and what became of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click


@contextmanager
def shown() -> Iterator[Callable[[str, int, int], None]]:
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


@contextmanager
def hint_to_resume() -> Iterator[None]:
    """Say, if the work is interrupted, how it is taken up again."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo("Take the run up with the same command and --resume.", err=True)
        raise


def tell(model: Any, n_maps: int, output: Path) -> None:
    """Print how many maps were harmonized, and how much of them was site."""
    from isoscan.errors import count
    from isoscan.volumes.damaged import SKIPPED
    from isoscan.volumes.stack_store import model_beside
    from isoscan.volumes.stacks import is_store

    voxels = f"{len(model.mask.voxels):,} voxels"
    if n_maps:
        click.echo(f"{count(n_maps, 'map')} harmonized in {voxels}.")
    if model.site_f is not None:
        import numpy as np

        before, after = np.nanmedian(model.site_f, axis=1)
        click.echo(f"Site, F of the median voxel: {before:.3g} before, {after:.3g} after.")
    if is_store(output):
        click.echo(f"Written to {output}, with mask and effects; the model: {model_beside(output)}")
        return
    click.echo(f"Written to {output}: model.isoscan, mask.nii.gz, effects/ and the journal.")
    if (output / SKIPPED).exists():
        click.echo(f"Maps that could not be read: {output / SKIPPED}")
