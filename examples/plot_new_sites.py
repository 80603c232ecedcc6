"""
How many scans does a new site need?
====================================

A model knows five sites. A sixth appears with a few scans. `adapt` estimates its shift and scale
with one of two priors: from the new site's own features (``prior="own"``), or from what the
training sites show (``prior="training"``). Here the truth is known, so that the error of both can
be measured.

The numbers are specific to this simulation: 60 features whose noise correlates by 0.3, and sites
whose shifts have a standard deviation of 0.5 residual SD.
"""

import warnings

import numpy as np
import pandas as pd

import isoscan as iso
from isoscan.errors import IsoscanWarning

warnings.simplefilter("ignore", IsoscanWarning)  # "fewer than 10 scans": that is the point

FORMULA = "age + C(sex) + C(diagnosis)"
NEW = "SITE06"
N_SCANS = (1, 2, 3, 5, 10, 20, 40)
N_COHORTS = 20

# %%
# The model measures shifts from the mean of the training sites, and scales in the unit of the
# pooled residual SD. The truth is put into the same terms.


def truth_as_the_model_sees_it(cohort, training_sites):
    """True shift and scale of the new site, relative to the training sites."""
    weights = training_sites.value_counts(normalize=True)
    unit = np.sqrt((cohort.scale.loc[weights.index] ** 2).mul(weights, axis=0).sum())
    centre = cohort.shift.loc[weights.index].mul(weights, axis=0).sum()
    return (cohort.shift.loc[NEW] - centre) / unit, cohort.scale.loc[NEW] / unit


rows = []
for seed in range(N_COHORTS):
    cohort = iso.phantom.simulate_tables(60, (80, 70, 60, 60, 50, 40), random_state=seed)
    sites, people = cohort.people.site, cohort.people
    old, new = people.index[sites != NEW], people.index[sites == NEW]
    model = iso.ComBat(FORMULA).fit(
        cohort.measures.loc[old], sites=sites[old], covariates=people.loc[old]
    )
    shift, scale = truth_as_the_model_sees_it(cohort, sites[old])
    for n_scans in N_SCANS:
        few = new[:n_scans]
        for prior in ("own", "training") if n_scans > 1 else ("training",):
            adapted = model.adapt(
                cohort.measures.loc[few], sites=sites[few], covariates=people.loc[few], prior=prior
            )
            found = adapted.site_effects_.query("site == @NEW").set_index("feature")
            rows.append(
                {
                    "scans": n_scans,
                    "prior": prior,
                    "shift": ((found["shift"] - shift) ** 2).mean(),
                    "scale": (np.log(found["scale"] / scale) ** 2).mean(),
                }
            )
        rows.append(
            {
                "scans": n_scans,
                "prior": "not corrected",
                "shift": (shift**2).mean(),
                "scale": (np.log(scale) ** 2).mean(),
            }
        )

# %%
# Root mean squared error over features and cohorts: of the shift in residual SD, of the logarithm
# of the scale (0.1 is about 10 %).

errors = pd.DataFrame(rows).groupby(["scans", "prior"]).mean().pow(0.5).unstack("prior")
errors.round(2)

# %%

import matplotlib.pyplot as plt

figure, both = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for axes, what, unit in zip(both, ("shift", "scale"), ("residual SD", "log ratio"), strict=True):
    for prior, column in errors[what].items():
        axes.plot(column.index, column, "o-", markersize=4, label=prior)
    axes.set_xscale("log")
    axes.set_xticks(N_SCANS, N_SCANS)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("scans of the new site")
    axes.set_ylabel(f"error of the {what} ({unit})")
both[0].legend(frameon=False)

# %%
# Use ``prior="training"`` for a new site with few scans. The two approach each other as scans
# accumulate. With two scans, ``prior="own"`` can be worse than no correction at all.
