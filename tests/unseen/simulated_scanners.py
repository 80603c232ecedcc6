"""Scanners whose image quality tells how much they enlarge or shrink every region."""

import numpy as np
import pandas as pd

from isoscan.unseen.metrics import METRICS


def simulate_scanners(n_sites=6, n_scans=30, n_features=4, seed=0):
    """Volumes, metrics, scanners and people; age and sex change volumes as well."""
    rng = np.random.default_rng(seed)
    n = n_sites * n_scans
    ids = pd.Index([f"sub-{number:03d}" for number in range(n)], name="participant_id")
    sites = pd.Series(np.repeat([f"S{k}" for k in range(n_sites)], n_scans), index=ids)
    character = np.repeat(rng.normal(size=(n_sites, 3)), n_scans, axis=0)
    loadings = rng.normal(size=(3, len(METRICS)))
    metrics = 50 + character @ loadings + 0.3 * rng.normal(size=(n, len(METRICS)))
    people = pd.DataFrame(
        {"age": rng.integers(20, 24, n).astype(float), "sex": rng.choice(["F", "M"], n)}, ids
    )
    shift = character @ rng.normal(size=(3, n_features))
    biology = 0.5 * (people.age.to_numpy() - 22) + (people.sex == "M").to_numpy()
    own = rng.normal(size=(n, n_features)) + biology[:, None]
    volumes = pd.DataFrame(
        1e-3 * (3 + 0.1 * (own + shift)), ids, [f"roi{k}" for k in range(n_features)]
    )
    return volumes, pd.DataFrame(metrics, ids, list(METRICS)), sites, people
