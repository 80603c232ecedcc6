"""Strategies side by side give the numbers of R, and words that fit them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from known_truth import shared_folder
from reference_effects import reference

import isoscan as iso
from isoscan.phantom import simulate_tables
from isoscan.pooling import PoolingComparison

NAMES = {
    "no correction": "no_site",
    "meta fixed": "meta_EE",
    "meta random": "meta_REML_HK",
    "mega fixed": "mega_fixed_site",
    "mega intercept": "mega_RI",
    "mega slope": "mega_RS",
    "ComBat": "combat_then_lm",
}


@pytest.fixture(scope="module")
def compared() -> PoolingComparison:
    folder = shared_folder("golden/pooling")
    people = pd.read_csv(folder / "raw_6sites.csv")
    features = pd.read_csv(folder / "fed_features.csv")
    features = features[[name for name in features if name not in people or "roi" in name]]
    features = features.select_dtypes("number")
    return iso.compare_pooling(
        features,
        sites=people.site,
        covariates=people[["site", "dx", "age", "sex"]],
        contrast="dx",
        adjust="age + sex",
        n_jobs=1,
    )


@pytest.mark.parametrize("strategy", list(NAMES))
def test_each_strategy_gives_the_numbers_of_r(compared, strategy) -> None:
    golden = reference("g08_meta_vs_mega_vs_combat.json")["rois"]
    effect, se = compared.wide("effect")[strategy], compared.wide("se")[strategy]
    for roi, numbers in golden.items():
        theirs = numbers[NAMES[strategy]]
        unit = 1000 if abs(effect[roi]) > 1 else 1
        assert abs(effect[roi] - unit * theirs["b"]) < 1e-5 * se[roi]
        assert se[roi] == pytest.approx(unit * theirs["se"], rel=1e-5)


def test_reading_names_who_assumes_one_effect_and_who_is_optimistic(compared) -> None:
    narrower, optimistic, agreement = compared.reading
    assert narrower.startswith("Narrower is not better") and "times as wide" in narrower
    assert "'ComBat' is optimistic" in optimistic and "narrower" in optimistic
    assert "Of 40 features" in agreement


def test_table_is_tidy_and_adjusted_within_strategies(compared, tmp_path) -> None:
    table = compared.table
    assert len(table) == 40 * 7 and not table.duplicated(["feature", "strategy"]).any()
    one = table[table.strategy == "ComBat"]
    assert (one.p_adjusted >= one.p).all()
    compared.write(tmp_path / "strategies.tsv")
    assert "Reading" in (tmp_path / "strategies.json").read_text()


def test_a_strategy_that_cannot_be_followed_says_why_and_the_others_stay() -> None:
    cohort = simulate_tables(6, (40, 40, 40), random_state=1)
    people = cohort.people.copy()
    people.iloc[0, people.columns.get_loc("site")] = "ALONE"
    found = iso.compare_pooling(
        cohort.measures,
        sites=people.site,
        covariates=people,
        contrast="diagnosis",
        groups=("control", "patient"),
        n_jobs=1,
    )
    assert found.notes.strategy.tolist() == ["ComBat"]
    assert "ALONE" in found.notes.note[0]
    effects = found.wide()
    assert effects["ComBat"].isna().all()
    assert np.isfinite(effects.drop(columns="ComBat").to_numpy()).all()
    assert found.meta.table.k.tolist() == [3] * 6


def test_after_combat_intervals_are_too_narrow_where_age_differs_between_sites() -> None:
    cohort = simulate_tables(300, (40,) * 10, shared_noise=0.0, age_gap=6, random_state=1)
    found = iso.compare_pooling(
        cohort.measures,
        sites=cohort.people.site,
        covariates=cohort.people,
        contrast="age",
        adjust="C(sex) + C(diagnosis)",
        n_jobs=1,
    )
    truth = cohort.slopes.loc["age"]
    low, high = found.wide("low"), found.wide("high")
    covered = (low.le(truth, axis=0) & high.ge(truth, axis=0)).mean()
    assert covered["mega fixed"] == pytest.approx(0.95, abs=0.04)
    assert covered["meta random"] > 0.94
    assert covered["ComBat"] < 0.86
    assert "That is much" in found.reading[1]
