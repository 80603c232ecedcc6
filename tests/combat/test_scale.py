"""Mean and spread depend on covariates: found by maximum likelihood, and kept."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_truth import shared_folder
from numpy.typing import NDArray
from scipy.optimize import minimize

from isoscan.combat.apply import harmonize
from isoscan.combat.effects import Shrinkage, shrink_sites
from isoscan.combat.flatten import flatten, restore
from isoscan.combat.location_scale import LocationScale, fit_location_scale
from isoscan.combat.model import SiteModel
from isoscan.combat.moments import Scans, collect
from isoscan.combat.regression import Deviations, regress
from isoscan.combat.scale import (
    ScaleModel,
    deviations,
    expected_sd,
    harmonize_scaled,
    site_deviations,
)
from isoscan.errors import InfiniteValuesError, ModelFileError

N_SITES = 4


class Cohort:
    """Scans of four sites whose spread grows with age."""

    def __init__(self, n_scans: int = 300, n_features: int = 5, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self.codes = np.r_[np.arange(N_SITES).repeat(3), random.integers(0, N_SITES, n_scans - 12)]
        age, sex = random.uniform(20, 80, n_scans), random.integers(0, 2, n_scans)
        self.covariates = np.column_stack([age, sex]).astype(float)
        self.scale_slopes = np.outer([0.015, -0.2], np.ones(n_features))
        shift = random.normal(size=(N_SITES, n_features))[self.codes]
        sd = 0.3 * np.exp(self.covariates @ self.scale_slopes)
        noise = random.normal(size=(n_scans, n_features))
        self.table = 5 - 0.02 * age[:, None] + 0.3 * shift + sd * noise

    @property
    def scans(self) -> Scans:
        return Scans.group(self.codes, N_SITES, self.covariates)

    @property
    def ordered(self) -> NDArray[Any]:
        return self.covariates[self.scans.order]

    def fit(self, table: NDArray[Any] | None = None, **options: Any) -> LocationScale:
        table = self.table if table is None else table
        return fit_location_scale(table, self.scans, self.ordered, **options)

    def deviations(self, table: NDArray[Any] | None = None, **options: Any) -> Deviations:
        table = self.table if table is None else table
        return deviations(table, self.scans, self.ordered, self.fit(table), **options)

    def harmonized(self, model: ScaleModel, table: NDArray[Any] | None = None) -> NDArray[Any]:
        table = self.table if table is None else table
        return harmonize_scaled(table, self.scans, self.ordered, model)


def model_of(
    fit: LocationScale,
    found: Deviations,
    *,
    prior: str | None = "parametric",
    removed: tuple[bool, ...] = (False, False),
    removed_mean: tuple[float, ...] = (0.0, 0.0),
    reference: int | None = None,
) -> ScaleModel:
    effects = shrink_sites(
        found.shift,
        found.variance,
        found.count,
        found.sd > 0,
        Shrinkage(prior),
        scale_fixed=np.zeros(len(found.shift), dtype=bool),
        skip=reference,
    )
    return ScaleModel(
        intercept=found.intercept,
        slopes=found.slopes,
        sd=found.sd,
        removed=np.array(removed, dtype=bool),
        removed_mean=np.array(removed_mean),
        effects=effects,
        reference=reference,
        log_sd=fit.log_sd,
        scale_slopes=fit.scale_slopes,
        scale_slopes_se=fit.scale_slopes_se,
    )


def fitted_model(cohort: Cohort, **options: Any) -> ScaleModel:
    found = cohort.deviations(reference=options.get("reference"))
    return model_of(cohort.fit(), found, **options)


class Golden:
    """A case of ComBatFamily's combatls, with gamlss iterated to 1e-10."""

    def __init__(self, name: str) -> None:
        self.folder = shared_folder("golden/combat") / name
        self.tolerance = json.loads((self.folder / "manifest.json").read_text())["tolerance"]
        self.measures = self.read("X.csv.gz")
        people = self.read("covars.csv")
        self.codes = np.unique(people.site, return_inverse=True)[1]
        self.covariates = np.column_stack([people.age, people.sex == "M"]).astype(float)
        train = people.train == 1 if "train" in people else np.ones(len(people), dtype=bool)
        self.train = np.asarray(train)

    def read(self, name: str) -> pd.DataFrame:
        return pd.read_csv(self.folder / name, index_col=0)

    def part(self, rows: NDArray[np.bool_]) -> tuple[NDArray[Any], Scans, NDArray[Any]]:
        scans = Scans.group(self.codes[rows], 3, self.covariates[rows])
        return self.measures.to_numpy()[rows], scans, self.covariates[rows][scans.order]

    def distance(self, harmonized: NDArray[Any], name: str) -> float:
        gap = np.abs(harmonized - self.read(name).to_numpy())
        return float((gap / self.measures.std(ddof=1).to_numpy()).max())


