"""Kinds of covariates, overlap of their ranges, confounding with site."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isoscan.description import describe
from isoscan.phantom import simulate_tables


def facts_of(
    people: pd.DataFrame, sites: Any, preserve: str | None = None, n_features: int = 2
) -> dict[str, Any]:
    measures = np.random.default_rng(0).normal(3, 0.3, size=(len(people), n_features))
    return describe(
        pd.DataFrame(measures, people.index), sites=sites, covariates=people, preserve=preserve
    )


def codes(facts: dict[str, Any]) -> set[str]:
    return {finding["code"] for finding in facts["findings"]}


@pytest.mark.parametrize(
    ("column", "preserve", "kind"),
    [
        (np.linspace(20, 60, 30), None, "numeric"),
        (np.arange(30), None, "numeric"),
        ([f"{age:.1f}" for age in np.linspace(20, 60, 30)], None, "numeric"),
        (["F", "M", None] * 10, None, "categorical"),
        ([0, 1] * 15, None, "categorical"),
        ([0, 1] * 15, "x", "numeric"),
        ([1, 2, 3] * 10, None, "numeric"),
        ([1, 2, 3] * 10, "C(x)", "categorical"),
        ([True, False] * 15, None, "categorical"),
        (pd.Categorical(["a", "b"] * 15), None, "categorical"),
        ([f"note {number}" for number in range(30)], None, None),
        ([np.nan] * 30, None, None),
        (["51,3", "47,2", "40,1"] * 10, None, None),
    ],
)
def test_numbers_and_categories_are_told_apart(
    column: Any, preserve: str | None, kind: str | None
) -> None:
    found = facts_of(pd.DataFrame({"x": column}), ["A", "B"] * 15, preserve)["covariates"]
    assert found.get("x", {}).get("kind") == kind


def test_site_column_and_identifiers_are_not_covariates() -> None:
    people = simulate_tables(2, (20, 20), random_state=0).people
    people = people.assign(SUB_ID=np.arange(50_000, 50_040))
    assert list(facts_of(people, people.site)["covariates"]) == ["age", "sex", "diagnosis"]


def test_decimal_commas_are_pointed_out() -> None:
    people = pd.DataFrame({"age": ["51,3", "47,2", "40,0", "38"] * 5})
    facts = facts_of(people, ["A", "B"] * 10)
    assert facts["unreadable_covariates"] == [{"column": "age", "n": 15, "example": "40,0"}]
    assert "unreadable-covariate" in codes(facts)


def test_summary_by_site_equals_pandas() -> None:
    people = simulate_tables(2, (20, 30), random_state=0).people
    people.loc["sub-0004", "age"] = np.nan
    found = facts_of(people, people.site)["covariates"]
    first = people.age[people.site == "SITE01"]
    summary = found["age"]["by_site"]["SITE01"]
    assert (summary["n"], summary["missing"]) == (19, 1)
    expected = [first.min(), first.quantile(0.05), first.median(), first.mean(), first.std()]
    assert [summary[key] for key in ("min", "q05", "median", "mean", "sd")] == pytest.approx(
        expected
    )
    assert found["sex"]["by_site"]["SITE02"] == (
        people.sex[people.site == "SITE02"].value_counts().sort_index().to_dict()
    )


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.lists(st.integers(18, 90).map(float), min_size=1, max_size=6), min_size=2, max_size=5
    )
)
def test_overlap_is_that_of_the_ranges(ages: list[list[float]]) -> None:
    sites = [f"S{position}" for position, own in enumerate(ages) for _ in own]
    people = pd.DataFrame({"age": [age for own in ages for age in own] + [0.5, 99.5]})
    found = facts_of(people, [*sites, "S0", "S0"])["overlap"].get("age")
    if found is None:  # the same age throughout each site
        return
    ages = [[*ages[0], 0.5, 99.5], *ages[1:]]
    apart = [
        [f"S{a}", f"S{b}"]
        for a in range(len(ages))
        for b in range(a + 1, len(ages))
        if max(ages[a]) < min(ages[b]) or max(ages[b]) < min(ages[a])
    ]
    assert found["pairs_without_overlap"] == apart
    assert found["n_pairs_without_overlap"] == len(apart)
    assert (found["common_range"] is None) == bool(apart)
    low, high = max(map(min, ages)), min(map(max, ages))
    inside = sum(low <= age <= high for own in ages for age in own)
    assert found["share_inside"] == pytest.approx(inside / sum(map(len, ages)))


def test_sites_that_bound_a_narrow_common_range_are_named() -> None:
    people = pd.DataFrame({"age": [*np.linspace(20, 50, 20), *np.linspace(45, 80, 20)]})
    facts = facts_of(people, ["A"] * 20 + ["B"] * 20)
    assert facts["overlap"]["age"]["common_range"] == [45.0, 50.0]
    assert facts["overlap"]["age"]["limited_by"] == ["B", "A"]
    assert "little-overlap" in codes(facts)


def test_covariate_that_is_site_is_a_problem_by_name() -> None:
    people = pd.DataFrame({"sex": ["F"] * 20 + ["M"] * 20, "age": np.linspace(20, 60, 40)})
    facts = facts_of(people, ["A"] * 20 + ["B"] * 20, "age + C(sex)")
    assert [item["term"] for item in facts["confounding"]["aliased"]] == ["C(sex)"]
    assert facts["confounding"]["fixed_by_site"] == ["sex"]
    assert facts["findings"][0]["code"] == "aliased"


def test_diagnosis_at_one_site_only_is_near_and_tabulated() -> None:
    diagnosis = ["patient"] * 29 + ["control"] + ["control"] * 60
    sites = ["MUC"] * 30 + ["OSL"] * 30 + ["KCL"] * 30
    facts = facts_of(pd.DataFrame({"diagnosis": diagnosis}), sites, "C(diagnosis)")
    near = facts["confounding"]["near"]
    assert [item["term"] for item in near] == ["C(diagnosis)"]
    assert near[0]["r2_with_site"] > 0.9
    assert near[0]["vif"] == pytest.approx(1 / (1 - near[0]["r2_with_site"]))
    assert facts["confounding"]["level_at_one_site"] == [
        {"column": "diagnosis", "level": "patient", "site": "MUC", "n": 29}
    ]
    assert facts["confounding"]["table"]["diagnosis"]["sites"] == {
        "KCL": {"control": 30, "patient": 0},
        "OSL": {"control": 30, "patient": 0},
    }


def test_variance_inflation_equals_regression_on_sites_and_the_other_covariates() -> None:
    random = np.random.default_rng(0)
    sites = np.repeat(list("ABC"), 40)
    height = random.normal(170, 10, 120)
    people = pd.DataFrame({"height": height, "weight": 0.9 * height + random.normal(0, 2, 120)})
    near = facts_of(people, sites, "height + weight")["confounding"]["near"]
    design = np.column_stack([pd.get_dummies(sites).to_numpy(float), people.weight])
    left = height - design @ np.linalg.lstsq(design, height, rcond=None)[0]
    expected = ((height - height.mean()) ** 2).sum() / (left**2).sum()
    assert {item["term"]: item["vif"] for item in near}["height"] == pytest.approx(expected)
    assert "'weight'" in near[0]["sentence"]


@pytest.mark.parametrize(
    "formula", ["age + I(age**2)", "bs(age, df=4)", "age + age:C(sex) + C(sex)"]
)
def test_curves_and_interactions_of_one_covariate_are_not_called_confounded(formula: str) -> None:
    people = simulate_tables(2, (50, 50, 50), random_state=1).people
    assert facts_of(people, people.site, formula)["confounding"]["near"] == []


def test_sites_with_one_sex_are_named() -> None:
    sex = ["M"] * 20 + ["F", "M"] * 10 + ["F"] * 5
    facts = facts_of(pd.DataFrame({"sex": sex}), ["PITT"] * 20 + ["NYU"] * 20 + ["OSL"] * 5)
    assert facts["confounding"]["single_level"] == [
        {"column": "sex", "level": "F", "sites": ["OSL"]},
        {"column": "sex", "level": "M", "sites": ["PITT"]},
    ]
    sentence = next(f["sentence"] for f in facts["findings"] if f["code"] == "single-level")
    assert "'PITT' (only M)" in sentence


def test_incomplete_covariates_share_a_sentence_and_do_not_stop_the_check() -> None:
    people = simulate_tables(2, (20, 20), random_state=0).people
    people.loc["sub-0004", ["age", "sex"]] = np.nan
    facts = facts_of(people, people.site, "age + C(sex)")
    incomplete = [f["sentence"] for f in facts["findings"] if f["code"] == "incomplete-covariate"]
    assert len(incomplete) == 1
    assert "'age', 'sex'" in incomplete[0]
    assert "'sub-0004'" in incomplete[0]
    assert facts["confounding"]["columns"] == 2


@pytest.mark.parametrize(
    ("column", "formula"),
    [([5.0] * 20, "x"), (["a"] * 20, "C(x)"), ([0.0] * 10 + [1.0] * 10, "log(x)")],
    ids=["constant number", "constant category", "logarithm of zero"],
)
def test_formula_that_cannot_be_applied_is_a_finding_not_a_crash(column: Any, formula: str) -> None:
    facts = facts_of(pd.DataFrame({"x": column}), ["A", "B"] * 10, formula)
    assert facts["findings"][0]["code"] == "unusable-formula"


def test_more_columns_than_scans_is_a_problem() -> None:
    people = pd.DataFrame({"x": list("abcdefgh")})
    facts = facts_of(people, ["A", "B"] * 4, "C(x)")
    assert "too-many-terms" in codes(facts)


@pytest.mark.parametrize(
    ("sites", "code", "level"),
    [
        (["A"] * 12, "one-site", "problem"),
        (["A"] * 11 + ["B"], "single-scan-site", "problem"),
        (["A"] * 10 + ["B"] * 2, "small-site", "warning"),
    ],
)
def test_sites_that_cannot_be_estimated_are_reported(
    sites: list[str], code: str, level: str
) -> None:
    facts = facts_of(pd.DataFrame({"age": np.linspace(20, 60, 12)}), sites)
    assert (code, level) in {(item["code"], item["level"]) for item in facts["findings"]}


def test_naming_nothing_to_preserve_is_noted() -> None:
    people = simulate_tables(2, (20, 20), random_state=0).people
    assert "nothing-preserved" in codes(facts_of(people, people.site))
    assert "nothing-preserved" not in codes(facts_of(people, people.site, "age"))
