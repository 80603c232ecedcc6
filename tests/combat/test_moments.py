"""Moments are exact, mergeable in any order, and do not care for the mean or type of the data."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoscan.combat.moments import Moments, Scans, collect, merge_all

FIELDS = (
    "count",
    "covariate_mean",
    "feature_mean",
    "covariate_products",
    "cross_products",
    "feature_squares",
)


def _data(seed: int, *, missing: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    n_scans = 60
    codes = random.integers(0, 4, n_scans)
    covariates = np.column_stack([random.uniform(20, 80, n_scans), random.integers(0, 2, n_scans)])
    table = random.normal(size=(n_scans, 7)) * 3 + 100
    table[random.random(table.shape) < missing] = np.nan
    return table, codes, covariates


def _moments(table: np.ndarray, codes: np.ndarray, covariates: np.ndarray) -> Moments:
    return collect(table, Scans.group(codes, 4, covariates))


def _close(first: Moments, second: Moments, rtol: float = 1e-12) -> None:
    for name in FIELDS:
        expected = getattr(second, name)
        atol = rtol * max(1.0, float(np.abs(expected).max(initial=0)))
        np.testing.assert_allclose(getattr(first, name), expected, rtol=rtol, atol=atol)


@given(
    seed=st.integers(0, 1000),
    cuts=st.lists(st.integers(0, 60), max_size=5),
    order=st.randoms(use_true_random=False),
    missing=st.sampled_from([0.0, 0.2]),
)
def test_merging_parts_in_any_order_gives_the_whole(seed, cuts, order, missing) -> None:
    table, codes, covariates = _data(seed, missing=missing)
    edges = sorted({0, 60, *cuts})
    parts = [_moments(table[a:b], codes[a:b], covariates[a:b]) for a, b in pairwise(edges)]
    order.shuffle(parts)
    _close(merge_all(parts), _moments(table, codes, covariates))


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_moments_are_those_of_their_definition(missing: float) -> None:
    table, codes, covariates = _data(3, missing=missing)
    moments = _moments(table, codes, covariates)
    for site in range(4):
        for feature in range(7):
            rows = (codes == site) & ~np.isnan(table[:, feature])
            values, design = table[rows, feature], covariates[rows]
            here = min(feature, moments.count.shape[1] - 1)
            assert moments.count[site, here] == rows.sum()
            centred = design - design.mean(axis=0)
            expected = {
                "covariate_mean": design.mean(axis=0),
                "covariate_products": centred.T @ centred,
                "cross_products": centred.T @ (values - values.mean()),
                "feature_mean": values.mean(),
                "feature_squares": ((values - values.mean()) ** 2).sum(),
            }
            for name, value in expected.items():
                mine = getattr(moments, name)[site]
                mine = mine[..., min(feature, mine.shape[-1] - 1)]
                np.testing.assert_allclose(mine, value, rtol=1e-10, atol=1e-9)


def test_float32_input_is_accumulated_in_float64() -> None:
    table, codes, covariates = _data(5)
    single = table.astype(np.float32)
    _close(
        _moments(single, codes, covariates),
        _moments(single.astype(float), codes, covariates),
        rtol=1e-14,
    )


@given(offset=st.sampled_from([0.0, 1e3, 1e6, -1e8]))
def test_variance_does_not_lose_digits_to_a_large_mean(offset: float) -> None:
    table, codes, covariates = _data(11)
    table = np.round(table * 2**20) / 2**20  # exact after adding the offset
    plain = _moments(table, codes, covariates)
    shifted = _moments(table + offset, codes, covariates)
    np.testing.assert_allclose(shifted.feature_squares, plain.feature_squares, rtol=1e-11)
    np.testing.assert_allclose(shifted.cross_products, plain.cross_products, rtol=1e-9, atol=1e-7)


def test_the_table_is_not_modified() -> None:
    table, codes, covariates = _data(1, missing=0.1)
    before = table.copy()
    _moments(table, codes, covariates)
    np.testing.assert_array_equal(table, before)
