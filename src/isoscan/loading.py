"""Load a model, whatever kind it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from isoscan.combat.methods import METHODS
from isoscan.combat.store import load_parts, read_model


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
    name, (facts, arrays) = Path(path).name, read_model(path)
    method = facts.get("method")
    if method in METHODS.values():
        return load_parts(name, facts, arrays)
    from isoscan.unseen import neuroharmony, neuroharmony_file, scanner, scanner_file

    if method == neuroharmony_file.METHOD:
        return neuroharmony_file.from_file(neuroharmony.Neuroharmony, name, facts, arrays)
    if method == scanner_file.METHOD:
        return scanner_file.from_file(scanner.UnseenScanner, name, facts, arrays)
    return load_parts(name, facts, arrays)
