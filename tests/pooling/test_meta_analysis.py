"""Pooled effects are those of metafor 5.1, for every estimator and test."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from reference_effects import assert_near, method_of, our_test, reference

import isoscan as iso
from isoscan.errors import (
    DataError,
    DuplicateIdsError,
    InfiniteValuesError,
    MissingColumnError,
    PrecisionWarning,
    TooFewSitesError,
    UnmatchedRowsError,
)
from isoscan.pooling import egger_test
from isoscan.pooling.evidence import Evidence
from isoscan.pooling.likelihood import log_likelihood, maximise_likelihood

SETS = [
    "enigma_roi1_d",
    "enigma_roi1_beta",
    "enigma_roi3_d",
    "age_zpcor",
    "hand5",
    "extreme",
    "bcg",
]
NAMES = {
    "effect": "beta",
    "se": "se",
    "p": "p",
    "low": "ci_lb",
    "high": "ci_ub",
    "tau2": "tau2",
    "tau2_se": "se_tau2",
    "I2": "I2",
    "H2": "H2",
    "Q": "QE",
    "Q_p": "QEp",
    "pi_low": "pi_lb",
    "pi_high": "pi_ub",
}


def pooled(case, **options) -> pd.Series:
    se = np.sqrt(case["input"]["vi"])
    return iso.meta_analysis(case["input"]["yi"], se, **options).table.iloc[0]


@pytest.mark.filterwarnings("ignore::isoscan.errors.PrecisionWarning")
@pytest.mark.parametrize("name", SETS)
def test_pooled_effects_are_those_of_metafor(name) -> None:
    case = reference("g03_pooling.json")[name]
    assert len(case["fits"]) == 36
    for fit in case["fits"]:
        method = method_of(fit)
        tolerance = 1e-10 if method in ("fe", "dl", "he", "hs", "sj") else 1e-6
        mine = pooled(case, method=method, test=our_test(fit))
        for ours, theirs in NAMES.items():
            if fit.get(theirs) is not None:
                assert_near(mine[ours], fit[theirs], tolerance)
        if fit.get("pi_riley_lb") is not None:
            riley = pooled(case, method=method, test=our_test(fit), prediction="riley")
            assert_near(
                riley[["pi_low", "pi_high"]], [fit["pi_riley_lb"], fit["pi_riley_ub"]], tolerance
            )


@pytest.mark.parametrize("name", ["enigma_roi1_d", "hand5", "bcg"])
def test_influence_and_heterogeneity_limits_are_those_of_metafor(name) -> None:
    case = reference("g04_loo_influence_tau2ci.json")[name]
    se = np.sqrt(case["input"]["vi"])
    result = iso.meta_analysis(case["input"]["yi"], se, preset="enigma")
    row = result.table.iloc[0]
    assert_near(row[["tau2", "tau2_low", "tau2_high"]], case["qprofile"]["tau2"], 2e-4)
    rest, golden = result.leave_one_out(), case["leave1out_REML_z"]
    for ours, theirs in {"effect": "est", "se": "se", "I2": "I2", "Q": "Q", "p": "p"}.items():
        np.testing.assert_allclose(rest[ours], golden[theirs], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(rest["tau2"], golden["tau2"], rtol=1e-6, atol=1e-12)
    moved, golden = result.influence(), case["influence"]
    renamed = {"cook_distance": "cook_d", "covariance_ratio": "cov_r"}
    for ours in ("rstudent", "dffits", "hat", "weight", *renamed):
        assert_near(moved[ours], golden[renamed.get(ours, ours)], 1e-6)
    knha = iso.meta_analysis(case["input"]["yi"], se, method="dl", test="knha").leave_one_out()
    for ours, theirs in {"effect": "est", "se": "se", "tau2": "tau2", "p": "p"}.items():
        assert_near(knha[ours], case["leave1out_DL_knha"][theirs], 1e-6)


def test_scanners_of_one_cohort_pooled_plainly_and_tested_for_asymmetry() -> None:
    golden = reference("g12_nested_scanners.json")
    effects, se = golden["input"]["yi"], np.sqrt(golden["input"]["vi"])
    mine = iso.meta_analysis(effects, se, preset="enigma").table.iloc[0]
    plain = golden["rma_uni"]  # metafor stopped at its default precision here
    np.testing.assert_allclose(
        mine[["effect", "se", "tau2"]].tolist(), [*plain.values()], atol=1e-6
    )
    egger = egger_test(effects, se).iloc[0]
    assert_near(
        egger[["t", "df", "p"]], [golden["egger_lm"][key] for key in ("t", "df", "p")], 1e-6
    )


@pytest.mark.filterwarnings("ignore::isoscan.errors.PrecisionWarning")
def test_two_sites_and_identical_effects_give_what_metafor_gives() -> None:
    golden = reference("g09_edge_cases.json")
    for name, test in (("k2", "z"), ("k2_knha", "knha")):
        mine = iso.meta_analysis([0.5, 0.1], np.sqrt([0.04, 0.02]), test=test).table.iloc[0]
        theirs = [golden[name][key] for key in ("est", "se", "tau2", "I2", "QE", "QEp")]
        assert_near(mine[["effect", "se", "tau2", "I2", "Q", "Q_p"]], theirs, 1e-6)
    for name, test in (("identical", "z"), ("identical_knha", "knha")):
        mine = iso.meta_analysis([0.3] * 4, [0.2] * 4, test=test).table.iloc[0]
        theirs = [golden[name][key] for key in ("est", "se", "tau2", "I2", "QE", "QEp")]
        np.testing.assert_allclose(
            mine[["effect", "se", "tau2", "I2", "Q", "Q_p"]].tolist(), theirs, atol=1e-12
        )


def test_identical_effects_do_not_make_the_bounded_test_certain() -> None:
    mine = iso.meta_analysis([0.3] * 4, [0.2] * 4).table.iloc[0]
    assert mine.se == pytest.approx(0.1)
    unbounded = iso.meta_analysis([0.3] * 4, [0.2] * 4, test="knha").table.iloc[0]
    assert unbounded.se == pytest.approx(0, abs=1e-12)


def sites_by_features(n_sites=6, n_features=5, seed=0) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    sites = [f"site {letter}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[:n_sites]]
    features = [f"roi{number}" for number in range(n_features)]
    se = pd.DataFrame(rng.uniform(0.1, 0.5, (n_sites, n_features)), sites, features)
    return se * rng.normal(0.5, 1.5, se.shape), se


def test_site_that_lacks_a_feature_is_left_out_and_named() -> None:
    effects, se = sites_by_features()
    effects.loc["site B", "roi1"] = np.nan
    se.loc["site C", "roi2"] = np.nan
    result = iso.meta_analysis(effects, se)
    assert result.skipped.to_dict("records") == [
        {"site": "site B", "feature": "roi1", "reason": "no effect"},
        {"site": "site C", "feature": "roi2", "reason": "no standard error"},
    ]
    assert result.table.k.tolist() == [6, 5, 5, 6, 6]
    alone = iso.meta_analysis(effects["roi1"].drop("site B"), se["roi1"].drop("site B"))
    np.testing.assert_allclose(
        result.table.loc[1, "effect":"Q_p"].drop("p_adjusted").astype(float),
        alone.table.loc[0, "effect":"Q_p"].drop("p_adjusted").astype(float),
        rtol=1e-9,
    )


@pytest.mark.filterwarnings("ignore::isoscan.errors.PrecisionWarning")
@pytest.mark.parametrize("method", ["fe", "dl", "he", "hs", "sj", "pm", "ml", "reml"])
def test_features_do_not_disturb_each_other(method) -> None:
    effects, se = sites_by_features(n_features=40)
    effects = effects.mask(np.random.default_rng(1).random(effects.shape) < 0.2)
    together = iso.meta_analysis(effects, se, method=method).table.drop(columns="p_adjusted")
    for number, feature in enumerate(effects.columns):
        alone = iso.meta_analysis(effects[[feature]], se[[feature]], method=method).table
        mine = together.iloc[number, 1:].astype(float)
        theirs = alone.drop(columns="p_adjusted").iloc[0, 1:].astype(float)
        np.testing.assert_allclose(mine, theirs, rtol=1e-7, atol=1e-10)


def test_tidy_wide_and_array_are_the_same_effects() -> None:
    effects, se = sites_by_features()
    tidy = effects.rename_axis("site").melt(
        ignore_index=False, var_name="feature", value_name="effect"
    )
    tidy["se"] = se.melt()["value"].to_numpy()
    wide = iso.meta_analysis(effects, se).table
    from_tidy = iso.meta_analysis(tidy.reset_index().sample(frac=1, random_state=0)).table
    pd.testing.assert_frame_equal(
        from_tidy.set_index("feature").loc[wide.feature].reset_index(), wide, rtol=1e-9
    )
    shuffled = se.sample(frac=1, random_state=0)[se.columns[::-1]]
    pd.testing.assert_frame_equal(iso.meta_analysis(effects, shuffled).table, wide)
    array = iso.meta_analysis(effects.to_numpy(), se.to_numpy()).table
    pd.testing.assert_frame_equal(array.drop(columns="feature"), wide.drop(columns="feature"))


def test_units_of_the_effect_do_not_matter() -> None:
    effects, se = sites_by_features()
    small, large = (iso.meta_analysis(effects * unit, se * unit).table for unit in (1, 1e6))
    assert_near(large.effect, small.effect * 1e6, 1e-8)
    assert_near(large.p, small.p, 1e-8)
    assert_near(large.I2, small.I2, 1e-6)


@pytest.mark.parametrize("restricted", [True, False])
@pytest.mark.parametrize(("n_sites", "smallest"), [(2, -2), (3, -4), (5, -8), (12, -10)])
def test_highest_of_several_maxima_is_found(n_sites, smallest, restricted) -> None:
    """However unequal the variances: among 400 values of tau², none is more likely."""
    rng = np.random.default_rng(3)
    shape = (n_sites, 500)
    variances = 10.0 ** rng.uniform(smallest, 1, shape)
    effects = rng.normal(size=shape) * np.sqrt(variances + 10.0 ** rng.uniform(smallest, 1, 500))
    evidence = Evidence(effects, variances, np.ones(shape), np.ones((n_sites, 1)))
    tau2 = maximise_likelihood(evidence, restricted=restricted)
    best = log_likelihood(evidence, tau2, restricted=restricted)
    for point in (0.0, *10.0 ** np.linspace(smallest - 1, 2, 400)):
        at = np.full(500, point)
        assert (log_likelihood(evidence, at, restricted=restricted) <= best + 1e-8).all()


def test_maximum_on_a_plateau_is_found() -> None:
    """Between two maxima of nearly the same height the slope hardly changes."""
    variances = np.array([[0.336, 1.162, 0.162, 0.0791, 5.39]]).T
    effects = np.array([[0.526, 2.758, -0.473, 0.208, 3.407]]).T
    evidence = Evidence(effects, variances, np.ones((5, 1)), np.ones((5, 1)))
    for restricted in (True, False):
        tau2 = maximise_likelihood(evidence, restricted=restricted)
        best = log_likelihood(evidence, tau2, restricted=restricted)
        for point in np.linspace(0, 1, 2000):
            at = np.array([point])
            assert log_likelihood(evidence, at, restricted=restricted) <= best + 1e-10


def test_enigma_preset_is_reml_with_walds_test() -> None:
    effects, se = sites_by_features()
    preset = iso.meta_analysis(effects, se, preset="enigma").table
    pd.testing.assert_frame_equal(preset, iso.meta_analysis(effects, se, test="z").table)
    with pytest.raises(DataError, match="preset='enigma' sets method and test"):
        iso.meta_analysis(effects, se, preset="enigma", method="dl")


def test_bounded_test_is_never_narrower_than_walds() -> None:
    effects, se = sites_by_features(n_features=60)
    wald = iso.meta_analysis(effects, se, test="z").table
    bounded = iso.meta_analysis(effects, se).table
    assert (bounded.se >= wald.se - 1e-12).all()
    assert (bounded.p >= wald.p).all()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0, "1 standard error 0, as if .*: 'site B, roi1'"),
        (-0.2, "1 standard error negative: 'site B, roi1'"),
        (np.inf, "1 standard error infinite: 'site B, roi1'"),
    ],
)
def test_impossible_standard_error_is_refused_by_name(value, words) -> None:
    effects, se = sites_by_features()
    se.loc["site B", "roi1"] = value
    with pytest.raises(DataError, match=words):
        iso.meta_analysis(effects, se)


def test_infinite_effect_is_refused_by_name() -> None:
    effects, se = sites_by_features()
    effects.loc["site B", "roi1"] = np.inf
    with pytest.raises(InfiniteValuesError, match="1 effect infinite: 'site B, roi1'"):
        iso.meta_analysis(effects, se)


def test_one_site_is_nothing_to_pool() -> None:
    with pytest.raises(TooFewSitesError, match=r"only 1 site .*nothing to pool"):
        iso.meta_analysis([0.5], [0.2])
    effects = pd.DataFrame({"a": [0.1, np.nan], "b": [np.nan, 0.3]}, ["KCL", "OSL"])
    with pytest.raises(TooFewSitesError, match="spelled alike"):
        iso.meta_analysis(effects, effects * 0 + 0.1)


def test_feature_of_one_site_is_passed_on_with_a_note() -> None:
    effects, se = sites_by_features()
    effects.loc["site B":, "roi1"] = np.nan
    effects["roi3"] = np.nan
    effects.loc["site C":, "roi4"] = np.nan
    with pytest.warns(PrecisionWarning) as caught:
        result = iso.meta_analysis(effects, se)
    assert [str(item.message)[:44] for item in caught] == [
        "1 feature with effects from only 1 site: 'ro",
        "1 feature with effects from only 2 sites: 'r",
    ]
    one = result.table.set_index("feature").loc["roi1"]
    assert one.effect == pytest.approx(effects.loc["site A", "roi1"])
    assert one.se == pytest.approx(se.loc["site A", "roi1"])
    assert one[["p", "low", "tau2", "I2", "pi_low"]].isna().all()
    assert result.notes.set_index("feature").note["roi3"] == "no site has it"


def test_variances_in_different_units_are_suspected() -> None:
    with pytest.warns(PrecisionWarning, match="10⁷-fold"):
        iso.meta_analysis([0.5, 0.1, 0.2], [1e-5, 0.2, 0.2])


def test_tables_that_cannot_be_read_are_refused() -> None:
    effects, se = sites_by_features()
    with pytest.raises(MissingColumnError, match=r"lacks 'effect', 'se'; it has 'roi0'"):
        iso.meta_analysis(effects)
    with pytest.raises(UnmatchedRowsError, match="1 site only in the effects"):
        iso.meta_analysis(effects, se.drop(index="site B"))
    tidy = pd.DataFrame({"site": ["A", "A"], "effect": [0.1, 0.2], "se": [0.1, 0.1]})
    with pytest.raises(DuplicateIdsError, match="1 row repeat"):
        iso.meta_analysis(tidy)
    with pytest.raises(DataError, match="mixes effects of kind"):
        iso.meta_analysis(tidy.assign(site=["A", "B"], kind=["d", "g"]))


def test_families_are_adjusted_apart() -> None:
    effects, se = sites_by_features()
    families = dict.fromkeys(effects.columns[:2], "volumes") | dict.fromkeys(
        effects.columns[2:], "thickness"
    )
    table = iso.meta_analysis(effects, se, adjust="bonferroni", families=families).table
    np.testing.assert_allclose(table.p_adjusted, np.minimum(table.p * [2, 2, 3, 3, 3], 1))


def test_forest_plot_gets_its_rows() -> None:
    effects, se = sites_by_features()
    effects.loc["site B", "roi1"] = np.nan
    rows = iso.meta_analysis(effects, se).sites_of("roi1")
    assert rows.site.tolist() == ["site A", "site C", "site D", "site E", "site F"]
    assert rows.weight.sum() == pytest.approx(100)


def test_tables_are_written_in_both_layouts(tmp_path) -> None:
    effects, se = sites_by_features()
    tidy = effects.rename_axis("site").melt(
        ignore_index=False, var_name="feature", value_name="effect"
    )
    tidy = tidy.assign(se=se.melt()["value"].to_numpy(), n1=20, n2=30).reset_index()
    result = iso.meta_analysis(tidy)
    result.write(tmp_path / "pooled.tsv")
    again = pd.read_csv(tmp_path / "pooled.tsv", sep="\t")
    np.testing.assert_array_equal(again.effect, result.table.effect)
    result.write(tmp_path / "enigma.csv", layout="enigma")
    enigma = pd.read_csv(tmp_path / "enigma.csv")
    assert enigma.columns.tolist() == (
        "Structure d_icv se_icv low_ci_icv up_ci_icv n_controls n_patients pobs fdr_p".split()
    )
    assert (enigma.n_controls == 120).all()
    assert "restricted maximum likelihood" in (tmp_path / "enigma.json").read_text()


def test_effects_that_agree_too_well_have_an_interval_of_zero() -> None:
    mine = iso.meta_analysis([0.3, 0.301, 0.299, 0.3], [0.2] * 4).table.iloc[0]
    assert (mine[["tau2", "tau2_low", "tau2_high"]] == 0).all()
