"""
Spread that grows with age, at a site of older people
=====================================================

Old people differ more from each other than young ones. A site that scans the old then has a large
spread, which is no fault of its scanner. ComBat divides it away. ComBatLS lets the spread of a
measure depend on age, and removes only what the site adds to that.
"""

import numpy as np
import pandas as pd

import isoscan as iso

# %%
# Two sites of 400 people whose ages overlap, 30 measures. The residual SD doubles from 20 to 80
# years. Neither site changes the spread; the second one shifts every measure.

random = np.random.default_rng(5)
age = np.concatenate([random.uniform(20, 60, 400), random.uniform(45, 85, 400)])
people = pd.DataFrame({"age": age, "site": np.repeat(["young site", "old site"], 400)})


def true_sd(age):
    return 0.10 * 2 ** ((age - 20) / 60)


noise = true_sd(age)[:, None] * random.normal(size=(800, 30))
clean = pd.DataFrame(3.0 - 0.006 * age[:, None] + noise).add_prefix("region")
shift = np.where(people.site == "old site", 1.0, 0.0)[:, None] * random.normal(0, 0.1, 30)
measures = clean + shift

# %%

models = {"ComBat": iso.ComBat("age"), "ComBatLS": iso.ComBatLS("age", scale="age")}
tables = {
    name: model.fit_transform(measures, sites=people.site, covariates=people)
    for name, model in models.items()
}

# %%
# The SD of people of similar age, at each site, averaged over measures. Where both sites have
# people of one age, they should agree, and both should lie on the truth.


def spread_by_age(table, site):
    rows = (people.site == site).to_numpy()
    decade = pd.cut(people.age[rows], np.arange(20, 90, 5))
    residuals = table[rows] + 0.006 * age[rows, None]
    return residuals.groupby(decade, observed=True).std().mean(axis=1)


import matplotlib.pyplot as plt

COLOURS = {"young site": "#0072B2", "old site": "#D55E00"}
figure, panels = plt.subplots(1, 2, figsize=(8.5, 3.6), sharey=True, layout="constrained")
grid = np.linspace(20, 85, 50)
for axes, (name, table) in zip(panels, tables.items(), strict=True):
    axes.plot(grid, true_sd(grid), color="black", linewidth=1.5)
    for site, colour in COLOURS.items():
        found = spread_by_age(table, site)
        axes.plot([piece.mid for piece in found.index], found, "o-", color=colour, markersize=4)
    axes.set_title(f"after {name}", fontsize="medium")
    axes.set_xlabel("age (years)")
    axes.set_ylim(0.05, 0.25)
    axes.spines[["top", "right"]].set_visible(False)
panels[0].set_ylabel("SD of thickness (mm)")
panels[0].text(22, 0.145, "young site", color=COLOURS["young site"])
panels[0].text(66, 0.125, "old site", color=COLOURS["old site"])
panels[0].text(72, 0.2, "truth", ha="right")

# %%
# Factor by which ten years change the SD, according to the model (truth: 1.12):


def factor_of_ten_years(model):
    return round(float(np.exp(10 * model.scale_effects_["effect"]).mean()), 3)


factor_of_ten_years(models["ComBatLS"])

# %%
# A limit. The model of the spread has no term for site, so that a scanner that widens the spread
# at the site of the old looks in part like an effect of age. Here it does so by 30 %:

wider = np.where(people.site == "old site", 1.3, 1.0)[:, None]
widened = clean - noise + shift + wider * noise
again = iso.ComBatLS("age", scale="age").fit(widened, sites=people.site, covariates=people)
factor_of_ten_years(again)

# %%
# With the same ages at both sites there is nothing to confuse:

mixed = people.assign(site=random.permutation(people.site))
wider = np.where(mixed.site == "old site", 1.3, 1.0)[:, None]
again = iso.ComBatLS("age", scale="age").fit(
    clean - noise + wider * noise, sites=mixed.site, covariates=mixed
)
factor_of_ten_years(again)
