"""How strong corrections are, by region and by what they remove."""

import numpy as np
import pandas as pd
import pytest

from isoscan.errors import DataError, UnmatchedRowsError
from isoscan.evaluation.corrections import correction_ratio, covariate_contributions


@pytest.fixture
def volumes():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        rng.normal(10, 2, size=(60, 3)), [f"sub-{k}" for k in range(60)], list("abc")
    )


def test_ratio_is_median_volume_over_median_size_of_the_correction(volumes):
    sign = np.where(np.arange(60) % 2, 1.0, -1.0)
    corrections = volumes * 0.1 * sign[:, None]
    table = correction_ratio(volumes, corrections.iloc[::-1, ::-1])
    assert np.allclose(table.ratio, 10)
    assert np.allclose(table.percent, 10)
    assert correction_ratio(volumes, corrections, signed=True).ratio.abs().min() > 20


def test_spread_is_in_percent_of_mean_and_median(volumes):
    table = correction_ratio(volumes, volumes)
    assert table.cv.a == pytest.approx(100 * volumes.a.std() / volumes.a.mean())
    low, middle, high = volumes.a.quantile([0.25, 0.5, 0.75])
    assert table.qcv.a == pytest.approx(100 * (high - low) / middle)


def test_a_region_that_is_not_corrected_has_no_ratio(volumes):
    assert correction_ratio(volumes, volumes * 0).ratio.isna().all()


def test_contributions_are_shares_of_the_sum_of_medians(volumes):
    sites = pd.Series(np.repeat(["A", "B"], 30), index=volumes.index)
    ones = volumes * 0 + 1
    at_a = ones.mul(np.where(sites == "A", 3.0, 1.0), axis=0)
    shares = covariate_contributions({"age": ones, "site": -at_a}, sites.iloc[::-1])
    assert shares.loc["A"].tolist() == [0.25, 0.75]
    assert shares.loc["B"].tolist() == [0.5, 0.5]


def test_large_regions_count_more_unless_scaled(volumes):
    steps = {
        "age": pd.DataFrame({"large": [10.0, 10], "small": [0.0, 0]}),
        "site": pd.DataFrame({"large": [0.0, 0], "small": [1.0, 1]}),
    }
    spread = pd.Series({"small": 1.0, "large": 10.0})
    assert covariate_contributions(steps, ["A", "A"]).age.item() == pytest.approx(10 / 11)
    assert covariate_contributions(steps, ["A", "A"], spread=spread).age.item() == 0.5


def test_tables_that_do_not_fit_are_refused(volumes):
    with pytest.raises(DataError, match="lack 1 of 3 features"):
        correction_ratio(volumes, volumes[["a", "b"]])
    with pytest.raises(UnmatchedRowsError):
        correction_ratio(volumes, volumes.iloc[:5])
    with pytest.raises(DataError, match="empty"):
        covariate_contributions({}, [])