def test_estimates_are_those_of_gamlss() -> None:
    case = Golden("combatls_ixi")
    data = case.part(case.train)
    fit = fit_location_scale(*data)
    found = deviations(*data, fit)
    reference = case.read("gamlss_coef.csv")
    assert fit.converged.all()
    np.testing.assert_allclose(fit.slopes[0], reference.loc["age"], atol=1e-8)
    np.testing.assert_allclose(fit.log_sd, reference.loc["log_sigma:(Intercept)"], atol=1e-6)
    np.testing.assert_allclose(fit.scale_slopes[0], reference.loc["log_sigma:age"], atol=1e-8)
    np.testing.assert_allclose(fit.scale_slopes[1], reference.loc["log_sigma:sexM"], atol=1e-6)
    # The maximum cannot be beaten, and gamlss stops just before it.
    gap = reference.loc["deviance"] - fit.minus_two_log_likelihood
    assert (gap > -1e-9).all() and (gap < 1e-8).all()
    np.testing.assert_allclose(found.shift, case.read("gamma_hat.csv"), atol=2e-7)
    np.testing.assert_allclose(found.variance, case.read("delta_hat.csv"), atol=1e-6)


@pytest.mark.parametrize("name", ["combatls_ixi", "combatls_predict"])
def test_harmonized_measures_are_those_of_combatls(name: str) -> None:
    case = Golden(name)
    data = case.part(case.train)
    fit = fit_location_scale(*data)
    model = model_of(fit, deviations(*data, fit))
    of_training = "harmonized.csv.gz" if case.train.all() else "harmonized_train.csv.gz"
    limit = case.tolerance["harmonized"]
    assert case.distance(harmonize_scaled(*data, model), of_training) < limit
    if not case.train.all():
        new = harmonize_scaled(*case.part(~case.train), model)
        assert case.distance(new, "harmonized.csv.gz") < limit
        assert case.distance(new, "predict_numpy_expected.csv.gz") < 1e-9


def test_growth_of_spread_is_recovered_within_its_standard_errors() -> None:
    cohort = Cohort(n_scans=400, n_features=500, seed=1)
    fit = cohort.fit()
    assert fit.converged.all()
    errors = (fit.scale_slopes - cohort.scale_slopes) / fit.scale_slopes_se
    assert np.abs(errors.mean(axis=1)).max() < 0.25  # the bias of maximum likelihood
    covered = (np.abs(errors) < 1.96).mean(axis=1)
    assert (covered > 0.91).all() and (covered < 0.98).all()


def test_no_other_estimates_are_more_likely() -> None:
    cohort = Cohort(n_scans=80, n_features=4, seed=2)
    fit = cohort.fit()
    means = np.column_stack([np.eye(N_SITES)[cohort.codes], cohort.covariates / 50])
    scales = np.column_stack([np.ones(80), cohort.covariates / 50])
    n_means = means.shape[1]

    def unlikelihood(guess: NDArray[Any], measure: NDArray[Any]) -> float:
        log_sd = scales @ guess[n_means:]
        squares = (measure - means @ guess[:n_means]) ** 2 * np.exp(-2 * log_sd)
        return float((2 * log_sd + squares).sum() + 80 * np.log(2 * np.pi))

    for feature, measure in enumerate(cohort.table.T):
        start = np.r_[np.linalg.lstsq(means, measure, rcond=None)[0], np.zeros(3)]
        best = minimize(unlikelihood, start, args=(measure,), options={"gtol": 1e-4})
        assert fit.minus_two_log_likelihood[feature] == pytest.approx(best.fun, abs=1e-5)
        np.testing.assert_allclose(fit.scale_slopes[:, feature] * 50, best.x[-2:], atol=2e-3)


