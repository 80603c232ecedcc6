"""Data sets and reference results for mixed models."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from known_truth import shared_folder
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """Measures, design and groups; `slope` where there is one."""

    measures: Array
    design: Array
    groups: NDArray[Any]
    slope: Array | None = None


def pooling_case(name: str) -> tuple[Case, list[dict[str, Any]]]:
    """20 features fitted by lme4; name is 'site' or 'subj'."""
    folder = shared_folder("golden/pooling")
    data = pd.read_csv(folder / f"lmm_{name}.csv")
    rows = json.loads((folder / f"g10_lmm_{name}.json").read_text())["rows"]
    covariates = [column for column in data if column.startswith("x")]
    measures = data[[column for column in data if column.startswith("y")]].to_numpy()
    design = np.column_stack([np.ones(len(data)), data[covariates]])
    return Case(measures, design, data["g"].to_numpy()), rows


def mega_case() -> tuple[Case, dict[str, Any]]:
    """Four measures at six sites; the slope is that of the diagnosis."""
    folder = shared_folder("golden/pooling")
    data = pd.read_csv(folder / "raw_6sites.csv")
    rois = json.loads((folder / "g07_mega_lmm.json").read_text())["rois"]
    measures = data[["roi1", "roi2", "roi3", "roi4"]].to_numpy()
    measures[:, 3] = (measures[:, 3] - 1e6) / 1000
    design = np.column_stack([np.ones(len(data)), data[["dx", "age", "sex"]]])
    slope = data["dx"].to_numpy(dtype=float)
    return Case(measures, design, data["site"].to_numpy(), slope), rois


def abide_case() -> tuple[Case, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Ten measures of 1035 people at 20 sites, and three tables of results."""
    folder = shared_folder("golden/combat") / "lmer_abide"
    measures = pd.read_csv(folder / "X.csv.gz", index_col=0)
    people = pd.read_csv(folder / "covars.csv", index_col=0).loc[measures.index]
    design = np.column_stack(
        [np.ones(len(people)), people.age, people.sex == "M", people.dx == "ASD"]
    )
    names = ("fixed_effects", "variance_components", "random_effects_blup")
    tables = [pd.read_csv(folder / f"{name}.csv") for name in names]
    case = Case(measures.to_numpy(), design, people.site.to_numpy())
    return case, tables[0], tables[1], tables[2]


def simulate(
    *, sizes: Array | list[int], n_features: int, seed: int, n_covariates: int = 2
) -> tuple[Case, Array]:
    """Groups of given sizes; returns the variance between groups of every feature too."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    n_scans = len(groups)
    design = np.column_stack([np.ones(n_scans), rng.normal(size=(n_scans, n_covariates))])
    between = rng.uniform(0.2, 1.0, n_features)
    effects = rng.normal(size=(len(sizes), n_features)) * np.sqrt(between)
    noise = rng.normal(size=(n_scans, n_features))
    measures = design @ rng.normal(size=(n_covariates + 1, n_features)) + effects[groups] + noise
    return Case(measures, design, groups), between
