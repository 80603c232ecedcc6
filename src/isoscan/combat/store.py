"""Keep a model in a file that anybody can open without running anything.

A model file is a zip with two members: ``model.json`` says what the model is,
``arrays.npz`` holds its numbers. No pickles, no paths, no subjects. Everything is
checked against limits before it is inflated.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoscan.errors import MissingFileError, ModelFileError
from isoscan.tables.write import write_atomically

FORMAT = "isoscan-model"
FORMAT_VERSION = 1
METHODS = ("ComBat", "ComBatLS", "CovBat", "LongitudinalComBat", "StepwiseComBat")
MEMBERS = {"model.json", "arrays.npz"}
MOST_JSON_BYTES = 256 << 20
MOST_ARRAY_BYTES = 64 << 30
_STAMP = (1980, 1, 1, 0, 0, 0)

Arrays = dict[str, NDArray[Any]]


def write_model(
    path: str | Path, facts: dict[str, Any], arrays: Arrays, *, overwrite: bool = False
) -> None:
    """Write a model file; the same model gives the same bytes.

    Parameters
    ----------
    path : str or Path
        Where to write.
    facts : dict
        Plain description of the model.
    arrays : dict of {str: ndarray}
        Its numbers.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    OutputExistsError
        If the file exists and `overwrite` is false.
    """
    write_atomically(path, pack_model(facts, arrays), overwrite=overwrite)


def pack_model(facts: dict[str, Any], arrays: Arrays) -> bytes:
    """Put a model into the bytes of a model file.

    Parameters
    ----------
    facts : dict
        Plain description of the model.
    arrays : dict of {str: ndarray}
        Its numbers.

    Returns
    -------
    bytes
        Contents of the file.
    """
    numbers = _pack_arrays(arrays)
    header = _header(facts, numbers)
    text = json.dumps(header, indent=1, ensure_ascii=False, allow_nan=False).encode()
    return _zip({"model.json": text, "arrays.npz": numbers}, zipfile.ZIP_STORED)


def hash_of(facts: dict[str, Any], arrays: Arrays) -> str:
    """SHA-256 that a model file would carry.

    Parameters
    ----------
    facts : dict
        Plain description of the model.
    arrays : dict of {str: ndarray}
        Its numbers.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    return str(_header(facts, _pack_arrays(arrays))["sha256"])


def _header(facts: dict[str, Any], numbers: bytes) -> dict[str, Any]:
    header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "software": software_versions(),
        "arrays_sha256": hashlib.sha256(numbers).hexdigest(),
        **facts,
    }
    return {"sha256": _hash_facts(header), **header}


def _hash_facts(header: dict[str, Any]) -> str:
    """Hash of everything but the hash itself; the arrays are in it through their own."""
    content = {key: value for key, value in header.items() if key != "sha256"}
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


def _pack_arrays(arrays: Arrays) -> bytes:
    members = {}
    for name, array in sorted(arrays.items()):
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
        members[f"{name}.npy"] = buffer.getvalue()
    return _zip(members, zipfile.ZIP_DEFLATED)


def _zip(members: dict[str, bytes], compression: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name, date_time=_STAMP)
            info.compress_type = compression
            archive.writestr(info, content)
    return buffer.getvalue()


def read_model(path: str | Path) -> tuple[dict[str, Any], Arrays]:
    """Read a model file and check every part of it.

    Parameters
    ----------
    path : str or Path
        A file written by `write_model`.

    Returns
    -------
    facts : dict
        Plain description of the model.
    arrays : dict of {str: ndarray}
        Its numbers.

    Raises
    ------
    ModelFileError
        If the file is damaged, not a model, altered, or of a newer format.
    MissingFileError
        If there is no such file.
    """
    if not Path(path).is_file():
        raise MissingFileError(f"there is no model file {path}.", path=str(path))
    content = Path(path).read_bytes()
    try:
        return _unpack(content, Path(path).name)
    except ModelFileError:
        raise
    except Exception as error:
        raise ModelFileError(f"{Path(path).name}: damaged model file ({error}).") from None