@pytest.mark.parametrize("share_missing", [0.0, 0.1])
def test_without_scale_covariates_it_is_ordinary_regression(share_missing: float) -> None:
    cohort = Cohort()
    cohort.table[np.random.default_rng(0).random(cohort.table.shape) < share_missing] = np.nan
    scans, nothing = cohort.scans, np.zeros((300, 0))
    fit = fit_location_scale(cohort.table, scans, nothing)
    found = deviations(cohort.table, scans, nothing, fit)
    plain = regress(collect(cohort.table, scans), scans.per_site, reference=None, tolerance=1e-10)
    for name in ("intercept", "slopes", "sd", "shift", "variance", "count", "size"):
        np.testing.assert_allclose(getattr(found, name), getattr(plain, name), rtol=1e-10)
    np.testing.assert_allclose(np.exp(fit.log_sd), plain.sd, rtol=1e-10)

    model = model_of(fit, found)
    same = SiteModel(
        plain.intercept, plain.slopes, plain.sd, model.removed, model.removed_mean, model.effects
    )
    after = harmonize_scaled(cohort.table, scans, nothing, model)
    np.testing.assert_allclose(after, harmonize(cohort.table, scans, same), rtol=1e-10)


@settings(max_examples=15, deadline=None)
@given(st.floats(1e-6, 1e6), st.floats(-1e3, 1e3), st.integers(0, 1000))
def test_units_and_order_of_rows_do_not_matter(unit: float, offset: float, seed: int) -> None:
    cohort = Cohort(n_scans=60, n_features=3, seed=3)
    fit, found = cohort.fit(), cohort.deviations()
    rows = np.random.default_rng(seed).permutation(60)
    cohort.codes, cohort.covariates = cohort.codes[rows], cohort.covariates[rows]
    other = unit * (cohort.table[rows] + offset)
    again, refound = cohort.fit(other), cohort.deviations(other)
    np.testing.assert_allclose(again.scale_slopes, fit.scale_slopes, atol=1e-9)
    np.testing.assert_allclose(again.slopes, unit * fit.slopes, rtol=1e-7, atol=1e-9 * unit)
    np.testing.assert_allclose(again.log_sd, fit.log_sd + np.log(unit), atol=1e-8)
    np.testing.assert_allclose(refound.shift, found.shift, atol=1e-8)
    np.testing.assert_allclose(refound.variance, found.variance, atol=1e-8)


def test_a_mean_of_a_million_loses_no_digits() -> None:
    cohort = Cohort()
    table = np.round(cohort.table * 2.0**20) / 2.0**20  # sums with 1e6 are exact
    fit, moved = cohort.fit(table), cohort.fit(table + 2.0**20)
    np.testing.assert_allclose(moved.scale_slopes, fit.scale_slopes, rtol=1e-9)
    np.testing.assert_allclose(moved.slopes, fit.slopes, rtol=1e-9)
    np.testing.assert_allclose(moved.site_levels - 2.0**20, fit.site_levels, atol=1e-9)


def test_features_are_fitted_each_on_its_own() -> None:
    cohort = Cohort(n_features=150)
    together = cohort.fit(n_jobs=2)
    alone = cohort.fit(cohort.table[:, [17]])
    np.testing.assert_allclose(together.scale_slopes[:, [17]], alone.scale_slopes, rtol=1e-9)
    np.testing.assert_allclose(together.site_levels[:, [17]], alone.site_levels, rtol=1e-9)


