"""A random intercept is fitted to the optimum, for all features at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mixed_cases import Case, abide_case, mega_case, pooling_case, simulate
from numpy.typing import NDArray

from isoscan.combat.mixed import MixedFit, fit_mixed
from isoscan.combat.mixed.design import Groups, orthogonalize
from isoscan.combat.mixed.intercept import Spectrum
from isoscan.combat.mixed.profile import GRID

Array = NDArray[np.float64]
UNBALANCED = [1, 1, 2, 2, 2, 3, 3, 4, 9, 14]


def fit(case: Case, **options: object) -> MixedFit:
    return fit_mixed(case.measures, case.design, case.groups, n_jobs=1, **options)  # type: ignore[arg-type]


def likelihood(case: Case, feature: int, ratio: float, *, restricted: bool) -> float:
    """Twice the negative log-likelihood from full matrices, as in the textbook."""
    same = case.groups[:, None] == case.groups[None]
    covariance = np.eye(len(same)) + ratio * same
    inverse = np.linalg.inv(covariance)
    products = case.design.T @ inverse @ case.design
    values = case.measures[:, feature]
    residual = values - case.design @ np.linalg.solve(products, case.design.T @ inverse @ values)
    degrees = len(values) - (case.design.shape[1] if restricted else 0)
    variance = residual @ inverse @ residual / degrees
    logs = np.linalg.slogdet(covariance)[1]
    logs += np.linalg.slogdet(products)[1] if restricted else 0.0
    return float(degrees * (1 + np.log(2 * np.pi * variance)) + logs)


@pytest.mark.parametrize("name", ["site", "subj"])
@pytest.mark.parametrize("method", ["reml", "ml"])
def test_simulated_groups_agree_with_lme4(name: str, method: str) -> None:
    case, rows = pooling_case(name)
    found = fit(case, method=method)
    rows = [row for row in rows if row["crit"].lower() == method]
    expected = {key: np.array([row[key] for row in rows]) for key in ("tau2", "sigma2", "m2ll")}
    beta, se = (np.array([row[key] for row in rows]).T for key in ("beta", "se"))
    np.testing.assert_allclose(found.between, expected["tau2"], atol=2e-7)
    np.testing.assert_allclose(found.variance, expected["sigma2"], rtol=2e-7)
    np.testing.assert_allclose(found.minus_two_log_likelihood, expected["m2ll"], atol=1e-8)
    assert np.abs((found.coefficients - beta) / se).max() < 1e-6
    np.testing.assert_array_equal(found.singular, expected["tau2"] < 1e-9)


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_six_sites_agree_with_lme4(method: str) -> None:
    case, rois = mega_case()
    found = fit(case, method=method)
    for feature, roi in enumerate(rois.values()):
        expected = roi[f"ri_{method}"]
        beta = np.array(list(expected["beta"].values()))
        se = np.array(list(expected["se"].values()))
        between, variance = (row["vcov"] for row in expected["varcorr"])
        assert found.between[feature] == pytest.approx(between, rel=1e-5)
        assert found.variance[feature] == pytest.approx(variance, rel=1e-5)
        assert np.abs((found.coefficients[:, feature] - beta) / se).max() < 1e-5
        deviance = found.minus_two_log_likelihood[feature]
        assert deviance == pytest.approx(expected["m2ll"], abs=1e-6)


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_real_sites_agree_with_lme4(method: str) -> None:
    case, effects, variances, _ = abide_case()
    found = fit(case, method=method)
    effects = effects[effects.reml == (method == "reml")]
    variances = variances[variances.reml == (method == "reml")]
    estimate = effects.estimate.to_numpy().reshape(10, 4).T
    se = effects.se.to_numpy().reshape(10, 4).T
    assert np.abs((found.coefficients - estimate) / se).max() < 1e-5
    between = variances[variances.grp == "site"].vcov.to_numpy()
    within = variances[variances.grp == "Residual"].vcov.to_numpy()
    assert np.abs((found.between - between) / (between + within)).max() < 1e-5
    assert np.abs((found.variance - within) / (between + within)).max() < 1e-5
    log_likelihood = variances[variances.grp == "site"].logLik.to_numpy()
    np.testing.assert_allclose(-0.5 * found.minus_two_log_likelihood, log_likelihood, atol=1e-6)


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_likelihood_is_that_of_the_full_matrices(method: str) -> None:
    case, _ = simulate(sizes=UNBALANCED, n_features=5, seed=1)
    found = fit(case, method=method)
    for feature in range(5):
        ratio = found.between[feature] / found.variance[feature]
        expected = likelihood(case, feature, ratio, restricted=method == "reml")
        assert found.minus_two_log_likelihood[feature] == pytest.approx(expected, abs=1e-9)


def test_no_other_optimum_is_better() -> None:
    """Few subjects at small sites and one big site: several optima for some features."""
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(9), [2, 2, 2, 2, 2, 3, 4, 5, 60])
    design = np.column_stack([np.ones(len(groups)), rng.normal(size=(len(groups), 2))])
    measures = rng.normal(size=(len(groups), 3000)) + 0.3 * rng.normal(size=(9, 3000))[groups]
    found = fit(Case(measures, design, groups))
    same = (groups[:, None] == groups[None]).astype(float)
    curve = []
    for ratio in [0.0, *np.exp(np.arange(-9.0, 6.0, 0.1))]:
        covariance = np.eye(len(groups)) + ratio * same
        inverse = np.linalg.inv(covariance)
        products = design.T @ inverse @ design
        residual = measures - design @ np.linalg.solve(products, design.T @ inverse @ measures)
        degrees = len(groups) - 3
        squares = np.einsum("sf,sf->f", residual, inverse @ residual)
        logs = np.linalg.slogdet(covariance)[1] + np.linalg.slogdet(products)[1]
        curve.append(degrees * (1 + np.log(2 * np.pi * squares / degrees)) + logs)
    heights = np.array(curve)
    valleys = np.diff(np.sign(np.diff(heights, axis=0)), axis=0) > 0
    assert (valleys.sum(axis=0) + (heights[1] > heights[0]) > 1).sum() > 10
    assert (found.minus_two_log_likelihood < heights.min(axis=0) + 1e-9).all()


def test_variances_are_recovered() -> None:
    case, between = simulate(sizes=[3] * 400, n_features=300, seed=5)
    found = fit(case)
    assert np.mean(found.between / between) == pytest.approx(1.0, abs=0.02)
    assert np.mean(found.variance) == pytest.approx(1.0, abs=0.01)
    assert found.solvable.all()
    assert not found.singular.any()


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_groups_of_one_size_may_share_a_direction(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, _ = simulate(sizes=[1] * 8 + [2] * 30 + [3] * 20 + [4] * 2, n_features=40, seed=7)
    by_size = fit(case, method=method)
    plain = Spectrum.of

    def one_by_one(basis: object, groups: object) -> Spectrum:
        return plain(basis, groups, by_size=False)  # type: ignore[arg-type]

    monkeypatch.setattr(Spectrum, "of", one_by_one)
    apart = fit(case, method=method)
    np.testing.assert_allclose(by_size.between, apart.between, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(by_size.coefficients, apart.coefficients, rtol=1e-9)
    np.testing.assert_allclose(
        by_size.minus_two_log_likelihood, apart.minus_two_log_likelihood, rtol=1e-12
    )


def test_directions_are_few_for_many_subjects() -> None:
    case, _ = simulate(sizes=[2] * 300 + [3] * 300, n_features=1, seed=0)
    groups = Groups.of(case.groups)
    spectrum = Spectrum.of(orthogonalize(case.design), groups)
    assert len(spectrum.all_scales) <= 2 * (3 + 1)
    assert spectrum.counts.sum() == 600 - 1  # the mean of all is explained


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.sampled_from([1e-6, 0.3, 1e5]))
def test_unit_offset_and_order_do_not_matter(seed: int, scale: float) -> None:
    case, _ = simulate(sizes=UNBALANCED, n_features=3, seed=seed)
    plain = fit(case)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(case.groups))
    names = rng.permutation(100)[case.groups].astype(str)
    measures = scale * (case.measures + 1000.0)
    other = fit(Case(measures[order], case.design[order], names[order]))
    total = plain.between + plain.variance
    np.testing.assert_allclose(other.between / scale**2 / total, plain.between / total, atol=1e-9)
    np.testing.assert_allclose(other.variance, scale**2 * plain.variance, rtol=1e-8)
    slopes = other.coefficients[1:] / scale
    np.testing.assert_allclose(slopes, plain.coefficients[1:], rtol=1e-8, atol=1e-9)


def test_mean_of_a_million_costs_few_digits() -> None:
    case, _ = simulate(sizes=UNBALANCED, n_features=20, seed=2)
    plain = fit(case)
    moved = fit(Case(case.measures + 1e6, case.design, case.groups))
    np.testing.assert_allclose(moved.between, plain.between, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(moved.variance, plain.variance, rtol=1e-7)


def test_more_columns_in_the_span_change_nothing_but_names() -> None:
    case, _ = simulate(sizes=UNBALANCED, n_features=4, seed=4)
    mix = np.array([[1.0, 2.0, 0.0], [0.0, 1.0, 0.5], [0.0, 0.0, 3.0]])
    plain, mixed = fit(case), fit(Case(case.measures, case.design @ mix, case.groups))
    np.testing.assert_allclose(mix @ mixed.coefficients, plain.coefficients, rtol=1e-9)
    np.testing.assert_allclose(mixed.between, plain.between, rtol=1e-9, atol=1e-12)


def test_covariate_constant_within_groups_is_fitted() -> None:
    case, _ = simulate(sizes=[2, 3, 4, 5, 6, 7], n_features=3, seed=6)
    of_group = np.random.default_rng(0).normal(size=6)[case.groups]
    case = Case(case.measures, np.column_stack([case.design, of_group]), case.groups)
    found = fit(case)
    ratio = found.between / found.variance
    for feature in range(3):
        expected = likelihood(case, feature, ratio[feature], restricted=True)
        assert found.minus_two_log_likelihood[feature] == pytest.approx(expected, abs=1e-9)


def test_feature_that_the_design_explains_has_no_variance() -> None:
    case, _ = simulate(sizes=UNBALANCED, n_features=3, seed=8)
    measures = case.measures.copy()
    measures[:, 1] = 7.25
    found = fit(Case(measures, case.design, case.groups))
    assert found.variance[1] == found.between[1] == 0.0
    assert found.singular[1]
    assert found.minus_two_log_likelihood[1] == -np.inf
    np.testing.assert_allclose(found.coefficients[:, 1], [7.25, 0, 0], atol=1e-12)
    others = fit(case).between[[0, 2]]
    np.testing.assert_allclose(found.between[[0, 2]], others, rtol=1e-12)


def test_feature_constant_within_groups_is_on_the_boundary() -> None:
    case, _ = simulate(sizes=UNBALANCED, n_features=2, seed=9)
    measures = case.measures.copy()
    measures[:, 0] = np.arange(10.0)[case.groups] ** 2
    found = fit(Case(measures, case.design, case.groups))
    assert found.singular[0]
    assert found.variance[0] < 1e-6 * found.between[0]
    assert found.between[0] / found.variance[0] == pytest.approx(np.exp(GRID[-1]), rel=1e-6)


def test_missing_values_are_as_if_the_scans_were_not_there() -> None:
    case, _ = simulate(sizes=UNBALANCED, n_features=30, seed=10)
    measures = case.measures.copy()
    missing = np.random.default_rng(1).random(measures.shape) < 0.1
    missing[:, ::3] = missing[:, [0]]
    missing[:, 1::3] = False
    measures[missing] = np.nan
    found = fit(Case(measures, case.design, case.groups))
    for feature in range(30):
        seen = ~missing[:, feature]
        one = Case(measures[seen][:, [feature]], case.design[seen], case.groups[seen])
        alone = fit(one)
        for name in ("variance", "between", "minus_two_log_likelihood"):
            here = getattr(found, name)[feature]
            np.testing.assert_allclose(here, getattr(alone, name)[0], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(
            found.coefficients[:, feature], alone.coefficients[:, 0], rtol=1e-9, atol=1e-12
        )


def test_feature_with_too_few_values_is_marked_not_fitted() -> None:
    case, _ = simulate(sizes=UNBALANCED, n_features=3, seed=11)
    measures = case.measures.copy()
    measures[3:, 1] = np.nan
    found = fit(Case(measures, case.design, case.groups))
    assert found.solvable.tolist() == [True, False, True]
    assert np.isnan(found.variance[1])
    assert np.isnan(found.coefficients[:, 1]).all()
    assert not found.singular[1]


def test_threads_and_storage_type_do_not_change_numbers() -> None:
    case, _ = simulate(sizes=UNBALANCED, n_features=600, seed=12)
    one = fit(case)
    many = fit_mixed(np.asfortranarray(case.measures), case.design, case.groups, n_jobs=3)
    np.testing.assert_allclose(many.coefficients, one.coefficients, rtol=1e-12)
    np.testing.assert_allclose(many.between, one.between, rtol=1e-9, atol=1e-12)
    rounded = case.measures.astype(np.float32)
    single = fit(Case(rounded, case.design, case.groups))  # type: ignore[arg-type]
    assert single.coefficients.dtype == np.float64
    whole = fit(Case(np.rint(100 * case.measures).astype(int), case.design, case.groups))
    np.testing.assert_allclose(whole.variance / 1e4, one.variance, rtol=0.05)


def test_inputs_are_not_modified() -> None:
    case, _ = simulate(sizes=UNBALANCED, n_features=3, seed=13)
    for array in (case.measures, case.design, case.groups):
        array.setflags(write=False)
    fit(case)
