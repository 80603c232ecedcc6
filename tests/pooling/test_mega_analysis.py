"""Models over all sites give the numbers of lm, lme4, lmerTest and nlme."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from known_truth import shared_folder
from reference_effects import reference

import isoscan as iso
from isoscan.errors import DataError, DesignError, MixedModelError, TooFewSitesError

ROIS = ["roi1", "roi2", "roi3", "roi4"]


@pytest.fixture(scope="module")
def cohort() -> tuple[pd.DataFrame, pd.DataFrame]:
    table = pd.read_csv(shared_folder("golden/pooling") / "raw_6sites.csv", index_col="id")
    return table[ROIS], table[["site", "dx", "age", "sex"]]


def ask(cohort, model="intercept", **options):
    measures, people = cohort
    asked = {"contrast": "dx", "adjust": "age + sex"} | options
    return iso.mega_analysis(
        measures, sites=people.site, covariates=people, model=model, n_jobs=1, **asked
    )


def golden(name: str, part: str) -> np.ndarray:
    """Pinned numbers of the four regions; the last was scaled before it was fitted."""
    rois = reference("g07_mega_lmm.json")["rois"]
    found = [rois[roi][name][part] for roi in ROIS]
    values = np.array([item["dx"] if isinstance(item, dict) else item for item in found], float)
    return values * [1, 1, 1, 1 if part.startswith(("df", "p", "t")) else 1000]


@pytest.mark.parametrize(
    ("model", "correlated", "name", "degrees", "p"),
    [
        ("fixed", True, "fixed_site", "df", "p"),
        ("intercept", True, "ri_reml", "df_satterthwaite", "p_satterthwaite"),
        ("slope", True, "rs_reml", "df_satterthwaite", "p_satterthwaite"),
        ("slope", False, "rs_uncor_reml", "df_satterthwaite", "p_satterthwaite"),
    ],
)
def test_effects_are_those_of_lm_and_lme4(cohort, model, correlated, name, degrees, p) -> None:
    table = ask(cohort, model, correlated=correlated).table
    scale = golden(name, "se")
    assert (np.abs(table.effect - golden(name, "beta")) <= 1e-5 * scale).all()
    np.testing.assert_allclose(table.se, scale, rtol=1e-5)
    rois = reference("g07_mega_lmm.json")["rois"]
    df = [rois[roi][name][degrees] for roi in ROIS]
    df = [item["dx"] if isinstance(item, dict) else item for item in df]
    np.testing.assert_allclose(table.df, df, rtol=3e-5)
    np.testing.assert_allclose(table.p, [rois[roi][name][p]["dx"] for roi in ROIS], rtol=1e-4)


def test_variances_are_those_of_lme4(cohort) -> None:
    table = ask(cohort, "slope").table
    rois = reference("g07_mega_lmm.json")["rois"]
    for row, roi in enumerate(ROIS):
        unit = 1e6 if roi == "roi4" else 1.0
        levels, effects, _, residual = (
            part["vcov"] * unit for part in rois[roi]["rs_reml"]["varcorr"]
        )
        found = table.iloc[row]
        assert found.tau2 == pytest.approx(effects, rel=1e-4)
        assert found.site_variance == pytest.approx(levels, rel=1e-4)
        assert found.residual_variance == pytest.approx(residual, rel=1e-5)


def test_sites_of_unequal_noise_give_the_numbers_of_gls(cohort) -> None:
    found = ask(cohort, "heteroscedastic")
    rois = reference("g07_mega_lmm.json")["rois"]
    for row, roi in enumerate(ROIS):
        theirs, unit = rois[roi]["het_gls_site"], 1000 if roi == "roi4" else 1
        ours = found.table.iloc[row]
        assert abs(ours.effect - theirs["beta_dx"] * unit) < 2e-5 * ours.se  # where nlme stops
        assert ours.se == pytest.approx(theirs["se_dx"] * unit, rel=1e-5)
        spread = found.site_sd[roi].to_numpy()
        assert spread[0] == pytest.approx(theirs["sigma"] * unit, rel=1e-4)
        np.testing.assert_allclose(spread / spread[0], theirs["sd_ratio"], rtol=1e-4)


def test_no_difference_between_sites_is_data_and_not_a_warning(cohort) -> None:
    found = ask(cohort, "slope", correlated=False)
    row = found.table.set_index("feature").loc["roi2"]
    assert row.tau2 == 0 and row.singular
    assert found.notes.set_index("feature").note["roi2"].startswith("singular fit")
    assert set(found.notes.feature) == {"roi2"}


def test_a_feature_is_fitted_to_the_scans_that_have_it(cohort) -> None:
    measures, people = cohort
    holes = measures.copy()
    holes.loc[people.site == "site3", "roi2"] = np.nan
    holes.iloc[::17, 0] = np.nan
    for model in ("fixed", "intercept", "slope", "heteroscedastic"):
        table = ask((holes, people), model).table.set_index("feature")
        for roi in ("roi1", "roi2"):
            rows = holes[roi].notna()
            alone = ask((holes.loc[rows, [roi, "roi3"]], people[rows]), model).table.iloc[0]
            assert table.loc[roi, "effect"] == pytest.approx(alone.effect, rel=1e-7)
            assert table.loc[roi, "se"] == pytest.approx(alone.se, rel=1e-7)
        assert table.k.tolist() == [6, 5, 6, 6]
        assert table.loc["roi2", "n"] == (people.site != "site3").sum()


def test_order_of_rows_and_names_of_sites_do_not_matter(cohort) -> None:
    measures, people = cohort
    order = np.random.default_rng(0).permutation(len(people))
    renamed = people.assign(site="x" + people.site.str[::-1])
    for model in ("fixed", "intercept", "slope", "heteroscedastic"):
        one = ask(cohort, model).table
        other = ask((measures.iloc[order], renamed), model).table
        np.testing.assert_allclose(one.effect, other.effect, rtol=1e-6)
        np.testing.assert_allclose(one.p, other.p, rtol=1e-5)


def test_a_site_without_one_group_adds_nothing_to_fixed_sites(cohort) -> None:
    measures, people = cohort
    controls = people.assign(dx=people.dx.where(people.site != "site2", 0))
    rows = people.site != "site2"
    all_sites = ask((measures, controls), "fixed", adjust=None).table
    without = ask((measures[rows], people[rows]), "fixed", adjust=None).table
    np.testing.assert_allclose(all_sites.effect, without.effect, rtol=1e-9)


def test_true_effect_lies_in_the_interval_as_often_as_promised() -> None:
    random = np.random.default_rng(3)
    sites = np.repeat(np.arange(12), 40)
    dx = random.integers(0, 2, len(sites)).astype(float)
    people = pd.DataFrame({"site": sites.astype(str), "dx": dx})
    own = random.normal(0.3, 0.4, (12, 1500))
    level = random.normal(0, 1, (12, 1500))
    measures = pd.DataFrame(
        level[sites] + own[sites] * dx[:, None] + random.normal(size=(len(sites), 1500))
    )
    covered = {}
    for model in ("intercept", "slope"):
        table = ask((measures, people), model, adjust=None).table
        covered[model] = float(((table.low <= 0.3) & (table.high >= 0.3)).mean())
    assert covered["intercept"] < 0.85  # takes the effect to be the same everywhere
    assert covered["slope"] == pytest.approx(0.95, abs=0.025)


def test_what_cannot_be_answered_is_refused_in_words(cohort) -> None:
    measures, people = cohort
    with pytest.raises(TooFewSitesError, match="only 1 site"):
        ask((measures, people.assign(site="A")))
    with pytest.raises(DataError, match="no model"):
        ask(cohort, "random")
    confounded = people.assign(dx=(people.site == "site1").astype(int))
    for model in ("fixed", "heteroscedastic"):
        with pytest.raises(DesignError, match="cannot be estimated"):
            ask((measures, confounded), model)
    alone = people.assign(site=[f"S{row}" for row in range(len(people))])
    with pytest.raises(MixedModelError):
        ask((measures, alone))


def test_a_site_too_small_for_its_own_variance_is_named(cohort) -> None:
    measures, people = cohort
    small = people.assign(site=np.where(np.arange(len(people)) < 4, "tiny", people.site))
    with pytest.raises(DesignError, match="tiny has 4 scans"):
        ask((measures, small), "heteroscedastic")


def test_tables_are_written_with_their_meaning(cohort, tmp_path) -> None:
    found = ask(cohort)
    found.write(tmp_path / "mega.tsv")
    written = pd.read_csv(tmp_path / "mega.tsv", sep="\t")
    assert written.columns.tolist() == found.table.columns.tolist()
    assert "Satterthwaite" in (tmp_path / "mega.json").read_text()
    assert "random" not in repr(found) and "6 sites" in repr(found)


@pytest.mark.parametrize("model", ["fixed", "intercept", "slope", "heteroscedastic"])
def test_empty_and_constant_measures_are_named_and_the_others_stay(cohort, model) -> None:
    measures, people = cohort
    odd = measures.assign(roi1=np.nan, roi2=2.5)
    found = ask((odd, people), model)
    assert found.table.se.isna().tolist() == [True, True, False, False]
    assert found.table.p.isna().tolist() == [True, True, False, False]
    assert {"roi1", "roi2"} <= set(found.notes.feature)


@pytest.mark.parametrize("model", ["fixed", "intercept", "slope", "heteroscedastic"])
def test_a_covariate_that_follows_from_others_is_refused_by_name(cohort, model) -> None:
    measures, people = cohort
    twice = people.assign(months=12 * people.age)
    with pytest.raises(DesignError, match="'months' is determined"):
        ask((measures, twice), model, adjust="age + months")


@pytest.mark.parametrize("model", ["fixed", "heteroscedastic"])
def test_a_covariate_that_sites_determine_changes_nothing_and_is_named(cohort, model) -> None:
    measures, people = cohort
    tesla = people.site.isin(["site1", "site4"]) * 1.5 + 1.5
    found = ask((measures, people.assign(tesla=tesla)), model, adjust="tesla + age + sex")
    assert found.redundant == ("tesla",)
    assert "sites determine 'tesla'" in found.conventions
    np.testing.assert_allclose(found.table.se, ask(cohort, model).table.se, rtol=1e-9)
    assert not len(found.notes)


def test_a_covariate_that_sites_determine_in_some_scans_is_named_there(cohort) -> None:
    measures, people = cohort
    only_one = people.site != "site2"
    scanner = np.where(only_one, (people.site == "site1") * 1.0, np.arange(len(people)) % 2)
    holes = measures.assign(roi2=measures.roi2.where(only_one))
    for model in ("fixed", "heteroscedastic"):
        found = ask((holes, people.assign(scanner=scanner)), model, adjust="scanner + age + sex")
        assert found.redundant == ()
        assert found.notes.to_dict("records") == [
            {"feature": "roi2", "note": "'scanner' determined by sites"}
        ]
