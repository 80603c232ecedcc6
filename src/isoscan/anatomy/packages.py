"""Packages of the extra [images], imported when they are needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from isoscan.errors import MissingPackageError


def require_package(module: str, purpose: str) -> Any:
    """Import a module of the extra [images].

    Parameters
    ----------
    module : str
        Such as ``"nilearn.datasets"``.
    purpose : str
        What it is needed for, in messages.

    Returns
    -------
    module
        The module.

    Raises
    ------
    MissingPackageError
        If its package is not installed.

    Examples
    --------
    >>> require_package("math", "roots").sqrt(4.0)
    2.0
    """
    try:
        return import_module(module)
    except ImportError:
        raise MissingPackageError(
            f"{purpose} needs the package {module.partition('.')[0]}. Install it: "
            f'pip install "isoscan[images]".'
        ) from None