def _unpack(content: bytes, name: str) -> tuple[dict[str, Any], Arrays]:
    if content[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        raise ModelFileError(f"{name}: this is a pickle; pickled models are not supported.")
    if not zipfile.is_zipfile(io.BytesIO(content)):
        raise ModelFileError(f"{name}: not a model file, or cut off at the end.")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {info.filename: info for info in archive.infolist()}
        if set(members) != MEMBERS or len(archive.infolist()) != len(MEMBERS):
            raise ModelFileError(
                f"{name}: holds {sorted(members)[:4]}; a model file holds {sorted(MEMBERS)}."
            )
        header = _member(archive, members["model.json"], MOST_JSON_BYTES, name)
        facts = _read_facts(header, name)
        numbers = _member(archive, members["arrays.npz"], MOST_ARRAY_BYTES, name)
    if hashlib.sha256(numbers).hexdigest() != facts["arrays_sha256"]:
        raise ModelFileError(f"{name}: the checksum of its numbers differs; the file was altered.")
    if _hash_facts(facts) != facts["sha256"]:
        raise ModelFileError(f"{name}: the checksum of model.json differs; the file was altered.")
    return facts, _read_arrays(numbers, name)


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int, name: str) -> bytes:
    """Read a stored (not compressed) member of at most `limit` bytes."""
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > limit:
        raise ModelFileError(f"{name}: {info.filename} is compressed or too large; refused.")
    return archive.read(info)


def _read_facts(text: bytes, name: str) -> dict[str, Any]:
    def refuse_constant(constant: str) -> Any:
        raise ModelFileError(f"{name}: model.json holds {constant}, which is not a number.")

    def refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        if len(set(keys)) < len(keys):
            raise ModelFileError(f"{name}: model.json names a key twice.")
        return dict(pairs)

    facts = json.loads(text, parse_constant=refuse_constant, object_pairs_hook=refuse_duplicates)
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise ModelFileError(f"{name}: not an isoscan model.")
    if facts.get("format_version") != FORMAT_VERSION:
        written = facts.get("software", {}).get("isoscan", "another version")
        raise ModelFileError(
            f"{name}: model format {facts.get('format_version')}, written by isoscan {written}; "
            f"this isoscan reads format {FORMAT_VERSION}. Update isoscan."
        )
    return facts


def _read_arrays(numbers: bytes, name: str) -> Arrays:
    arrays = {}
    with zipfile.ZipFile(io.BytesIO(numbers)) as archive:
        for info in archive.infolist():
            with archive.open(info) as member:
                header = member.read(128)
            expected = _expected_bytes(header, name)
            if info.file_size > expected or expected > MOST_ARRAY_BYTES:
                raise ModelFileError(f"{name}: {info.filename} claims an impossible size; refused.")
            array = np.lib.format.read_array(io.BytesIO(archive.read(info)), allow_pickle=False)
            arrays[info.filename.removesuffix(".npy")] = array
    return arrays


def _expected_bytes(start: bytes, name: str) -> int:
    """Size that the header of an array implies; objects are refused."""
    stream = io.BytesIO(start + b" " * 65536)
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise ModelFileError(f"{name}: an array of unknown format.")
    shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    if dtype.hasobject or dtype.kind not in "fbi":
        raise ModelFileError(f"{name}: an array of {dtype}; only numbers are allowed.")
    return int(np.prod(shape, dtype=object)) * dtype.itemsize + 65536


def load(path: str | Path) -> Any:
    """Load a model that was written by its `save` method.

    Parameters
    ----------
    path : str or Path
        A ``model.isoscan`` file.

    Returns
    -------
    estimator
        A fitted model, ready to `transform`.

    Raises
    ------
    ModelFileError
        If the file is damaged, not a model, altered, or of a newer format.

    Examples
    --------
    >>> model = load("model.isoscan")  # doctest: +SKIP
    """
    import isoscan.combat as family

    facts, arrays = read_model(path)
    method = facts.get("method")
    if method not in METHODS:
        raise ModelFileError(f"{Path(path).name}: unknown method '{method}'. Update isoscan.")
    try:
        return getattr(family, method)._from_parts(facts, arrays)
    except ModelFileError:
        raise
    except Exception as error:
        raise ModelFileError(f"{Path(path).name}: inconsistent model file ({error}).") from None
