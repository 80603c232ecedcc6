"""The grid of Kolmogorov-Smirnov tests has SciPy's exact p values."""

import json
import time
import warnings

import numpy as np
import pandas as pd
import pytest
from known_truth import shared_folder
from scipy.stats import ks_2samp

from isoscan.errors import DataError, TooFewSitesError
from isoscan.evaluation.kolmogorov import two_sample_p
from isoscan.evaluation.ks_grid import count_distinct, ks_against, ks_grid


def scipy_p(one, two):
    """SciPy gives up its exact p where rounding lifts it above 1."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return ks_2samp(one, two).pvalue
        except RuntimeWarning:
            return 1.0


@pytest.mark.parametrize(
    ("m", "n"), [(1, 1), (2, 7), (5, 5), (30, 45), (100, 100), (313, 555), (600, 601), (20, 4000)]
)
@pytest.mark.parametrize("shift", [0.0, 0.3, 3.0])
@pytest.mark.parametrize("digits", [1, 9])
def test_p_is_that_of_scipy(m, n, shift, digits):
    rng = np.random.default_rng(m)
    one, two = rng.normal(size=m).round(digits), (rng.normal(size=n) + shift).round(digits)
    mine = ks_against(pd.DataFrame({"x": one}), pd.DataFrame({"x": two})).x
    assert mine == pytest.approx(scipy_p(one, two), rel=1e-9, abs=1e-14)


def test_beyond_ten_thousand_scans_p_is_asymptotic_as_in_scipy():
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=10_001), rng.normal(size=40) + 0.2
    mine = ks_against(pd.DataFrame({"x": one}), pd.DataFrame({"x": two})).x
    assert mine == pytest.approx(ks_2samp(one, two).pvalue, abs=1e-12)


def test_no_distance_has_p_one():
    assert two_sample_p(np.array([0]), 500, 300).tolist() == [1.0]


def test_every_cell_of_the_grid_is_that_of_scipy_with_gaps():
    rng = np.random.default_rng(1)
    sites = np.repeat(["A", "B", "C", "D"], [150, 120, 9, 40])
    table = pd.DataFrame(rng.normal(size=(319, 5)) + (sites == "B")[:, None] * 0.4)
    table.iloc[::7, 2] = np.nan
    grid = ks_grid(table, sites)
    for pair, (one, two) in enumerate(grid.pairs):
        for feature in range(5):
            first, second = (
                table.loc[sites == grid.sites[at], feature].dropna() for at in (one, two)
            )
            expected = scipy_p(first, second)
            assert grid.p[pair, feature] == pytest.approx(expected, abs=1e-10)


def test_smallest_p_ignores_the_number_of_tests():
    rng = np.random.default_rng(2)
    table = pd.DataFrame(rng.normal(size=(80, 30)))
    grid = ks_grid(table, np.repeat(["A", "B"], 40))
    assert grid.smallest(adjusted=False).loc["A", "B"] == grid.p.min()
    assert count_distinct(grid) == (0, 1)
    assert count_distinct(grid, threshold=1.1) == (1, 1)


def test_grid_of_the_original_package_is_met():
    folder = shared_folder("golden/unseen/neuroharmony")
    golden = json.loads((folder / "golden_neuroharmony.json").read_text())
    raw = pd.read_csv(folder / "input.csv", index_col=0)
    for name in ("scanner", "sex_age_scanner"):
        table = pd.read_csv(folder / f"combat_{name}.csv", index_col=0)
        grid = ks_grid(table, raw.scanner.loc[table.index])
        for feature, expected in golden[f"ks_{name}"].items():
            square = pd.DataFrame(expected)
            position = grid.features.index(feature)
            for pair, (one, two) in enumerate(grid.pairs):
                wanted = square.loc[grid.sites[one], grid.sites[two]]
                if wanted is None or np.isnan(wanted):
                    wanted = square.loc[grid.sites[two], grid.sites[one]]
                assert grid.p[pair, position] == pytest.approx(wanted, rel=1e-6)


def test_large_grids_do_not_take_long():
    """A fiftieth of 62 scanners by 101 regions; the whole takes half a minute."""
    rng = np.random.default_rng(3)
    sites = np.repeat([f"S{number}" for number in range(15)], rng.integers(5, 250, 15))
    start = time.process_time()
    ks_grid(pd.DataFrame(rng.normal(size=(len(sites), 30))), sites)
    assert time.process_time() - start < 6


def test_one_scanner_and_other_columns_are_refused():
    table = pd.DataFrame({"a": [1.0, 2.0]})
    with pytest.raises(TooFewSitesError):
        ks_grid(table, ["A", "A"])
    with pytest.raises(DataError, match="both samples need"):
        ks_against(table, table.rename(columns={"a": "b"}))
    assert np.isnan(ks_against(table, table * np.nan).a)
