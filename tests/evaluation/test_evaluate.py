"""The whole evaluation: one dict, true numbers, careful words."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from known_truth import shared_folder

from isoscan.errors import DataError, FeatureMismatchError, TooFewSitesError, UnmatchedRowsError
from isoscan.evaluation import as_text, evaluate
from isoscan.phantom import simulate_tables

PRESERVE = "age + C(sex)"


def run(before, after, people, **options):
    return evaluate(
        before, after, sites=people.site, covariates=people, preserve=PRESERVE, **options
    )


def codes_of(facts, level):
    return [item["code"] for item in facts["findings"] if item["level"] == level]


@pytest.fixture(scope="module")
def cohort():
    return simulate_tables(30, (60, 50, 40, 30), site_shift=0.8, site_scale=0.4, random_state=1)


@pytest.fixture(scope="module")
def facts(cohort):
    return run(cohort.measures, cohort.clean, cohort.people)


def test_facts_are_plain_json_with_everything_the_report_reads(facts):
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert facts["scans"] == 180
    assert facts["sites"] == {"SITE01": 60, "SITE02": 50, "SITE03": 40, "SITE04": 30}
    for when in ("before", "after"):
        effects = facts["site_effects"][when]
        assert set(effects) == {"partial_r2", "f", "p", "levene_p", "fligner_p"}
        assert all(len(values) == 30 for values in effects.values())
        assert set(facts["site_effects"]["summary"][when]) == {
            "median_partial_r2",
            "max_partial_r2",
            "worst_feature",
            "share_mean_significant",
            "share_variance_significant",
        }
        assert np.shape(facts["distributions"][when]) == (4, 4)
        assert facts["distributions"][when][2][2] is None
        assert set(facts["predictability"][when]) == {"balanced_accuracy", "low", "high"}
        assert len(facts["biology"]["terms"]["age"][when]["slope"]) == 30
    assert facts["predictability"]["chance"] == 0.25
    assert set(facts["biology"]["rank_order"]) == {"median", "lowest", "by_site"}


def test_perfect_harmonization_is_recognized(facts):
    assert not codes_of(facts, "problem") and not codes_of(facts, "warning")
    assert set(codes_of(facts, "good")) == {
        "site-means",
        "site-variances",
        "distributions",
        "predictability",
        "slope-kept",
        "rank-order",
    }
    summary = facts["site_effects"]["summary"]
    assert summary["before"]["share_mean_significant"] > 0.9
    assert summary["after"]["share_mean_significant"] == 0


def test_a_large_p_is_never_called_proof(facts):
    note = next(item for item in facts["findings"] if item["code"] == "same-scans")
    assert "optimistic by construction" in note["sentence"]


def test_harmonization_that_did_nothing_is_a_warning(cohort):
    facts = run(cohort.measures, cohort.measures, cohort.people)
    warnings = codes_of(facts, "warning")
    assert {"unchanged", "site-means", "distributions", "predictability"} <= set(warnings)


def test_harmonization_that_made_it_worse_is_a_problem(cohort):
    facts = run(cohort.clean, cohort.measures, cohort.people)
    assert "site-means" in codes_of(facts, "problem")
    assert facts["findings"][0]["level"] == "problem"


def test_less_than_chance_is_not_called_a_triumph(cohort):
    centred = cohort.measures - cohort.measures.groupby(cohort.people.site).transform("mean")
    facts = run(cohort.measures, centred, cohort.people)
    assert facts["predictability"]["after"]["high"] < 0.25
    sentence = next(i["sentence"] for i in facts["findings"] if i["code"] == "predictability")
    assert "Less than chance means not predictable" in sentence


def test_values_that_got_lost_or_infinite_are_a_problem(cohort):
    after = cohort.clean.copy()
    after.iloc[0, 0] = np.inf
    after.iloc[1:4, 1] = np.nan
    facts = run(cohort.measures, after, cohort.people)
    assert {"infinite-after", "values-lost"} <= set(codes_of(facts, "problem"))
    assert facts["values"]["lost"] == 3
    json.dumps(facts, allow_nan=False)


def test_poor_data_give_poor_facts_and_no_exception():
    random = np.random.default_rng(0)
    before = random.normal(size=(9, 4))
    before[:, 0] = np.nan
    before[:, 1] = 5.0
    before[3:, 2] = np.nan
    facts = evaluate(before, before + 1.0, sites=list("AAABBBCCD"))
    json.dumps(facts, allow_nan=False)
    assert facts["predictability"]["before"] is None
    assert facts["values"]["not_tested"] == ["feature0", "feature1", "feature2"]
    assert "no-covariates" in codes_of(facts, "note")
    assert as_text(facts)


def test_nothing_to_test_is_said(cohort):
    nothing = cohort.measures * np.nan
    facts = run(nothing, nothing, cohort.people)
    json.dumps(facts, allow_nan=False)
    assert as_text(facts)


def test_rows_and_columns_are_matched_by_name_and_inputs_stay(cohort, facts):
    shuffled = cohort.clean.iloc[::-1, ::-1]
    copies = cohort.measures.copy(), shuffled.copy(), cohort.people.copy()
    found = evaluate(
        cohort.measures,
        shuffled,
        sites=cohort.people.site.sample(frac=1, random_state=0),
        covariates=cohort.people.iloc[::-1],
        preserve=PRESERVE,
    )
    assert found == facts
    for table, copy in zip((cohort.measures, shuffled, cohort.people), copies, strict=True):
        pd.testing.assert_frame_equal(table, copy)


def test_arrays_give_the_numbers_of_frames(cohort, facts):
    found = evaluate(
        cohort.measures.to_numpy(),
        cohort.clean.to_numpy(),
        sites=cohort.people.site.to_numpy(),
        covariates=cohort.people.reset_index(drop=True),
        preserve=PRESERVE,
    )
    assert found["site_effects"]["after"] == facts["site_effects"]["after"]
    assert found["features"][:2] == ["feature0", "feature1"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda clean: clean.iloc[:-1], UnmatchedRowsError),
        (lambda clean: clean.iloc[:, :-1], FeatureMismatchError),
        (lambda clean: clean.to_numpy()[:-1], DataError),
    ],
    ids=["scan lost", "feature lost", "array too short"],
)
def test_tables_of_different_scans_or_features_are_refused(cohort, change, error):
    with pytest.raises(error):
        run(cohort.measures, change(cohort.clean), cohort.people)


def test_one_site_is_refused(cohort):
    with pytest.raises(TooFewSitesError, match="'SITE01'"):
        evaluate(cohort.measures, cohort.clean, sites=["SITE01"] * 180)


def test_text_fits_the_terminal_and_starts_with_the_verdict(facts):
    lines = as_text(facts).splitlines()
    assert lines[0] == "180 scans, 30 features, 4 sites"
    assert lines[2] == "WENT WELL"
    assert max(map(len, lines)) <= 100


def test_real_volumes_lose_site_and_keep_age():
    combat = pytest.importorskip("isoscan.combat")
    folder = shared_folder("data/abide")
    people = pd.read_csv(folder / "participants.tsv", sep="\t", index_col=0)
    volumes = pd.read_csv(folder / "aseg_volume.tsv", sep="\t", index_col=0)
    people = people.loc[people.index.intersection(volumes.index)].dropna()
    volumes = volumes.loc[people.index]
    volumes = volumes.loc[:, volumes.std() > 0]
    model = combat.ComBat(preserve=PRESERVE)
    harmonized = model.fit_transform(volumes, sites=people.site, covariates=people)
    facts = run(volumes, harmonized, people, model=model)
    summary = facts["site_effects"]["summary"]
    assert summary["before"]["median_partial_r2"] > 0.1
    assert summary["after"]["median_partial_r2"] < 0.01
    assert facts["predictability"]["before"]["low"] > 0.5
    assert facts["predictability"]["after"]["high"] < facts["predictability"]["chance"]
    assert facts["predictability"]["held_out"]["high"] > facts["predictability"]["chance"]
    sentence = next(f["sentence"] for f in facts["findings"] if f["code"] == "predictability")
    assert "after, in scans it had not seen" in sentence
    assert "In the scans it was fitted to" in sentence
    assert facts["biology"]["terms"]["age"]["correlation"] > 0.98
    assert not codes_of(facts, "problem")
