"""
Cross-validation that does not leak
===================================

Predict age from measures of five scanners. The people of each site are eight years older than
those of the site before, so that the scanner gives age away, and so does careless harmonization.
The cohorts are simulated: how well age can be predicted is known.
"""

import textwrap
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import sklearn
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import isoscan as iso
from isoscan.errors import ExtrapolationWarning, TargetLeakError

sklearn.set_config(enable_metadata_routing=True)
warnings.simplefilter("ignore", ExtrapolationWarning)


def simulate(seed, age_gap=8):
    """Return a cohort of five sites with 20 scans each."""
    return iso.phantom.simulate_tables(150, (20,) * 5, age_gap=age_gap, random_state=seed)


# %%
# Fit ComBat inside each fold
# ---------------------------
#
# In a pipeline ComBat is fitted to the training scans of each fold and applied to its test scans.
# ``EverySiteKFold`` keeps every site in training. Metadata routing hands sites and covariates to
# those who need them; ``SiteScorer`` is for scores other than R². Frames are matched by index.


def age_model(*steps):
    """Return ridge regression after some steps."""
    return make_pipeline(*steps, StandardScaler(), RidgeCV(np.logspace(-1, 5, 13)))


def routed(combat):
    """Let the pipeline hand sites and covariates to ComBat."""
    return combat.set_fit_request(sites=True, covariates=True).set_transform_request(
        sites=True, covariates=True
    )


cohort = simulate(0)
X, people = cohort.measures, cohort.people
inside_folds = age_model(routed(iso.ComBat("C(sex)")))
folds = iso.EverySiteKFold(5, random_state=0)
found = cross_validate(
    inside_folds,
    X,
    people.age,
    cv=folds,
    params={"sites": people.site, "covariates": people},
    scoring=iso.SiteScorer("neg_mean_absolute_error"),
)
print("Error in years, fold by fold:", -found["test_score"].round(1))

# %%
# Preserving the target is refused
# --------------------------------
#
# To preserve age, ComBat must know the age of a scan before it can harmonize it. For a test scan
# that is the answer.

try:
    age_model(routed(iso.ComBat("age + C(sex)"))).fit(
        X, people.age, sites=people.site, covariates=people
    )
except TargetLeakError as error:
    print(textwrap.fill(str(error), 64))

# %%
# What harmonizing first would have shown
# ---------------------------------------
#
# Harmonizing all scans before they are split, with age preserved, is the same leak out of sight
# of the pipeline. Three situations show what it does. In the first, the effect of age was
# subtracted from the measures: there is nothing to find, the true score is 0.

SITUATIONS = {
    "no effect of age": {"age_gap": 8, "effect": False},
    "effect of age": {"age_gap": 8, "effect": True},
    "effect of age, sites equally old": {"age_gap": 0, "effect": True},
}


def predict(model, X, people, **known):
    """Predict the age of every scan by a model that has not seen it."""
    predicted = pd.Series(index=X.index, dtype=float)
    for train, test in folds.split(X, sites=people.site):
        model.fit(X.iloc[train], people.age.iloc[train], **known)
        predicted.iloc[test] = model.predict(X.iloc[test], **known)
    return predicted


def four_ways(measures, clean, people):
    """Predict age from one scanner, and in three ways from five."""
    known = {"sites": people.site, "covariates": people}
    first = iso.ComBat("age + C(sex)").fit_transform(measures, **known)
    return {
        "one scanner (truth)": predict(age_model(), clean, people),
        "harmonized first, age preserved": predict(age_model(), first, people),
        "not harmonized": predict(age_model(), measures, people),
        "harmonized inside the folds": predict(inside_folds, measures, people, **known),
    }


def within_sites(values, sites):
    """Subtract the mean of each site."""
    return values - values.groupby(sites).transform("mean")


rows = []
for situation, options in SITUATIONS.items():
    for seed in range(8):
        cohort = simulate(seed, options["age_gap"])
        people = cohort.people
        effect_of_age = np.outer(people.age - 45, cohort.slopes.loc["age"])
        away = 0 if options["effect"] else effect_of_age
        ways = four_ways(cohort.measures - away, cohort.clean - away, people)
        for way, predicted in ways.items():
            within = within_sites(predicted, people.site).corr(
                within_sites(people.age, people.site)
            )
            rows.append((situation, way, r2_score(people.age, predicted), within))
scores = pd.DataFrame(rows, columns=["situation", "way", "R²", "correlation within sites"])

# %%

figure, panels = plt.subplots(1, 3, figsize=(8, 2.9), sharey=True, layout="constrained")
for axes, (situation, found) in zip(panels, scores.groupby("situation", sort=False), strict=True):
    ways = list(found.groupby("way", sort=False)["R²"])[::-1]
    for height, (way, points) in enumerate(ways):
        colour = "C3" if way.startswith(("harmonized first", "not")) else "C0"
        axes.plot(points, np.full(len(points), height), "o", color=colour, alpha=0.35, ms=4)
        axes.plot(points.mean(), height, "|", color=colour, ms=18, mew=2.5)
    axes.axvline(ways[-1][1].mean(), color="0.6", linewidth=0.8, zorder=0)
    axes.set_yticks(range(len(ways)), [textwrap.fill(way, 17) for way, _ in ways])
    axes.set_xlim(-0.2, 0.95)
    axes.set_ylim(-0.6, len(ways) - 0.4)
    axes.set_title(situation, fontsize="medium")
    axes.set_xlabel("R² of age, 8 cohorts")

# %%
# Left, two ways find what is not there. Harmonization that knew the ages wrote them into the
# measures. Without harmonization, the scanner gives age away. Inside the folds nothing is found.
#
# In the middle, harmonization inside the folds finds too little. Not knowing age, ComBat takes
# differences between old and young sites for site effects and removes them. The other two
# scores come close to the truth, but they had the clues of the left panel as well.
#
# Right, sites are equally old, and no way is far from the truth. The leak is still above it. With
# 16 training scans per site, harmonization inside the folds neither helps nor harms the prediction.

scores.groupby(["situation", "way"], sort=False).mean().round(2)

# %%
# The last column is the correlation of predicted and true age among people of the same site. It
# falls below 0 where there is nothing to find: without a clue, a prediction is the mean of the
# training ages, which is lower when the test scans are older.
#
# What to do
# ----------
#
# - Put ComBat into the pipeline. Never harmonize before splitting with the target preserved.
# - Choose people so that sites overlap in the target. Where they do not, no method can tell site
#   from target: report the correlation within sites beside the overall score.
# - Look at the score without harmonization too. If it is much higher, the model may have read the
#   scanner.
