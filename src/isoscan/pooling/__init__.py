"""Effects of every site, and one answer from all of them.

`site_effects` regresses within each site; `meta_analysis` pools what comes out, or any
table of published effects; `meta_regression` asks why sites differ. No subject's data
leave a site for that. Numbers follow metafor 5.1; Cohen's d follows ENIGMA's scripts.
"""

from isoscan.pooling.meta import MetaAnalysis, meta_analysis
from isoscan.pooling.meta_regression import MetaRegression, meta_regression
from isoscan.pooling.multiplicity import adjust_p
from isoscan.pooling.site_table import SiteEffects
from isoscan.pooling.sites import site_effects
from isoscan.pooling.small_sites import egger_test

__all__ = [
    "MetaAnalysis",
    "MetaRegression",
    "SiteEffects",
    "adjust_p",
    "egger_test",
    "meta_analysis",
    "meta_regression",
    "site_effects",
]
