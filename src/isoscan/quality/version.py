"""Which isoscan computed the metrics."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def own_version() -> str:
    """Version of isoscan, as it is installed.

    Returns
    -------
    str
        "unknown" if it was not installed.
    """
    try:
        return version("isoscan")
    except PackageNotFoundError:  # run from a source tree
        return "unknown"
