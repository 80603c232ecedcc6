"""The non-parametric prior: what the other features of a site say about one of them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_reference_implementations import Golden

import isoscan as iso
from isoscan.combat import checks, particles
from isoscan.combat.effects import Shrinkage, shrink_sites
from isoscan.combat.particles import needs_approximation, shrink_by_particles
from isoscan.errors import DataError, IsoscanWarning, PriorWarning


def simulated_site(n_features, n_scans, seed=0, *, spread=0.3):
    """Raw shifts and variances with the noise of so many scans."""
    rng = np.random.default_rng(seed)
    variance = np.exp(rng.normal(0, spread, n_features))
    shift = 0.2 + rng.normal(0, spread, n_features)
    shift += rng.normal(size=n_features) * np.sqrt(variance / n_scans)
    variance = variance * rng.chisquare(n_scans - 1, n_features) / (n_scans - 1)
    return shift, variance, np.array([float(n_scans)])


def averaged_one_by_one(shift, variance, count):
    """Likelihoods of the scans themselves, not of their logarithm, feature by feature."""
    usable = ~np.isnan(shift) & ~np.isnan(variance)
    count = np.broadcast_to(count, shift.shape)
    result = np.empty((2, len(shift)))
    for feature, n in enumerate(count):
        others = usable & (np.arange(len(shift)) != feature)
        squares = (n - 1) * variance[feature] if n > 1 else 0.0
        if n > 0:
            squares = squares + n * (shift[feature] - shift[others]) ** 2
        likelihood = variance[others] ** (-n / 2) * np.exp(-squares / (2 * variance[others]))
        result[0, feature] = np.average(shift[others], weights=likelihood)
        result[1, feature] = np.average(variance[others], weights=likelihood)
    return result


@pytest.fixture
def nonparametric(monkeypatch):
    """An estimator with this prior, and quiet."""
    monkeypatch.setitem(checks._CHOICES, "prior", ("parametric", "nonparametric", None))
    warnings.simplefilter("ignore", IsoscanWarning)

    def harmonized(golden, **options):
        model = iso.ComBat(golden.preserve, prior="nonparametric", **options)
        return model, model.fit_transform(
            golden.measures, sites=golden.sites, covariates=golden.people
        )

    return harmonized


@pytest.mark.parametrize("name", ["nc_R_nonparam_cov", "nc_py_nonparam_cov", "sva_nonparam_cov"])
def test_same_numbers_as_the_reference(name, nonparametric) -> None:
    golden = Golden(name)
    assert golden.distance(nonparametric(golden)[1]) <= golden.tolerance()


def test_same_estimates_as_the_reference(nonparametric) -> None:
    golden = Golden("nc_R_nonparam_cov")
    effects = nonparametric(golden)[0].site_effects_.set_index(["site", "feature"])
    for file, column, power in (("gamma_star", "shift", 1), ("delta_star", "scale", 2)):
        reference = golden.table(f"{file}.csv")
        mine = (effects[column].unstack() ** power).loc[reference.index, reference.columns]
        np.testing.assert_allclose(mine, reference, rtol=1e-9, atol=1e-10)


def test_large_site_gives_numbers_where_the_reference_underflows(nonparametric) -> None:
    golden = Golden("nc_R_nonparam_bigsite")
    mine = nonparametric(golden)[1]
    assert golden.table("harmonized.csv.gz").isna().all(axis=None)
    assert golden.distance(mine, "harmonized_accurate.csv.gz") <= golden.tolerance()


@pytest.mark.parametrize("n_features", [2, 3, 200])
@pytest.mark.parametrize("n_scans", [6, 20])
def test_equals_plain_likelihoods_of_each_feature(n_features, n_scans) -> None:
    site = simulated_site(n_features, n_scans)
    mine = shrink_by_particles(*site, scale_fixed=False)
    np.testing.assert_allclose(mine, averaged_one_by_one(*site), rtol=1e-12, atol=1e-12)


def test_of_two_features_each_gets_what_the_other_shows() -> None:
    shift, variance, count = simulated_site(2, 5000)
    mine = shrink_by_particles(shift, variance, count, scale_fixed=False)
    np.testing.assert_allclose(mine, [shift[::-1], variance[::-1]], rtol=1e-14)


def test_steps_do_not_show(monkeypatch) -> None:
    site = simulated_site(700, 60)
    small = shrink_by_particles(*site, scale_fixed=False)
    monkeypatch.setattr(particles, "ROWS", 10_000)
    monkeypatch.setattr(particles, "COLUMNS", 10_000)
    whole = shrink_by_particles(*site, scale_fixed=False, n_jobs=1)
    np.testing.assert_allclose(small, whole, rtol=1e-12, atol=1e-14)


def test_digits_are_kept_at_large_sites_far_from_zero() -> None:
    """Against extended precision; 100 SD from zero, products of shifts cost four digits."""
    shift, variance, count = simulated_site(150, 5000)
    shift = shift + 100.0
    long = [values.astype(np.longdouble) for values in (shift, variance, count)]
    s, d, n = long
    log = -(n / 2) * (np.log(d) + ((n - 1) / n * d[:, None] + (s[:, None] - s) ** 2) / d)
    np.fill_diagonal(log, -np.inf)
    weight = np.exp(log - log.max(axis=1, keepdims=True))
    truth = (weight @ s) / weight.sum(axis=1), (weight @ d) / weight.sum(axis=1)
    mine = shrink_by_particles(shift, variance, count, scale_fixed=False)
    np.testing.assert_allclose(mine, np.array(truth, dtype=float), rtol=1e-11)


def test_features_with_few_values_are_averaged_but_no_particles() -> None:
    shift, variance, _ = simulated_site(40, 12)
    count = np.full(40, 12.0)
    count[:6] = [0, 0, 1, 1, 2, 5]
    shift[:2], variance[:4] = np.nan, np.nan
    mine = shrink_by_particles(shift, variance, count, scale_fixed=False)
    np.testing.assert_allclose(mine, averaged_one_by_one(shift, variance, count), rtol=1e-12)
    assert mine[0][0] == pytest.approx(shift[4:].mean())


def test_fixed_scale_means_equal_variances() -> None:
    shift, variance, count = simulated_site(50, 12)
    mine = shrink_by_particles(shift, np.full(50, np.nan), count, scale_fixed=True)
    expected = averaged_one_by_one(shift, np.ones(50), count)
    np.testing.assert_allclose(mine, expected, rtol=1e-12)
    assert (mine[1] == 1.0).all() and not (variance == 1.0).any()


def test_one_usable_feature_is_refused() -> None:
    with pytest.raises(DataError, match="1 of 3 features"):
        shrink_by_particles(
            np.zeros(3), np.array([1.0, np.nan, 0.0]), np.array([5]), scale_fixed=False
        )


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.integers(2, 60), st.integers(2, 2000), st.booleans())
def test_order_of_features_does_not_matter(seed, n_features, n_scans, approximate) -> None:
    shift, variance, count = simulated_site(n_features, n_scans, seed)
    order = np.random.default_rng(seed).permutation(n_features)
    how = {"scale_fixed": False, "approximate": approximate}
    there = shrink_by_particles(shift[order], variance[order], count, **how)
    here = np.array(shrink_by_particles(shift, variance, count, **how))[:, order]
    np.testing.assert_allclose(there, here, rtol=1e-9, atol=1e-9)


def test_copies_of_a_feature_get_the_same_estimates() -> None:
    shift, variance, count = simulated_site(30, 640)
    shift, variance = np.tile(shift, 9), np.tile(variance, 9)
    for approximate in (False, True):
        mine = np.array(
            shrink_by_particles(shift, variance, count, scale_fixed=False, approximate=approximate)
        )
        np.testing.assert_allclose(mine, np.tile(mine[:, :30], 9), rtol=1e-12)


@pytest.mark.parametrize("n_scans", [3, 10, 60, 640])
@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_approximation_keeps_its_promise(n_scans, spread) -> None:
    site = simulated_site(6000, n_scans, spread=spread)
    exact = shrink_by_particles(*site, scale_fixed=False)
    near = shrink_by_particles(*site, scale_fixed=False, approximate=True)
    assert 0 < np.abs(near[0] - exact[0]).max() < particles.SHIFT_ERROR / 2
    assert np.abs(near[1] / exact[1] - 1).max() < particles.VARIANCE_ERROR / 2


def test_approximation_holds_for_outliers_missing_values_and_fixed_scale() -> None:
    shift, variance, _ = simulated_site(6000, 30)
    rng = np.random.default_rng(1)
    shift[:20] += rng.normal(0, 5, 20)
    variance[20:40] *= np.exp(rng.normal(0, 3, 20))
    count = rng.integers(2, 40, 6000).astype(float)
    count[40:60], shift[40:60], variance[40:60] = 0, np.nan, np.nan
    for fixed in (False, True):
        exact = shrink_by_particles(shift, variance, count, scale_fixed=fixed)
        near = shrink_by_particles(shift, variance, count, scale_fixed=fixed, approximate=True)
        assert np.abs(near[0] - exact[0]).max() < particles.SHIFT_ERROR
        assert np.abs(near[1] / exact[1] - 1).max() < particles.VARIANCE_ERROR


def test_approximation_is_announced_once_for_all_sites(monkeypatch) -> None:
    monkeypatch.setattr(particles, "MOST_EXACT", 50)
    sites = [simulated_site(60, 20, seed) for seed in range(3)]
    shift, variance = (np.array([site[part] for site in sites]) for part in (0, 1))
    with pytest.warns(PriorWarning, match="60 features is approximate") as caught:
        effects = shrink_sites(
            shift,
            variance,
            np.full((3, 1), 20.0),
            np.ones(60, dtype=bool),
            Shrinkage("nonparametric"),
            scale_fixed=np.array([False, False, True]),
            skip=0,
        )
    assert len(caught) == 1
    assert effects.priors == [None] * 3
    assert (effects.shift[0] == 0).all() and (effects.variance[[0, 2]] == 1).all()
    assert not needs_approximation(50)


def test_true_shifts_are_closer_than_raw_ones_and_follow_two_groups() -> None:
    """Half of the features are shifted: no normal distribution, and the prior knows."""
    rng = np.random.default_rng(3)
    truth = np.where(np.arange(1000) % 2, 0.8, 0.0)
    raw = truth + rng.normal(size=1000) / np.sqrt(40)
    variance = rng.chisquare(39, 1000) / 39
    shift, _ = shrink_by_particles(raw, variance, np.array([40]), scale_fixed=False)
    assert np.abs(shift - truth).mean() < 0.7 * np.abs(raw - truth).mean()
