"""Effects of every site, and one answer from all of them.

`site_effects` regresses within each site; `meta_analysis` pools what comes out, or any
table of published effects; `meta_regression` asks why sites differ. No subject's data
leave a site for that. Numbers follow metafor 5.1; Cohen's d follows ENIGMA's scripts.
"""

from isoscan.pooling.compare import PoolingComparison, compare_pooling
from isoscan.pooling.figures import plot_agreement, plot_effects
from isoscan.pooling.forest import plot_forest
from isoscan.pooling.mega import MegaAnalysis, mega_analysis
from isoscan.pooling.meta import MetaAnalysis, meta_analysis
from isoscan.pooling.meta_regression import MetaRegression, meta_regression
from isoscan.pooling.multiplicity import adjust_p
from isoscan.pooling.site_table import SiteEffects
from isoscan.pooling.sites import site_effects
from isoscan.pooling.small_sites import egger_test

__all__ = [
    "MegaAnalysis",
    "MetaAnalysis",
    "MetaRegression",
    "PoolingComparison",
    "SiteEffects",
    "adjust_p",
    "compare_pooling",
    "egger_test",
    "mega_analysis",
    "meta_analysis",
    "meta_regression",
    "plot_agreement",
    "plot_effects",
    "plot_forest",
    "site_effects",
]
