"""
Train on some scans, apply to others
====================================

For prediction studies ComBat must not see the scans it is judged on. Fit it on training scans,
apply it to the rest. Save the model for scans that do not exist yet.
"""

import tempfile
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

import isoscan as iso

cohort = iso.phantom.simulate_tables(n_features=40, age_gap=4, random_state=3)
X, people = cohort.measures, cohort.people

# %%
# Split within sites, so that each site has scans in both halves. Frames are matched by index:
# it does no harm to pass all people.

train, test = train_test_split(list(X.index), test_size=0.4, stratify=people.site, random_state=3)
model = iso.ComBat(preserve="age + C(sex)").fit(X.loc[train], sites=people.site, covariates=people)
harmonized = model.transform(X.loc[test], sites=people.site, covariates=people)

# %%
# Is it the same to transform one scan alone? To the last bit.

one = model.transform(X.loc[test[:1]], sites=people.site, covariates=people)
np.array_equal(one, harmonized.loc[test[:1]])

# %%
# Distance to what a scanner without site effects would have measured, in SD:

spread = cohort.clean.std()
for name, table in (("before", X.loc[test]), ("after", harmonized)):
    away = (table - cohort.clean.loc[test]) / spread
    print(name, round(float(np.sqrt((away**2).mean(axis=None))), 2))

# %%
# A saved model holds numbers and words, no scan and no code.

folder = Path(tempfile.mkdtemp())
model.save(folder / "model.isoscan")
again = iso.load(folder / "model.isoscan")
print(again.hash_ == model.hash_)

# %%
# In a scikit-learn pipeline, metadata routing carries sites and covariates to ComBat. Do not
# preserve what is to be predicted: here age is predicted, so that only sex is preserved.

import sklearn
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import StratifiedKFold, cross_validate
from sklearn.pipeline import make_pipeline

with sklearn.config_context(enable_metadata_routing=True):
    combat = (
        iso.ComBat(preserve="C(sex)")
        .set_fit_request(sites=True, covariates=True)
        .set_transform_request(sites=True, covariates=True)
    )
    folds = StratifiedKFold(5, shuffle=True, random_state=0).split(X, people.site)
    scores = cross_validate(
        make_pipeline(combat, RidgeCV(np.logspace(-2, 4, 13))),
        X,
        people.age,
        cv=list(folds),
        params={"sites": people.site, "covariates": people},
    )
print("R² of age in unseen scans:", scores["test_score"].round(2))
