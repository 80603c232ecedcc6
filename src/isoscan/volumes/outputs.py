"""The folder of results: names, what is done already, and what else lies there."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from isoscan.combat.store import software_versions
from isoscan.errors import DataError, OutputExistsError
from isoscan.nifti.compression import compressor
from isoscan.nifti.sources import ArrayMap, FileMap, Source
from isoscan.tables.write import Content
from isoscan.volumes.bids import sidecar_of
from isoscan.volumes.effect_maps import as_part
from isoscan.volumes.journal import NAME, Journal, fingerprint
from isoscan.volumes.masks import Mask
from isoscan.volumes.space_needed import require_disk


class Results:
    """Harmonized maps in a folder, and the journal of those that are finished.

    Parameters
    ----------
    folder : Path
        Where they are.
    names : sequence of str
        File name of each map.
    journal : Journal
        What is finished.
    """

    def __init__(self, folder: Path, names: Sequence[str], journal: Journal) -> None:
        self.folder, self.names, self.journal = folder, list(names), journal
        self._before: Future[None] | None = None
        self._unnoted: dict[str, str] = {}

    def path(self, row: int) -> Path:
        """File of a map.

        Parameters
        ----------
        row : int
            Number of the map.

        Returns
        -------
        Path
            In the folder of results.
        """
        return self.folder / self.names[row]

    def is_done(self, row: int) -> bool:
        """Whether a map was finished by an earlier run and is unchanged.

        Parameters
        ----------
        row : int
            Number of the map.

        Returns
        -------
        bool
            False if it must be made.
        """
        return self.journal.is_done(self.names[row])

    def is_compressed(self, row: int) -> bool:
        """Whether a map is written as ``.nii.gz``.

        Parameters
        ----------
        row : int
            Number of the map.

        Returns
        -------
        bool
            As its input was.
        """
        return self.names[row].endswith(".gz")

    def write(self, row: int, content: bytes) -> str:
        """Write a map; several threads may do so.

        Parameters
        ----------
        row : int
            Number of the map.
        content : bytes
            The file.

        Returns
        -------
        str
            Its SHA-256, to be noted.
        """
        self.journal.write(self.names[row], content)
        return hashlib.sha256(content).hexdigest()

    def note(self, hashes: Mapping[int, str]) -> None:
        """Note that maps are finished; after other files that are still written.

        Parameters
        ----------
        hashes : mapping of {int: str}
            SHA-256 by number of the map.
        """
        self._unnoted |= {self.names[row]: sha256 for row, sha256 in hashes.items()}
        if self._before is None or self._before.done():
            self._note_rest()

    def _note_rest(self) -> None:
        if self._before is not None:
            self._before.result()
        if self._unnoted:
            self.journal.note_hashes(self._unnoted)
        self._unnoted = {}

    @contextmanager
    def after(self, work: Callable[[], None]) -> Iterator[None]:
        """Let other files be written while maps are made; no map is noted before that is done.

        Parameters
        ----------
        work : callable
            Writes and notes the other files.

        Yields
        ------
        None
            Control; afterwards everything is noted.
        """
        with ThreadPoolExecutor(1) as pool:
            self._before = pool.submit(work)
            yield
            self._note_rest()

    def add(self, name: str, content: bytes) -> None:
        """Write and note another file, unless that is done.

        Parameters
        ----------
        name : str
            Its name.
        content : bytes
            Its content.
        """
        self.add_all({name: lambda: content})

    def add_all(self, contents: Mapping[str, Callable[[], Content]]) -> None:
        """Write and note other files, unless that is done.

        Parameters
        ----------
        contents : mapping of {str: callable}
            What gives the content, by name.
        """

        def write(name: str) -> str:
            content = contents[name]()
            self.journal.write(name, content)
            found = hashlib.sha256()
            for part in [content] if isinstance(content, bytes) else content:
                found.update(part)
            return found.hexdigest()

        todo = [name for name in contents if not self.journal.is_done(name)]
        if todo:
            self.journal.note_hashes({name: write(name) for name in todo})


def run_folder(
    folder: Path,
    sources: Sequence[Source],
    people: pd.DataFrame,
    settings: dict[str, Any],
    *,
    mask: Mask,
    outside: str,
    n_effects: int = 0,
    resume: bool,
    overwrite: bool,
) -> Results:
    """Prepare a folder for the results of a run, or take up a stopped one.

    Parameters
    ----------
    folder : Path
        Where results go; it exists.
    sources : sequence of Source
        Maps.
    people : DataFrame
        Site and covariates, indexed by scan.
    settings : dict
        Everything else that results depend on.
    mask : Mask
        Voxels that are harmonized.
    outside : {"zero", "keep", "nan"}
        What the others become.
    n_effects : int
        Numbers per voxel that the model has; 0 if none is written.
    resume, overwrite : bool
        Take up a stopped run; or start anew.

    Returns
    -------
    Results
        Names and journal.

    Raises
    ------
    OutputExistsError
        If results would replace others, or inputs.
    OutOfSpaceError
        If the disk is too small.
    """
    names = output_names(sources, people)
    _require_affines(sources)
    _spare_inputs(folder, names, sources)
    if not overwrite and not (folder / NAME).exists():
        _require_free(folder, [*names, *map(sidecar_of, names)])
    todo = names if overwrite else [name for name in names if not (folder / name).exists()]
    n_voxels = len(mask.voxels) if outside == "zero" else mask.grid.n_voxels
    require_disk(folder, len(todo), n_voxels, more=12 * n_effects * len(mask.voxels))
    run = run_of(sources, people, settings, names)
    return Results(folder, names, Journal(folder, run, resume=resume, overwrite=overwrite))


def _require_free(folder: Path, names: Sequence[str]) -> None:
    existing = [name for name in names if (folder / name).exists()]
    if existing:
        rest = f" and {len(existing) - 1} more" if existing[1:] else ""
        raise OutputExistsError(
            f"{folder} already holds {existing[0]}{rest}. Choose another folder, or pass "
            f"overwrite=True (--overwrite).",
            files=existing,
        )


def run_of(
    sources: Sequence[Source], people: pd.DataFrame, settings: dict[str, Any], names: Sequence[str]
) -> str:
    """Fingerprint of everything that results depend on.

    Parameters
    ----------
    sources : sequence of Source
        Maps.
    people : DataFrame
        Site and covariates, indexed by scan.
    settings : dict
        Options.
    names : sequence of str
        File names of the results.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    return fingerprint(
        {
            **settings,
            "inputs": [_identity(source) for source in sources],
            "people": people.to_csv(),
            "names": list(names),
            "compressor": compressor(),
            "software": software_versions(),
        }
    )


