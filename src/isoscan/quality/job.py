"""Measure many images: in parallel, one file each, and no image lost in silence."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from isoscan.errors import IsoscanError, IsoscanWarning, OutputExistsError, count, name_some
from isoscan.quality.cohort import StudyImage, describe_image, find_companions
from isoscan.quality.definitions import get_definition
from isoscan.quality.figures import as_png, draw_masks
from isoscan.quality.image import measure_prepared
from isoscan.quality.prepare import prepare_inputs
from isoscan.quality.sentinels import sentinels_to_missing
from isoscan.quality.table import GROUP_TABLE, gather_images, read_image, write_group, write_image
from isoscan.quality.version import own_version
from isoscan.tables.bids import read_json
from isoscan.tables.write import write_atomically

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Settings:
    """How images are measured.

    Attributes
    ----------
    definition : str
        Name of the definition.
    register : bool
        Whether a template is brought to the head.
    masks : str or None
        Where masks of other programs are.
    keep_sentinels : bool
        Whether -1 and 0 are written where MRIQC does.
    figures : bool
        Whether masks are drawn.
    """

    definition: str = "corrected"
    register: bool = True
    masks: str | None = None
    keep_sentinels: bool = False
    figures: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Attributes
    ----------
    table : DataFrame of shape (n_measured, 68) or None
        Metrics; None if no image could be measured.
    failed : dict of {str: str}
        Name of each image that could not be measured, and why.
    warned : dict of {str: list of str}
        What there is to know about the others.
    """

    table: pd.DataFrame | None
    failed: dict[str, str]
    warned: dict[str, list[str]]


