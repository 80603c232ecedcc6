"""Make multi-site MRI data comparable.

Measures from different scanners differ for reasons that have nothing to do with
brains. isoscan estimates what each site adds and multiplies, removes it, and shows
what was wrong before, what is right after, and whether biology survived.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isoscan.combat import ComBat as ComBat
    from isoscan.combat import ComBatLS as ComBatLS
    from isoscan.combat import CovBat as CovBat
    from isoscan.combat import EverySiteKFold as EverySiteKFold
    from isoscan.combat import LongitudinalComBat as LongitudinalComBat
    from isoscan.combat import SiteScorer as SiteScorer
    from isoscan.combat import StepwiseComBat as StepwiseComBat

try:
    __version__ = version("isoscan")
except PackageNotFoundError:  # run from a source tree that was not installed
    __version__ = "unknown"

_HOMES = {
    "ComBat": "isoscan.combat",
    "ComBatLS": "isoscan.combat",
    "CovBat": "isoscan.combat",
    "EverySiteKFold": "isoscan.combat",
    "LongitudinalComBat": "isoscan.combat",
    "Neuroharmony": "isoscan.unseen",
    "SiteScorer": "isoscan.combat",
    "StepwiseComBat": "isoscan.combat",
    "UnseenScanner": "isoscan.unseen",
    "VolumeModel": "isoscan.volumes",
    "compare_pooling": "isoscan.pooling",
    "describe": "isoscan.description",
    "evaluate": "isoscan.evaluation",
    "fit_volumes": "isoscan.volumes",
    "harmonize": "isoscan.harmonizing",
    "harmonize_volumes": "isoscan.volumes",
    "image_quality": "isoscan.quality",
    "leave_one_scanner_out": "isoscan.evaluation.left_out",
    "load": "isoscan.loading",
    "mega_analysis": "isoscan.pooling",
    "merge_models": "isoscan.federated",
    "meta_analysis": "isoscan.pooling",
    "meta_regression": "isoscan.pooling",
    "read_enigma": "isoscan.tables",
    "read_freesurfer": "isoscan.tables",
    "read_measures": "isoscan.tables",
    "read_mriqc": "isoscan.tables",
    "read_participants": "isoscan.tables",
    "read_table": "isoscan.tables",
    "site_effects": "isoscan.pooling",
    "update": "isoscan.federated",
}
_LAYERS = ("errors", "federated", "phantom")

__all__ = ["__version__", *_LAYERS, *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    """Import public names on first use, so that `import isoscan` is quick."""
    if name in _LAYERS:
        return import_module(f"isoscan.{name}")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'isoscan' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
