"""CovBat: components, scores and the way back do what they promise."""

from __future__ import annotations

import io
import warnings
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import hadamard
from test_reference_implementations import Golden

import isoscan as iso
from isoscan.combat import leading
from isoscan.combat.covariance import (
    Components,
    adjust_scores,
    find_components,
    fit_scores,
    project,
    replace_scores,
)
from isoscan.combat.moments import Scans
from isoscan.errors import IsoscanWarning, NoVarianceError, PriorWarning, TooManyComponentsError


def _scans(codes) -> Scans:
    codes = np.asarray(codes, dtype=np.intp)
    return Scans.group(codes, codes.max() + 1, np.zeros((len(codes), 0)))


def _harmonize(residuals, codes, *, prior=None, reference=None, to_fixed_point=False, **options):
    components, scans = find_components(residuals, **options), _scans(codes)
    old = project(residuals, components)
    model = fit_scores(old, scans, prior, reference, to_fixed_point=to_fixed_point)
    new = adjust_scores(old, scans, model)
    return components, model, replace_scores(residuals, components, old, new)


def _residuals(n_scans, n_features, n_factors=6, n_sites=4, seed=0):
    """Correlated residuals whose factors have another spread at every site."""
    random = np.random.default_rng(seed)
    codes = np.arange(n_scans) % n_sites
    factors = random.standard_normal((n_scans, n_factors))
    factors *= np.exp(0.3 * random.standard_normal((n_sites, n_factors)))[codes]
    weights = random.standard_normal((n_factors, n_features))
    weights *= np.arange(1.0, n_factors + 1)[:, None] ** -0.7
    return factors @ weights + 0.5 * random.standard_normal((n_scans, n_features)), codes


# --- reference implementations ---

GOLDENS = {
    "covbat_R_pv95_cov": {},
    "covbat_R_npc5_nostd": {"n_components": 5, "standardize": False},
    "covfam_lm_cov": {},
    "covfam_lm_ref": {"reference": "Guys"},
}


def _covbat(golden: Golden, *, reference=None, convergence="reference", **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IsoscanWarning)
        model = iso.ComBat(golden.preserve, reference=reference, convergence=convergence)
        first = model.fit_transform(golden.measures, sites=golden.sites, covariates=golden.people)
    design = model.preserve_design_.matrix(golden.people.loc[first.index], n_scans=len(first))
    expected = model.model_.intercept + design @ model.model_.slopes
    codes = pd.Index(model.sites_).get_indexer(golden.sites[first.index])
    components, _, residuals = _harmonize(
        first.to_numpy() - expected, codes, reference=model.model_.reference, **options
    )
    return components, pd.DataFrame(residuals + expected, first.index, first.columns)


@pytest.mark.parametrize("name", GOLDENS)
def test_same_numbers_as_the_reference(name) -> None:
    golden = Golden(name)
    assert golden.manifest["target"]
    components, mine = _covbat(golden, **GOLDENS[name])
    assert components.n_components == golden.manifest["independent_numpy_check"]["n_pc"]
    assert golden.distance(mine) <= golden.tolerance()
    kind = "harmonized_if_EB_is_iterated_to_convergence"
    _, mine = _covbat(golden, convergence="full", **GOLDENS[name])
    assert golden.distance(mine) <= golden.tolerance(kind)


@pytest.mark.parametrize("name", ["covbat_R_pv95_cov", "covfam_lm_ref"])
def test_same_variances_of_components_as_the_reference(name) -> None:
    golden = Golden(name)
    components, _ = _covbat(golden, **GOLDENS[name])
    variances = golden.table("pcs.csv")["sdev"] ** 2
    kept = golden.table("pcs.csv")["harmonized"] == 1
    np.testing.assert_allclose(
        components.variance_share, (variances / variances.sum())[kept], rtol=1e-10
    )


def test_reference_site_keeps_its_measures_as_in_covfam() -> None:
    golden = Golden("covfam_lm_ref")
    _, mine = _covbat(golden, reference="Guys")
    rows = golden.sites == "Guys"
    reference = golden.table("harmonized.csv.gz")
    for table in (mine, reference):
        pd.testing.assert_frame_equal(table[rows], golden.measures[rows], rtol=0, atol=1e-12)


def test_covbat_for_python_differs_by_its_mixed_divisors() -> None:
    golden = Golden("covbat_py_cov")
    assert not golden.manifest["target"]
    _, mine = _covbat(golden)
    known = golden.manifest["tolerance"]["distance_from_the_defining_equations"]
    assert golden.distance(mine) == pytest.approx(known, rel=1e-6)


# --- known truth ---


