"""The whole of describe: plain facts, sentences in order, the same whatever the order of rows."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isoscan.description import as_text, describe
from isoscan.errors import (
    AlignmentWarning,
    DuplicateIdsError,
    FormulaError,
    MissingCovariateError,
    NotNumericError,
    SiteLabelError,
    TooFewScansError,
    UnmatchedRowsError,
)
from isoscan.phantom import simulate_tables

LEVELS = ["problem", "warning", "note", "good"]
SECTIONS = {
    "scans", "features", "sites", "missing", "infinite", "constant_features",
    "constant_within_site", "identical_scans", "covariates", "overlap", "confounding", "outliers",
    "extremes", "units", "sentinels", "lookalike_sites", "lookalike_levels",
    "unreadable_covariates", "findings",
}  # fmt: skip


def codes(facts: dict[str, Any]) -> set[str]:
    return {finding["code"] for finding in facts["findings"]}


def spoiled_cohort() -> tuple[pd.DataFrame, pd.DataFrame]:
    """A cohort with one fault of every kind."""
    cohort = simulate_tables(12, (30, 25, 20, 12, 3), random_state=7)
    measures, people = cohort.measures.copy(), cohort.people.copy()
    measures["IntraCranialVol"] = np.random.default_rng(1).normal(1.5e6, 1e5, len(measures))
    measures.iloc[3, -1] = 60_000.0
    measures.iloc[5, 2] = np.nan
    measures.iloc[6, 2] = np.inf
    measures.iloc[8, 4] = -9.0
    measures.iloc[35, :8] += 3.0
    measures["same"] = 1.0
    people.loc[people.index[10], "age"] = 9999.0
    people.loc[people.site == "SITE04", "sex"] = "M"
    return measures, people


def test_facts_are_json_of_plain_types() -> None:
    measures, people = spoiled_cohort()
    facts = describe(measures, sites=people.site, covariates=people, preserve="age + C(sex)")
    assert set(facts) == SECTIONS
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts


def test_every_fault_has_a_finding_and_findings_are_ordered() -> None:
    measures, people = spoiled_cohort()
    facts = describe(measures, sites=people.site, covariates=people, preserve="age + C(sex)")
    order = [LEVELS.index(finding["level"]) for finding in facts["findings"]]
    assert order == sorted(order)
    assert codes(facts) >= {
        "impossible-value", "infinite", "sentinel", "missing", "small-site", "single-level",
        "outlying-scans", "outliers-not-checked", "constant-feature",
    }  # fmt: skip


def test_clean_cohort_is_called_ready() -> None:
    cohort = simulate_tables(60, (80, 90, 70), random_state=3)
    facts = describe(
        cohort.measures, sites=cohort.people.site, covariates=cohort.people, preserve="age + C(sex)"
    )
    assert {"identifiable", "overlap"} <= codes(facts)
    assert not any(finding["level"] == "problem" for finding in facts["findings"])


def test_inputs_are_not_modified() -> None:
    measures, people = spoiled_cohort()
    before = measures.copy(), people.copy()
    describe(measures, sites=people.site, covariates=people, preserve="age")
    pd.testing.assert_frame_equal(measures, before[0])
    pd.testing.assert_frame_equal(people, before[1])


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_order_of_rows_and_columns_does_not_change_findings(seed: int) -> None:
    measures, people = spoiled_cohort()
    random = np.random.default_rng(seed)
    rows, columns = random.permutation(len(measures)), random.permutation(measures.shape[1])
    shuffled = describe(
        measures.iloc[rows, columns],
        sites=people.site.iloc[random.permutation(len(people))],
        covariates=people.iloc[random.permutation(len(people))],
        preserve="age + C(sex)",
    )
    straight = describe(measures, sites=people.site, covariates=people, preserve="age + C(sex)")
    assert shuffled["findings"] == straight["findings"]
    assert as_text(shuffled) == as_text(straight)


@settings(max_examples=8, deadline=None)
@given(st.permutations(["Oslo", "B/2", "東京", "C(site)", "1"]))
def test_names_of_sites_carry_no_meaning(names: list[str]) -> None:
    measures, people = spoiled_cohort()
    renamed = people.site.map(dict(zip(sorted(people.site.unique()), names, strict=True)))
    first = describe(measures, sites=people.site, covariates=people.drop(columns="site"))
    second = describe(measures, sites=renamed, covariates=people.drop(columns="site"))
    assert sorted(second["sites"].values()) == sorted(first["sites"].values())
    assert {item["scan"] for item in second["outliers"]["scans"]} == {
        item["scan"] for item in first["outliers"]["scans"]
    }
    assert [(f["level"], f["code"]) for f in second["findings"]] == [
        (f["level"], f["code"]) for f in first["findings"]
    ]


def test_arrays_are_matched_by_position() -> None:
    measures, people = spoiled_cohort()
    by_name = describe(measures, sites=people.site)
    by_position = describe(measures.to_numpy(), sites=people.site.to_numpy())
    assert by_position["sites"] == by_name["sites"]
    assert by_position["missing"]["cells"] == by_name["missing"]["cells"]


def test_extra_rows_of_covariates_are_left_out_with_a_warning() -> None:
    measures, people = spoiled_cohort()
    with pytest.warns(AlignmentWarning, match="2 rows of covariates"):
        describe(measures.iloc[2:], sites=people.site.iloc[2:], covariates=people)


@pytest.mark.parametrize(
    ("measures", "options", "error", "words"),
    [
        ([[1.0], [2.0]], {"sites": ["A"]}, UnmatchedRowsError, "1 sites for 2 scans"),
        ([[1.0], [2.0]], {"sites": ["A", None]}, SiteLabelError, "site is missing for 1 scan"),
        (np.ones((3, 2)), {"sites": ["A", "B"]}, UnmatchedRowsError, "transposed"),
        (np.ones((0, 2)), {"sites": []}, TooFewScansError, "no scans"),
        (pd.DataFrame({"a": ["x", "y"]}), {"sites": ["A", "B"]}, NotNumericError, "feature 'a'"),
        (
            pd.DataFrame(np.ones((2, 2)), columns=["a", "a"]),
            {"sites": ["A", "B"]},
            DuplicateIdsError,
            "'a'",
        ),
        (
            pd.DataFrame(np.ones((2, 1)), index=["s", "s"]),
            {"sites": ["A", "B"]},
            DuplicateIdsError,
            "'s'",
        ),
        (
            [[1.0], [2.0]],
            {"sites": ["A", "B"], "preserve": "age"},
            MissingCovariateError,
            "'age' not found: 'age'",
        ),
        (
            [[1.0], [2.0]],
            {"sites": ["A", "B"], "preserve": "__import__('os')"},
            FormulaError,
            "not allowed",
        ),
    ],
    ids=[
        "lengths", "no site", "transposed", "empty", "text", "twin features", "twin scans",
        "no covariate", "hostile formula",
    ],
)  # fmt: skip
def test_unusable_input_is_refused_by_name(
    measures: Any, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error) as caught:
        describe(measures, **options)
    assert words in str(caught.value)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_table_of_numbers_can_be_described(data: st.DataObject) -> None:
    n_scans, n_features = data.draw(st.integers(1, 25)), data.draw(st.integers(0, 4))
    number = st.one_of(
        st.sampled_from([0.0, -1.0, 9999.0, np.nan, np.inf, 1e300, -1e300, 1e-300]),
        st.floats(width=32),
    )
    rows = data.draw(
        st.lists(
            st.lists(number, min_size=n_features, max_size=n_features),
            min_size=n_scans,
            max_size=n_scans,
        )
    )
    sites = data.draw(st.lists(st.sampled_from("ABC"), min_size=n_scans, max_size=n_scans))
    ages = data.draw(st.lists(number, min_size=n_scans, max_size=n_scans))
    facts = describe(
        np.array(rows).reshape(n_scans, n_features),
        sites=sites,
        covariates=pd.DataFrame({"age": ages}),
    )
    json.dumps(facts, allow_nan=False)
    assert max(map(len, as_text(facts).splitlines())) <= 100
