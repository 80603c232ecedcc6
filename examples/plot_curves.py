"""
Sites of different ages, and a curve that is not straight
=========================================================

A school, a university and a memory clinic scan people of different ages. The volume of white
matter rises until the forties and falls after. ComBat can only tell site from age if it knows
the shape of that curve: what a straight line leaves over at a site is taken for a site effect,
and removed.
"""

import numpy as np
import pandas as pd

import isoscan as iso

AGES = {
    "school": (6, 24, "#0072B2"),
    "university": (17, 52, "#D55E00"),
    "clinic": (45, 88, "#009E73"),
}


def expected(age):
    """White matter in cm³: grows in childhood, shrinks in old age."""
    return 220 + 260 * (1 - np.exp(-age / 9)) - 0.07 * np.maximum(age - 52, 0) ** 2


# %%
# A hundred and fifty people per site, forty measures. Every measure follows the curve, some more
# steeply; each site adds its own shift.

random = np.random.default_rng(2)
age = np.concatenate([random.uniform(low, high, 150) for low, high, _ in AGES.values()])
people = pd.DataFrame({"age": age, "site": np.repeat(list(AGES), 150)})
steepness = random.uniform(0.7, 1.3, 40)
curve = 400 + (expected(age) - 400)[:, None] * steepness
clean = pd.DataFrame(curve + random.normal(0, 10, curve.shape)).add_prefix("measure")
shift = random.normal(0, 25, (3, 40))[np.repeat([0, 1, 2], 150)]
measures = clean + shift

# %%
# The same model three times: age as a straight line, as a parabola, and as a curve that bends as
# much as the data ask for (REML, one smoothing parameter per measure).

models = {
    "straight line": iso.ComBat("age"),
    "parabola": iso.ComBat("poly(age, 2)"),
    "penalised curve": iso.ComBat(smooth=["age"]),
}
tables = {"before": measures}
for name, model in models.items():
    tables[name] = model.fit_transform(measures, sites=people.site, covariates=people)

# %%
# How far are sites from where they would lie without site effects? Root mean square over sites
# and measures, in cm³.


def site_error(table):
    away = (table - clean).groupby(people.site).mean()
    return float(np.sqrt(((away - away.mean()) ** 2).mean(axis=None)))


errors = pd.Series({name: site_error(table) for name, table in tables.items()})
errors.round(1)

# %%
# A straight line leaves sites further apart than they were. The parabola is off where the curve is
# steeper than a parabola can be. Points are one measure, the line is its true curve.

import matplotlib.pyplot as plt

LABELS = ((22, 365), (34, 415), (67, 535))
grid, one = np.linspace(6, 88, 200), "measure0"
true = 400 + (expected(grid) - 400) * steepness[0]
figure, panels = plt.subplots(
    1, 4, figsize=(12, 3.6), sharex=True, sharey=True, layout="constrained"
)
for axes, (name, table) in zip(panels, tables.items(), strict=True):
    level = (clean - table)[one].mean()  # what all sites share is no site effect
    for site, (*_, colour) in AGES.items():
        rows = people.site == site
        axes.plot(age[rows], table[one][rows] + level, ".", color=colour, alpha=0.6, markersize=4)
    axes.plot(grid, true, color="black", linewidth=1.5)
    axes.set_title(f"{name}\nsites are off by {errors[name]:.1f} cm³", fontsize="medium")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("age (years)")
for (site, (*_, colour)), place in zip(AGES.items(), LABELS, strict=True):
    panels[0].text(*place, site, color=colour)
panels[0].set_ylabel("white matter (cm³)")
panels[0].text(70, 395, "truth", ha="right")

# %%
# The fitted curve of one measure, with its band:

models["penalised curve"].curve("age", one, at=[10, 20, 40, 60, 80]).round(1)

# %%
# A curve says nothing beyond the ages it has seen: there, the model expects what it expects at the
# bound, and warns. ``smooth_bounds={"age": (5, 90)}`` fixes the bounds beforehand.
