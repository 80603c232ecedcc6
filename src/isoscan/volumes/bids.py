"""What BIDS wants to know about harmonized maps: what the folder is, and where each came from."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isoscan.combat.store import software_versions
from isoscan.errors import HarmonizedBeforeWarning, count
from isoscan.nifti.sources import FileMap, Source
from isoscan.tables.write import write_atomically

if TYPE_CHECKING:
    from isoscan.volumes.model import VolumeModel

DESCRIPTION, BIDS_VERSION = "dataset_description.json", "1.10.0"
_KEPT = ("Units", "SpatialReference", "Resolution", "SkullStripped")
_LARGEST_SIDECAR = 1 << 20


def sidecar_of(name: str) -> str:
    """Name of the JSON file beside a map.

    Parameters
    ----------
    name : str
        File name of the map.

    Returns
    -------
    str
        The same, ending in ``.json``.

    Examples
    --------
    >>> sidecar_of("sub-01_FA.nii.gz")
    'sub-01_FA.json'
    """
    return name.partition(".nii")[0] + ".json"


def warn_if_harmonized(sources: Sequence[Source]) -> None:
    """Warn of maps whose names say that they were harmonized before.

    Parameters
    ----------
    sources : sequence of Source
        Maps.
    """
    names = [source.name for source in sources if isinstance(source, FileMap)]
    before = [name for name in names if "desc-harmonized" in name]
    if before:
        warnings.warn(
            f"{count(before, 'map')} such as {before[0]} were harmonized before, says the name. "
            f"Harmonizing twice takes out what is no site effect any more: start from the maps "
            f"as they were before.",
            HarmonizedBeforeWarning,
            stacklevel=4,
        )


def describe_results(
    folder: Path, names: Sequence[str], sources: Sequence[Source], model: VolumeModel
) -> None:
    """Write ``dataset_description.json``, and a sidecar beside every map.

    Parameters
    ----------
    folder : Path
        Where the maps are.
    names : sequence of str
        File names of the maps.
    sources : sequence of Source
        What they were made of, in the same order.
    model : VolumeModel
        What harmonized them.
    """
    links = Links(folder, sources)
    describe_dataset(folder, links, model)
    describe_maps(folder, names, sources, links, model)


def describe_maps(
    folder: Path,
    names: Sequence[str],
    sources: Sequence[Source],
    links: Links,
    model: VolumeModel,
) -> None:
    """Write a sidecar beside every map; one that is there and the same is left alone.

    Parameters
    ----------
    folder : Path
        Where the maps are.
    names : sequence of str
        File names of the maps.
    sources : sequence of Source
        What they were made of, in the same order.
    links : Links
        Where they came from.
    model : VolumeModel
        What harmonized them.
    """
    about = {"Description": f"Harmonized across sites with {_method(model)}."}
    made = {"Harmonized": True, "ModelSHA256": model.hash_}

    for name, source in zip(names, sources, strict=True):  # threads would only wait for each other
        known = _read_sidecar(source)
        kept = {key: known[key] for key in _KEPT if key in known}
        came_from = {"Sources": [links.uri(source)]} if isinstance(source, FileMap) else {}
        _put(folder / sidecar_of(name), {**about, **came_from, **kept, **made})


def describe_dataset(folder: Path, links: Links, model: VolumeModel) -> None:
    """Write ``dataset_description.json``, unless there is that of another program.

    Parameters
    ----------
    folder : Path
        Where results are.
    links : Links
        Data sets that the maps came from.
    model : VolumeModel
        What harmonized them.
    """
    path = folder / DESCRIPTION
    made_by = _read_json(path).get("GeneratedBy") if path.exists() else None
    if path.exists() and not (isinstance(made_by, list) and "isoscan" in str(made_by)):
        return
    tool = {"Name": "isoscan", "Version": software_versions()["isoscan"]}
    content: dict[str, Any] = {
        "Name": "Maps harmonized across sites",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{**tool, "Description": _method(model)}],
    }
    if links.roots:
        content["DatasetLinks"] = links.datasets
    _put(path, content)


def _method(model: VolumeModel) -> str:
    preserved = getattr(model.estimator, "preserve", None)
    kept = f"preserving {preserved}" if preserved else "nothing preserved"
    return f"{type(model.estimator).__name__}, {kept}"


class Links:
    """Where maps came from, as BIDS writes it: data set and path within.

    Parameters
    ----------
    folder : Path
        Where results go; paths are relative to it.
    sources : sequence of Source
        All maps of the job.
    """

    def __init__(self, folder: Path, sources: Sequence[Source]) -> None:
        self.folder = folder.absolute()
        files = [source.path.absolute() for source in sources if isinstance(source, FileMap)]
        found = {parent: _dataset_of(parent) for parent in sorted({file.parent for file in files})}
        self._root_of = {parent: root for parent, root in found.items() if root is not None}
        roots = sorted(set(self._root_of.values()))
        self.roots = {
            root: "input" if len(roots) == 1 else f"input{number}"
            for number, root in enumerate(roots, 1)
        }

    @property
    def datasets(self) -> dict[str, str]:
        """Data sets by the names that the sources give them."""
        return {name: self._relative(root) for root, name in self.roots.items()}

    def uri(self, source: FileMap) -> str:
        """Say where a map came from.

        Parameters
        ----------
        source : FileMap
            One of the maps.

        Returns
        -------
        str
            A BIDS URI if it lies in a BIDS data set, else a path.
        """
        path = source.path.absolute()
        root = self._root_of.get(path.parent)
        if root is None:
            return self._relative(path)
        return f"bids:{self.roots[root]}:{path.relative_to(root).as_posix()}"

    def _relative(self, path: Path) -> str:
        try:
            return Path(os.path.relpath(path, self.folder)).as_posix()
        except ValueError:  # another drive
            return path.as_posix()


def _dataset_of(folder: Path) -> Path | None:
    for parent in (folder, *folder.parents):
        if (parent / DESCRIPTION).is_file():
            return parent
    return None


def _read_sidecar(source: Source) -> dict[str, Any]:
    if not isinstance(source, FileMap):
        return {}
    return _read_json(source.path.with_name(sidecar_of(source.name)))


def _read_json(path: Path) -> dict[str, Any]:
    """Content of a JSON file; nothing if it is no sound one."""
    try:
        if path.stat().st_size > _LARGEST_SIDECAR:
            return {}
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _put(path: Path, content: dict[str, Any]) -> None:
    data = (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
    if not (path.is_file() and path.read_bytes() == data):
        write_atomically(path, data, overwrite=True, durable=False)
