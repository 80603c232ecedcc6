"""
A few odd scans at one site
===========================

Some scans of a site went wrong: movement, a failed segmentation, another unit. Mean and standard
deviation of that site follow them, and what ComBat removes from the good scans is wrong.
``robust=True`` measures shift and scale by median and biweight midvariance, which a few odd
scans hardly move.
"""

import numpy as np
import pandas as pd

import isoscan as iso

# %%
# Four sites of forty scans, thirty measures. At one of them, some scans are six SD too low in
# every measure.

SITE, MOST, N_COHORTS = "SITE03", 6, 5


def spoil(cohort, n_odd):
    """Lower all measures of some scans of one site."""
    measures = cohort.measures.copy()
    odd = cohort.people.index[cohort.people.site == SITE][:n_odd]
    measures.loc[odd] -= 6 * cohort.clean.std()
    return measures, odd


def harmonize(cohort, measures, **options):
    return iso.ComBat("age + C(sex) + C(diagnosis)", **options).fit_transform(
        measures, sites=cohort.people.site, covariates=cohort.people
    )


METHODS = {"ComBat": {}, "robust": {"robust": True}}
rows = []
for seed in range(N_COHORTS):
    cohort = iso.phantom.simulate_tables(30, (40, 40, 40, 40), random_state=seed)
    for n_odd in range(MOST + 1):
        measures, odd = spoil(cohort, n_odd)
        good = (cohort.people.site == SITE) & ~measures.index.isin(odd)
        for name, options in METHODS.items():
            after = harmonize(cohort, measures, **options)
            error = ((after - cohort.clean) / cohort.clean.std())[good]
            rows.append({"odd": n_odd, "method": name, "error": (error**2).mean(axis=None)})

# %%
# Root mean squared error of the good scans of that site, in SD of the measure, against what a
# scanner without site effects would have shown:

errors = pd.DataFrame(rows).groupby(["odd", "method"])["error"].mean().pow(0.5).unstack()
errors.round(2)

# %%
# Left, the scans of that site in one region, four of them odd. The good ones should lie as they
# would without site effects. ComBat moves them towards each other and away from the truth.

import matplotlib.pyplot as plt

COLOURS = {"ComBat": "#D55E00", "robust": "#0072B2"}
cohort = iso.phantom.simulate_tables(30, (40, 40, 40, 40), random_state=1)
measures, odd = spoil(cohort, 4)
one = cohort.clean.columns[0]
shown = {"truth": cohort.clean} | {
    name: harmonize(cohort, measures, **options) for name, options in METHODS.items()
}

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
at_site = cohort.people.index[cohort.people.site == SITE]
is_odd = at_site.isin(odd)
jitter = np.random.default_rng(0).uniform(-0.15, 0.15, len(at_site))
true = cohort.clean.loc[at_site[~is_odd], one]
left.axhspan(true.mean() - 2 * true.std(), true.mean() + 2 * true.std(), color="0.92")
left.axhline(true.mean(), color="black", linewidth=0.8)
labels = []
for place, (name, table) in enumerate(shown.items()):
    values, colour = table.loc[at_site, one], COLOURS.get(name, "black")
    good = values[~is_odd]
    left.plot(place + jitter[~is_odd], good, "o", color=colour, markersize=3.5)
    left.plot([place - 0.3, place + 0.3], [good.mean()] * 2, color=colour, linewidth=2.5)
    labels.append(f"{name}\nSD {good.std():.3f} mm")
    if name != "truth":
        left.plot(place + jitter[is_odd], values[is_odd], "x", color=colour, markersize=6)
left.text(1.5, values[is_odd].median(), "odd scans", ha="center", va="center")
left.set_xticks(range(3), labels)
left.set_ylabel("thickness of one region (mm)")
left.set_title("site with four odd scans; band: mean ± 2 SD of the truth", fontsize="medium")
for name, column in errors.items():
    right.plot(column.index, column, "o-", color=COLOURS[name], markersize=4)
    right.text(MOST, column.iloc[-1], f" {name}", color=COLOURS[name], va="center")
right.set_xlim(-0.2, MOST + 1.4)
right.set_ylim(bottom=0)
right.set_xticks(range(MOST + 1))
right.set_xlabel("odd scans among 40")
right.set_ylabel("error of the good scans (SD)")
for axes in (left, right):
    axes.spines[["top", "right"]].set_visible(False)

# %%
# Without odd scans the robust estimates are a little less exact: medians use less of the data.
# The regression on covariates is still by least squares, and so not immune.
# Look at odd scans before you decide (`describe` and the report name them); if they are wrong,
# leave them out.
