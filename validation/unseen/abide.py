"""Leave every scanner of ABIDE out once, and print the tables of docs/unseen.md.

    ISOSCAN_SHARED=folder python validation/unseen/abide.py [--strategy ratio] [--draws 4]
        [--recipe]

With --recipe, the published recipe stands in the same table; it takes a quarter of an hour.

The folder holds data/abide: FreeSurfer tables, MRIQC's group table and participants.tsv.
"""

import argparse
import os
import sys
import warnings
from pathlib import Path
from typing import Any, Self

import pandas as pd
from sklearn.base import BaseEstimator, clone

import isoscan as iso
from isoscan.unseen import find_outliers, neuroharmony_rois, relative_volumes

TOTAL = "IntraCranialVol"
FURTHER = [
    "Left-vessel", "Left-choroid-plexus", "Right-vessel", "Right-choroid-plexus",
    "WM-hypointensities", "non-WM-hypointensities", "Optic-Chiasm", "lhCortexVol", "rhCortexVol",
    "CortexVol", "lhCorticalWhiteMatterVol", "rhCorticalWhiteMatterVol", "CorticalWhiteMatterVol",
    "SubCortGrayVol", "TotalGrayVol", "SupraTentorialVol",
]  # fmt: skip


def read_sample(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Volumes with their total, metrics and people, without outliers."""
    names = ("aseg_volume", "lh_aparc_volume", "rh_aparc_volume")
    tables = iso.read_freesurfer([folder / f"{name}.tsv" for name in names])
    people = iso.read_participants(folder / "participants.tsv")
    quality = iso.read_mriqc(folder / "group_T1w.tsv").set_index("participant_id")
    tables = tables[tables[TOTAL].between(5e5, 2.5e6)]
    rois = neuroharmony_rois(tables, zeros="keep")
    shares = relative_volumes(rois.assign(**{TOTAL: tables[TOTAL]}), TOTAL)
    kept = shares.index.difference(
        find_outliers(shares, people.site.loc[shares.index]).scan, sort=False
    )
    volumes = rois.join(tables[[*FURTHER, TOTAL]]).loc[kept]
    return volumes, quality.loc[kept], people.loc[kept]


class Completed(BaseEstimator):
    """A model that needs complete measures: missing ones are medians until it is done."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def fit(self, volumes: pd.DataFrame, **others: Any) -> Self:
        self.medians_ = volumes.median()
        self.fitted_ = clone(self.model).fit(volumes.fillna(self.medians_), **others)
        return self

    def transform(self, volumes: pd.DataFrame, **others: Any) -> pd.DataFrame:
        after = self.fitted_.transform(volumes.fillna(self.medians_), **others)
        return pd.DataFrame(after.where(volumes.notna()))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--strategy", default="ratio")
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--recipe", action="store_true")
    asked = parser.parse_args()
    warnings.simplefilter("ignore", iso.errors.IsoscanWarning)
    volumes, quality, people = read_sample(Path(os.environ["ISOSCAN_SHARED"]) / "data" / "abide")
    model = iso.UnseenScanner("age + C(sex)", total=TOTAL, total_strategy=asked.strategy)
    steps = [("site", iso.ComBat("age + C(sex)"))]
    recipe = {"Neuroharmony": Completed(iso.Neuroharmony(steps, unusable="skip", n_jobs=-1))}
    result = iso.leave_one_scanner_out(
        model,
        volumes,
        quality=quality,
        sites=people.site,
        covariates=people,
        others=recipe if asked.recipe else None,
        draws=asked.draws,
        progress=lambda scanner, done, _: print(done, scanner, file=sys.stderr),
    )
    print(len(volumes), "scans")
    print(result.table.round(3).T.to_string())


if __name__ == "__main__":
    main()
