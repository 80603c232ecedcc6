"""Maps that cannot be read: all of them are named at once, or left out and listed."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from isoscan.errors import (
    ImageFileError,
    ImageWarning,
    IsoscanError,
    MissingFileError,
    count,
    name_some,
)
from isoscan.nifti.sources import FileMap, Source, as_source
from isoscan.volumes.outputs import Results
from isoscan.volumes.stream import Progress, in_blocks, silent

logger = logging.getLogger(__name__)

Bad = Literal["error", "skip"]
SKIPPED = "skipped.tsv"
_ADVICE = " Copy the file again from its source."


@dataclass(frozen=True)
class Damaged:
    """A map that cannot be read.

    Attributes
    ----------
    scan : str
        Whose map it is.
    file : str
        Where it is.
    reason : str
        What is wrong with it.
    absent : bool
        Whether there is no such file.
    """

    scan: str
    file: str
    reason: str
    absent: bool = False

    @classmethod
    def of(cls, scan: Any, file: Any, error: Exception) -> Damaged:
        """What an error says about a map.

        Parameters
        ----------
        scan : object
            Whose map it is.
        file : path-like
            Where it is.
        error : ImageFileError, or OSError
            What reading it raised.

        Returns
        -------
        Damaged
            Its message, without the name of the file.
        """
        if isinstance(error, FileNotFoundError):
            return cls(str(scan), str(file), "there is no such file", absent=True)
        if isinstance(error, OSError):
            return cls(str(scan), str(file), f"cannot be read: {error.strerror}")
        words = str(error).removeprefix(Path(str(file)).name).lstrip(": ").replace(_ADVICE, "")
        return cls(str(scan), str(file), words.rstrip("."))


def open_maps(
    volumes: Iterable[Any], scans: Iterable[Any]
) -> tuple[list[Source | None], list[Damaged]]:
    """Read the headers of all maps.

    Parameters
    ----------
    volumes : iterable of path-like, nibabel images or arrays
        Maps.
    scans : iterable
        Whose map each is.

    Returns
    -------
    sources : list of Source or None
        None where a file cannot be read.
    damaged : list of Damaged
        What is wrong there.
    """
    sources: list[Source | None] = []
    damaged = []
    for volume, scan in zip(volumes, scans, strict=True):
        try:
            sources.append(as_source(volume, f"map '{scan}'"))
        except (ImageFileError, MissingFileError) as error:
            if not isinstance(volume, str | os.PathLike):
                raise
            sources.append(None)
            damaged.append(Damaged.of(scan, volume, error))
    return sources, damaged


def find_damaged(
    sources: Sequence[Source], scans: Iterable[Any], progress: Progress = silent
) -> list[Damaged]:
    """Read all files, to the last checksum.

    Parameters
    ----------
    sources : sequence of Source
        Maps; images and arrays are not looked at.
    scans : iterable
        Whose map each is.
    progress : callable
        Told the stage, how many maps are done, and of how many.

    Returns
    -------
    list of Damaged
        Those that cannot be read.
    """

    def check(pair: tuple[Any, Source]) -> Damaged | None:
        scan, source = pair
        if isinstance(source, FileMap):
            try:
                source.flat()
            except (ImageFileError, OSError) as error:
                return Damaged.of(scan, source.path, error)
        return None

    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImageWarning)  # comes when the map is used
        pairs = [*zip(scans, sources, strict=True)]
        for done, one in enumerate(in_blocks(check, pairs), 1):
            found += [one] if one else []
            progress("check", done, len(pairs))
    return found


def refuse(damaged: Sequence[Damaged], n_maps: int) -> None:
    """Refuse maps that cannot be read, all of them by name.

    Parameters
    ----------
    damaged : sequence of Damaged
        Those maps.
    n_maps : int
        Of how many.

    Raises
    ------
    MissingFileError
        If none of them is there.
    ImageFileError
        If files are damaged.
    """
    if not damaged:
        return
    files = [one.file for one in damaged]
    go_on = "go on without them: bad='skip' (--skip-bad)"
    if all(one.absent for one in damaged):
        raise MissingFileError(
            f"{len(files)} of {count(n_maps, 'map')} are not there: {name_some(files, 3)}. Name "
            f"the right files, or {go_on}.",
            paths=files,
        )
    lines = "\n".join(f"  {one.file}: {one.reason}" for one in damaged)
    raise ImageFileError(
        f"{len(files)} of {count(n_maps, 'map')} cannot be read. Copy them again from their "
        f"source, or {go_on}.\n{lines}",
        names=[Path(file).name for file in files],
        paths=files,
    )


def warn_of(damaged: Sequence[Damaged], n_maps: int) -> None:
    """Say which maps are left out because they cannot be read.

    Parameters
    ----------
    damaged : sequence of Damaged
        Those maps.
    n_maps : int
        Of how many.
    """
    if damaged:
        parts = [f"{Path(one.file).name} ({one.reason})" for one in damaged[:5]]
        more = f" and {len(damaged) - 5} more" if len(damaged) > 5 else ""
        warnings.warn(
            f"{len(damaged)} of {count(n_maps, 'map')} left out, because they cannot be read: "
            f"{', '.join(parts)}{more}. Results are those of the others.",
            ImageWarning,
            stacklevel=5,
        )


@contextmanager
def all_named(sources: Sequence[Source], scans: Iterable[Any]) -> Iterator[None]:
    """If a map turns out to be damaged, look for all others that are, and name them.

    Parameters
    ----------
    sources : sequence of Source
        Maps that are worked on.
    scans : iterable
        Whose map each is.

    Yields
    ------
    None
        Control to the work.
    """
    try:
        yield
    except (ImageFileError, OSError) as error:
        if isinstance(error, IsoscanError) and not isinstance(error, ImageFileError):
            raise
        logger.info("A map cannot be read. Looking for others that are damaged.")
        refuse(find_damaged(sources, scans), len(sources))
        raise


def list_damaged(
    results: Results, damaged: Sequence[Damaged], people: pd.DataFrame, *, overwrite: bool
) -> None:
    """List maps that were left out in the folder of results.

    Parameters
    ----------
    results : Results
        Folder and journal.
    damaged : sequence of Damaged
        Those maps.
    people : DataFrame
        Names what scans are called.
    overwrite : bool
        Whether the list of an earlier run may go.
    """
    if damaged:
        rows = [(one.scan, one.file, one.reason) for one in damaged]
        name = str(people.index.name or "participant_id")
        table = pd.DataFrame(rows, columns=[name, "file", "reason"])
        results.add(SKIPPED, table.to_csv(sep="\t", index=False, lineterminator="\n").encode())
    elif overwrite:
        (results.folder / SKIPPED).unlink(missing_ok=True)


def read_list(folder: Path) -> list[Damaged]:
    """Read which maps a run left out.

    Parameters
    ----------
    folder : Path
        Its results.

    Returns
    -------
    list of Damaged
        None if there is no such list.
    """
    path = folder / SKIPPED
    if not path.is_file():
        return []
    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    return [Damaged(*row) for row in table.itertuples(index=False)]
