"""Standard errors, degrees of freedom and group effects of a random intercept."""

from __future__ import annotations

import numpy as np
import pytest
from mixed_cases import Case, abide_case, mega_case, pooling_case, simulate
from scipy import stats

from isoscan.combat.mixed import MixedFit, fit_mixed
from isoscan.combat.mixed.groups import predict_groups
from isoscan.errors import DataError, FeatureMismatchError


def fit(case: Case, **options: object) -> MixedFit:
    return fit_mixed(case.measures, case.design, case.groups, n_jobs=1, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["site", "subj"])
@pytest.mark.parametrize("method", ["reml", "ml"])
def test_simulated_groups_agree_with_lmertest(name: str, method: str) -> None:
    case, rows = pooling_case(name)
    found = fit(case, method=method)
    rows = [row for row in rows if row["crit"].lower() == method]
    se, degrees, p = (
        np.array([row[key] for row in rows]).T
        for key in ("se", "df_satterthwaite", "p_satterthwaite")
    )
    np.testing.assert_allclose(found.standard_errors(), se, rtol=2e-7)
    inside = ~found.singular
    ours = found.degrees_of_freedom()
    np.testing.assert_allclose(ours[:, inside], degrees[:, inside], rtol=1e-6)
    t = found.coefficients / found.standard_errors()
    np.testing.assert_allclose(2 * stats.t.sf(np.abs(t), ours)[:, inside], p[:, inside], atol=1e-6)
    scans, columns = case.design.shape
    np.testing.assert_array_equal(ours[:, ~inside], scans - columns)


@pytest.mark.parametrize("name", ["site", "subj"])
def test_group_effects_agree_with_lme4(name: str) -> None:
    case, rows = pooling_case(name)
    found = fit(case)
    effects = found.predict_groups(case.measures - case.design @ found.coefficients, case.groups)
    rows = [row for row in rows if row["crit"] == "REML"]
    first = np.argsort(effects.labels)[:5]
    expected = np.array([row["blup"] for row in rows]).T
    np.testing.assert_allclose(effects.intercept[first], expected, atol=1e-6)


def test_six_sites_agree_with_lmertest() -> None:
    case, rois = mega_case()
    for method in ("reml", "ml"):
        found = fit(case, method=method)
        for feature, roi in enumerate(rois.values()):
            expected = roi[f"ri_{method}"]
            for ours, theirs in (
                (found.standard_errors(), expected["se"]),
                (found.degrees_of_freedom(), expected["df_satterthwaite"]),
            ):
                np.testing.assert_allclose(ours[:, feature], list(theirs.values()), rtol=1e-5)


def test_real_sites_agree_with_lmertest() -> None:
    case, effects, _, blups = abide_case()
    for method in ("reml", "ml"):
        found = fit(case, method=method)
        rows = effects[effects.reml == (method == "reml")]
        se, degrees, p = (
            rows[column].to_numpy().reshape(10, 4).T
            for column in ("se", "df_satterthwaite", "p_satterthwaite")
        )
        np.testing.assert_allclose(found.standard_errors(), se, rtol=1e-5)
        ours, inside = found.degrees_of_freedom(), ~found.singular
        np.testing.assert_allclose(ours[:, inside], degrees[:, inside], rtol=1e-5)
        t = found.coefficients / se
        np.testing.assert_allclose(2 * stats.t.sf(np.abs(t), ours), p, atol=1e-4)
    found = fit(case)
    predicted = found.predict_groups(case.measures - case.design @ found.coefficients, case.groups)
    theirs = blups.Intercept.to_numpy().reshape(10, -1).T
    order = np.argsort(predicted.labels)
    sd = np.sqrt(found.between + found.variance)
    np.testing.assert_allclose(predicted.intercept[order] / sd, theirs / sd, atol=1e-5)