def _gap(table: pd.DataFrame, sites: pd.Series) -> float:
    """Mean absolute difference between sites in covariances of different features."""
    off = ~np.eye(table.shape[1], dtype=bool)
    per_site = [np.cov(table[sites == site], rowvar=False)[off] for site in np.unique(sites)]
    return float(np.mean([np.abs(a - b).mean() for a in per_site for b in per_site]))


def _cohort_with_site_covariance(turn: float):
    """Four patterns of +1 and -1; sites differ in the variance of each, not in their sum.

    So every feature has the same variance at both sites, unless the first two patterns
    are also turned, one way at one site and the other way at the other.
    """
    random = np.random.default_rng(1)
    patterns = hadamard(32)[[3, 5, 6, 9]]
    variances = np.array([[3.0, 0.5, 1.0, 0.1], [1.6, 2.1, 0.3, 0.6]])
    codes = np.repeat([0, 1], 600)
    scores = random.standard_normal((1200, 4)) * np.sqrt(variances)[codes]
    angle = np.where(codes == 0, turn, -turn)
    first, second = scores[:, 0].copy(), scores[:, 1].copy()
    scores[:, 0] = np.cos(angle) * first - np.sin(angle) * second
    scores[:, 1] = np.sin(angle) * first + np.cos(angle) * second
    table = pd.DataFrame(scores @ patterns + 0.5 * random.standard_normal((1200, 32)))
    return table.add_prefix("f"), pd.Series(codes).map({0: "A", 1: "B"})


@pytest.mark.parametrize("turn", [0.0, 0.2])
def test_covariance_of_sites_becomes_alike_after_covbat_and_not_after_combat(turn) -> None:
    """What is left, 0.10 to 0.14, is chance: sites that do not differ show 0.11."""
    table, sites = _cohort_with_site_covariance(turn)
    combat = iso.ComBat()
    first = combat.fit_transform(table, sites=sites)
    _, _, residuals = _harmonize(
        first.to_numpy() - combat.model_.intercept, (sites == "B").astype(int)
    )
    second = pd.DataFrame(residuals + combat.model_.intercept, columns=table.columns)
    before, after_combat, after = (_gap(t, sites) for t in (table, first, second))
    assert after_combat > 0.9 * before
    assert after < 0.2 * after_combat


def test_means_of_sites_stay_where_combat_put_them() -> None:
    """Raw scores are centred per site, so kept components bring no new difference of means."""
    residuals, codes = _residuals(200, 20)
    residuals += 0.3 * codes[:, None]
    components, _, after = _harmonize(residuals, codes)
    scores = project(after, components)
    means = np.array([scores[codes == site].mean(axis=0) for site in range(4)])
    np.testing.assert_allclose(means, np.broadcast_to(means[0], means.shape), atol=1e-12)
    spreads = np.array([scores[codes == site].std(axis=0, ddof=1) for site in range(4)])
    np.testing.assert_allclose(spreads, np.broadcast_to(spreads[0], spreads.shape), rtol=1e-10)


# --- components ---


@pytest.mark.parametrize("shape", [(60, 200), (200, 60), (50, 50)])
@pytest.mark.parametrize("standardize", [True, False])
def test_components_are_those_of_a_singular_value_decomposition(shape, standardize) -> None:
    residuals, _ = _residuals(*shape)
    components = find_components(residuals, n_components=12, standardize=standardize)
    values = residuals - residuals.mean(axis=0)
    if standardize:
        values /= residuals.std(axis=0, ddof=1)
    _, lengths, axes = np.linalg.svd(values, full_matrices=False)
    share = lengths**2 / (lengths**2).sum()
    np.testing.assert_allclose(components.variance_share, share[:12], rtol=1e-11)
    np.testing.assert_allclose(np.abs(components.loadings), np.abs(axes[:12].T), atol=1e-10)
    spread = residuals.std(axis=0, ddof=1) if standardize else np.ones(shape[1])
    np.testing.assert_allclose(components.scale, spread, rtol=1e-13)
    np.testing.assert_allclose(components.centre, residuals.mean(axis=0), atol=1e-14)
    assert components.n_scans == shape[0]


