"""The iterative rule: scans with 10 % of features beyond 2.5 SD of their own site."""

from __future__ import annotations

import timeit

import numpy as np
import pandas as pd
import pytest

from isoscan.description import describe
from isoscan.description.outliers import find_outlying_scans, scan_for_outliers, smallest_site
from isoscan.description.study import gather_study


def reference_rule(values: np.ndarray) -> dict[int, int]:
    """The rule as one would write it on paper, scan by scan."""
    inside = list(range(len(values)))
    found: dict[int, int] = {}
    for turn in range(1, len(values)):
        block = pd.DataFrame(values[inside], index=inside)
        extreme = ((block - block.mean()) / block.std()).abs() > 2.5
        out = [row for row in inside if extreme.loc[row].sum() >= 0.1 * block.loc[row].count()]
        if not out:
            return found
        found |= dict.fromkeys(out, turn)
        inside = [row for row in inside if row not in out]
    return found


@pytest.mark.parametrize("seed", range(4))
def test_rule_agrees_with_its_definition(seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.standard_t(3, size=(60, 20))
    values[random.random(values.shape) < 0.05] = np.nan
    found = {scan.row: scan.round for scan in find_outlying_scans(values, np.arange(60))}
    assert found == reference_rule(values)
    assert found


def test_scan_hidden_behind_a_worse_one_is_found_in_the_next_round() -> None:
    values = np.random.default_rng(0).normal(size=(30, 60))
    values[4] += 1000.0
    values[9] += 50.0
    found = [(scan.row, scan.round) for scan in find_outlying_scans(values, np.arange(30))]
    assert found == [(4, 1), (9, 2)]


def test_outlier_is_judged_within_its_site_not_across_sites() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(60, 40)) + np.repeat([[0.0], [50.0]], 30, axis=0)
    values[40, :10] = 0.0  # ordinary at the first site, not at the second
    scans = describe(values, sites=["A"] * 30 + ["B"] * 30)["outliers"]["scans"]
    assert [(scan["scan"], scan["site"]) for scan in scans] == [("40", "B")]
    assert set(scans[0]["worst"]) <= {f"feature{position}" for position in range(10)}


def test_sites_in_which_no_scan_could_stand_out_are_listed_not_cleared() -> None:
    values = np.random.default_rng(0).normal(size=(20, 10))
    outliers = describe(values, sites=["A"] * 4 + ["B"] * 7 + ["C"] * 9)["outliers"]
    assert outliers["not_checked"] == ["A", "B"]
    assert outliers["rule"] == {"share": 0.10, "sd": 2.5, "smallest_site": 9}


@pytest.mark.parametrize("sd", [2.0, 2.5, 3.0])
def test_below_the_smallest_site_nothing_can_lie_beyond_the_threshold(sd: float) -> None:
    n = smallest_site(sd)
    farthest = {size: _farthest(size) for size in (n - 1, n)}
    assert farthest[n - 1] <= sd < farthest[n]


def _farthest(n: int) -> float:
    values = np.zeros(n)
    values[0] = 1.0
    return float((values[0] - values.mean()) / values.std(ddof=1))


def test_constant_and_missing_features_do_not_dilute_the_share() -> None:
    values = np.random.default_rng(0).normal(size=(20, 40))
    values[3, :4] = 100.0
    padded = np.hstack([values, np.full((20, 90), 7.1), np.full((20, 90), np.nan)])
    assert [scan.row for scan in find_outlying_scans(padded, np.arange(20))] == [3]


def test_sixty_sites_and_two_hundred_features_take_well_under_a_second() -> None:
    values = np.random.default_rng(0).normal(size=(840, 200))
    sites = np.repeat([f"S{number:02d}" for number in range(60)], 14)
    study = gather_study(values, sites, None)
    took = timeit.repeat(lambda: scan_for_outliers(study), number=1, repeat=3)
    assert min(took) < 0.3