def test_missing_values_count_as_absent_scans() -> None:
    cohort = Cohort(n_features=3)
    absent = np.random.default_rng(1).random(300) < 0.2
    absent |= cohort.codes == 3
    cohort.table[absent, 1] = np.nan
    fit, found = cohort.fit(), cohort.deviations()
    rest = Cohort(n_features=3)
    rest.codes, rest.covariates = rest.codes[~absent], rest.covariates[~absent]
    expected = rest.fit(rest.table[~absent][:, [1]])
    np.testing.assert_allclose(fit.scale_slopes[:, [1]], expected.scale_slopes, rtol=1e-9)
    np.testing.assert_allclose(fit.scale_slopes_se[:, [1]], expected.scale_slopes_se, rtol=1e-7)
    np.testing.assert_allclose(fit.site_levels[:, [1]], expected.site_levels, rtol=1e-9)
    np.testing.assert_allclose(
        fit.minus_two_log_likelihood[1], expected.minus_two_log_likelihood[0]
    )
    assert np.isnan(fit.site_levels[3, 1]) and np.isnan(found.shift[3, 1])
    assert fit.count[3, 1] == 0 and fit.converged.all()


def test_constant_features_are_marked_and_hold_finite_numbers() -> None:
    cohort = Cohort()
    cohort.table[:, 2] = cohort.codes / 3
    fit, found = cohort.fit(), cohort.deviations()
    assert (fit.sd == 0).tolist() == [False, False, True, False, False]
    assert fit.converged.all() and np.isnan(fit.scale_slopes_se[:, 2]).all()
    assert np.isneginf(fit.minus_two_log_likelihood[2])
    for name in ("site_levels", "slopes", "log_sd", "scale_slopes"):
        assert np.isfinite(getattr(fit, name)).all()
    assert np.isfinite(found.shift).all() and (found.variance[:, 2] == 1).all()
    after = cohort.harmonized(model_of(fit, found))
    np.testing.assert_array_equal(after[:, 2], cohort.table[:, 2])


def test_where_the_likelihood_has_no_maximum_all_scans_share_one_sd() -> None:
    cohort = Cohort()
    men = cohort.covariates[:, 1] == 1
    cohort.table[men, 1] = 4.0  # the SD of men would go to zero
    cohort.table[~men, 3] = np.nan  # the SD of women is not known
    scans = Scans(cohort.scans.order, cohort.scans.starts, np.zeros((300, 0)))
    sexes = cohort.ordered[:, 1:]
    fit = fit_location_scale(cohort.table, scans, sexes)
    found = deviations(cohort.table, scans, sexes, fit)
    assert fit.converged.tolist() == [True, False, True, False, True]
    assert (fit.scale_slopes[:, [1, 3]] == 0).all()
    plain = regress(collect(cohort.table, scans), scans.per_site, reference=None, tolerance=1e-10)
    for name in ("sd", "shift", "variance"):
        mine, ordinary = getattr(found, name), getattr(plain, name)
        np.testing.assert_allclose(mine[..., [1, 3]], ordinary[..., [1, 3]], rtol=1e-9)


def test_raw_site_effects_leave_no_difference_between_sites() -> None:
    cohort = Cohort()
    model = fitted_model(cohort, prior=None)
    data = cohort.harmonized(model), cohort.scans, cohort.ordered
    shift, variance, _ = site_deviations(*data, model.expectation, noise=np.zeros(5))
    np.testing.assert_allclose(shift, 0.0, atol=1e-12)
    np.testing.assert_allclose(variance, 1.0, rtol=1e-12)


def test_a_site_of_older_people_keeps_its_spread() -> None:
    """Ordinary ComBat takes the spread of age for one of the site."""
    random = np.random.default_rng(5)
    age = np.r_[random.uniform(20, 60, 400), random.uniform(40, 80, 400)]
    table = random.normal(size=(800, 50)) * np.exp(0.02 * age[:, None])
    scans = Scans.group(np.arange(2).repeat(400), 2, age[:, None])

    def ratio_of_spread(scale_covariates: NDArray[Any]) -> float:
        fit = fit_location_scale(table, scans, scale_covariates)
        found = deviations(table, scans, scale_covariates, fit)
        model = model_of(fit, found, removed=(False,), removed_mean=(0.0,))
        after = harmonize_scaled(table, scans, scale_covariates, model)
        return float(after[400:].std() / after[:400].std())

    before = float(table[400:].std() / table[:400].std())
    assert before > 1.4
    assert ratio_of_spread(age[:, None]) == pytest.approx(before, rel=0.03)
    assert ratio_of_spread(np.zeros((800, 0))) == pytest.approx(1.0, rel=0.03)


