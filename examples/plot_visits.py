"""
People who change scanner in the middle of a study
==================================================

When people are scanned once a year and a scanner is replaced, its effect looks like a change of
their brains. ComBat takes every scan for another person: what people at a scanner happen to have in
common is removed with the scanner. LongitudinalComBat gives every person a level of their own, so
that scanners are compared within the people who were at both.
"""

import numpy as np
import pandas as pd

import isoscan as iso
from isoscan.evaluation import evaluate

# %%
# 36 people with five visits each, 40 measures. People differ much more than the visits of one
# person do. Everybody starts at one of three scanners; two of three move to the next one in the
# middle of the study. Scanners shift every measure and widen or narrow its noise.

random = np.random.default_rng(3)
SCANNERS = np.array(["A", "B", "C"])
PEOPLE, VISITS, MEASURES = 36, 5, 40
NOISE = 0.03  # mm, between visits of one person at one scanner

person = np.repeat(np.arange(PEOPLE), VISITS)
visit = np.tile(np.arange(VISITS), PEOPLE)
home, moves = np.arange(PEOPLE) % 3, np.arange(PEOPLE) // 3 % 3 > 0
scanner = (home[person] + (moves[person] & (visit >= 2))) % 3
people = pd.DataFrame(
    {
        "subject": [f"sub-{number:02d}" for number in person],
        "years": visit.astype(float),
        "site": SCANNERS[scanner],
    }
)

level = random.normal(2.6, 0.15, (PEOPLE, MEASURES))[person]
noise = random.normal(0, NOISE, (len(people), MEASURES))
truth = pd.DataFrame(level - 0.02 * visit[:, None] + noise).add_prefix("region")
shift = random.normal(0, 0.08, (3, MEASURES))[scanner]
scale = np.array([0.8, 1.0, 1.2])[scanner][:, None]
measures = truth - noise + shift + scale * noise

# %%
# All visits of a person go in together.

models = {
    "ComBat": iso.ComBat("years"),
    "LongitudinalComBat": iso.LongitudinalComBat("years", subject="subject", variance="msr"),
}
tables = {"before": measures} | {
    f"after {name}": model.fit_transform(measures, sites=people.site, covariates=people)
    for name, model in models.items()
}

# %%
# Where a measure lies as a whole is nobody's to know, so that its mean over all scans is set to
# that of the truth. The error of a measure is then the root mean square over all scans, in SDs of
# the noise between visits.


def on_the_level_of_truth(table):
    return table + (truth - table).mean()


def error(table):
    return np.sqrt((on_the_level_of_truth(table) - truth).pow(2).mean()) / NOISE


pd.DataFrame({name: error(table) for name, table in tables.items()}).median().round(2)

# %%
# Four people who move, in one measure. Lines are the truth: what one scanner would have said.

import matplotlib.pyplot as plt

COLOURS = {"A": "#0072B2", "B": "#D55E00", "C": "#009E73"}
region = (error(tables["after ComBat"]) - error(tables["after ComBat"]).median()).abs().idxmin()
movers = pd.unique(people.subject[moves[person]])
shown = movers[np.argsort(truth[region].groupby(people.subject).mean()[movers])[2::6]]

figure, panels = plt.subplots(
    1, 4, figsize=(11, 3.9), width_ratios=[1, 1, 1, 0.9], layout="constrained"
)
for axes, (name, table) in zip(panels, tables.items(), strict=False):
    values = on_the_level_of_truth(table)[region]
    for one in shown:
        rows = people.subject == one
        axes.plot(people.years[rows], truth[region][rows], color="black", linewidth=1)
        axes.plot(people.years[rows], values[rows], ":", color="grey", linewidth=1)
        axes.scatter(
            people.years[rows], values[rows], color=people.site[rows].map(COLOURS), s=22, zorder=3
        )
    axes.set_title(name, fontsize="medium")
    axes.set_xlabel("years")
    axes.sharey(panels[0])
    axes.tick_params(labelleft=axes is panels[0])
panels[0].set_ylabel("thickness (mm)")
labels = {f"scanner {site}": colour for site, colour in COLOURS.items()} | {"truth": "black"}
for row, (label, colour) in enumerate(labels.items()):
    place = {"xy": (0, 0), "xycoords": "axes fraction", "textcoords": "offset points"}
    panels[2].annotate(label, xytext=(4, 40 - 12 * row), color=colour, **place)

for row, table in enumerate(tables.values()):
    errors = error(table)
    panels[3].scatter(errors, row + random.uniform(-0.2, 0.2, MEASURES), s=8, color="grey")
    panels[3].plot([errors.median()] * 2, [row - 0.32, row + 0.32], color="black", linewidth=2)
panels[3].set_yticks(range(3), ["before", "ComBat", "Longitudinal\nComBat"])
panels[3].invert_yaxis()
panels[3].set_xlim(0, None)
panels[3].set_xlabel("error of all scans (noise SD)")
panels[3].set_title("all 40 measures, and median", fontsize="medium")
for axes in panels:
    axes.spines[["top", "right"]].set_visible(False)

# %%
# Without the truth, the people themselves are the evidence: those who move should change no more
# than those who stay, and nobody's change at one scanner should grow or shrink.


def what_became_of_change(table):
    facts = evaluate(
        measures,
        table,
        sites=people.site,
        covariates=people,
        preserve="years",
        subject="subject",
        time="years",
    )
    changes = facts["people"]["changes"]
    return {
        "move / stay, before": changes["moved"]["summary"]["before"],
        "move / stay, after": changes["moved"]["summary"]["after"],
        "after / before, at one scanner": changes["same_site"]["summary"]["ratio"],
    }


pd.DataFrame({name: what_became_of_change(tables[f"after {name}"]) for name in models}).round(2)

# %%
# ``variance="reml"``, the default of longCombat, standardizes by the residual SD of the
# mixed model, which is larger than what is left around the predicted levels. Change within people
# comes out larger by about the square root of n / (n - 1) for n visits, here 1.12.
# ``variance="msr"``, the default here, keeps its size. Change at one scanner, and the median error:

reml = iso.LongitudinalComBat("years", subject="subject", variance="reml")
larger = reml.fit_transform(measures, sites=people.site, covariates=people)
factor = what_became_of_change(larger)["after / before, at one scanner"]
round(factor, 2), round(float(error(larger).median()), 2)
