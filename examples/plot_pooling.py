"""
One effect from many sites
==========================

Patients and controls were scanned at twelve sites. What is their difference? It can be estimated
within sites and pooled, with one model over all scans, or after ComBat. Here the truth is known:
in half of the regions the difference is the same at every site, in the other half it varies.
"""

import numpy as np
import pandas as pd

import isoscan as iso
from isoscan.phantom import simulate_tables
from isoscan.pooling import plot_agreement, plot_forest, site_effects

# %%
# The truth is a difference of -0.3 standard deviations on average. In the last two hundred regions
# the difference at a site deviates from that by 0.3, in the first two hundred it does not.

MEAN, BETWEEN = -0.3, 0.3
REGIONS = ["region001_thickness", "region201_thickness"]
random = np.random.default_rng(4)
cohort = simulate_tables(
    400, tuple(random.integers(24, 90, 12)), shared_noise=0.0, random_state=random
)
people = cohort.people
noise = cohort.clean - cohort.clean.mean()
spread = pd.Series(np.std(noise, axis=0), cohort.measures.columns)
own = pd.DataFrame(
    MEAN + random.normal(0, BETWEEN, cohort.shift.shape),
    cohort.shift.index,
    cohort.shift.columns,
)
own.iloc[:, :200] = MEAN
patient = (people.diagnosis == "patient").astype(float)
former = np.outer(patient, cohort.slopes.loc["diagnosis"])
measures = cohort.measures - former
measures += own.loc[people.site].to_numpy() * spread.to_numpy() * patient.to_numpy()[:, None]

question = {
    "sites": people.site,
    "covariates": people,
    "contrast": "diagnosis",
    "groups": ("control", "patient"),
    "adjust": "age + C(sex)",
}

# %%
# Within sites, then pooled. The diamond is the mean; the bar below it says where to expect a site
# that was not part of this. In the region on top sites agree, in the one below they do not.

import matplotlib.pyplot as plt

pooled = iso.meta_analysis(site_effects(measures, **question))
figure, panels = plt.subplots(2, figsize=(8.6, 10.4), layout="constrained")
for axes, region in zip(panels, REGIONS, strict=True):
    plot_forest(pooled, region, ax=axes)

# %%
# Seven strategies side by side, and how to read them.

compared = iso.compare_pooling(measures, **question)
print("\n\n".join(compared.reading))

# %%
# How often does an interval that promises 95 % hold the truth? Strategies that take the effect to
# be the same everywhere keep the promise where it is, and break it where it is not: their
# intervals are narrow because they answer another question.

truth = MEAN * spread
inside = (compared.wide("low").le(truth, axis=0)) & (compared.wide("high").ge(truth, axis=0))
half = np.where(np.arange(400) < 200, "effect is the same", "effect varies")
pd.concat(
    {
        "interval holds the truth": inside.groupby(half).mean().T.round(2),
        "median standard error": compared.wide("se").div(spread, axis=0).groupby(half).median().T,
    },
    axis=1,
).round(3)

# %%
# The same as a picture: the twenty strongest regions.

figure, axes = plt.subplots(figsize=(7.6, 6), layout="constrained")
plot_agreement(compared, ax=axes, most=20)
