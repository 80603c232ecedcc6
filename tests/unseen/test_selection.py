"""The sample is chosen by rules that say who is left out, and why."""

import json

import numpy as np
import pandas as pd
import pytest
from known_truth import shared_folder

from isoscan.errors import (
    DataError,
    MissingCovariateError,
    MissingValuesError,
    TooFewScansError,
    UnmatchedRowsError,
)
from isoscan.unseen.outliers import OutlierRule, find_outliers
from isoscan.unseen.selection import select_sample


@pytest.fixture
def cohort():
    """Sixty people of three scanners, twelve regions."""
    rng = np.random.default_rng(1)
    ids = pd.Index([f"sub-{k:02d}" for k in range(60)])
    volumes = pd.DataFrame(rng.normal(size=(60, 12)), ids)
    people = pd.DataFrame(
        {"site": np.repeat(["A", "B", "C"], 20), "age": rng.uniform(20, 60, 60), "sex": "F"}, ids
    )
    return volumes, people


def choose(volumes, people, **rules):
    return select_sample(volumes, sites=people.site, covariates=people, **rules)


def reasons(selection, step):
    log = selection.log[selection.log.step == step]
    return dict(zip(log.scan, log.reason, strict=True))


def test_everyone_is_kept_or_has_one_reason(cohort):
    volumes, people = cohort
    volumes.iloc[3] += 9
    volumes.iloc[5, 2] = np.nan
    people.loc["sub-07", "age"] = 71.0
    chosen = choose(volumes, people)
    assert sorted([*chosen.kept, *chosen.log.scan]) == sorted(volumes.index)
    assert chosen.log.scan.is_unique
    assert chosen.counts.dropped.sum() == len(chosen.log) == 3
    assert chosen.counts.left.iloc[-1] == 57
    assert reasons(chosen, "age") == {"sub-07": "age 71 is not in 18-70"}
    assert reasons(chosen, "outliers") == {"sub-03": "12 regions beyond 2.5 SD of scanner A"}
    assert reasons(chosen, "missing data") == {"sub-05": "1 volume missing"}


def test_limits_of_age_are_included(cohort):
    volumes, people = cohort
    people["age"] = 40.0
    people.iloc[:4, 1] = [18.0, 70.0, 17.9, 70.1]
    assert list(reasons(choose(volumes, people), "age")) == ["sub-02", "sub-03"]
    assert reasons(choose(volumes, people, age=None), "age") == {}


def test_outliers_are_sought_within_scanners_and_again_without_those_found(cohort):
    """The second person is hidden by the first, until that one is out."""
    volumes, people = cohort
    volumes[people.site == "B"] += 100
    volumes.iloc[0] += 1000
    volumes.iloc[1] += 12
    found = find_outliers(volumes, people.site)
    assert found[["scan", "round"]].values.tolist() == [["sub-00", 1], ["sub-01", 2]]
    once = find_outliers(volumes, people.site, OutlierRule(max_rounds=1))
    assert once.scan.tolist() == ["sub-00"]
    chosen = choose(volumes, people)
    assert chosen.log["round"].tolist() == [1, 2]


def test_an_outlier_needs_so_many_regions(cohort):
    volumes, people = cohort
    volumes.iloc[0, :9] += 50
    assert find_outliers(volumes, people.site).empty
    assert find_outliers(volumes, people.site, OutlierRule(n_rois=9)).n_rois.tolist() == [9]
    assert find_outliers(volumes, people.site, OutlierRule(n_rois=9, sd=4.4)).empty
    assert choose(volumes, people, outliers=None).log.empty
    with pytest.raises(DataError, match="no rule"):
        OutlierRule(sd=0)


def test_regions_that_do_not_vary_or_are_missing_are_not_far_out(cohort):
    volumes, people = cohort
    volumes[0] = 1.0
    volumes.iloc[4] = np.nan
    assert find_outliers(volumes, people.site).empty


