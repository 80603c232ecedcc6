"""A spline follows from its bounds, knows straight lines, and refuses what it cannot draw."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.interpolate import BSpline

from isoscan.design.splines import ORDER, Spline, require_smoothable
from isoscan.errors import SmoothTermError

AGE = Spline("age", 18.0, 85.0)
AGES = np.linspace(18, 85, 200)


def test_b_splines_add_up_to_one_between_the_bounds() -> None:
    np.testing.assert_allclose(AGE.raw_basis(AGES).sum(axis=1), 1.0, rtol=1e-14)


def test_knots_are_even_and_reach_a_thousandth_beyond_the_bounds() -> None:
    steps = np.diff(AGE.knots)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-12)
    inner = AGE.knots[ORDER:-ORDER]
    np.testing.assert_allclose(inner[[0, -1]], [18 - 0.067, 85 + 0.067], rtol=1e-12)
    assert len(inner) == 8  # ten cubic functions


@pytest.mark.parametrize("n_functions", [4, 10, 25])
def test_curves_of_the_basis_leave_out_only_the_constant(n_functions: int) -> None:
    spline = Spline("age", 18, 85, n_functions=n_functions)
    basis = spline.basis(AGES)
    assert basis.shape == (200, n_functions - 1)
    with_constant = np.column_stack([np.ones(200), basis])
    assert np.linalg.matrix_rank(with_constant) == n_functions
    raw = spline.raw_basis(AGES)
    explained = with_constant @ np.linalg.lstsq(with_constant, raw, rcond=None)[0]
    np.testing.assert_allclose(explained, raw, atol=1e-12)


def test_basis_asks_nothing_of_the_data() -> None:
    np.testing.assert_array_equal(AGE.basis(AGES)[::7], AGE.basis(AGES[::7]))


def test_only_straight_lines_cost_nothing() -> None:
    cost = np.linalg.eigvalsh(AGE.penalty())
    assert abs(cost[0]) < 1e-12 * cost[-1] < cost[1]
    line = np.linalg.lstsq(AGE.basis(AGES), AGES - AGES.mean(), rcond=None)[0]
    constant = AGE.basis(AGES) @ line - AGES
    np.testing.assert_allclose(constant, constant[0], rtol=1e-8)
    assert line @ AGE.penalty() @ line < 1e-12 * cost[-1] * (line @ line)


def test_penalty_is_the_integral_of_squared_bending() -> None:
    coefficients = np.random.default_rng(0).normal(size=9)
    knots = AGE.knots
    first = np.linalg.lstsq(AGE.raw_basis(AGES), AGE.basis(AGES) @ coefficients, rcond=None)[0]
    bending = BSpline(knots, first, ORDER).derivative(2)
    inner = knots[ORDER:-ORDER]
    integral = sum(quad(lambda age: bending(age) ** 2, a, b)[0] for a, b in pairwise(inner))
    np.testing.assert_allclose(coefficients @ AGE.penalty() @ coefficients, integral, rtol=1e-9)


@given(scale=st.sampled_from([1e-3, 365.25, 1e6]), shift=st.sampled_from([0.0, -50.0, 1e4]))
def test_unit_of_the_covariate_does_not_change_the_basis(scale: float, shift: float) -> None:
    other = Spline("age", 18 * scale + shift, 85 * scale + shift)
    np.testing.assert_allclose(other.basis(AGES * scale + shift), AGE.basis(AGES), atol=1e-6)
    np.testing.assert_allclose(
        other.penalty() * scale**3, AGE.penalty(), atol=1e-6 * AGE.penalty().max()
    )


def test_values_beyond_the_bounds_are_marked_and_count_as_the_bound() -> None:
    ages = np.array([10.0, 18.0, 50.0, 85.0, 999.0])
    assert AGE.outside(ages).tolist() == [True, False, False, False, True]
    assert AGE.clamped(ages).tolist() == [18.0, 18.0, 50.0, 85.0, 85.0]
    np.testing.assert_array_equal(AGE.basis(ages)[[0, 4]], AGE.basis(ages)[[1, 3]])
    assert ages[4] == 999.0


def test_curve_of_a_level_is_zero_for_other_levels() -> None:
    women = Spline("age", 18, 85, by=("sex", "F"))
    columns = women.columns([30, 30, 60], ["F", "M", "F"])
    assert women.label == "s(age):sex[F]"
    np.testing.assert_array_equal(columns[[0, 2]], AGE.basis([30, 60]))
    assert not columns[1].any()
    with pytest.raises(SmoothTermError, match="needs the levels of 'sex'"):
        women.columns([30, 30, 60])


@pytest.mark.parametrize("spline", [AGE, Spline("icv", 1e3, 2e3, ("sex", "F"), 7)])
def test_spline_survives_json(spline: Spline) -> None:
    assert Spline.from_json(json.loads(json.dumps(spline.to_json()))) == spline


@pytest.mark.parametrize(
    ("low", "high", "n_functions", "message"),
    [
        (5.0, 5.0, 10, "two finite bounds"),
        (9.0, 5.0, 10, "two finite bounds"),
        (np.nan, 5.0, 10, "two finite bounds"),
        (0.0, np.inf, 10, "two finite bounds"),
        (0.0, 1.0, 3, "between 4 and 100 functions, got 3"),
        (0.0, 1.0, 10**9, "between 4 and 100 functions"),
    ],
)
def test_impossible_splines_are_refused(low, high, n_functions, message) -> None:
    with pytest.raises(SmoothTermError, match=message):
        Spline("age", low, high, n_functions=n_functions)


def test_covariate_with_too_few_values_is_refused_by_name() -> None:
    require_smoothable(np.arange(10), "age")
    with pytest.raises(SmoothTermError, match="'sex' takes 2 distinct values in 40 scans") as error:
        require_smoothable(np.tile([0, 1], 20), "sex")
    assert "preserve" in str(error.value)
    assert error.value.covariate == "sex"
