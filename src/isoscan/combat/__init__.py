"""ComBat: shift and scale of each site, shrunk, removed, from mergeable moments."""

from isoscan.combat.estimators import ComBat
from isoscan.combat.store import load

__all__ = ["ComBat", "load"]
