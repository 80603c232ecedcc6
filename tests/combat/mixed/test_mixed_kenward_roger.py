"""Tests of several coefficients at once agree with pbkrtest and hold their level."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from known_truth import shared_folder
from mixed_cases import Case, abide_case, mega_case, pooling_case, simulate
from scipy import stats

from isoscan.combat.mixed import MixedFit, fit_mixed
from isoscan.combat.mixed.kenward_roger import log_tail
from isoscan.errors import DataError


def fit(case: Case, **options: object) -> MixedFit:
    return fit_mixed(case.measures, case.design, case.groups, n_jobs=1, **options)  # type: ignore[arg-type]


def test_single_coefficients_agree_with_pbkrtest() -> None:
    compared = 0
    for name in ("site", "subj"):
        case, rows = pooling_case(name)
        found = fit(case)
        rows = [row for row in rows if row["crit"] == "REML"]
        tests = [found.kenward_roger(row) for row in np.eye(case.design.shape[1])]
        for feature, row in enumerate(rows):
            if not row.get("df_kr"):
                continue
            compared += 1
            degrees = [test.denominator[feature] for test in tests]
            errors = [test.standard_errors[0, feature] for test in tests]
            np.testing.assert_allclose(degrees, row["df_kr"], rtol=1e-5)
            np.testing.assert_allclose(errors, row["se_kr"], rtol=1e-6)
    assert compared >= 4


def test_six_sites_agree_with_pbkrtest() -> None:
    case, rois = mega_case()
    found = fit(case)
    tests = [found.kenward_roger(row) for row in np.eye(4)]
    for feature, roi in enumerate(rois.values()):
        degrees = [test.denominator[feature] for test in tests]
        errors = [test.standard_errors[0, feature] for test in tests]
        np.testing.assert_allclose(degrees, list(roi["ri_reml"]["df_kr"].values()), rtol=1e-4)
        np.testing.assert_allclose(errors, list(roi["ri_reml"]["se_kr"].values()), rtol=1e-4)


def test_real_sites_agree_with_pbkrtest() -> None:
    case, effects, _, _ = abide_case()
    found = fit(case)
    tests = [found.kenward_roger(row) for row in np.eye(4)]
    rows = effects[effects.reml == 1]
    p, degrees, errors = (
        rows[column].to_numpy().reshape(10, 4).T for column in ("p_kr", "df_kr", "se_kr")
    )
    np.testing.assert_allclose([test.p_value for test in tests], p, atol=1e-4)
    np.testing.assert_allclose([test.denominator for test in tests], degrees, rtol=1e-4)
    np.testing.assert_allclose([test.standard_errors[0] for test in tests], errors, rtol=1e-5)


def test_scanners_of_a_longitudinal_study_agree_with_longcombat() -> None:
    folder = shared_folder("golden/combat") / "long_tests"
    people = pd.read_csv(folder / "covars.csv", index_col=0)
    measures = pd.read_csv(folder / "X.csv.gz", index_col=0).loc[people.index]
    scanners = pd.get_dummies(people.scanner, drop_first=True).to_numpy(dtype=float)
    patient = (people.dx != "CN").to_numpy(dtype=float)
    time = people.time.to_numpy()
    covariates = [people.age0, people.sex == "M", patient, time, patient * time]
    design = np.column_stack([np.ones(len(people)), scanners, *covariates])
    found = fit(Case(measures.to_numpy(), design, people.participant_id.to_numpy()))
    test = found.kenward_roger(np.eye(design.shape[1])[1:4])
    expected = pd.read_csv(folder / "addTest_before.csv", index_col=0).loc[measures.columns]
    np.testing.assert_allclose(test.statistic, expected.F, rtol=1e-3)
    np.testing.assert_allclose(test.denominator, expected.ddf, rtol=1e-3)
    np.testing.assert_allclose(test.p_value, expected.p, atol=1e-3)
    assert test.numerator == 3


def test_several_contrasts_hold_their_level_with_few_groups() -> None:
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(9), [2, 3, 3, 4, 4, 5, 5, 6, 7])
    of_group = rng.normal(size=(9, 2))[groups]
    design = np.column_stack([np.ones(len(groups)), of_group])
    measures = rng.normal(size=(len(groups), 4000)) + rng.normal(size=(9, 4000))[groups]
    test = fit(Case(measures, design, groups)).kenward_roger(np.eye(3)[1:])
    assert np.mean(test.p_value < 0.05) == pytest.approx(0.05, abs=0.015)


def test_contrasts_in_other_words_give_the_same_test() -> None:
    case, _ = simulate(sizes=[2, 3, 4, 5, 6, 7], n_features=5, seed=2)
    found = fit(case)
    one = found.kenward_roger(np.eye(3)[1:])
    other = found.kenward_roger([[0.0, 1.0, 1.0], [0.0, 3.0, -1.0]])
    np.testing.assert_allclose(other.statistic, one.statistic, rtol=1e-9)
    np.testing.assert_allclose(other.denominator, one.denominator, rtol=1e-9)


def test_features_that_lack_values_have_no_test() -> None:
    case, _ = simulate(sizes=[2, 3, 4, 5, 6, 7], n_features=4, seed=3)
    measures = case.measures.copy()
    measures[2:, 0] = np.nan
    measures[:, 1] = 1.0
    measures[5, 2] = np.nan
    found = fit(Case(measures, case.design, case.groups))
    test = found.kenward_roger([0.0, 1.0, 0.0])
    assert np.isnan(test.statistic).tolist() == [True, True, False, False]
    assert np.isnan(test.p_value).tolist() == [True, True, False, False]
    seen = np.isfinite(measures[:, 2])
    alone = fit(Case(measures[seen][:, [2]], case.design[seen], case.groups[seen]))
    again = alone.kenward_roger([0.0, 1.0, 0.0])
    assert test.denominator[2] == pytest.approx(again.denominator[0], rel=1e-8)


def test_small_p_values_do_not_underflow() -> None:
    case, _ = simulate(sizes=[40] * 30, n_features=1, seed=4)
    measures = case.measures + 100.0 * case.design[:, [1]]
    test = fit(Case(measures, case.design, case.groups)).kenward_roger([0.0, 1.0, 0.0])
    assert test.p_value[0] == 0.0
    assert -1e5 < test.log_p[0] < -800.0
    assert log_tail(np.zeros(1), 2, np.full(1, 9.0))[0] == 0.0
    moderate = log_tail(np.array([2.0, 30.0]), 3, np.array([8.0, 150.0]))
    np.testing.assert_allclose(moderate, stats.f.logsf([2.0, 30.0], 3, [8.0, 150.0]), rtol=1e-10)
    # one numerator degree of freedom and two denominator ones: p = 1 - sqrt(F / (2 + F))
    far = log_tail(np.array([1e300]), 1, np.array([2.0]))
    np.testing.assert_allclose(far, -300 * np.log(10), rtol=1e-12)


def test_other_models_and_dependent_contrasts_are_refused() -> None:
    case, _ = simulate(sizes=[2, 3, 4, 5, 6, 7], n_features=2, seed=5)
    with pytest.raises(DataError, match="random intercept fitted by method='reml'"):
        fit(case, method="ml").kenward_roger([0, 1, 0])
    with pytest.raises(DataError, match="random intercept fitted by method='reml'"):
        fit(case, slope=case.design[:, 1]).kenward_roger([0, 1, 0])
    with pytest.raises(DataError, match="2 contrasts are not independent"):
        fit(case).kenward_roger([[0, 1, 0], [0, 2, 0]])
