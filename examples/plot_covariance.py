"""
Sites that agree in every measure, and not in how measures go together
======================================================================

ComBat makes mean and variance of each measure alike across sites. It looks at one measure at a
time: correlations between measures stay as each scanner made them, and a classifier can still
tell sites apart. CovBat also harmonizes the principal components of what is left.
"""

import numpy as np
import pandas as pd

import isoscan as iso

# %%
# Three sites of 300 scans; ten frontal and ten occipital regions. Two things move the regions:
# one moves all of them together, one moves front against back. Sites differ in how strong each
# of the two is, so that front and back go together at site A and not at site B. The variance of
# a region is the same everywhere, but for a shift and a scale that ComBat can see.

SITES, N = ["A", "B", "C"], 300
TOGETHER, AGAINST = np.array([2.4, 1.0, 1.7]), np.array([0.2, 1.6, 0.9])  # variances at A, B, C

random = np.random.default_rng(0)
codes = np.repeat([0, 1, 2], N)
side = np.repeat([1, -1], 10)
together, against = (
    (random.normal(size=3 * N) * np.sqrt(variance[codes]))[:, None]
    for variance in (TOGETHER, AGAINST)
)
noise = together + side * against + random.normal(size=(3 * N, 20))
age = random.uniform(20, 80, 3 * N)
shift, scale = random.normal(0, 0.6, (3, 20)), random.uniform(0.8, 1.25, (3, 20))
measures = pd.DataFrame(
    2.5 - 0.004 * age[:, None] + 0.1 * (shift[codes] + scale[codes] * noise)
).add_prefix("region")
people = pd.DataFrame({"site": np.array(SITES)[codes], "age": age})

# %%

tables = {
    "ComBat": iso.ComBat("age").fit_transform(measures, sites=people.site, covariates=people),
    "CovBat": iso.CovBat("age").fit_transform(measures, sites=people.site, covariates=people),
}

# %%
# Correlations at each site, after the effect of age is taken out, and by how much they differ
# between sites (mean absolute difference over pairs of regions). With site labels dealt at
# random the number says what is left to chance.


def correlations(table, rows):
    design = np.column_stack([np.ones(rows.sum()), age[rows]])
    values = table.to_numpy()[rows]
    slopes = np.linalg.lstsq(design, values, rcond=None)[0]
    return np.corrcoef(values - design @ slopes, rowvar=False)


def disagreement(table, sites=people.site):
    pairs = np.triu_indices(20, 1)
    found = np.array([correlations(table, (sites == site).to_numpy())[pairs] for site in SITES])
    return float(np.abs(found - np.roll(found, 1, axis=0)).mean())


dealt = pd.Series(random.permutation(people.site))
left = {name: disagreement(table) for name, table in tables.items()}
pd.Series({"before": disagreement(measures), **left, "chance": disagreement(measures, dealt)})

# %%

import matplotlib.pyplot as plt

figure, panels = plt.subplots(2, 3, figsize=(7.6, 5), layout="constrained")
for row, (name, table) in zip(panels, tables.items(), strict=True):
    for axes, site in zip(row, SITES, strict=True):
        values = correlations(table, (people.site == site).to_numpy())
        picture = axes.imshow(values, vmin=-1, vmax=1, cmap="RdBu_r")
        axes.set_xticks([4.5, 14.5], ["front", "back"])
        axes.set_yticks([])
        axes.tick_params(length=0)
        if name == "ComBat":
            axes.set_title(f"site {site}", fontsize="medium")
    row[0].set_yticks([4.5, 14.5], ["front", "back"], rotation=90, va="center")
    row[0].set_ylabel(f"after {name}\nsites differ by {left[name]:.2f}", fontsize="medium")
figure.colorbar(picture, ax=panels, label="correlation of two regions", shrink=0.6)

# %%
# CovBat can only change how much varies along directions that all sites share. It needs complete
# measures, and many scans per site. For questions about one region at a time, ComBat is enough.
