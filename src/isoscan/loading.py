"""Load a model, whatever kind it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from isoscan.combat.store import load as load_family
from isoscan.combat.store import read_model


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
    from isoscan import unseen

    kinds: dict[str, Any] = {
        "Neuroharmony": unseen.Neuroharmony,
        "UnseenScanner": unseen.UnseenScanner,
    }
    method = str(read_model(path)[0].get("method"))
    return kinds[method].load(path) if method in kinds else load_family(path)
