"""Run the command line in this process, and write small studies for it to work on."""

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from isoscan.phantom import simulate_tables


@dataclass(frozen=True)
class Outcome:
    """What a run of the command line returned and printed."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Study:
    """A simulated study on disk: tables of FreeSurfer and a table of people."""

    folder: Path
    aseg: Path
    aparc: Path
    people: Path
    features: list[str]

    @property
    def words(self):
        """Both tables of measures and the people."""
        return self.aseg, self.aparc, "--participants", self.people


def read(path):
    return pd.read_csv(path, sep="\t", index_col=0, na_values="n/a", dtype={0: str})


def read_json(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


def write_study(folder, change=lambda measures, people: (measures, people)):
    """Write tables as aparcstats2table does, scans in another order than the people."""
    cohort = simulate_tables(8, (24, 20, 16), random_state=11)
    volumes = ["Left-Hippocampus", "Right-Hippocampus", "Left-Amygdala", "Right-Amygdala"]
    areas = [f"lh_{name}_thickness" for name in ("insula", "cuneus", "lingual", "fusiform")]
    measures = cohort.measures.set_axis([*volumes, *areas], axis=1)
    measures[volumes] *= 1000
    measures["EstimatedTotalIntraCranialVol"] = [1.3e6 + 4000.5 * n for n in range(len(measures))]
    measures, people = change(measures, cohort.people)
    aseg = measures[[*volumes, "EstimatedTotalIntraCranialVol"]].rename_axis("Measure:volume")
    aparc = measures[areas].rename_axis("lh.aparc.thickness").iloc[::-1]
    study = Study(
        folder,
        folder / "aseg.tsv",
        folder / "lh.aparc.thickness.tsv",
        folder / "participants.tsv",
        [*volumes, *areas],
    )
    for table, path in ((aseg, study.aseg), (aparc, study.aparc)):
        table.to_csv(path, sep="\t")
    people.sample(frac=1, random_state=1).to_csv(study.people, sep="\t", na_rep="n/a")
    return study
