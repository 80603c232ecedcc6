"""The facts behind the report are right, and JSON can hold them."""

import json

import numpy as np
import pandas as pd
import pytest
import report_cohort

from isoscan.errors import FeatureMismatchError, UnmatchedRowsError
from isoscan.report import collect_facts
from isoscan.report.verdict import key_numbers, reach_verdict


def box(facts, when, feature, site):
    features = facts["features"]
    cell = features[when][features["names"].index(feature)][features["sites"].index(site)]
    return dict(zip(features["statistics"], cell, strict=True))


def outlying(facts, when, feature, site):
    features = facts["features"]
    row = features["outlying"][when][features["names"].index(feature)]
    return [(features["scans"][scan], x) for scan, x in row[features["sites"].index(site)]]


def test_json_holds_every_fact(facts):
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts


@pytest.mark.parametrize("when", ["before", "after"])
def test_boxes_hold_the_quantiles_of_each_site(cohort, facts, when):
    table = {"before": cohort.measures, "after": cohort.clean}[when]
    values = table.loc[cohort.people.site == "SITE02", "region004_thickness"]
    shown = box(facts, when, "region004_thickness", "SITE02")
    expected = {"n": 16, "mean": values.mean(), "min": values.min(), "max": values.max()}
    quantiles = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}
    expected |= {name: values.quantile(share) for name, share in quantiles.items()}
    assert shown == pytest.approx(expected, rel=1e-3)


def test_numbers_keep_five_digits_of_the_range_whatever_the_unit(cohort):
    shifted = pd.DataFrame({"near": 1e6 + cohort.measures.iloc[:, 0], "tiny": 1e-9})
    facts = collect_facts(shifted, sites=cohort.people.site)
    spread = shifted["near"].groupby(cohort.people.site).agg(["min", "max"]).loc["SITE01"]
    shown = box(facts, "before", "near", "SITE01")
    assert shown["max"] - shown["min"] == pytest.approx(spread["max"] - spread["min"], rel=1e-3)
    assert box(facts, "before", "tiny", "SITE01")["median"] == 1e-9


def test_the_number_of_scans_is_never_rounded():
    volumes = pd.DataFrame({"volume": np.linspace(1e5, 9e7, 123)})
    facts = collect_facts(volumes, sites=np.array(["A"] * 123))
    assert box(facts, "before", "volume", "A")["n"] == 123


def test_missing_values_are_counted_out_and_an_empty_site_has_no_box(cohort):
    measures = cohort.measures.copy()
    measures.iloc[:5, 0] = np.nan
    measures.loc[cohort.people.site == "SITE02", "region001_thickness"] = np.nan
    facts = collect_facts(measures, sites=cohort.people.site)
    assert box(facts, "before", "region001_thickness", "SITE01")["n"] == 15
    assert set(box(facts, "before", "region001_thickness", "SITE02").values()) == {0, None}
    json.dumps(facts, allow_nan=False)


def test_outlying_scans_are_named_farthest_first_and_at_most_six(cohort):
    measures = cohort.measures.copy()
    measures.iloc[1, 2] = 9.0
    measures.iloc[3, 2] = -20.0
    facts = collect_facts(measures, sites=cohort.people.site, covariates=cohort.people)
    named = outlying(facts, "before", "region003_thickness", "SITE01")
    assert [scan for scan, _ in named[:2]] == ["sub-0004", "sub-0002"]
    note = facts["features"]["notes"][facts["features"]["scans"].index("sub-0002")]
    assert note == "age {age:g}, sex {sex}, diagnosis {diagnosis}".format(
        **cohort.people.loc["sub-0002"]
    )
    many = measures.copy()
    many.iloc[:20:2, 4] += 1e-9
    many.iloc[:8, 4] = np.arange(8) * 100.0
    many_facts = collect_facts(many.iloc[:, 4:5], sites=cohort.people.site)
    assert len(outlying(many_facts, "before", "region005_thickness", "SITE01")) <= 6


def test_rows_are_matched_by_id_not_by_order(cohort, facts):
    shuffled = collect_facts(
        cohort.measures,
        cohort.clean.iloc[::-1, ::-1],
        sites=cohort.people.site.iloc[::-1],
        covariates=cohort.people.iloc[::-1],
        evaluate_facts=report_cohort.evaluate_facts(cohort),
    )
    assert shuffled["features"] == facts["features"]


def test_the_feature_with_the_largest_site_effect_comes_first(cohort, facts):
    effects = facts["features"]["site_effect"]
    assert effects == sorted(effects, reverse=True)
    worst = report_cohort.evaluate_facts(cohort)["site_effects"]["summary"]["before"]
    assert facts["features"]["names"][0] == worst["worst_feature"]


def test_without_evaluation_the_variance_between_sites_orders_the_features(cohort):
    measures = cohort.measures.copy()
    measures["between"] = cohort.people.site.map({"SITE01": 1.0, "SITE02": 2.0, "SITE03": 3.0})
    facts = collect_facts(measures, sites=cohort.people.site)
    assert facts["features"]["names"][0] == "between"
    assert facts["features"]["site_effect"][0] == 1


def test_many_features_are_left_out_by_number_not_silently(monkeypatch, cohort):
    monkeypatch.setattr("isoscan.report.facts.MOST_BOXES", 3 * 2 * 5)
    facts = collect_facts(cohort.measures, cohort.clean, sites=cohort.people.site)
    assert len(facts["features"]["names"]) == 5
    assert facts["features"]["left_out"] == 7


def test_labels_for_another_number_of_scans_are_refused(cohort):
    with pytest.raises(UnmatchedRowsError, match="3 site labels for 48 scans"):
        collect_facts(cohort.measures, sites=["A", "B", "C"])


def test_a_feature_that_was_lost_is_named(cohort):
    with pytest.raises(FeatureMismatchError, match="'region002_thickness'"):
        collect_facts(
            cohort.measures,
            cohort.clean.drop(columns="region002_thickness"),
            sites=cohort.people.site,
        )


def say(*levels):
    return {
        "findings": [{"level": level, "sentence": f"{level} {n}"} for n, level in enumerate(levels)]
    }


def test_problems_lead_the_verdict_and_good_news_is_still_told():
    verdict = reach_verdict(say("good", "problem", "warning"), say("problem", "warning", "good"))
    assert verdict["level"] == "problem"
    assert verdict["headline"] == "2 problems to settle before these data are used"
    levels = [finding["level"] for finding in verdict["sentences"]]
    assert levels == ["problem", "problem", "warning", "good"]
    assert len(verdict["findings"]) == 6


def test_a_warning_of_the_model_reaches_the_verdict_once():
    twice = {"findings": [{"level": "warning", "sentence": "Site A is small."}]}
    verdict = reach_verdict(twice, None, {"warnings": ["Site A is small."]})
    assert verdict["headline"] == "Usable with care: 1 caution"


def test_nothing_to_report_is_said_too():
    assert reach_verdict()["headline"] == "No problem found"


def test_a_description_speaks_of_harmonizing_not_of_using():
    assert reach_verdict(say("problem"))["headline"] == "1 problem to settle before harmonizing"


def test_key_numbers_show_the_worst_covariate(cohort):
    facts = report_cohort.evaluate_facts(cohort)
    facts["biology"]["terms"]["age"]["correlation"] = -0.5
    assert key_numbers(facts)[-1]["after"] == "r = −0.50"