def test_standard_errors_are_those_of_the_full_matrices() -> None:
    case, _ = simulate(sizes=[1, 2, 2, 2, 2, 3, 3, 5, 9], n_features=3, seed=1)
    found = fit(case)
    contrasts = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, -1.0], [0.5, 2.0, 0.0]])
    same = case.groups[:, None] == case.groups[None]
    for feature in range(3):
        covariance = found.variance[feature] * np.eye(len(same)) + found.between[feature] * same
        of_estimates = np.linalg.inv(case.design.T @ np.linalg.solve(covariance, case.design))
        expected = np.sqrt(np.einsum("ci,ij,cj->c", contrasts, of_estimates, contrasts))
        ours = found.standard_errors(contrasts)[:, feature]
        np.testing.assert_allclose(ours, expected, rtol=1e-10)
        residual = case.measures[:, feature] - case.design @ found.coefficients[:, feature]
        effects = found.between[feature] * same @ np.linalg.solve(covariance, residual)
        every = case.measures - case.design @ found.coefficients
        predicted = found.predict_groups(every, case.groups).at_scans()[:, feature]
        np.testing.assert_allclose(predicted, effects, rtol=1e-9, atol=1e-12)


def test_tests_hold_their_level() -> None:
    """A covariate of the groups that does nothing is significant in 5 of 100 features."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(10), rng.integers(2, 9, 10))
    of_group = rng.normal(size=10)[groups]
    measures = rng.normal(size=(len(groups), 4000)) + rng.normal(size=(10, 4000))[groups]
    design = np.column_stack([np.ones(len(groups)), of_group])
    found = fit(Case(measures, design, groups))
    t = found.coefficients[1] / found.standard_errors()[1]
    p = 2 * stats.t.sf(np.abs(t), found.degrees_of_freedom()[1])
    assert np.mean(p < 0.05) == pytest.approx(0.05, abs=0.015)


def test_a_single_contrast_is_a_row() -> None:
    case, _ = simulate(sizes=[2, 3, 4, 5], n_features=2, seed=2)
    found = fit(case)
    assert found.standard_errors([0, 1, 0]).shape == (1, 2)
    np.testing.assert_allclose(found.standard_errors([0, 1, 0])[0], found.standard_errors()[1])
    np.testing.assert_allclose(
        found.degrees_of_freedom([0, 2, 0])[0], found.degrees_of_freedom()[1]
    )
    with pytest.raises(DataError, match="one number for each of 3 columns"):
        found.standard_errors([0, 1])


def test_inference_with_missing_values_is_that_of_the_scans_seen() -> None:
    case, _ = simulate(sizes=[2, 3, 4, 5, 6, 7], n_features=4, seed=3)
    measures = case.measures.copy()
    measures[[3, 9, 20], 2] = np.nan
    measures[2:, 3] = np.nan
    found = fit(Case(measures, case.design, case.groups))
    seen = np.isfinite(measures[:, 2])
    alone = fit(Case(measures[seen][:, [2]], case.design[seen], case.groups[seen]))
    for name in ("standard_errors", "degrees_of_freedom"):
        here = getattr(found, name)()
        np.testing.assert_allclose(here[:, [2]], getattr(alone, name)(), rtol=1e-8)
        assert np.isnan(here[:, 3]).all()
    effects = found.predict_groups(measures - case.design @ found.coefficients, case.groups)
    left = measures[seen][:, [2]] - case.design[seen] @ alone.coefficients
    of_seen = alone.predict_groups(left, case.groups[seen])
    np.testing.assert_allclose(effects.intercept[:, 2], of_seen.intercept[:, 0], rtol=1e-8)


def test_new_groups_are_predicted_from_variances_alone() -> None:
    residuals = np.array([[1.0, np.nan], [3.0, 2.0], [-1.0, np.nan]])
    one = np.ones(2)
    effects = predict_groups(residuals, ["x", "x", "y"], variance=one, between=2 * one)
    assert effects.labels.tolist() == ["x", "y"]
    np.testing.assert_allclose(effects.intercept, [[8 / 5, 4 / 3], [-2 / 3, 0.0]])
    np.testing.assert_allclose(effects.at_scans(), effects.intercept[[0, 0, 1]])


def test_predictions_refuse_other_features_and_slopes() -> None:
    case, _ = simulate(sizes=[2, 3, 4], n_features=2, seed=4)
    found = fit(case)
    with pytest.raises(FeatureMismatchError, match="one column for each of 2 features"):
        found.predict_groups(case.measures[:, :1], case.groups)
    with pytest.raises(DataError, match="takes no values"):
        found.predict_groups(case.measures, case.groups, slope=np.zeros(9))
