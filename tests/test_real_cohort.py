"""799 people, 15 scanners, FreeSurfer's own tables: the whole job on real data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from known_truth import shared_folder

import isoscan as iso

PRESERVE = "age + C(sex) + C(diagnosis)"

pytestmark = [
    pytest.mark.filterwarnings("ignore::isoscan.errors.ExtrapolationWarning"),
    pytest.mark.filterwarnings("ignore::isoscan.errors.ConstantFeatureWarning"),
    pytest.mark.filterwarnings("ignore::isoscan.errors.SmallSiteWarning"),
]


@pytest.fixture(scope="module")
def cohort() -> tuple[pd.DataFrame, pd.DataFrame]:
    folder = shared_folder("data/abide")
    names = ("aseg_volume.tsv", "lh_aparc_volume.tsv", "rh_aparc_volume.tsv")
    volumes = iso.read_freesurfer([folder / name for name in names])
    return volumes, iso.read_participants(folder / "participants.tsv")


def test_impossible_intracranial_volume_is_caught_by_name(cohort) -> None:
    volumes, people = cohort
    facts = iso.describe(volumes, sites=people.site, covariates=people, preserve=PRESERVE)
    impossible = [item for item in facts["extremes"] if item["impossible"]]
    assert "sub-0050556" in {item["scan"] for item in impossible}
    assert {item["feature"] for item in impossible} == {"IntraCranialVol"}
    finding = next(f for f in facts["findings"] if f["code"] == "impossible-value")
    assert finding["level"] == "problem"


def test_site_is_gone_and_slopes_are_kept(cohort, tmp_path) -> None:
    volumes, people = cohort
    done = iso.harmonize(people.join(volumes), preserve=PRESERVE)
    assert len(done.features) == len(volumes.columns) - 10
    evaluate = done.facts["evaluate"]
    summary = evaluate["site_effects"]["summary"]
    assert summary["before"]["median_partial_r2"] > 0.10
    assert summary["after"]["median_partial_r2"] < 0.02
    for term in evaluate["biology"]["terms"].values():
        assert term["correlation"] > 0.9
        assert abs(term["median_ratio"] - 1) < 0.15
    folder = done.to_folder(tmp_path / "abide")
    assert (folder / "report.html").stat().st_size < 2_000_000


def test_half_trained_other_half_applied_alone_in_bulk_and_from_file(cohort, tmp_path) -> None:
    volumes, people = cohort
    volumes = volumes.loc[:, volumes.std() > 0]
    random = np.random.default_rng(0)
    train = random.random(len(volumes)) < 0.5
    model = iso.ComBat(PRESERVE).fit(volumes[train], sites=people.site, covariates=people)
    model.save(tmp_path / "model.isoscan")
    loaded = iso.load(tmp_path / "model.isoscan")
    rest = volumes[~train]
    bulk = model.transform(rest, sites=people.site, covariates=people)
    rows, columns = random.permutation(rest.index), random.permutation(rest.columns)
    shuffled = loaded.transform(rest.loc[rows, columns], sites=people.site, covariates=people)
    pd.testing.assert_frame_equal(shuffled.loc[bulk.index, bulk.columns], bulk, check_exact=True)
    for scan in rows[:40]:
        alone = loaded.transform(
            rest.loc[[scan]], sites=people.site[[scan]], covariates=people.loc[[scan]]
        )
        assert (alone.loc[scan] == bulk.loc[scan]).all()
