"""People scanned three times, some of them at two sites, and what harmonization made of it."""

import numpy as np
import pandas as pd

import isoscan as iso

PEOPLE, VISITS, MOVED = 36, 3, 9


def table(n_features=8, people=PEOPLE, moved=MOVED):
    """Measures of people with a level of their own; the last visit of some is elsewhere."""
    random = np.random.default_rng(5)
    person, visit = np.repeat(np.arange(people), VISITS), np.tile(np.arange(VISITS), people)
    site = person % 3
    site = np.where((visit == VISITS - 1) & (person < moved), (site + 1) % 3, site)
    values = random.normal(0, 1, (people, n_features))[person]
    values += random.normal(0, 0.3, values.shape) - 0.1 * visit[:, None]
    values += random.normal(0, 0.9, (3, n_features))[site]
    who = {"subject": [f"p{one}" for one in person], "site": np.array(["KCL", "MUC", "OSL"])[site]}
    scans = [f"sub-{a:02}_ses-{b}" for a, b in zip(person, visit, strict=True)]
    names = [f"region{number:03}_thickness" for number in range(1, n_features + 1)]
    return pd.DataFrame({**who, "years": 1.5 * visit}, scans).join(
        pd.DataFrame(2.5 + 0.1 * values, scans, names)
    )


def harmonized(**options):
    """Everything the job on one table finds out."""
    return iso.harmonize(table(**options), method="longitudinal", preserve="years")