@pytest.mark.parametrize("shape", [(60, 200), (200, 60)])
def test_faint_components_keep_the_digits_that_matter(shape) -> None:
    """Spreads of 1 to 1e-6: rounding times their ratio is 2e-10, and no more gets lost."""
    random = np.random.default_rng(0)
    n_axes = min(shape) - 1
    left = random.standard_normal((shape[0], n_axes))
    left = np.linalg.qr(left - left.mean(axis=0))[0]
    right = np.linalg.qr(random.standard_normal((shape[1], n_axes)))[0]
    lengths = np.geomspace(1, 1e-6, n_axes)
    residuals = left * lengths @ right.T
    components = find_components(residuals, n_components=n_axes, standardize=False)
    gram = components.loadings.T @ components.loadings
    np.testing.assert_allclose(gram, np.eye(n_axes), atol=1e-13)
    factor = random.uniform(0.8, 1.2, (shape[0], 1))
    old = project(residuals, components)
    mine = replace_scores(residuals, components, old, old * factor)
    centre = residuals.mean(axis=0)
    error = (mine - centre) - (residuals - centre) * factor
    assert np.abs(error / residuals.std(axis=0)).max() < 1e-9


def test_share_must_be_strictly_exceeded() -> None:
    signs = np.array([[1.0]])
    for _ in range(3):
        signs = np.block([[signs, signs], [signs, -signs]])
    residuals = signs[:, 1:6] * [2.0, 1.0, 1.0, 1.0, 1.0]  # shares 1/2, 1/8, 1/8, 1/8, 1/8
    for share, kept in ((0.49, 1), (0.5, 2), (0.51, 2), (1.0, 5)):
        found = find_components(residuals, variance_share=share, standardize=False)
        assert found.n_components == kept


def test_more_components_than_there_are_is_refused_with_their_number() -> None:
    residuals, _ = _residuals(20, 30)
    assert find_components(residuals, n_components=19).n_components == 19
    with pytest.raises(TooManyComponentsError, match=r"n_components=25 .* span 19 comp") as refusal:
        find_components(residuals, n_components=25)
    assert (refusal.value.n_components, refusal.value.rank) == (25, 19)
    summed = np.column_stack([residuals[:, :5], residuals[:, :5].sum(axis=1)])
    with pytest.raises(TooManyComponentsError, match="6 features that vary span 5"):
        find_components(summed, n_components=6)


def test_no_variance_at_all_is_refused() -> None:
    with pytest.raises(NoVarianceError, match="no feature varies"):
        find_components(np.ones((5, 3)))


def test_features_that_take_no_part_come_back_unchanged() -> None:
    residuals, codes = _residuals(80, 12)
    residuals[:, 3] = 0.25
    active = np.arange(12) != 7
    components, _, after = _harmonize(residuals, codes, active=active)
    assert (components.loadings[[3, 7]] == 0).all()
    np.testing.assert_array_equal(after[:, [3, 7]], residuals[:, [3, 7]])
    rest = np.setdiff1d(np.arange(12), [3, 7])
    np.testing.assert_allclose(after[:, rest], _harmonize(residuals[:, rest], codes)[2], atol=1e-12)


def test_largest_loading_is_positive() -> None:
    loadings = find_components(_residuals(60, 40)[0]).loadings
    assert (loadings.max(axis=0) >= (1 - 1e-8) * np.abs(loadings).max(axis=0)).all()


@pytest.mark.parametrize("options", [{"variance_share": 0.6}, {"n_components": 4}])
def test_sketch_finds_what_the_gram_matrix_finds(options, monkeypatch) -> None:
    residuals, codes = _residuals(320, 400, n_factors=8)
    exact, _, after = _harmonize(residuals, codes, **options)
    monkeypatch.setattr(leading, "LARGEST_GRAM", 10)
    monkeypatch.setattr(leading, "FIRST_SKETCH", 2)
    sketched, _, similar = _harmonize(residuals, codes, **options)
    assert sketched.n_components == exact.n_components
    np.testing.assert_allclose(sketched.variance_share, exact.variance_share, rtol=1e-9)
    np.testing.assert_allclose(similar, after, atol=1e-6)
    again = find_components(residuals, **options)
    np.testing.assert_array_equal(again.loadings, sketched.loadings)
    with pytest.raises(TooManyComponentsError, match="span 319"):
        find_components(residuals, n_components=330)


# --- scores ---


def test_scans_of_the_reference_site_keep_their_residuals_to_the_last_bit() -> None:
    residuals, codes = _residuals(90, 30)
    _, model, after = _harmonize(residuals, codes, reference=2)
    assert (model.effects.shift[2] == 0).all()
    assert (model.effects.variance[2] == 1).all()
    np.testing.assert_array_equal((after == residuals).all(axis=1), codes == 2)


def test_prior_pulls_site_effects_of_components_together() -> None:
    residuals, codes = _residuals(48, 40)
    raw, shrunken = (_harmonize(residuals, codes, prior=p)[1].effects for p in (None, "parametric"))
    np.testing.assert_array_equal(raw.shift, raw.raw_shift)
    assert (shrunken.shift.std(axis=1) < raw.shift.std(axis=1)).all()
    assert (shrunken.variance.std(axis=1) < raw.variance.std(axis=1)).all()


