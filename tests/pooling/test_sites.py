"""Effects within sites: the numbers of R's lm, and a reason for every hole."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from known_truth import shared_folder
from reference_effects import assert_near, reference

import isoscan as iso
from isoscan.errors import (
    DataError,
    DesignError,
    InfiniteValuesError,
    MissingCovariateError,
    MissingValuesError,
    TooFewScansError,
)

ROIS = ["roi1", "roi2", "roi3", "roi4"]


def cohort() -> tuple[pd.DataFrame, pd.DataFrame]:
    table = pd.read_csv(shared_folder("golden/pooling") / "raw_6sites.csv", index_col="id")
    return table[ROIS], table[["site", "dx", "age", "sex"]]


def simulated(n: int = 60, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    people = pd.DataFrame(
        {
            "site": np.repeat(["KCL", "MUC", "OSL"], n // 3),
            "dx": rng.permutation(np.tile(["control", "patient"], n // 2)),
            "age": rng.uniform(20, 60, n),
            "sex": rng.choice(["F", "M"], n),
        },
        index=[f"sub-{number:03d}" for number in range(n)],
    )
    measures = pd.DataFrame(rng.normal(3, 0.2, (n, 3)), people.index, ["insula", "cuneus", "pole"])
    return measures, people


def found(measures, people, **options):
    asked = {"contrast": "dx", "groups": ("control", "patient"), "adjust": "age + sex"} | options
    return iso.site_effects(measures, sites=people.site, covariates=people, **asked)


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        ("d", {"effect": "d", "se": "se_d", "t": "t_dx", "p": "p_dx", "n1": "n0", "n2": "n1"}),
        ("g", {"effect": "g", "df": "df"}),
        ("beta", {"effect": "beta_dx", "se": "se_dx"}),
    ],
)
def test_group_effects_are_those_of_lm(kind, columns) -> None:
    measures, people = cohort()
    mine = found(measures, people, groups=None, kind=kind).table.set_index(["site", "feature"])
    golden = pd.DataFrame(reference("g02_site_effects.json")["rows"]).set_index(["site", "roi"])
    assert len(mine) == 24
    for ours, theirs in columns.items():
        assert_near(mine.loc[golden.index, ours], golden[theirs], 1e-8)


@pytest.mark.parametrize(
    ("kind", "effect", "variance"),
    [("r", "pr_age", "var_pr_age"), ("z", "z_pr_age", "var_z_pr_age")],
)
def test_effects_of_age_are_partial_correlations(kind, effect, variance) -> None:
    measures, people = cohort()
    mine = found(measures, people, contrast="age", adjust="dx + sex", groups=None, kind=kind)
    table = mine.table.set_index(["site", "feature"])
    golden = pd.DataFrame(reference("g02_site_effects.json")["rows"]).set_index(["site", "roi"])
    assert_near(table.loc[golden.index, "effect"], golden[effect], 1e-8)
    assert_near(table.loc[golden.index, "se"] ** 2, golden[variance], 1e-8)
    assert "n1" not in table


def test_reference_group_gives_the_sign() -> None:
    measures, people = simulated()
    forward = found(measures, people)
    backward = found(measures, people, groups=("patient", "control"))
    np.testing.assert_allclose(forward.values["effect"], -backward.values["effect"], rtol=1e-9)
    assert (forward.table.n1 == backward.table.n2).all()


def test_groups_of_text_must_be_named() -> None:
    measures, people = simulated()
    with pytest.raises(DesignError, match=r"'control' \(30\), 'patient' \(30\): say which"):
        found(measures, people, groups=None)
    with pytest.raises(DesignError, match="not two groups of 'dx'"):
        found(measures, people, groups=("control", "case"))


def test_people_of_other_groups_are_left_out() -> None:
    measures, people = simulated(90)
    people.loc[people.index[::5], "dx"] = "sibling"
    table = found(measures, people).table
    two = people[people.dx != "sibling"]
    again = found(measures.loc[two.index], two).table
    pd.testing.assert_frame_equal(table, again)


def test_interaction_is_a_contrast_beside_its_main_effects() -> None:
    measures, people = simulated()
    mine = found(measures, people, contrast="age:sex", groups=None, adjust="age + sex")
    assert mine.kind == "z"
    with pytest.raises(DesignError, match="2 columns"):
        found(measures, people, contrast="age:sex", groups=None, adjust="dx")


def test_site_without_the_measure_is_skipped_by_name() -> None:
    measures, people = simulated()
    measures.loc[people.site == "MUC", "cuneus"] = np.nan
    result = found(measures, people)
    assert result.skipped.to_dict("records") == [
        {"site": "MUC", "feature": "cuneus", "reason": "no scan has this measure"}
    ]
    assert len(result.table) == 8


def test_scan_without_the_measure_does_not_count() -> None:
    measures, people = simulated()
    measures.iloc[[0, 1, 25], 1] = np.nan
    mine = found(measures, people).table.query("feature == 'cuneus'")
    kept = measures.index[measures.cuneus.notna()]
    alone = found(measures.loc[kept, ["cuneus"]], people.loc[kept]).table
    pd.testing.assert_frame_equal(mine.reset_index(drop=True), alone)
    assert mine.n.sum() == 57


def test_site_without_a_group_or_with_few_people_is_skipped_by_name() -> None:
    measures, people = simulated()
    people.loc[people.site == "MUC", "dx"] = "control"
    few = people.index[(people.site == "OSL") & (people.dx == "patient")][3:]
    people = people.drop(index=few)
    result = found(measures.loc[people.index], people)
    reasons = result.skipped.drop_duplicates("site").set_index("site").reason
    assert reasons["MUC"] == "no scan of group 'patient'"
    assert reasons["OSL"] == "only 3 scans of group 'patient', fewer than 5"
    assert set(result.table.site) == {"KCL"}


def test_constant_measure_is_skipped_not_infinite() -> None:
    measures, people = simulated()
    measures.loc[people.site == "KCL", "pole"] = 2.7
    result = found(measures, people)
    assert result.skipped.reason.tolist() == ["the measure does not vary"]
    assert np.isfinite(result.table[["effect", "se"]]).all(axis=None)


def test_covariate_that_does_not_vary_at_a_site_is_left_out_there() -> None:
    measures, people = simulated()
    people.loc[people.site == "OSL", "sex"] = "F"
    result = found(measures, people)
    assert result.left_out.to_dict("records") == [
        {"site": "OSL", "term": "sex[T.M]", "reason": "it does not vary"}
    ]
    assert result.table.groupby("site").df.first().to_dict() == {"KCL": 16, "MUC": 16, "OSL": 17}


def test_contrast_determined_by_a_covariate_is_skipped() -> None:
    measures, people = simulated()
    people["sex"] = np.where(people.site == "KCL", people.dx == "patient", people.sex == "M")
    result = found(measures, people)
    assert result.skipped.site.unique().tolist() == ["KCL"]
    assert result.skipped.reason.str.contains("determined by the covariates").all()


def test_missing_covariates_are_refused_or_counted() -> None:
    measures, people = simulated()
    people.loc[["sub-001", "sub-030"], "age"] = np.nan
    with pytest.raises(MissingValuesError, match=r"'age' is missing for 2 of 60 scans"):
        found(measures, people)
    result = found(measures, people, drop_incomplete=True)
    assert result.left_out.reason.tolist() == ["1 scan without it left out"] * 2
    assert result.table.query("feature == 'pole'").n.sum() == 58


def test_offset_of_a_million_changes_nothing() -> None:
    measures, people = simulated()
    near, far = found(measures, people).table, found(measures + 1e6, people).table
    assert_near(far.effect, near.effect, 1e-7)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"contrast": "age", "groups": None, "kind": "d"}, DataError, "compares two groups"),
        ({"contrast": "dose"}, MissingCovariateError, "'dose'"),
        ({"kind": "OR"}, DataError, "no kind of effect"),
        ({"min_per_group": 50}, TooFewScansError, "no site can estimate the effect: KCL: only"),
    ],
)
def test_impossible_questions_are_refused(options, error, words) -> None:
    measures, people = simulated()
    with pytest.raises(error, match=words):
        found(measures, people, **options)


def test_infinite_measure_is_refused_by_name() -> None:
    measures, people = simulated()
    measures.loc["sub-007", "pole"] = np.inf
    with pytest.raises(InfiniteValuesError, match=r"'pole' is infinite .scan 'sub-007'"):
        found(measures, people)


def test_order_of_rows_does_not_matter() -> None:
    measures, people = simulated()
    shuffled = people.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(found(measures, people).table, found(measures, shuffled).table)