def test_sd_is_evaluated_scan_by_scan() -> None:
    cohort = Cohort(n_features=37)
    fit = cohort.fit()
    together = expected_sd(fit.log_sd, fit.scale_slopes, cohort.covariates)
    for rows in ([5], [7, 3], list(range(100, 231)), list(range(299, -1, -1))):
        alone = expected_sd(fit.log_sd, fit.scale_slopes, cohort.covariates[rows])
        np.testing.assert_array_equal(alone, together[rows])


def test_a_scan_gets_the_same_bits_alone_and_in_bulk() -> None:
    cohort = Cohort(n_features=37)
    model = fitted_model(cohort)
    together = cohort.harmonized(model)
    for rows in ([5], [7, 3, 200], list(range(299, -1, -2))):
        few = Scans.group(cohort.codes[rows], N_SITES, cohort.covariates[rows])
        alone = harmonize_scaled(cohort.table[rows], few, cohort.covariates[rows][few.order], model)
        np.testing.assert_array_equal(alone, together[rows])


def test_removed_covariates_are_held_at_their_mean() -> None:
    cohort = Cohort()
    mean = tuple(cohort.covariates.mean(axis=0))
    kept = fitted_model(cohort)
    taken = fitted_model(cohort, removed=(True, False), removed_mean=mean)
    change = cohort.harmonized(taken) - cohort.harmonized(kept)
    expected = (mean[0] - cohort.covariates[:, :1]) * kept.slopes[:1]
    np.testing.assert_allclose(change, expected, atol=1e-12)


def test_reference_unknown_sites_and_missing_values_stay_as_they_are() -> None:
    cohort = Cohort()
    cohort.table[[1, 50], [0, 3]] = np.nan
    before = cohort.table.copy()
    model = fitted_model(cohort, reference=2)
    assert (model.effects.shift[2] == 0).all()
    assert np.abs(cohort.deviations(reference=2).shift[2]).max() < 0.5
    codes = np.where(np.arange(300) % 7 == 0, N_SITES, cohort.codes)
    scans = Scans.group(codes, N_SITES + 1, cohort.covariates)
    after = harmonize_scaled(cohort.table, scans, cohort.covariates[scans.order], model)
    copied = (codes == 2) | (codes == N_SITES)
    np.testing.assert_array_equal(after[copied], before[copied])
    np.testing.assert_array_equal(np.isnan(after), np.isnan(before))
    np.testing.assert_array_equal(cohort.table, before)
    assert (after[~copied] != before[~copied]).sum() > 0.9 * before[~copied].size


def test_a_model_is_taken_apart_and_put_together() -> None:
    model = fitted_model(Cohort())
    facts, arrays = flatten(model, "model")
    axes = {"sites": N_SITES, "features": 5, "columns": 2, "scale_columns": 2, "prior": 4}
    again = restore(ScaleModel, "model", facts, arrays, axes)
    again.require_sound("model")
    np.testing.assert_array_equal(again.scale_slopes, model.scale_slopes)
    with pytest.raises(ModelFileError, match="log_sd"):
        replace(model, log_sd=np.full(5, np.nan)).require_sound("model")


def test_single_precision_stays_single_precision() -> None:
    cohort = Cohort()
    model = fitted_model(cohort)
    single = cohort.harmonized(model, cohort.table.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, cohort.harmonized(model), rtol=1e-5)


def test_infinities_are_refused_by_position() -> None:
    cohort = Cohort()
    model = fitted_model(cohort)
    cohort.table[123, 4] = np.inf
    for work in (cohort.fit, lambda: cohort.harmonized(model)):
        with pytest.raises(InfiniteValuesError) as refused:
            work()
        assert (refused.value.row, refused.value.column) == (123, 4)