def test_prior_from_a_single_component_is_given_up_with_a_warning() -> None:
    residuals, codes = _residuals(48, 40)
    plain = _harmonize(residuals, codes, n_components=1)[2]
    with pytest.warns(PriorWarning, match="1 component is kept"):
        other = _harmonize(residuals, codes, prior="parametric", n_components=1)[2]
    np.testing.assert_array_equal(other, plain)


def test_site_of_one_scan_keeps_its_scale() -> None:
    residuals, codes = _residuals(41, 10)
    codes[-1] = 4
    _, model, after = _harmonize(residuals, codes)
    assert (model.effects.variance[4] == 1).all()
    assert np.isfinite(after).all()


def test_covariates_of_scans_do_not_enter_the_scores() -> None:
    residuals, codes = _residuals(60, 20)
    with_age = Scans.group(codes, 4, np.linspace(20, 80, 60)[:, None])
    scores = project(residuals, find_components(residuals))
    model = fit_scores(scores, with_age)
    assert model.slopes.shape[0] == 0
    np.testing.assert_array_equal(
        adjust_scores(scores, with_age, model), adjust_scores(scores, _scans(codes), model)
    )


# --- invariants ---


@given(seed=st.integers(0, 999))
def test_order_of_features_and_scans_does_not_matter(seed) -> None:
    residuals, codes = _residuals(60, 25)
    random = np.random.default_rng(seed)
    rows, columns = random.permutation(60), random.permutation(25)
    plain = _harmonize(residuals, codes)[2]
    shuffled = _harmonize(residuals[np.ix_(rows, columns)], codes[rows])[2]
    np.testing.assert_allclose(shuffled, plain[np.ix_(rows, columns)], atol=1e-11)


@given(column=st.integers(0, 24), factor=st.floats(1e-3, 1e3))
def test_unit_of_a_feature_does_not_matter(column, factor) -> None:
    residuals, codes = _residuals(60, 25)
    other = residuals.copy()
    other[:, column] *= factor
    plain, scaled = _harmonize(residuals, codes)[2], _harmonize(other, codes)[2]
    scaled[:, column] /= factor
    np.testing.assert_allclose(scaled, plain, atol=1e-11)


@pytest.mark.parametrize("shape", [(300, 90), (70, 3000)])
@given(seed=st.integers(0, 999))
def test_one_by_one_equals_in_bulk_to_the_last_bit(shape, seed) -> None:
    residuals, codes = _residuals(*shape)
    random = np.random.default_rng(seed)
    components, model, after = _harmonize(residuals, codes, n_components=20)
    rows = random.choice(shape[0], size=int(random.integers(1, 40)), replace=False)
    for part in (rows, rows[:1]):
        scores = project(residuals[part], components)
        scans = Scans.group(codes[part], 4, np.zeros((len(part), 0)))
        new = adjust_scores(scores, scans, model)
        mine = replace_scores(residuals[part], components, scores, new)
        np.testing.assert_array_equal(mine, after[part])


def test_saved_arrays_give_the_same_bits() -> None:
    residuals, codes = _residuals(70, 300)
    components, model, after = _harmonize(residuals, codes)
    with io.BytesIO() as file:
        np.savez(
            file, **(asdict(components) | {"loadings": np.asfortranarray(components.loadings)})
        )
        file.seek(0)
        with np.load(file, allow_pickle=False) as arrays:
            loaded = Components(**(dict(arrays) | {"n_scans": int(arrays["n_scans"])}))
    old = project(residuals, loaded)
    new = adjust_scores(old, _scans(codes), model)
    np.testing.assert_array_equal(replace_scores(residuals, loaded, old, new), after)


@pytest.mark.parametrize("shape", [(300, 900), (900, 300)])
def test_number_of_threads_does_not_matter(shape) -> None:
    residuals, _ = _residuals(*shape)
    one, two = (find_components(residuals, n_jobs=jobs) for jobs in (1, 2))
    np.testing.assert_array_equal(one.loadings, two.loadings)
    scores = project(residuals, one, n_jobs=1)
    np.testing.assert_array_equal(project(residuals, one, n_jobs=2), scores)


def test_inputs_stay_as_they_are_and_single_precision_stays_single() -> None:
    residuals, codes = _residuals(60, 20)
    single = residuals.astype(np.float32)
    copy = single.copy()
    after = _harmonize(single, codes)[2]
    assert after.dtype == np.float32
    np.testing.assert_array_equal(single, copy)
    np.testing.assert_allclose(after, _harmonize(residuals, codes)[2], atol=2e-5)
