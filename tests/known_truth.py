"""Where tests find reference data that cannot be part of the project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("ISOSCAN_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def shared_folder(name: str) -> Path:
    """Return a folder of reference data, or skip the test if it is not here."""
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"reference data '{name}' are not here (set ISOSCAN_SHARED)")
    return folder
