"""Missing, constant, impossible and coded values; units."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from known_truth import shared_folder

from isoscan.description import as_text, describe
from isoscan.phantom import simulate_tables


def cohort() -> tuple[pd.DataFrame, pd.DataFrame]:
    simulated = simulate_tables(20, (30, 30, 20), random_state=5)
    return simulated.measures.copy(), simulated.people.copy()


def sentences(facts: dict[str, Any], code: str) -> str:
    return "\n".join(item["sentence"] for item in facts["findings"] if item["code"] == code)


def test_missing_values_are_counted_by_feature_and_site() -> None:
    measures, people = cohort()
    measures.iloc[0, 3] = measures.iloc[40, 3] = measures.iloc[41, 5] = np.nan
    missing = describe(measures, sites=people.site)["missing"]
    assert missing["cells"] == 3
    assert missing["share"] == pytest.approx(3 / measures.size)
    assert missing["features"] == {"region004_thickness": 2, "region006_thickness": 1}
    assert missing["sites"] == {"SITE01": 1, "SITE02": 2}


def test_empty_features_and_scans_are_named() -> None:
    measures, people = cohort()
    measures.iloc[7] = np.nan
    measures["empty"] = np.nan
    facts = describe(measures, sites=people.site)
    assert facts["missing"]["empty_features"] == ["empty"]
    assert facts["missing"]["empty_scans"] == ["sub-0008"]
    assert facts["constant_features"] == []


def test_infinite_value_is_a_problem_with_scan_and_feature() -> None:
    measures, people = cohort()
    measures.iloc[2, 3] = -np.inf
    facts = describe(measures, sites=people.site)
    expected = {"scan": "sub-0003", "site": "SITE01", "feature": "region004_thickness"}
    assert facts["infinite"] == [expected]
    assert "'sub-0003' (region004_thickness)" in sentences(facts, "infinite")


def test_constant_within_one_site_excludes_constant_everywhere() -> None:
    measures, people = cohort()
    measures["everywhere"] = 0.1
    measures.loc[people.site == "SITE02", "region001_thickness"] = 2.5
    facts = describe(measures, sites=people.site)
    assert facts["constant_features"] == ["everywhere"]
    assert facts["constant_within_site"] == [{"feature": "region001_thickness", "site": "SITE02"}]


def test_site_without_any_spread_is_a_problem() -> None:
    measures, people = cohort()
    measures.loc[people.site == "SITE02"] = 2.5
    assert "'SITE02'" in sentences(describe(measures, sites=people.site), "constant-site")


def test_many_constant_features_make_one_sentence() -> None:
    measures, people = cohort()
    measures = measures.join(pd.DataFrame(0.0, measures.index, [f"c{n:03d}" for n in range(104)]))
    facts = describe(measures, sites=people.site)
    assert len(facts["constant_features"]) == 104
    assert sentences(facts, "constant-feature").count("\n") == 0
    assert len(as_text(facts).splitlines()) < 40


def test_same_values_under_two_names_are_noticed() -> None:
    measures, people = cohort()
    measures.iloc[50] = measures.iloc[10]
    assert describe(measures, sites=people.site)["identical_scans"] == [["sub-0011", "sub-0051"]]


@pytest.mark.parametrize(
    ("values", "code", "expected"),
    [
        ([9999.0], 9999.0, True),
        ([999.0, 999.0], 999.0, True),
        ([-9.0], -9.0, True),
        ([-1.0], -1.0, True),
        ([0.0], 0.0, True),
        ([99.0], 99.0, False),  # an old person
        ([74.0], 74.0, False),
    ],
)
def test_codes_for_missing_ages_are_recognized(
    values: list[float], code: float, expected: bool
) -> None:
    random = np.random.default_rng(0)
    ages = np.concatenate([random.uniform(18, 95, 100 - len(values)), values])
    people = pd.DataFrame({"age": ages})
    measures = random.normal(3.0, 0.2, size=(100, 10))
    sentinels = describe(measures, sites=["A", "B"] * 50, covariates=people)["sentinels"]
    found = [(item["column"], item["value"], item["n"]) for item in sentinels]
    assert found == ([("age", code, len(values))] if expected else [])


def test_two_codes_in_one_column_are_both_found() -> None:
    ages = np.concatenate([np.random.default_rng(0).uniform(18, 80, 50), [9999.0, -9.0]])
    facts = describe(np.ones((52, 1)), sites=["A"] * 52, covariates=pd.DataFrame({"age": ages}))
    assert [item["value"] for item in facts["sentinels"]] == [-9.0, 9999.0]


def test_code_among_numbered_categories_is_found() -> None:
    sex = [1.0, 2.0] * 20 + [-9.0]
    facts = describe(np.ones((41, 1)), sites=["A"] * 41, covariates=pd.DataFrame({"sex": sex}))
    assert facts["covariates"]["sex"]["kind"] == "categorical"
    assert [(item["value"], item["scans"]) for item in facts["sentinels"]] == [(-9.0, ["40"])]


def test_codes_do_not_stretch_the_age_range() -> None:
    people = pd.DataFrame({"age": [*np.linspace(20, 40, 20), *np.linspace(60, 80, 19), 9999.0]})
    facts = describe(np.ones((40, 1)), sites=["A"] * 20 + ["B"] * 20, covariates=people)
    assert facts["overlap"]["age"]["pairs_without_overlap"] == [["A", "B"]]
    assert facts["overlap"]["age"]["ranges"] == {"A": [20.0, 40.0], "B": [60.0, 80.0]}
    assert "'B' (60 to 80)" in sentences(facts, "no-overlap")


def test_volumes_that_are_often_zero_are_no_codes() -> None:
    random = np.random.default_rng(0)
    volume = np.where(random.random(100) < 0.3, 0.0, random.uniform(50, 60, 100))
    facts = describe(volume[:, None], sites=["A", "B"] * 50)
    assert facts["sentinels"] == []


@pytest.mark.parametrize("factor", [1000.0, 1 / 1000.0])
@pytest.mark.parametrize("columns", [slice(None), slice(0, 1)], ids=["all features", "one feature"])
def test_site_in_other_units_is_named_and_nothing_else(factor: float, columns: slice) -> None:
    measures, people = cohort()
    named = measures.columns[columns]
    measures.loc[people.site == "SITE02", named] *= factor
    facts = describe(measures, sites=people.site)
    assert [(item["site"], item["features"]) for item in facts["units"]] == [("SITE02", len(named))]
    assert facts["units"][0]["ratio"] == pytest.approx(factor, rel=0.3)
    assert facts["extremes"] == []


def test_two_sites_in_different_units_are_reported_once() -> None:
    simulated = simulate_tables(10, (30, 30), random_state=5)
    measures = simulated.measures.copy()
    measures.iloc[:30] *= 1000
    units = describe(measures, sites=simulated.people.site)["units"]
    assert [item["site"] for item in units] == ["SITE01"]


@pytest.mark.parametrize("seed", range(3))
def test_features_around_zero_are_not_taken_for_other_units(seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(300, 100))
    assert describe(values, sites=np.repeat(list("ABCDEF"), 50))["units"] == []


@pytest.mark.parametrize("unit", [1.0, 1e-3, 1e-6], ids=["mm³", "cm³", "l"])
@pytest.mark.parametrize(
    "name", ["IntraCranialVol", "EstimatedTotalIntraCranialVol", "eTIV", "ICV"]
)
def test_impossible_head_is_named_in_any_unit(unit: float, name: str) -> None:
    measures, people = cohort()
    measures[name] = np.random.default_rng(0).normal(1.5e6, 1.5e5, len(measures)) * unit
    measures.loc["sub-0004", name] = 0.3e6 * unit
    extremes = describe(measures, sites=people.site)["extremes"]
    assert [(item["scan"], item["site"], item["impossible"]) for item in extremes] == [
        ("sub-0004", "SITE01", True)
    ]
    assert "0.3 l" in extremes[0]["sentence"]


def test_negative_size_is_impossible_but_negative_euler_number_is_not() -> None:
    measures, people = cohort()
    measures["lh_euler"] = -np.random.default_rng(0).uniform(20, 120, len(measures))
    measures.iloc[12, 0] = -0.4
    extremes = describe(measures, sites=people.site)["extremes"]
    assert [(item["scan"], item["feature"]) for item in extremes if item["impossible"]] == [
        ("sub-0013", "region001_thickness")
    ]


def test_value_that_is_ordinary_at_another_site_is_not_extreme() -> None:
    random = np.random.default_rng(0)
    values = np.concatenate([random.normal(2.0, 0.05, 50), random.normal(3.0, 0.05, 50)])[:, None]
    values[3] = 3.0
    values[70] = 9.0
    extremes = describe(values, sites=["A"] * 50 + ["B"] * 50)["extremes"]
    assert [item["scan"] for item in extremes] == ["70"]


@pytest.mark.parametrize("seed", range(3))
def test_skewed_volumes_yield_no_extremes(seed: int) -> None:
    values = np.random.default_rng(seed).lognormal(5.0, 0.8, size=(400, 50))
    assert describe(values, sites=["A", "B"] * 200)["extremes"] == []


def test_lookalike_sites_and_levels_are_grouped() -> None:
    people = pd.DataFrame({"sex": ["M", "m", "F", "F"] * 5})
    facts = describe(np.ones((20, 1)), sites=["GE", "ge", "X", "X"] * 5, covariates=people)
    assert facts["lookalike_sites"] == [["GE", "ge"]]
    assert facts["lookalike_levels"] == {"sex": [["M", "m"]]}


def test_impossible_heads_of_abide_are_named() -> None:
    folder = shared_folder("data") / "abide"
    volumes = pd.read_csv(folder / "aseg_volume.tsv", sep="\t", index_col=0)
    people = pd.read_csv(folder / "participants.tsv", sep="\t", index_col=0)
    facts = describe(volumes, sites=people.site, covariates=people, preserve="age + C(sex)")
    litres = volumes["IntraCranialVol"] / 1e6
    assert {item["scan"] for item in facts["extremes"] if item["impossible"]} == set(
        litres.index[(litres < 0.6) | (litres > 2.5)]
    )
    assert "'sub-0050556' (YALE, 64,551)" in as_text(facts)
    assert facts["units"] == []
    assert sentences(facts, "single-level").startswith("sex: 2 of 15 sites")
    assert {item["site"] for item in facts["outliers"]["scans"]} <= set(facts["sites"])
    assert len(as_text(facts).splitlines()) < 80


def test_twin_scans_of_fcon1000_are_named() -> None:
    folder = shared_folder("data") / "fcon1000_fs"
    table = pd.read_csv(folder / "fcon1000_fs.csv.gz", index_col=0)
    people = table[["site", "age", "sex"]]
    facts = describe(
        table.drop(columns=["site", "age", "sex"]), sites=people.site, covariates=people
    )
    assert facts["identical_scans"] == [["ICBM_sub10582", "ICBM_sub41546"]]
    assert facts["outliers"]["not_checked"] == ["Pittsburgh"]
