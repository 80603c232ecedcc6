"""Reference cases: what went in, what came out, and what isoscan makes of the same input."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import isoscan as iso

SHARED = Path(os.environ.get("ISOSCAN_SHARED", Path(__file__).resolve().parents[2] / "shared"))
GOLDEN = SHARED / "golden" / "combat"


@dataclass(frozen=True)
class Run:
    """How isoscan is run on a case: method, options, and a formula if not that of the case."""

    what: str
    method: type = iso.ComBat
    options: dict[str, Any] = field(default_factory=dict)
    preserve: str | None = None

    @property
    def iterates(self) -> bool:
        """Whether there is a fixed point to compare with."""
        return not self.options.get("mean_only") and (
            self.options.get("prior", "parametric") == "parametric"
        )


class Case:
    """One reference case: inputs, outputs and what they promise."""

    def __init__(self, name: str) -> None:
        self.folder = GOLDEN / name
        self.manifest = json.loads((self.folder / "manifest.json").read_text())
        self.measures = self.table("X.csv.gz")
        self.people = pd.read_csv(
            self.folder / "covars.csv", index_col="row_id", dtype={"participant_id": str}
        )
        self.sites = self.people[self.manifest["batch"]["column"]]
        is_training = self.people.get("train", pd.Series(1, self.people.index)) == 1
        self.training, self.rest = self.people.index[is_training], self.people.index[~is_training]

    def table(self, file: str) -> pd.DataFrame:
        """Read one table of the case."""
        return pd.read_csv(self.folder / file, index_col=0)

    @property
    def formula(self) -> str | None:
        """Formula of the case, in isoscan's language."""
        given = self.manifest["extra"].get("formula")
        if given:
            return str(given).split("~")[1].replace("I(age^2)", "I(age**2)")
        return " + ".join(item["name"] for item in self.manifest["covariates"]) or None

    def harmonized(self, run: Run, **options: Any) -> pd.DataFrame:
        """Harmonize as the case asks: in one go, or train, adapt if needed, and apply."""
        model, fitted = self.fit(run, **options)
        if not len(self.rest):
            return fitted
        new, sites = self.measures.loc[self.rest], self.sites[self.rest]
        if set(sites) - set(model.sites_):
            model = model.adapt(new, sites=sites, covariates=self.people)
        return model.transform(new, sites=sites, covariates=self.people)

    def fit(self, run: Run, **options: Any) -> tuple[Any, pd.DataFrame]:
        """Fit to the training scans."""
        model = run.method(run.preserve or self.formula, **{**run.options, **options})
        rows = self.training
        table = model.fit_transform(
            self.measures.loc[rows], sites=self.sites[rows], covariates=self.people
        )
        return model, table

    def given_expected(self, expected: pd.DataFrame) -> pd.DataFrame:
        """ComBat of what is left when the reference's own expected values are taken out.

        Least squares leaves no mean within sites once sites are in the model, so that this is
        ComBat with those expected values.
        """
        rest = (self.measures - expected).loc[expected.index]
        after = iso.ComBat().fit_transform(rest, sites=self.sites[expected.index])
        return after + expected

    def distances(self, mine: pd.DataFrame, file: str = "harmonized.csv.gz") -> pd.DataFrame:
        """Differences in standard deviations of the raw feature."""
        reference = self.table(file)
        mine = mine.loc[reference.index, reference.columns]
        if not (mine.isna() == reference.isna()).all(axis=None):
            return reference * 0 + np.inf
        return (mine - reference).abs() / self.measures.std().replace(0, 1)

    def distance(self, mine: pd.DataFrame, file: str = "harmonized.csv.gz") -> float:
        """Largest difference in standard deviations of the raw feature."""
        return float(self.distances(mine, file).max(axis=None))
