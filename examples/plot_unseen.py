"""
One scan from a scanner that nobody trained on
==============================================

A model has seen fifteen scanners. A scan comes from a sixteenth. Is it better to correct it from
what its image and its measures tell, to wait for a few scans of the scanner, or to do nothing?

The scanners are simulated: three hidden properties of each shift its measures, and its image
quality follows the same properties. On real scanners less may transfer, or nothing; leave scanners
out to see.
"""

import warnings

import matplotlib.pyplot as plt
import pandas as pd

import isoscan as iso
from isoscan.errors import IsoscanWarning
from isoscan.phantom import simulate_scanners
from isoscan.report.unseen_facts import collect_unseen_facts
from isoscan.report.unseen_figures import plot_few_scans, plot_scanners

warnings.simplefilter("ignore", IsoscanWarning)  # metrics that are left out, scans far off

cohort = simulate_scanners(16, 16, 20, random_state=3)
measures, quality, people = cohort.measures, cohort.quality, cohort.people

# %%
# Leave one scanner out after the other. Everything is learned again each time. The table has the
# model (0 scans) beside doing nothing, the most similar scanner, the model without image quality,
# and calibration with a few scans. Errors are relative to no correction.

model = iso.UnseenScanner("age + C(sex)")
left_out = iso.leave_one_scanner_out(
    model, measures, quality=quality, sites=people.site, covariates=people, draws=2
)
columns = ["error_ratio", "worsened", "shift_left", "correlation of people", "effect of age"]
left_out.table[columns].round(2)

# %%
# Each scanner, and what a few scans of it would have told.

model.fit(measures, quality=quality, sites=people.site, covariates=people)
facts = collect_unseen_facts(model, left_out=left_out)
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
table = pd.DataFrame(facts["scanners"]).sort_values("before", ascending=False)
plot_scanners(table, ax=left)
plot_few_scans(facts["curve"], ax=right)
right.set_title("mean over scanners", loc="left", fontsize="medium")

# %%
# A new scan, with an interval around every correction. The shift score is about 1 for scans like
# those of training.

new = people.site == "SCANNER05"
model.fit(measures[~new], quality=quality[~new], sites=people.site[~new], covariates=people[~new])
one = measures[new].iloc[[0]]
model.predict(one, quality=quality, covariates=people).head().round(3)

# %%
# With three scans of the scanner, the model is calibrated; the old model stays as it is.

three, others = measures[new].iloc[:3], measures[new].iloc[3:]
calibrated = model.calibrate(three, quality=quality, covariates=people)
truth = cohort.clean.loc[others.index] + (measures - cohort.clean)[~new].mean()
corrected = {
    "as they were": others,
    "no scan of the scanner": model.transform(others, quality=quality, covariates=people),
    "3 scans": calibrated.transform(others, quality=quality, covariates=people),
}
sd = model.reference_.model_.sd
pd.Series(
    {name: ((values - truth).mean() / sd).abs().mean() for name, values in corrected.items()},
    name="distance from the truth (residual SD)",
).round(2)
