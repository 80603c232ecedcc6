"""Penalised curves from moments are those of mgcv and of a plain solution feature by feature."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_truth import shared_folder
from scipy.optimize import minimize, minimize_scalar

from isoscan.combat.moments import Moments, Scans, collect, merge_all
from isoscan.combat.regression import regress
from isoscan.combat.smooth import Penalty, SmoothFit, penalised_slopes, standard_errors
from isoscan.design.splines import Spline

N_SITES = 4


class Study:
    """Scans with curves of some covariates, and the plain algebra to compare with."""

    def __init__(self, codes, plain, covariates, *, levels=None, bounds=None) -> None:
        self.codes, self.n_sites = codes, int(codes.max()) + 1
        groups = [None] if levels is None else sorted(set(levels))
        parts, self.penalties = [plain], []
        for values, level in product(covariates, groups):
            low, high = bounds or (values.min(), values.max())
            by = None if level is None else ("sex", level)
            spline = Spline("covariate", low, high, by)
            start = sum(part.shape[1] for part in parts)
            parts.append(spline.columns(values, levels))
            self.penalties.append(Penalty(slice(start, start + 9), spline.penalty()))
        self.design = np.hstack(parts)
        self.full = np.hstack([np.eye(self.n_sites)[codes], self.design])

    def moments(self, table, rows=slice(None)) -> Moments:
        return collect(table[rows], Scans.group(self.codes[rows], self.n_sites, self.design[rows]))

    def fit(self, table) -> SmoothFit:
        return fit_moments(self.moments(table), self.penalties)

    def fitted(self, table, fit) -> np.ndarray:
        rest = table - self.design @ fit.slopes
        means = [rest[self.codes == code].mean(axis=0) for code in range(self.n_sites)]
        return self.design @ fit.slopes + np.array(means)[self.codes]

    def penalty(self, smoothing) -> np.ndarray:
        whole = np.zeros((self.full.shape[1],) * 2)
        for penalty, weight in zip(self.penalties, smoothing, strict=True):
            part = slice(*(np.array([penalty.columns.start, penalty.columns.stop]) + self.n_sites))
            whole[part, part] = weight * penalty.matrix
        return whole

    def criterion(self, measures, smoothing) -> float:
        """Minus twice the restricted log likelihood of one feature, from the full design."""
        matrix = self.full.T @ self.full + self.penalty(smoothing)
        right = self.full.T @ measures
        left = measures @ measures - right @ np.linalg.solve(matrix, right)
        degrees = len(measures) - self.full.shape[1] + 8 * len(smoothing)
        weights = 8 * np.log(smoothing).sum()
        return float(degrees * np.log(left) + np.linalg.slogdet(matrix)[1] - weights)


def fit_moments(moments: Moments, penalties) -> SmoothFit:
    return penalised_slopes(
        moments.covariate_products.sum(axis=0),
        moments.cross_products.sum(axis=0),
        moments.feature_squares.sum(axis=0),
        moments.count.sum(axis=0) - (moments.count > 0).sum(axis=0),
        penalties,
    )


def simulate(seed=0, *, n_scans=160, n_features=12, curves=1, **options):
    """Half of the features bend with the first covariate, the last quarter is noise."""
    random = np.random.default_rng(seed)
    codes = np.append(np.arange(N_SITES), random.integers(0, N_SITES, n_scans - N_SITES))
    sex = random.integers(0, 2, n_scans)
    age = random.uniform(20, 80, n_scans).round(2)
    volume = 140 + 0.2 * age + random.normal(0, 9, n_scans)
    table = random.normal(size=(n_scans, n_features)) + codes[:, None] + 0.4 * sex[:, None]
    bends = np.arange(n_features) < 3 * n_features / 4
    table += np.outer(np.sin(age / 9), bends * random.uniform(0.3, 1.5, n_features))
    table += np.outer(np.cos((volume - 150) / 6), bends * (curves > 1) * 0.7)
    levels = np.array(["F", "M"])[sex] if options.pop("by_sex", False) else None
    covariates = [age, volume][:curves]
    return Study(codes, sex[:, None].astype(float), covariates, levels=levels, **options), table


@pytest.mark.parametrize("case", ["one", "two"])
def test_curves_are_those_of_mgcv(case: str) -> None:
    folder = shared_folder(f"golden/smooth/{case}")
    people = pd.read_csv(folder / "covariates.csv", index_col="row_id")
    table = pd.read_csv(folder / "X.csv.gz", index_col=0).loc[people.index]
    expected = pd.read_csv(folder / "fitted.csv.gz", index_col=0).loc[people.index, table.columns]
    terms = pd.read_csv(folder / "terms.csv").pivot(index="feature", columns="term")
    terms = terms.loc[table.columns]
    names = ["age", "icv"] if case == "two" else ["age"]
    sex = (people.sex == "M").to_numpy(float)[:, None]
    covariates = [people[name].to_numpy() for name in names]
    study = Study(pd.factorize(people.site, sort=True)[0], sex, covariates)
    fit = study.fit(table.to_numpy())
    gap = study.fitted(table.to_numpy(), fit) - expected.to_numpy()
    assert np.abs(gap / np.sqrt(fit.variance)).max() < 1e-4
    for number, name in enumerate(names):
        column = f"s({name})"
        np.testing.assert_allclose(fit.edf[number], terms["edf", column], atol=1e-3)
        np.testing.assert_allclose(fit.variance, terms["sig2", column], rtol=1e-5)
        bends = fit.edf[number] > 1.05  # mgcv counts smoothing in a unit of its own
        unit = terms["sp", column].to_numpy()[bends] / fit.smoothing[number, bends]
        np.testing.assert_allclose(unit, unit[0], rtol=0.01)
        assert (terms["sp", column].to_numpy()[np.isinf(fit.smoothing[number])] > 1e3).all()


def test_smoothing_minimises_the_restricted_likelihood() -> None:
    study, table = simulate(1)
    fit = study.fit(table)
    for feature, smoothing in enumerate(fit.smoothing[0]):
        best = min(
            (
                minimize_scalar(
                    lambda log, y=table[:, feature]: study.criterion(y, [np.exp(log)]),
                    bounds=(low, low + 6),
                    method="bounded",
                    options={"xatol": 1e-8},
                )
                for low in range(-18, 24, 4)
            ),
            key=lambda found: found.fun,
        )
        if np.isfinite(smoothing):
            assert abs(np.log(smoothing) - best.x) < 1e-4
        else:
            assert study.criterion(table[:, feature], [1e14]) <= best.fun + 1e-6


@pytest.mark.parametrize("by_sex", [False, True])
def test_two_curves_minimise_the_restricted_likelihood(by_sex: bool) -> None:
    study, table = simulate(2, curves=1 if by_sex else 2, by_sex=by_sex, n_features=6)
    fit = study.fit(table)
    logs = np.log(np.minimum(fit.smoothing, 1e12))
    for feature in range(6):
        y = table[:, feature]
        start = study.criterion(y, np.exp(logs[:, feature]))
        found = minimize(lambda log, y=y: study.criterion(y, np.exp(log)), logs[:, feature])
        assert found.fun > start - 1e-5
        for pair in product(np.logspace(-4, 10, 8), repeat=2):
            assert study.criterion(y, pair) > start - 1e-5


@pytest.mark.parametrize(("curves", "by_sex"), [(1, False), (1, True), (2, False)])
def test_slopes_and_degrees_are_those_of_the_full_design(curves: int, by_sex: bool) -> None:
    study, table = simulate(3, curves=curves, by_sex=by_sex)
    fit = study.fit(table)
    products = study.full.T @ study.full
    for feature in range(table.shape[1]):
        smoothing = np.minimum(fit.smoothing[:, feature], 1e11)
        inverse = np.linalg.inv(products + study.penalty(smoothing))
        coefficients = inverse @ study.full.T @ table[:, feature]
        expected = study.full @ coefficients
        np.testing.assert_allclose(study.fitted(table, fit)[:, feature], expected, atol=1e-4)
        influence = np.diag(inverse @ products)[study.n_sites :]
        for penalty, edf in zip(study.penalties, fit.edf[:, feature], strict=True):
            np.testing.assert_allclose(influence[penalty.columns].sum(), edf, atol=1e-3)
        free = len(table) - np.diag(inverse @ products).sum()
        squares = ((table[:, feature] - expected) ** 2).sum()
        np.testing.assert_allclose(fit.variance[feature], squares / free, rtol=1e-4)


def test_straight_line_is_recovered_exactly() -> None:
    study, table = simulate(4)
    ages = np.linspace(20, 80, len(table))
    study = Study(study.codes, np.zeros((len(table), 0)), [ages])
    truth = np.outer(ages, [3.0, -0.01]) + study.codes[:, None]
    fit = study.fit(truth)
    assert np.isinf(fit.smoothing).all()
    assert (fit.edf == 1).all()
    np.testing.assert_allclose(study.fitted(truth, fit), truth, atol=1e-9)
    noisy = truth + np.random.default_rng(0).normal(size=truth.shape) * 1e-3
    assert (study.fit(noisy).edf < 3).all()


def test_noise_has_about_one_degree_of_freedom() -> None:
    study, table = simulate(5, n_features=400)
    noise = np.random.default_rng(0).normal(size=table.shape)
    edf = study.fit(noise).edf
    assert np.median(edf) < 1.01
    assert edf.mean() < 1.6


@settings(max_examples=20)
@given(
    scale=st.sampled_from([1e-3, 365.25, 1e6]),
    shift=st.sampled_from([0.0, 1e3]),
    unit=st.sampled_from([1e-6, 1.0, 1e6]),
    level=st.sampled_from([0.0, 50.0]),
    curves=st.sampled_from([1, 2]),
)
def test_units_do_not_matter(scale, shift, unit, level, curves) -> None:
    study, table = simulate(6, curves=curves, n_features=5)
    random = np.random.default_rng(1)
    ages, sex = random.uniform(20, 80, len(table)), random.integers(0, 2, (len(table), 1))
    columns = [ages, random.normal(size=len(ages))][:curves]
    plain = Study(study.codes, sex.astype(float), columns)
    other = Study(study.codes, sex * 1e3, [scale * column + shift for column in columns])
    fit, again = plain.fit(table), other.fit(unit * (table + level))
    np.testing.assert_allclose(again.edf, fit.edf, atol=1e-3)
    np.testing.assert_allclose(again.variance, fit.variance * unit**2, rtol=1e-5)
    there = other.fitted(unit * (table + level), again) / unit - level
    np.testing.assert_allclose(there, plain.fitted(table, fit), atol=1e-4)


@pytest.mark.parametrize("missing", [False, True])
def test_parts_merged_in_any_order_give_the_same_fit(missing: bool) -> None:
    study, table = simulate(7, curves=2)
    if missing:
        table[np.random.default_rng(0).random(table.shape) < 0.1] = np.nan
    parts = [study.moments(table, slice(start, start + 40)) for start in range(0, 160, 40)]
    whole = study.fit(table)
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        fit = fit_moments(merge_all(parts[part] for part in order), study.penalties)
        np.testing.assert_allclose(fit.slopes, whole.slopes, atol=1e-6)
        np.testing.assert_allclose(fit.edf, whole.edf, atol=1e-6)


@pytest.mark.parametrize("curves", [1, 2])
def test_missing_values_give_the_fit_of_the_scans_that_are_there(curves: int) -> None:
    study, table = simulate(8, curves=curves)
    table[np.random.default_rng(0).random(table.shape) < 0.15] = np.nan
    table[:, 0] = np.where(study.codes == 2, np.nan, table[:, 0])  # a whole site
    together = study.fit(table)
    for feature in range(table.shape[1]):
        rows = np.flatnonzero(np.isfinite(table[:, feature]))
        alone = fit_moments(study.moments(table[:, [feature]], rows), study.penalties)
        np.testing.assert_allclose(together.slopes[:, [feature]], alone.slopes, atol=1e-4)
        np.testing.assert_allclose(together.edf[:, [feature]], alone.edf, atol=1e-4)
        np.testing.assert_allclose(together.variance[feature], alone.variance[0], rtol=1e-6)


def test_without_curves_slopes_are_those_of_the_regression() -> None:
    study, table = simulate(9)
    moments = collect(table, Scans.group(study.codes, N_SITES, study.design[:, :1]))
    fit = fit_moments(moments, [])
    plain = regress(moments, moments.count[:, 0], reference=None, tolerance=1e-10)
    np.testing.assert_allclose(fit.slopes, plain.slopes, rtol=1e-12)
    assert fit.edf.shape == fit.smoothing.shape == (0, table.shape[1])


def test_age_constant_within_sites_cannot_be_solved() -> None:
    study, table = simulate(10)
    fit = Study(study.codes, np.zeros((160, 0)), [30.1 + 7.3 * study.codes]).fit(table)
    assert not fit.solvable.any()
    assert not fit.slopes.any()
    assert np.isnan(fit.edf).all() and np.isnan(fit.variance).all()


def test_line_that_is_also_a_plain_covariate_cannot_be_solved() -> None:
    study, table = simulate(11)
    age = np.random.default_rng(0).uniform(20, 80, 160)
    assert not Study(study.codes, age[:, None], [age]).fit(table).solvable.any()


def test_only_the_features_that_miss_too_much_cannot_be_solved() -> None:
    study, table = simulate(12)
    table[5:, 3] = np.nan
    assert np.flatnonzero(~study.fit(table).solvable).tolist() == [3]


@pytest.mark.parametrize("n_scans", [7, 8, 12, 20])
def test_few_scans_give_a_finite_fit_or_none(n_scans: int) -> None:
    study, table = simulate(13, n_scans=n_scans)  # four sites, sex and a line: six columns
    fit = study.fit(table)
    assert fit.solvable.all() == (n_scans > 6)
    assert np.isfinite(fit.slopes).all()
    assert np.isfinite(fit.variance).all()
    assert (fit.edf >= 1).all() and (fit.edf <= 9).all()


def test_no_degree_of_freedom_is_no_solution() -> None:
    study, table = simulate(13, n_scans=6)
    assert not study.fit(table).solvable.any()


def test_ties_and_a_sentinel_age_do_not_upset_the_fit() -> None:
    study, table = simulate(14)
    random = np.random.default_rng(0)
    tied = random.choice(np.arange(20.0, 80.0, 5.0), 160)
    sentinel = np.append(random.uniform(20, 80, 159), 999.0)
    for age in (tied, sentinel):
        other = Study(study.codes, np.zeros((160, 0)), [age])
        fit = other.fit(table)
        assert fit.solvable.all()
        for feature in range(table.shape[1]):
            now = min(fit.smoothing[0, feature], 1e14)
            start = other.criterion(table[:, feature], [now])
            for factor in (0.5, 2.0):
                assert other.criterion(table[:, feature], [factor * now]) > start - 1e-5


def test_features_without_variance_stay_silent() -> None:
    study, table = simulate(15, curves=2)
    table[:, 0], table[:, 1] = 0.0, study.codes
    fit = study.fit(table)
    assert not fit.slopes[:, :2].any()
    assert (fit.variance[:2] == 0).all()
    assert (fit.edf[:, :2] == 1).all()


def test_curve_without_noise_is_followed() -> None:
    study, _ = simulate(16)
    coefficients = np.random.default_rng(0).normal(size=(10, 3))
    truth = study.design @ coefficients + study.codes[:, None]
    np.testing.assert_allclose(study.fitted(truth, study.fit(truth)), truth, atol=1e-4)


@pytest.mark.parametrize("missing", [False, True])
def test_standard_errors_are_those_of_the_full_design(missing: bool) -> None:
    study, table = simulate(17, curves=2)
    if missing:
        table[:20, 0] = np.nan
    moments, fit = study.moments(table), study.fit(table)
    rows = study.design - study.design.mean(axis=0)
    rows[:, study.penalties[1].columns] = 0.0
    products = moments.covariate_products.sum(axis=0)
    mine = standard_errors(rows[:9], products, study.penalties, fit.smoothing, fit.variance)
    padded = np.hstack([np.zeros((9, study.n_sites)), rows[:9]])
    for feature in range(table.shape[1]):
        full = study.full[np.isfinite(table[:, feature])]
        penalty = study.penalty(np.minimum(fit.smoothing[:, feature], 1e11))
        covariance = fit.variance[feature] * np.linalg.inv(full.T @ full + penalty)
        expected = np.sqrt(np.einsum("ri,ij,rj->r", padded, covariance, padded))
        np.testing.assert_allclose(mine[:, feature], expected, rtol=1e-4, atol=1e-6)
    unsolved = replace(fit, variance=np.full_like(fit.variance, np.nan))
    silent = standard_errors(
        rows, products, study.penalties, unsolved.smoothing * np.nan, unsolved.variance
    )
    assert np.isnan(silent).all()


def test_bands_cover_the_truth() -> None:
    study, _ = simulate(18, n_scans=300)
    random = np.random.default_rng(0)
    age = random.uniform(20, 80, 300)
    study = Study(study.codes, np.zeros((300, 0)), [age])
    truth = np.sin(age / 12)[:, None]
    table = truth + random.normal(size=(300, 200)) * 0.5 + study.codes[:, None]
    moments, fit = study.moments(table), study.fit(table)
    rows = study.design - study.design.mean(axis=0)
    products = moments.covariate_products.sum(axis=0)
    errors = standard_errors(rows, products, study.penalties, fit.smoothing, fit.variance)
    inside = np.abs(rows @ fit.slopes - (truth - truth.mean())) < 1.96 * errors
    assert 0.92 < inside.mean() < 0.98


@pytest.mark.parametrize("curves", [0, 1, 2])
def test_no_features_are_no_problem(curves: int) -> None:
    study, table = simulate(20, curves=curves)
    fit = study.fit(table[:, :0])
    assert fit.slopes.shape == (1 + 9 * curves, 0)
    assert fit.edf.shape == (curves, 0)


def test_inputs_are_not_modified() -> None:
    study, table = simulate(19)
    moments = study.moments(table)
    before = moments.cross_products.copy(), study.penalties[0].matrix.copy()
    fit_moments(moments, study.penalties)
    np.testing.assert_array_equal(moments.cross_products, before[0])
    np.testing.assert_array_equal(study.penalties[0].matrix, before[1])
