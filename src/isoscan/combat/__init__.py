"""The ComBat family: what each site adds and multiplies, shrunk and removed."""

from isoscan.combat.combatls import ComBatLS
from isoscan.combat.covbat import CovBat
from isoscan.combat.estimators import ComBat
from isoscan.combat.longitudinal import LongitudinalComBat
from isoscan.combat.scoring import SiteScorer
from isoscan.combat.splitting import EverySiteKFold
from isoscan.combat.stepwise import StepwiseComBat
from isoscan.combat.store import load

__all__ = [
    "ComBat",
    "ComBatLS",
    "CovBat",
    "EverySiteKFold",
    "LongitudinalComBat",
    "SiteScorer",
    "StepwiseComBat",
    "load",
]