def measure_images(
    images: Sequence[StudyImage],
    folder: Path,
    settings: Settings,
    *,
    n_jobs: int = 1,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Outcome:
    """Measure images and write their metrics, each as soon as it is done.

    Parameters
    ----------
    images : sequence of StudyImage
        What to measure.
    folder : Path
        Where one JSON file per image and the group table go.
    settings : Settings
        How.
    n_jobs : int
        Processes; each needs up to 3 GB for an image of 1 mm.
    resume : bool
        Leave out images that were measured before, from the same files in the same way.
    overwrite : bool
        Replace results that exist.
    progress : callable, optional
        Told the name of each image when it is done, how many are, and of how many.

    Returns
    -------
    Outcome
        Table, and images that failed.

    Raises
    ------
    OutputExistsError
        If results exist already, or those to resume are of other files or settings.
    """
    done = _finished(images, folder, settings, resume=resume, overwrite=overwrite)
    waiting = [image for image in images if image.name not in done]
    failed, warned = {}, {}
    tell = progress or _silent
    n_done = len(done)
    tell("", n_done, len(images))
    replace = overwrite or resume
    for image, result in _each(waiting, folder, settings, replace, n_jobs):
        if isinstance(result, str):
            failed[image.name] = result
        else:
            done[image.name] = result[0]
            warned[image.name] = result[1]
        n_done += 1
        tell(image.name, n_done, len(images))
    table = gather_images(list(done.values())) if done else None
    if table is not None:
        table = table if settings.keep_sentinels else sentinels_to_missing(table)
        table.attrs["failed"] = failed
        write_group(table, folder / GROUP_TABLE, keep_sentinels=True, overwrite=replace)
    return Outcome(table, failed, {name: words for name, words in warned.items() if words})


def measure_one(
    image: StudyImage, folder: Path, settings: Settings, *, overwrite: bool = False
) -> tuple[pd.Series[float], list[str]]:
    """Measure one image of a study and write its metrics.

    Parameters
    ----------
    image : StudyImage
        The image.
    folder : Path
        Where results go.
    settings : Settings
        How it is measured.
    overwrite : bool
        Replace results that exist.

    Returns
    -------
    metrics : Series of shape (68,)
        As `image_quality` gives them.
    warned : list of str
        Warnings.
    """
    chosen = get_definition(settings.definition)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        given = find_companions(image, settings.masks) if settings.masks else {}
        prepared = prepare_inputs(image.path, given, chosen, register=settings.register)
        metrics = measure_prepared(prepared, chosen, image.name)
    said = [str(one.message) for one in caught if issubclass(one.category, IsoscanWarning)]
    if settings.figures:
        picture = as_png(draw_masks(prepared.inputs, image.name))
        write_atomically(folder / "figures" / f"{image.name}.png", picture, overwrite=overwrite)
    write_image(
        metrics,
        folder / image.result,
        bids_meta=describe_image(image),
        provenance={"run": fingerprint(image, settings)},
        keep_sentinels=settings.keep_sentinels,
        overwrite=overwrite,
    )
    return metrics, list(dict.fromkeys(said))


def fingerprint(image: StudyImage, settings: Settings) -> str:
    """Hash of everything the metrics of an image depend on.

    Parameters
    ----------
    image : StudyImage
        The image.
    settings : Settings
        How it is measured.

    Returns
    -------
    str
        SHA-256 of files, settings and version.
    """
    given = find_companions(image, settings.masks) if settings.masks else {}
    files = [image.path]
    for name in sorted(given):
        files += given[name] if isinstance(given[name], list) else [given[name]]
    options = {key: value for key, value in asdict(settings).items() if key != "figures"}
    start = json.dumps([own_version(), options], sort_keys=True).encode()
    whole = hashlib.sha256(start)
    for file in files:
        with file.open("rb") as opened:
            whole.update(hashlib.file_digest(opened, "sha256").digest())
    return whole.hexdigest()


def _finished(
    images: Sequence[StudyImage], folder: Path, settings: Settings, *, resume: bool, overwrite: bool
) -> dict[str, pd.Series[float]]:
    """Images that need not be measured again."""
    existing = [image for image in images if (folder / image.result).exists()]
    if (existing or (folder / GROUP_TABLE).exists()) and not resume and not overwrite:
        raise OutputExistsError(
            f"{folder} holds results already ({count(existing, 'image')}). Choose another folder, "
            f"go on with resume=True (--resume), or start anew with overwrite=True (--overwrite).",
            path=folder,
        )
    if not resume:
        return {}
    same, other = {}, []
    for image in existing:
        content = read_json(folder / image.result)
        origin = content.get("provenance")
        if isinstance(origin, dict) and origin.get("run") == _try_fingerprint(image, settings):
            same[image.name] = read_image(folder / image.result, content)
        else:
            other.append(image.name)
    if other and not overwrite:
        raise OutputExistsError(
            f"{folder} holds results of {count(other, 'image')} from other files, settings or "
            f"another version: {name_some(other, 3)}. Choose another folder, or replace them with "
            f"overwrite=True (--overwrite).",
            path=folder,
        )
    return same


def _try_fingerprint(image: StudyImage, settings: Settings) -> str | None:
    try:
        return fingerprint(image, settings)
    except (IsoscanError, OSError):
        return None


def _each(
    images: Sequence[StudyImage], folder: Path, settings: Settings, overwrite: bool, n_jobs: int
) -> Iterator[tuple[StudyImage, Any]]:
    """Measure images one after the other, or in processes; in order of completion."""
    if n_jobs <= 1 or len(images) <= 1:
        for image in images:
            yield image, _attempt(image, folder, settings, overwrite)
        return
    from concurrent.futures import as_completed

    with _pool(min(n_jobs, len(images))) as pool:
        tasks = {
            pool.submit(_attempt, image, folder, settings, overwrite): image for image in images
        }
        for task in as_completed(tasks):
            error = task.exception()
            ended = f"the process that measured it ended ({error}); was there enough memory?"
            yield tasks[task], task.result() if error is None else ended


def _attempt(image: StudyImage, folder: Path, settings: Settings, overwrite: bool) -> Any:
    """Metrics and warnings; or, if there are none, why."""
    try:
        return measure_one(image, folder, settings, overwrite=overwrite)
    except (IsoscanError, OSError) as error:
        return str(error)
    except Exception as error:  # one odd image must not end a run of thousands
        return f"{type(error).__name__}: {error}"


@contextmanager
def _pool(n_jobs: int) -> Iterator[Any]:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    pool = ProcessPoolExecutor(n_jobs, get_context("spawn"), _one_thread)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _one_thread() -> None:
    """Make processes that do not compete for cores."""
    from threadpoolctl import threadpool_limits

    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"  # read when it is loaded
    threadpool_limits(1)


def _silent(_stage: str, _done: int, _total: int) -> None:
    pass
