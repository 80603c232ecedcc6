"""Read the sample of ABIDE that the numbers of this folder are about.

FreeSurfer tables, participants and MRIQC's group table are not part of the project; they lie in
the folder data/abide of what ISOSCAN_SHARED names.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import NamedTuple

import pandas as pd

import isoscan as iso
from isoscan.unseen.relative import relative_volumes
from isoscan.unseen.rois import intracranial_volume, neuroharmony_rois
from isoscan.unseen.selection import Selection, select_sample

SHARED = Path(os.environ.get("ISOSCAN_SHARED", Path(__file__).resolve().parents[3] / "shared"))
TABLES = ("aseg_volume.tsv", "lh_aparc_volume.tsv", "rh_aparc_volume.tsv")


class Cohort(NamedTuple):
    """Relative volumes, metrics and people of the scans that were selected."""

    volumes: pd.DataFrame
    quality: pd.DataFrame
    people: pd.DataFrame
    selection: Selection


def read_cohort(**rules: object) -> Cohort:
    """Read everything and choose the sample; ages are not limited, as most are minors."""
    folder = SHARED / "data" / "abide"
    freesurfer = iso.read_freesurfer([folder / name for name in TABLES])
    quality = iso.read_mriqc(folder / "group_T1w.tsv")
    people = iso.read_participants(folder / "participants.tsv")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", iso.errors.MissingValuesWarning)
        rois = neuroharmony_rois(freesurfer, zeros="missing")
        total = intracranial_volume(freesurfer)
        volumes = relative_volumes(rois, total, implausible="missing")
    chosen = select_sample(
        volumes, quality=quality, sites=people.site, covariates=people, **{"age": None, **rules}
    )
    return Cohort(volumes.loc[chosen.kept], quality, people.loc[chosen.kept], chosen)
