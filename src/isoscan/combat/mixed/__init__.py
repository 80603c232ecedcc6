"""Mixed models with random effects of one grouping, for thousands of features at once.

`fit_mixed` gives the numbers of lme4 by another way: what features share is computed once.
Groups are subjects with several scans, or sites with many subjects.
"""

from isoscan.combat.mixed.fit import MixedFit, fit_mixed
from isoscan.combat.mixed.groups import GroupEffects, predict_groups

__all__ = ["GroupEffects", "MixedFit", "fit_mixed", "predict_groups"]
