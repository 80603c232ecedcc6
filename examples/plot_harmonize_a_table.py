"""
Harmonize a table and look at the evidence
==========================================

Describe, fit, apply, evaluate: the whole job on one table.
"""

import isoscan as iso

cohort = iso.phantom.simulate_tables(n_features=40, random_state=1)
table = cohort.people.join(cohort.measures)
table.iloc[:4, :6]

# %%
# Can these data be harmonized? The facts are a plain dict; `as_text` writes them for a terminal.

from isoscan.description import as_text, describe

facts = describe(
    cohort.measures,
    sites=cohort.people.site,
    covariates=cohort.people,
    preserve="age + C(sex) + C(diagnosis)",
)
print(as_text(facts))

# %%
# `harmonize` fits ComBat, applies it, compares before with after, and collects the report.

done = iso.harmonize(table, preserve="age + C(sex) + C(diagnosis)")
done.facts["verdict"]["headline"]

# %%
# What each site adds (shift, in residual standard deviations) and multiplies (scale):

done.model.site_effects_.head()

# %%
# What is expected of each region, in its own unit. The effect of age is per year.

done.model.coefficients_.head().round(4)

# %%
# The truth is known here. How close is the estimated effect of age?

import matplotlib.pyplot as plt

estimated, true = done.model.coefficients_["age"], cohort.slopes.loc["age"]
figure, axes = plt.subplots(figsize=(4, 4), layout="constrained")
axes.axline((true.mean(), true.mean()), slope=1, color="0.6", linewidth=0.8)
axes.plot(true, estimated[true.index], "o", markersize=4)
axes.set_xlabel("true effect of age (mm per year)")
axes.set_ylabel("estimated effect")

# %%
# A sentence for the methods section:

print(done.model.methods_text_[0])

# %%
# ``done.to_folder("harmonized")`` would write table, sidecar, model, report and facts.