def output_names(sources: Sequence[Source], people: pd.DataFrame) -> list[str]:
    """Name results after their inputs; after the scans if input names repeat.

    Parameters
    ----------
    sources : sequence of Source
        Maps.
    people : DataFrame
        Indexed by scan.

    Returns
    -------
    list of str
        File names with ``_desc-harmonized_``.
    """
    names = [_named_after(source) for source in sources]
    if None in names or max(Counter(names).values(), default=1) > 1:
        kind = _common_kind(sources)
        names = [f"{_entities(str(scan))}_desc-harmonized{kind}.nii.gz" for scan in people.index]
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise DataError(
            f"several maps would be written as {repeated[0]}: scan ids differ only in signs that "
            f"file names cannot have. Rename the scans.",
            names=repeated,
        )
    return [str(name) for name in names]


def _named_after(source: Source) -> str | None:
    if not isinstance(source, FileMap):
        return None
    stem, dot, suffix = source.name.partition(".nii")
    *entities, kind = stem.split("_")
    if not entities:
        return f"{stem}_desc-harmonized{dot}{suffix}"
    kept = [entity for entity in entities if not entity.startswith("desc-")]
    return "_".join([*kept, "desc-harmonized", kind]) + dot + suffix


def _entities(scan: str) -> str:
    return "_".join(as_part(part) for part in scan.split("_"))


def _common_kind(sources: Sequence[Source]) -> str:
    """What all file names end with before the suffix, such as FA."""
    files = [source.name for source in sources if isinstance(source, FileMap)]
    kinds = {name.partition(".nii")[0].rpartition("_")[2] for name in files}
    kind = kinds.pop() if len(kinds) == 1 and len(files) == len(sources) else ""
    return f"_{kind}" if kind.isalnum() else ""


def _identity(source: Source) -> list[Any]:
    """Tell a map apart from others, cheaply for files."""
    if isinstance(source, FileMap):
        about = source.path.stat()
        return [str(source.path.absolute()), about.st_size, about.st_mtime_ns]
    return [source.name, hashlib.sha256(source.flat().tobytes()).hexdigest()]


def _require_affines(sources: Sequence[Source]) -> None:
    for source in sources:
        if isinstance(source, ArrayMap) and not source.placed:
            raise DataError(
                "arrays do not know where their voxels lie, so they cannot be written as images. "
                "Give nibabel images or a mask with an affine, or leave output out."
            )


def _spare_inputs(folder: Path, names: Sequence[str], sources: Sequence[Source]) -> None:
    """Refuse to write over a map that is read."""
    inputs = {source.path.resolve() for source in sources if isinstance(source, FileMap)}
    for name in names:
        if (folder / name).resolve() in inputs:
            raise OutputExistsError(
                f"{folder / name} is one of the maps that are read; inputs are never replaced. "
                f"Choose another folder.",
                path=folder / name,
            )
