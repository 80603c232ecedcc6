"""Harmonized maps on their way into a Zarr store: complete at its name, or not there.

The store is made beside its place, in a folder ``.NAME.part`` that also holds the journal of
finished pieces and the model; when all are there, the folder is renamed. The model ends up
beside the store.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.store import software_versions
from isoscan.errors import OutputExistsError
from isoscan.tables.write import write_atomically
from isoscan.volumes.journal import Journal, only_run_in
from isoscan.volumes.model import VolumeModel
from isoscan.volumes.stacks import MAPS, MASK, Box, Maps, import_zarr

MODEL, EFFECTS, ABOUT = "model.isoscan", "effects", "isoscan"
_STORE = "store"


class StackStore:
    """A store in work.

    Parameters
    ----------
    path : Path
        Where it will be.
    work : Path
        Where it is made.
    journal : Journal
        What is finished.
    """

    def __init__(self, path: Path, work: Path, journal: Journal) -> None:
        self.path, self.work, self.journal = path, work, journal
        self._array: Any = None
        self._scan_axis = 0

    @property
    def model(self) -> VolumeModel | None:
        """The model, if a run that was stopped had finished it."""
        if not self.journal.is_done(MODEL):
            return None
        return VolumeModel.load(self.work / MODEL)

    def keep_model(self, model: VolumeModel) -> None:
        """Keep the fitted model, in case the run is stopped.

        Parameters
        ----------
        model : VolumeModel
            As it was fitted.
        """
        content = model.to_bytes()
        self.journal.write(MODEL, content)
        self.journal.note(MODEL, content)

    def begin(
        self, maps: Maps, model: VolumeModel, ids: Sequence[str], about: Mapping[str, Any]
    ) -> None:
        """Make the store, or open the one that a run that was stopped had begun.

        Parameters
        ----------
        maps : Maps
            What the results are made of; they get the same layout.
        model : VolumeModel
            What harmonizes them.
        ids : sequence of str
            Scans.
        about : mapping
            Attributes that describe how the maps lie.
        """
        zarr, root = import_zarr(), self.work / _STORE
        self._scan_axis = int(about["scan_axis"])
        if [*self._pieces()] and (root / "zarr.json").exists():
            self._array = zarr.open_group(root, mode="r+")[MAPS]
            return
        shutil.rmtree(root, ignore_errors=True)
        group = zarr.open_group(root, mode="w", zarr_format=3)
        made = {"run": self.journal.run, "model": model.hash_, "harmonized": True}
        made |= {"version": software_versions()["isoscan"]}
        group.attrs.update({**about, "ids": [*ids], ABOUT: made})
        self._array = group.create_array(
            MAPS,
            shape=self._ordered((maps.n_scans, *maps.grid.shape)),
            chunks=self._ordered(_within(maps)),
            dtype=maps.dtype,
            fill_value=np.nan,
            compressors=_compressor(zarr),
            dimension_names=self._ordered(("scan", "x", "y", "z")),
        )
        _add_maps_of(group, model)

    def _ordered(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """Put what belongs to the axis of scans where that axis is."""
        scans, *rest = values
        return (scans, *rest) if self._scan_axis == 0 else (*rest, scans)

    def _pieces(self) -> Iterator[str]:
        return (name for name in self.journal.finished if name != MODEL)

    def write(self, rows: NDArray[np.intp], box: Box, values: NDArray[Any]) -> str:
        """Write a piece; different pieces may be written at the same time.

        Parameters
        ----------
        rows : ndarray of int
            Scans, one after the other.
        box : tuple of slice
            Voxels.
        values : ndarray of shape (n_rows, n_voxels of the box)
            The first axis of the grid fastest.

        Returns
        -------
        str
            Its SHA-256, to be noted.
        """
        lengths = [part.stop - part.start for part in box]
        piece = values.reshape(len(rows), *lengths[::-1]).transpose(0, 3, 2, 1)
        self._array[self._where(rows, box)] = np.moveaxis(piece, 0, self._scan_axis)
        return _hash(values)

    def note(self, hashes: dict[str, str]) -> None:
        """Note that pieces are finished.

        Parameters
        ----------
        hashes : dict of {str: str}
            SHA-256 by name.
        """
        self.journal.note_hashes(hashes)

    def _where(self, rows: NDArray[np.intp], box: Box) -> tuple[Any, ...]:
        return self._ordered((slice(int(rows[0]), int(rows[-1]) + 1), *box))

    def is_done(self, name: str, rows: NDArray[np.intp], box: Box) -> bool:
        """Whether a piece was finished by a run that was stopped, and is unchanged.

        Parameters
        ----------
        name : str
            Name of the piece.
        rows : ndarray of int
            Scans.
        box : tuple of slice
            Voxels.

        Returns
        -------
        bool
            False if it must be made.
        """
        known = self.journal.finished.get(name)
        if known is None:
            return False
        try:
            values = np.moveaxis(self._array[self._where(rows, box)], self._scan_axis, 0)
        except Exception:  # whatever storage and codecs make of damage
            return False
        return _hash(values.transpose(0, 3, 2, 1).reshape(len(rows), -1)) == known

    def finish(self, *, overwrite: bool) -> None:
        """Put the model and the store at their places.

        Parameters
        ----------
        overwrite : bool
            Replace a store that exists.
        """
        for partial in (self.work / _STORE).rglob("*.partial"):
            partial.unlink()  # of a run that was killed
        model = (self.work / MODEL).read_bytes() if (self.work / MODEL).exists() else None
        if model is not None:
            write_atomically(model_beside(self.path), model, overwrite=overwrite)
        if self.path.exists():
            shutil.rmtree(self.work / "replaced", ignore_errors=True)
            self.path.rename(self.work / "replaced")
        (self.work / _STORE).rename(self.path)


def model_beside(path: Path) -> Path:
    """Where the model of a store is.

    Parameters
    ----------
    path : Path
        The store.

    Returns
    -------
    Path
        The same name, ending in .isoscan.
    """
    return path.with_suffix(".isoscan")


@contextmanager
def store_at(path: Path, run: str, *, resume: bool, overwrite: bool) -> Iterator[StackStore | None]:
    """Make a store, or take up the work on it.

    Parameters
    ----------
    path : Path
        Where it will be.
    run : str
        Fingerprint of everything that the results depend on.
    resume, overwrite : bool
        Take up a run that was stopped; or replace a store that exists.

    Yields
    ------
    StackStore or None
        The store in work; None if it is finished already and `resume` is true.

    Raises
    ------
    OutputExistsError
        If there is a store, and it may not be replaced.
    """
    work = path.with_name(f".{path.name}.part")
    if path.exists() and resume and _run_of(path) == run:
        shutil.rmtree(work, ignore_errors=True)  # if the run was killed while it tidied up
        yield None
        return
    _require_free(path, overwrite=overwrite)
    with only_run_in(work):
        journal = Journal(work, run, resume=resume, overwrite=overwrite)
        store = StackStore(path, work, journal)
        yield store
        store.finish(overwrite=overwrite or resume)
    shutil.rmtree(work, ignore_errors=True)


def _require_free(path: Path, *, overwrite: bool) -> None:
    model, work = model_beside(path), path.with_name(f".{path.name}.part")
    taken = path if path.exists() else model if model.exists() and not work.exists() else None
    if taken is not None and not overwrite:
        raise OutputExistsError(
            f"{taken} exists already. Choose another name, or pass overwrite=True (--overwrite).",
            path=taken,
        )
    if path.exists() and not (path / "zarr.json").is_file():
        raise OutputExistsError(
            f"{path} exists and is no Zarr store; it is not replaced. Choose another name.",
            path=path,
        )


def _run_of(path: Path) -> str | None:
    """Fingerprint of the run that made a store."""
    try:
        about = import_zarr().open_group(path, mode="r").attrs.get(ABOUT, {})
    except Exception:  # no group, or damaged
        return None
    return about.get("run") if isinstance(about, dict) else None


def _within(maps: Maps) -> tuple[int, ...]:
    lengths = (maps.n_scans, *maps.grid.shape)
    return tuple(min(chunk, n) for chunk, n in zip(maps.chunks, lengths, strict=True))


def _compressor(zarr: Any) -> Any:
    return zarr.codecs.ZstdCodec(level=1, checksum=True)


def _add_maps_of(group: Any, model: VolumeModel) -> None:
    """Add the mask, and maps of the site effects."""
    shape, names = model.grid.shape, ("x", "y", "z")
    inside = np.zeros(model.grid.n_voxels, dtype=np.uint8)
    inside[model.mask.voxels] = 1
    group.create_array(MASK, data=inside.reshape(shape, order="F"), dimension_names=names)
    effects = group.create_group(EFFECTS)
    for name, values in model.effects_whole():
        effects.create_array(name, data=values, dimension_names=names, fill_value=np.nan)


def _hash(values: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()
