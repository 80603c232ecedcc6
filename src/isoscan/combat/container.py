"""A zip of one JSON member and one npz member, that anybody can open without running anything.

Models and the messages of federated fits are kept in it. No pickles, no paths. Everything is
checked against limits before it is inflated.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.stored_zip import MOST_BYTES, Parts, size_of, stored_zip
from isoscan.errors import MissingFileError, ModelFileError

_STAMP = (1980, 1, 1, 0, 0, 0)
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_SLACK = 65536  # what headers of arrays and zips may take

Arrays = dict[str, NDArray[Any]]
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Container:
    """One kind of file: how it is called, and what it may hold.

    Attributes
    ----------
    format : str
        Its name within the file.
    version : int
        The version that is written and read.
    what : str
        Its name in sentences, such as "model".
    plural : str
        The same, for several.
    most_json_bytes, most_array_bytes : int
        Limits of the two members.
    error : type
        What is raised if a file is refused.
    """

    format: str
    version: int
    what: str
    plural: str
    most_json_bytes: int = 256 << 20
    most_array_bytes: int = 64 << 30
    error: type[ModelFileError] = ModelFileError

    @property
    def json_member(self) -> str:
        """Name of the member that says what the file is."""
        return f"{self.what}.json"

    @property
    def members(self) -> set[str]:
        """Names of both members."""
        return {self.json_member, "arrays.npz"}

    def pack(self, facts: dict[str, Any], arrays: Arrays) -> bytes:
        """Put facts and numbers into the bytes of a file; the same give the same bytes.

        Parameters
        ----------
        facts : dict
            Plain types.
        arrays : dict of {str: ndarray}
            Numbers.

        Returns
        -------
        bytes
            Contents of the file.
        """
        return b"".join(self.pack_in_parts(facts, arrays)[0])

    def pack_in_parts(self, facts: dict[str, Any], arrays: Arrays) -> tuple[Parts, str]:
        """Pack without copying large arrays, and give the SHA-256 that the file carries.

        Parameters
        ----------
        facts : dict
            Plain types.
        arrays : dict of {str: ndarray}
            Numbers.

        Returns
        -------
        content : sequence of bytes or memoryview
            Contents of the file; valid while the arrays are.
        sha256 : str
            64 hexadecimal digits, those of `hash_of`.
        """
        numbers = _pack_arrays(arrays)
        header = self._header(facts, numbers)
        text = json.dumps(header, indent=1, ensure_ascii=False, allow_nan=False).encode()
        content = _stored({self.json_member: [text], "arrays.npz": numbers})
        return content, str(header["sha256"])

    def hash_of(self, facts: dict[str, Any], arrays: Arrays) -> str:
        """SHA-256 that the file would carry.

        Parameters
        ----------
        facts : dict
            Plain types.
        arrays : dict of {str: ndarray}
            Numbers.

        Returns
        -------
        str
            64 hexadecimal digits.
        """
        return str(self._header(facts, _pack_arrays(arrays))["sha256"])

    def _header(self, facts: dict[str, Any], numbers: Parts) -> dict[str, Any]:
        hash_of_numbers = hashlib.sha256()
        for part in numbers:
            hash_of_numbers.update(part)
        header = {
            "format": self.format,
            "format_version": self.version,
            "software": software_versions(),
            "arrays_sha256": hash_of_numbers.hexdigest(),
            **facts,
        }
        return {"sha256": hash_facts(header), **header}

    def read(
        self, path: str | Path, *, announced: Callable[[dict[str, Any]], Shapes] | None = None
    ) -> tuple[dict[str, Any], Arrays]:
        """Read a file and check every part of it.

        Parameters
        ----------
        path : str or Path
            The file.
        announced : callable, optional
            Takes the facts, checks them, and says which arrays of which shapes must follow.
            Nothing else is inflated.

        Returns
        -------
        facts : dict
            Plain types.
        arrays : dict of {str: ndarray}
            Numbers.

        Raises
        ------
        ModelFileError
            If the file is damaged, of another kind, altered, or of a newer format.
        MissingFileError
            If there is no such file.
        """
        path = Path(path)
        if not path.is_file():
            raise MissingFileError(f"there is no {self.what} file {path}.", path=str(path))
        try:
            return self._unpack(path, announced)
        except ModelFileError:
            raise
        except Exception as error:
            raise self.error(f"{path.name}: damaged {self.what} file ({error}).") from None

    def _unpack(
        self, path: Path, announced: Callable[[dict[str, Any]], Shapes] | None
    ) -> tuple[dict[str, Any], Arrays]:
        name = path.name
        with path.open("rb") as file:
            if file.read(2) in _PICKLES:
                raise self.error(
                    f"{name}: this is a pickle; pickled {self.plural} are not supported."
                )
        if not zipfile.is_zipfile(path):
            raise self.error(f"{name}: not a {self.what} file, or cut off at the end.")
        with zipfile.ZipFile(path) as archive:
            members = {info.filename: info for info in archive.infolist()}
            if set(members) != self.members or len(archive.infolist()) != len(self.members):
                raise self.error(
                    f"{name}: holds {sorted(members)[:4]}; a {self.what} file holds "
                    f"{sorted(self.members)}."
                )
            header = self._member(archive, members[self.json_member], self.most_json_bytes, name)
            facts = self._read_facts(header, name)
            shapes = None if announced is None else announced(facts)
            limit = self.most_array_bytes if shapes is None else _most_bytes(shapes)
            numbers = self._member(archive, members["arrays.npz"], limit, name)
        if hashlib.sha256(numbers).hexdigest() != facts["arrays_sha256"]:
            raise self.error(f"{name}: the checksum of its numbers differs; the file was altered.")
        if hash_facts(facts) != facts["sha256"]:
            raise self.error(
                f"{name}: the checksum of {self.json_member} differs; the file was altered."
            )
        return facts, self._read_arrays(numbers, name, shapes)

    def _member(
        self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int, name: str
    ) -> bytes:
        """Read a stored (not compressed) member of at most `limit` bytes."""
        if info.compress_type != zipfile.ZIP_STORED or info.file_size > limit:
            raise self.error(f"{name}: {info.filename} is compressed or too large; refused.")
        return archive.read(info)

    def _read_facts(self, text: bytes, name: str) -> dict[str, Any]:
        facts = read_json(text, f"{name}: {self.json_member}", self.error)
        if not isinstance(facts, dict) or facts.get("format") != self.format:
            raise self.error(f"{name}: not an isoscan {self.what}.")
        if facts.get("format_version") != self.version:
            written = facts.get("software", {}).get("isoscan", "another version")
            raise self.error(
                f"{name}: {self.what} format {facts.get('format_version')}, written by isoscan "
                f"{written}; this isoscan reads format {self.version}. Update isoscan."
            )
        return facts

    def _read_arrays(self, numbers: bytes, name: str, shapes: Shapes | None) -> Arrays:
        arrays = {}
        with zipfile.ZipFile(io.BytesIO(numbers)) as archive:
            found = [info.filename.removesuffix(".npy") for info in archive.infolist()]
            if shapes is not None and sorted(found) != sorted(shapes):
                raise self.error(
                    f"{name}: holds the arrays {sorted(found)[:12]}, expected {sorted(shapes)}."
                )
            for key, info in zip(found, archive.infolist(), strict=True):
                with archive.open(info) as member:
                    shape, size = self._announced_size(member.read(128), name)
                if info.file_size > size + _SLACK or size > self.most_array_bytes:
                    raise self.error(f"{name}: {info.filename} claims an impossible size; refused.")
                if shapes is not None and shape != tuple(shapes[key]):
                    raise self.error(
                        f"{name}: '{key}' has shape {shape}, expected {tuple(shapes[key])}."
                    )
                content = io.BytesIO(archive.read(info))
                arrays[key] = np.lib.format.read_array(content, allow_pickle=False)
        return arrays

    def _announced_size(self, start: bytes, name: str) -> tuple[tuple[int, ...], int]:
        """Shape and bytes that the header of an array implies; objects are refused."""
        stream = io.BytesIO(start + b" " * _SLACK)
        if np.lib.format.read_magic(stream) != (1, 0):
            raise self.error(f"{name}: an array of unknown format.")
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        if dtype.hasobject or dtype.kind not in "fbi":
            raise self.error(f"{name}: an array of {dtype}; only numbers are allowed.")
        return shape, int(np.prod(shape, dtype=object)) * dtype.itemsize


def read_json(text: bytes, what: str, error: type[ModelFileError] = ModelFileError) -> Any:
    """Read JSON that somebody mailed: no NaN, no key twice.

    Parameters
    ----------
    text : bytes
        The text.
    what : str
        Its name in messages.
    error : type
        What is raised if it is refused.

    Returns
    -------
    object
        Plain types.

    Raises
    ------
    ModelFileError
        If a constant or a repeated key is in it.
    """

    def refuse_constant(constant: str) -> Any:
        raise error(f"{what} holds {constant}, which is not a number.")

    def refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        if len(set(keys)) < len(keys):
            raise error(f"{what} names a key twice.")
        return dict(pairs)

    return json.loads(text, parse_constant=refuse_constant, object_pairs_hook=refuse_duplicates)


def hash_facts(facts: Mapping[str, Any]) -> str:
    """SHA-256 of facts, whatever the order of their keys; the key `sha256` does not count.

    Parameters
    ----------
    facts : mapping
        Plain types.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    content = {key: value for key, value in facts.items() if key != "sha256"}
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def software_versions() -> dict[str, str]:
    """Versions that produced a result.

    Returns
    -------
    dict of {str: str}
        isoscan, numpy and Python.
    """
    from isoscan import __version__

    return {
        "isoscan": __version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def _most_bytes(shapes: Shapes) -> int:
    """Most that arrays of these shapes can take in a zip, compressed or not."""
    return sum(int(np.prod(s, dtype=object)) * 8 * 11 // 10 + _SLACK for s in shapes.values())


_MOST_COMPRESSED = 32 << 20
"""Larger numbers are stored as they are: they shrink by a tenth, and that takes seconds."""


def _pack_arrays(arrays: Arrays) -> Parts:
    members = {f"{name}.npy": _array_parts(array) for name, array in sorted(arrays.items())}
    if sum(map(size_of, members.values())) > _MOST_COMPRESSED:  # a model of all voxels of a brain
        return _stored(members)
    return [_zip(members, zipfile.ZIP_DEFLATED)]


def _stored(members: Mapping[str, Parts]) -> Parts:
    """A zip that compresses nothing."""
    if sum(map(size_of, members.values())) < MOST_BYTES - _SLACK * len(members):
        return stored_zip(members, _STAMP)
    return [_zip(members, zipfile.ZIP_STORED)]


def _array_parts(array: NDArray[Any]) -> Parts:
    """Header and numbers of an array; large numbers are not copied for it."""
    array = np.ascontiguousarray(array)
    start = io.BytesIO()
    np.lib.format.write_array_header_1_0(start, np.lib.format.header_data_from_array_1_0(array))
    return [start.getvalue(), array.reshape(-1).view(np.uint8).data]


def _zip(members: Mapping[str, Parts], compression: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, parts in members.items():
            info = zipfile.ZipInfo(name, date_time=_STAMP)
            info.compress_type = compression
            info.file_size = size_of(parts)
            with archive.open(info, "w") as member:
                for part in parts:
                    member.write(part)
    return buffer.getvalue()
