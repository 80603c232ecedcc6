"""
One feature before and after
============================

The picture of the README: cortical thickness of one region at six sites, and the shifts of all
regions that ComBat found. The cohort is simulated. ``python examples/plot_readme_picture.py
docs/images/before_after.svg`` writes the picture anew.
"""

import sys

import matplotlib.pyplot as plt

import isoscan as iso
from isoscan.report import plot_feature, plot_site_effects

# %%
# A cohort of 240 scans with 60 regions. Site effects and the effects of age, sex and diagnosis
# are known.

cohort = iso.phantom.simulate_tables(
    n_features=60, scans_per_site=(70, 55, 40, 30, 25, 20), site_shift=0.8, random_state=4
)
model = iso.ComBat(preserve="age + C(sex) + C(diagnosis)")
harmonized = model.fit_transform(
    cohort.measures, sites=cohort.people.site, covariates=cohort.people
)

# %%
# Boxes hold the middle half of the scans; whiskers reach from the 5th to the 95th percentile.
# Sites need not have equal medians afterwards: their people differ in age, sex and diagnosis.
# The region drawn is the one whose shifts differ most between sites.

spread = model.site_effects_.groupby("feature")["shift"].std()
region = spread.idxmax()

plt.rcParams["svg.hashsalt"] = "isoscan"
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6), layout="constrained")
plot_feature(cohort.measures, harmonized, cohort.people.site, region, ax=left)
left.set_xlabel(f"{region} (mm)")
plot_site_effects(model.site_effects_, ax=right)
right.set_xticks([])
right.set_xlabel("60 regions")
right.set_title("shift of each site, in residual SD", fontsize="medium")
figure.colorbar(right.images[0], ax=right, shrink=0.8)

if len(sys.argv) > 1:
    figure.savefig(sys.argv[1], metadata={"Date": None})
