"""Notice from the sidecar of a table that it was harmonized before."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from isoscan.errors import HarmonizedBeforeWarning, count
from isoscan.tables import read_sidecar


def read_sidecars(paths: Iterable[Path]) -> dict[str, Any]:
    """What is known about the columns of all tables."""
    known: dict[str, Any] = {}
    for path in paths:
        if path.is_file():
            known |= read_sidecar(path)
    return known


def warn_if_harmonized(paths: Iterable[Path], features: Sequence[str]) -> None:
    """Warn of measures whose sidecar says that a model harmonized them."""
    for path in filter(Path.is_file, paths):
        sidecar = read_sidecar(path)
        entries = {name: sidecar.get(name) for name in features}
        before = [name for name, entry in entries.items() if _is_marked(entry)]
        if before:
            number_of = count(before, "measure has", "measures have")
            warnings.warn(
                f"{number_of} been harmonized before, in {path.name}{_by_model(sidecar)}, says "
                f"{path.with_suffix('.json').name}. "
                f"Harmonizing twice takes out what is no site effect any more: start from the "
                f"table as it was before. If that is what this table is, remove its sidecar.",
                HarmonizedBeforeWarning,
                stacklevel=2,
            )


def _is_marked(entry: Any) -> bool:
    return isinstance(entry, dict) and entry.get("Harmonized") is True


def _by_model(sidecar: dict[str, Any]) -> str:
    """The model that did it, by method and the beginning of its hash."""
    made = sidecar.get("GeneratedBy")
    last = made[0] if isinstance(made, list) and made and isinstance(made[0], dict) else {}
    if "ModelSHA256" not in last:
        return ""
    return f" by {last.get('Method', 'a model')} {str(last['ModelSHA256'])[:12]}"
