"""Keep a model in a file that anybody can open without running anything.

A model file is a zip with two members: ``model.json`` says what the model is,
``arrays.npz`` holds its numbers. No pickles, no paths, no subjects. Everything is
checked against limits before it is inflated.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from isoscan.combat.container import Arrays, Container
from isoscan.combat.container import software_versions as software_versions
from isoscan.combat.methods import METHODS
from isoscan.combat.stored_zip import Parts
from isoscan.errors import ModelFileError
from isoscan.tables.write import write_atomically

Model = TypeVar("Model")
MODEL = Container("isoscan-model", 1, "model", "models")


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
    return MODEL.pack(facts, arrays)


def pack_in_parts(facts: dict[str, Any], arrays: Arrays) -> tuple[Parts, str]:
    """Pack a model without copying large arrays, and give the SHA-256 that its file carries.

    Parameters
    ----------
    facts : dict
        Plain description of the model.
    arrays : dict of {str: ndarray}
        Its numbers.

    Returns
    -------
    content : sequence of bytes or memoryview
        Contents of the file; valid while the arrays are.
    sha256 : str
        64 hexadecimal digits.
    """
    return MODEL.pack_in_parts(facts, arrays)


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
    return MODEL.hash_of(facts, arrays)


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
    return MODEL.read(path)


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
    return load_parts(Path(path).name, *read_model(path))


def load_parts(name: str, facts: dict[str, Any], arrays: Arrays) -> Any:
    """Rebuild a model of the family from what its file holds.

    Parameters
    ----------
    name : str
        Name of the file, for messages.
    facts : dict
        Plain description of the model.
    arrays : dict of {str: ndarray}
        Its numbers.

    Returns
    -------
    estimator
        A fitted model, ready to `transform`.

    Raises
    ------
    ModelFileError
        If the method is unknown or the parts do not fit together.
    """
    import isoscan.combat as family

    method = str(facts.get("method"))
    if method not in METHODS.values():
        raise ModelFileError(f"{name}: unknown method '{method}'. Update isoscan.")
    return rebuild(name, getattr(family, method)._from_parts, facts, arrays)


def rebuild(
    name: str, from_parts: Callable[..., Model], facts: dict[str, Any], arrays: Arrays
) -> Model:
    """Put a model together; whatever does not fit becomes one sentence.

    Parameters
    ----------
    name : str
        Name of the file, for messages.
    from_parts : callable
        Makes the model of facts and arrays.
    facts : dict
        Plain description of the model.
    arrays : dict of {str: ndarray}
        Its numbers.

    Returns
    -------
    estimator
        The model.

    Raises
    ------
    ModelFileError
        If the parts do not fit together.
    """
    try:
        return from_parts(facts, arrays)
    except ModelFileError:
        raise
    except Exception as error:
        raise ModelFileError(f"{name}: inconsistent model file ({error}).") from None
