"""
A site whose measures fall in two groups
========================================

ComBat takes the shifts of a site as draws from one normal distribution, and pulls each towards
their mean. If a scanner changes half of the measures and leaves the others alone, the mean is
where no measure is. ``prior="nonparametric"`` assumes no shape: it uses the other measures of
the site as they are.
"""

import numpy as np
import pandas as pd

import isoscan as iso

# %%
# Four sites, sixty measures. Site D is small, and its scanner shifts every third measure by two
# SD. The other sites shift as ComBat assumes.

N_FEATURES, GROUP = 60, np.arange(60) % 3 == 0
METHODS = {"normal prior": "parametric", "non-parametric": "nonparametric", "raw": None}


def simulate(n_scans, seed):
    """Measures of unit SD, sites, and true shifts of site D relative to all scans."""
    random = np.random.default_rng(seed)
    sites = np.repeat(["A", "B", "C", "D"], [60, 60, 60, n_scans])
    shift = pd.DataFrame(random.normal(0, 0.3, (4, N_FEATURES)), index=["A", "B", "C", "D"])
    shift.loc["D"] = np.where(GROUP, 2.0, 0.0) + random.normal(0, 0.05, N_FEATURES)
    measures = shift.loc[sites].to_numpy() + random.normal(size=(len(sites), N_FEATURES))
    truth = shift.loc["D"] - shift.loc[sites].mean()
    return pd.DataFrame(measures).add_prefix("measure"), pd.Series(sites), truth.to_numpy()


def estimate(measures, sites, prior):
    model = iso.ComBat(prior=prior).fit(measures, sites=sites)
    effects = model.site_effects_.query("site == 'D'").set_index("feature")
    return effects.loc[measures.columns, "shift"].to_numpy()


# %%
# Root mean squared error of the estimated shifts, over measures and ten simulations, in SD:

N_SCANS = (10, 15, 20, 40)
found = {
    (n_scans, name, seed): ((estimate(measures, sites, prior) - truth) ** 2).mean()
    for n_scans in N_SCANS
    for seed in range(10)
    for measures, sites, truth in [simulate(n_scans, seed)]
    for name, prior in METHODS.items()
}
errors = pd.Series(found).groupby(level=[0, 1]).mean().pow(0.5).unstack()
errors.round(2)

# %%
# Ten scans of site D, one simulation. Every dot is a measure. With a normal prior both groups are
# pulled a little towards each other and keep their noise; without an assumed shape they are
# recognised as two groups, and each is pulled to its own middle.

import matplotlib.pyplot as plt

COLOURS = {"normal prior": "#D55E00", "non-parametric": "#0072B2", "raw": "0.5"}
LABELS = {"raw": (14, 0.285), "normal prior": (22, 0.215), "non-parametric": (12, 0.125)}
measures, sites, truth = simulate(10, seed=0)
figure, panels = plt.subplots(1, 3, figsize=(11, 3.8), layout="constrained")
for axes, name in zip(panels, ("normal prior", "non-parametric"), strict=False):
    axes.axline((0, 0), slope=1, color="0.7", linewidth=0.8)
    estimates = estimate(measures, sites, METHODS[name])
    axes.plot(truth, estimates, "o", color=COLOURS[name], markersize=4, alpha=0.8)
    axes.set_aspect("equal")
    axes.set_xlim(-1.3, 3)
    axes.set_ylim(-1.3, 3)
    axes.set_title(name, fontsize="medium", color=COLOURS[name])
    axes.set_xlabel("true shift of a measure (SD)")
panels[0].set_ylabel("estimated shift (SD)")
panels[0].text(2.9, 2.55, "truth", color="0.5", ha="right")
for name, column in errors.items():
    panels[2].plot(column.index, column, "o-", color=COLOURS[name], markersize=4)
for name, place in LABELS.items():
    panels[2].text(*place, name, color=COLOURS[name])
panels[2].set_ylim(bottom=0)
panels[2].set_xlabel("scans of the site")
panels[2].set_ylabel("error of the shift (SD)")
for axes in panels:
    axes.spines[["top", "right"]].set_visible(False)