def test_probabilities_are_columns_or_series(cohort):
    volumes, people = cohort
    people["mriqc"] = 0.5
    people.loc["sub-10", "mriqc"] = 0.51
    qoala = pd.Series(0.1, index=people.index)
    qoala["sub-11"], qoala["sub-12"] = 0.9, np.nan
    chosen = choose(
        volumes, people, quality_probability="mriqc", segmentation_probability=qoala[::-1]
    )
    assert reasons(chosen, "image quality") == {
        "sub-10": "unusable with probability 0.51, above 0.5"
    }
    assert list(reasons(chosen, "segmentation quality")) == ["sub-12", "sub-11"]
    with pytest.raises(DataError, match="between 0 and 1"):
        choose(volumes, people, quality_probability=qoala * 100)


def test_failed_metrics_are_missing_data(cohort):
    volumes, people = cohort
    quality = pd.DataFrame({"fber": 1000.0, "cnr": 3.0, "note": "ok"}, index=volumes.index)
    quality.loc["sub-20", "fber"] = -1.0
    quality.loc["sub-21", "cnr"] = np.nan
    chosen = choose(volumes, people, quality=quality)
    assert reasons(chosen, "missing data") == {
        "sub-20": "metrics missing or failed: fber",
        "sub-21": "metrics missing or failed: cnr",
    }


def test_rows_that_are_absent_are_missing_data(cohort):
    volumes, people = cohort
    quality = pd.DataFrame({"cnr": 3.0}, index=volumes.index)
    some = people.drop(index="sub-31")
    chosen = select_sample(
        volumes, quality=quality.drop(index="sub-30"), sites=people.site, covariates=some
    )
    assert reasons(chosen, "missing data") == {
        "sub-30": "no image quality metrics",
        "sub-31": "no covariates",
    }
    with pytest.raises(MissingValuesError, match=r"2 of 60 scans .*'sub-30' \(no image"):
        select_sample(
            volumes, quality=quality.drop(index="sub-30"), sites=people.site, covariates=some,
            missing="error",
        )  # fmt: skip
    with pytest.raises(DataError, match="missing must be"):
        choose(volumes, people, missing="keep")
    with pytest.raises(UnmatchedRowsError, match="60 of 60"):
        choose(volumes, people, quality=quality.set_axis(range(60)))
    with pytest.raises(DataError, match="sites has 3 rows"):
        select_sample(volumes, sites=["A", "B", "C"], age=None)


def test_scanners_are_counted_after_everything_else(cohort):
    volumes, people = cohort
    people.loc[people.site == "C", "age"] = [80.0] * 16 + [30.0] * 4
    chosen = choose(volumes, people)
    assert set(reasons(chosen, "small scanners").values()) == {"scanner C has 4 scans left"}
    assert chosen.counts.scanners.iloc[-1] == 2
    assert len(choose(volumes, people, min_per_site=4).kept) == 44


def test_nobody_left_is_an_error(cohort):
    volumes, people = cohort
    with pytest.raises(TooFewScansError, match=r"none of 60 scans is left; .* 'age' \(60\)"):
        choose(volumes, people, age=(80, 90))
    with pytest.raises(MissingCovariateError):
        select_sample(volumes, sites=people.site)


def test_single_people_of_a_group_are_those_of_the_original_package():
    """In the order of the volumes: the original also sorts rows by group."""
    folder = shared_folder("golden/unseen/neuroharmony")
    golden = json.loads((folder / "golden_neuroharmony.json").read_text())
    table = pd.read_csv(folder / "input.csv", index_col=0)
    chosen = select_sample(
        table.filter(like="roi"), sites=table.scanner, covariates=table, age=None, outliers=None,
        alone=["Gender", "round(Age)", "site"], min_per_site=1,
    )  # fmt: skip
    expected = golden["exclude_single_subject_groups"]
    assert sorted(chosen.log.scan) == expected["dropped"]
    assert len(chosen.kept) == expected["n_out"]
    assert chosen.log.step.unique().tolist() == ["alone: round(Age)"]
