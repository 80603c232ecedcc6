"""A random intercept and slope are fitted to the optimum, for all features at once."""

from __future__ import annotations

import numpy as np
import pytest
from mixed_cases import Case, mega_case
from numpy.typing import NDArray

from isoscan.combat.mixed import MixedFit, fit_mixed
from isoscan.combat.mixed.design import Groups, orthogonalize
from isoscan.combat.mixed.search import factor_to_covariance
from isoscan.combat.mixed.slope import SlopeModel
from isoscan.combat.mixed.standard import Standard
from isoscan.combat.mixed.surface import Surface
from isoscan.errors import DataError, MixedModelError

Array = NDArray[np.float64]


def fit(case: Case, **options: object) -> MixedFit:
    return fit_mixed(  # type: ignore[arg-type]
        case.measures, case.design, case.groups, slope=case.slope, n_jobs=1, **options
    )


def simulate(
    sizes: list[int], n_features: int, seed: int, *, covariance: Array | None = None
) -> Case:
    """Subjects with their own level and rate of change."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    time = rng.uniform(0.0, 4.0, len(groups))
    design = np.column_stack([np.ones(len(groups)), time, rng.normal(size=len(groups))])
    known = np.array([[0.8, -0.1], [-0.1, 0.2]]) if covariance is None else covariance
    effects = rng.multivariate_normal([0, 0], known, size=(len(sizes), n_features))
    measures = rng.normal(size=(len(groups), n_features)) + 2.0
    measures += effects[groups, :, 0] + effects[groups, :, 1] * time[:, None]
    return Case(measures, design, groups, time)


def full_matrices(case: Case, covariance: Array) -> Array:
    """Covariance of all scans in units of the residual variance."""
    assert case.slope is not None
    same = case.groups[:, None] == case.groups[None]
    columns = np.column_stack([np.ones(len(same)), case.slope])
    return np.eye(len(same)) + same * (columns @ covariance @ columns.T)


def likelihood(case: Case, values: Array, covariance: Array, *, restricted: bool) -> float:
    whole = full_matrices(case, covariance)
    inverse = np.linalg.inv(whole)
    products = case.design.T @ inverse @ case.design
    residual = values - case.design @ np.linalg.solve(products, case.design.T @ inverse @ values)
    degrees = len(values) - (case.design.shape[1] if restricted else 0)
    logs = np.linalg.slogdet(whole)[1]
    logs += np.linalg.slogdet(products)[1] if restricted else 0.0
    variance = residual @ inverse @ residual / degrees
    return float(degrees * (1 + np.log(2 * np.pi * variance)) + logs)


def surface_of(case: Case, *, restricted: bool) -> Surface:
    assert case.slope is not None
    basis = orthogonalize(case.design)
    model = SlopeModel.of(
        basis, Groups.of(case.groups), case.slope, correlated=True, restricted=restricted
    )
    residuals = case.measures - basis.columns @ (basis.columns.T @ case.measures)
    plain, weighted = model.group_sums(residuals).transpose(0, 2, 1)
    degrees = float(len(case.groups) - (3 if restricted else 0))
    return Surface(model.sums, plain, weighted, (residuals**2).sum(axis=0), degrees, restricted)


@pytest.mark.parametrize("correlated", [True, False])
def test_six_sites_agree_with_lme4(correlated: bool) -> None:
    case, rois = mega_case()
    found = fit(case, correlated=correlated)
    errors, degrees = found.standard_errors(), found.degrees_of_freedom()
    for feature, roi in enumerate(rois.values()):
        expected = roi["rs_reml" if correlated else "rs_uncor_reml"]
        assert found.minus_two_log_likelihood[feature] < expected["m2ll"] + 1e-9
        assert found.minus_two_log_likelihood[feature] > expected["m2ll"] - 1e-6
        assert found.singular[feature] == expected["singular"]
        total = sum(row["vcov"] for row in expected["varcorr"] if row["v2"] is None)
        between = found.between[feature]
        ours = [between[0, 0], between[1, 1], found.variance[feature]]
        if correlated:
            ours.insert(2, between[0, 1])
        theirs = [row["vcov"] for row in expected["varcorr"]]
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * total)
        beta, se = (np.array(list(expected[key].values())) for key in ("beta", "se"))
        assert np.abs((found.coefficients[:, feature] - beta) / se).max() < 1e-5
        np.testing.assert_allclose(errors[:, feature], se, rtol=1e-5)
        theirs = list(expected["df_satterthwaite"].values())
        np.testing.assert_allclose(degrees[:, feature], theirs, rtol=1e-4)


@pytest.mark.parametrize("correlated", [True, False])
@pytest.mark.parametrize("method", ["reml", "ml"])
def test_likelihood_is_that_of_the_full_matrices(method: str, correlated: bool) -> None:
    case = simulate([2, 2, 3, 3, 4, 4, 5, 6, 7, 1], 4, 1)
    found = fit(case, method=method, correlated=correlated)
    for feature in range(4):
        relative = found.between[feature] / found.variance[feature]
        values = case.measures[:, feature]
        expected = likelihood(case, values, relative, restricted=method == "reml")
        assert found.minus_two_log_likelihood[feature] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("restricted", [True, False])
def test_derivatives_are_those_of_small_differences(restricted: bool) -> None:
    case = simulate([1, 2, 3, 4, 5], 3, 2)
    surface = surface_of(case, restricted=restricted)
    here = factor_to_covariance(np.array([[0.9, 0.3, 0.5], [0.4, -0.3, 0.1], [1.5, 0.0, 0.0]]))
    squares_slope, squares_bend, slope, bend = surface.at(here).derivatives()
    for element, step in enumerate(1e-5 * np.eye(3)):
        up, down = surface.at(here + step), surface.at(here - step)
        for exact, (high, low) in (
            (squares_slope[:, element], (up.squares, down.squares)),
            (slope[:, element], (up.log_determinant, down.log_determinant)),
            (squares_bend[:, element], (up.derivatives()[0], down.derivatives()[0])),
            (bend[:, element], (up.derivatives()[2], down.derivatives()[2])),
        ):
            np.testing.assert_allclose(exact, (high - low) / 2e-5, rtol=1e-5, atol=1e-6)


def test_no_other_optimum_is_better() -> None:
    """Small groups and one big one, where slopes of many features lie on the boundary."""
    case = simulate([2, 2, 2, 3, 3, 4, 5, 60], 200, 3, covariance=np.diag([0.1, 0.02]))
    found = fit(case)
    assert 0.2 < found.singular.mean() < 0.98
    surface = surface_of(case, restricted=True)
    standard = Standard.of(case.design[:, 1], correlated=True)
    height = surface.at(standard.standardize(found.relative)).height
    factor = np.random.default_rng(0).normal(size=(2000, 3)) * [1.0, 0.8, 0.8]
    factor[::4, 2] = 0.0
    for covariance in factor_to_covariance(factor):
        other = surface.at(np.tile(covariance, (200, 1))).height
        assert (height <= other + 1e-9).all()
    for simpler in (
        fit(case, correlated=False),
        fit_mixed(case.measures, case.design, case.groups, n_jobs=1),
    ):
        gain = simpler.minus_two_log_likelihood - found.minus_two_log_likelihood
        assert gain.min() > -1e-9


def test_covariance_is_recovered() -> None:
    known = np.array([[0.8, -0.1], [-0.1, 0.2]])
    found = fit(simulate([4] * 300, 60, 4, covariance=known))
    np.testing.assert_allclose(found.between.mean(axis=0), known, atol=0.03)
    assert found.variance.mean() == pytest.approx(1.0, abs=0.02)
    assert not found.singular.any()


def test_without_slopes_the_answer_is_that_of_a_random_intercept() -> None:
    rng = np.random.default_rng(5)
    case = simulate([3] * 40, 40, 5, covariance=np.diag([1.0, 0.0]))
    assert case.slope is not None
    found = fit(case, correlated=False)
    plain = fit_mixed(case.measures, case.design, case.groups)
    flat = found.between[:, 1, 1] == 0.0
    assert 0.2 < flat.mean() < 0.9
    assert found.singular[flat].all()
    np.testing.assert_allclose(found.between[flat, 0, 0], plain.between[flat], rtol=1e-6)
    np.testing.assert_allclose(
        found.minus_two_log_likelihood[flat], plain.minus_two_log_likelihood[flat], rtol=1e-12
    )
    np.testing.assert_allclose(
        found.standard_errors()[:, flat], plain.standard_errors()[:, flat], rtol=1e-7
    )
    np.testing.assert_allclose(
        found.degrees_of_freedom()[:, flat], plain.degrees_of_freedom()[:, flat], rtol=1e-5
    )
    residuals = rng.normal(size=case.measures.shape)
    ours = found.predict_groups(residuals, case.groups, slope=case.slope)
    theirs = plain.predict_groups(residuals, case.groups)
    assert ours.slope is not None
    np.testing.assert_allclose(ours.intercept[:, flat], theirs.intercept[:, flat], rtol=1e-6)
    np.testing.assert_array_equal(ours.slope[:, flat], 0.0)


def test_unit_and_zero_of_time_do_not_matter() -> None:
    case = simulate([2, 3, 4, 5] * 5, 12, 6)
    assert case.slope is not None
    plain = fit(case)
    later = 365.25 * case.slope + 700000.0
    design = case.design.copy()
    design[:, 1] = later
    moved = fit(Case(case.measures, design, case.groups, later))
    np.testing.assert_allclose(
        moved.minus_two_log_likelihood,
        plain.minus_two_log_likelihood + 2 * np.log(365.25),
        rtol=1e-9,
    )
    np.testing.assert_allclose(
        moved.between[:, 1, 1] * 365.25**2, plain.between[:, 1, 1], rtol=1e-5, atol=1e-8
    )
    np.testing.assert_allclose(moved.coefficients[1] * 365.25, plain.coefficients[1], rtol=1e-6)
    np.testing.assert_allclose(
        moved.degrees_of_freedom()[1], plain.degrees_of_freedom()[1], rtol=1e-4
    )


@pytest.mark.parametrize("correlated", [True, False])
def test_unit_order_and_labels_do_not_matter(correlated: bool) -> None:
    case = simulate([2, 3, 4, 5] * 5, 12, 7)
    assert case.slope is not None
    plain = fit(case, correlated=correlated)
    order = np.random.default_rng(0).permutation(len(case.groups))
    names = np.array([f"sub-{code * 37 % 101}" for code in case.groups])
    measures = 1e4 * (case.measures + 5.0)
    other = fit(
        Case(measures[order], case.design[order], names[order], case.slope[order]),
        correlated=correlated,
    )
    np.testing.assert_allclose(other.between / 1e8, plain.between, atol=1e-7)
    np.testing.assert_allclose(other.variance / 1e8, plain.variance, rtol=1e-6)
    np.testing.assert_array_equal(other.singular, plain.singular)


def test_group_effects_are_those_of_the_full_matrices() -> None:
    case = simulate([2, 3, 4, 5, 6], 3, 8)
    assert case.slope is not None
    found = fit(case)
    residuals = case.measures - case.design @ found.coefficients
    predicted = found.predict_groups(residuals, case.groups, slope=case.slope)
    for feature in range(3):
        whole = full_matrices(case, found.relative[feature])
        expected = (whole - np.eye(len(whole))) @ np.linalg.solve(whole, residuals[:, feature])
        at_scans = predicted.at_scans(case.slope)[:, feature]
        np.testing.assert_allclose(at_scans, expected, rtol=1e-8, atol=1e-10)


def test_standard_errors_are_those_of_the_full_matrices() -> None:
    case = simulate([2, 3, 4, 5, 6], 3, 9)
    found = fit(case)
    for feature in range(3):
        whole = full_matrices(case, found.relative[feature]) * found.variance[feature]
        expected = np.linalg.inv(case.design.T @ np.linalg.solve(whole, case.design))
        errors = found.standard_errors()[:, feature]
        np.testing.assert_allclose(errors, np.sqrt(np.diagonal(expected)), rtol=1e-9)


def test_missing_values_are_as_if_the_scans_were_not_there() -> None:
    case = simulate([3, 4, 5, 6, 7], 4, 10)
    assert case.slope is not None
    measures = case.measures.copy()
    measures[[1, 8, 20], 2] = np.nan
    measures[:, 3] = np.where(np.arange(len(measures)) < 4, measures[:, 3], np.nan)
    found = fit(Case(measures, case.design, case.groups, case.slope))
    seen = np.isfinite(measures[:, 2])
    rest = Case(measures[seen][:, [2]], case.design[seen], case.groups[seen], case.slope[seen])
    alone = fit(rest)
    np.testing.assert_allclose(found.between[2], alone.between[0], rtol=1e-6, atol=1e-9)
    assert found.solvable.tolist() == [True, True, True, False]
    assert np.isnan(found.between[3]).all()
    residuals = measures - case.design @ found.coefficients
    every = found.predict_groups(residuals, case.groups, slope=case.slope)
    some = alone.predict_groups(residuals[seen][:, [2]], rest.groups, slope=rest.slope)
    assert every.slope is not None
    assert some.slope is not None
    np.testing.assert_allclose(every.slope[:, 2], some.slope[:, 0], rtol=1e-5, atol=1e-8)


def test_features_without_residuals_are_on_the_boundary() -> None:
    case = simulate([3, 4, 5, 6, 7], 3, 11)
    measures = case.measures.copy()
    measures[:, 0] = 3.0
    measures[:, 1] = case.groups**2
    found = fit(Case(measures, case.design, case.groups, case.slope))
    assert found.singular[:2].all()
    assert found.variance[0] == 0.0
    assert (found.between[0] == 0.0).all()
    assert found.variance[1] < 1e-5 * found.between[1, 0, 0]


def test_slopes_that_groups_cannot_have_are_refused() -> None:
    case = simulate([3, 4, 5], 2, 12)
    with pytest.raises(MixedModelError, match="constant within each of 3 groups"):
        fit(Case(case.measures, case.design, case.groups, case.groups.astype(float)))
    with pytest.raises(MixedModelError, match="constant within each of 3 groups"):
        fit(Case(case.measures, case.design, case.groups, np.ones(12)))
    with pytest.raises(MixedModelError, match="each group takes an intercept and a slope"):
        fit(simulate([2] * 8, 2, 0))
    with pytest.raises(DataError, match="one finite number per scan: expected 12"):
        fit(Case(case.measures, case.design, case.groups, np.ones(11)))
    found = fit(case)
    with pytest.raises(DataError, match="needs its values"):
        found.predict_groups(case.measures, case.groups)
