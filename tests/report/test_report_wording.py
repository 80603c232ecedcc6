"""The verdict is short, says each thing once, and names nobody if told so."""

import json

import pytest
import report_cohort

from isoscan.report import collect_facts, leave_out_individuals, render_report
from isoscan.report.brief import LONGEST, in_brief
from isoscan.report.prediction import accuracy_after, footnote
from isoscan.report.verdict import gather_findings, key_numbers, reach_verdict

SCANS = ", ".join(f"'sub-{n:04}' (UM_1, {n},000)" for n in range(9))


@pytest.mark.parametrize(
    ("full", "brief"),
    [
        ("Every term can be told apart from site.", "Every term can be told apart from site."),
        (
            f"IntraCranialVol is impossible for 9 scans: {SCANS}; typical is 1,184,828 to "
            f"1,443,335, depending on site. Check or leave out these scans.",
            "IntraCranialVol is impossible for 9 scans; typical is 1,184,828 to 1,443,335, "
            "depending on site. Check or leave out these scans.",
        ),
        (
            "2 features without spread within 8 sites, though not elsewhere: 'qi_1', 'qi_2'. Sites:"
            " 'CMU', 'KKI', 'LEUVEN', 'MAX_MUN', 'OHSU' and 3 more. Their scale cannot be adjusted"
            " there.",
            "2 features without spread within 8 sites, though not elsewhere. Their scale cannot be "
            "adjusted there.",
        ),
        (
            "104 of 105 pairs of sites differ in the distribution of at least one feature before "
            "and 44 after (Kolmogorov-Smirnov, smallest p times the number of features below "
            "0.05); most after: 'PITT' and 'UCLA_1' in '5th-Ventricle' (p = 8.67e-12).",
            "104 of 105 pairs of sites differ in the distribution of at least one feature before "
            "and 44 after.",
        ),
        (
            "Slopes of age were kept: correlation 1.00 over 109 features, median ratio 0.99, "
            "intervals overlap in 100 %, different from zero in 75 % of features before and 76 % "
            "after.",
            "Slopes of age were kept: correlation 1.00 over 109 features, median ratio 0.99, "
            "intervals overlap in 100 %.",
        ),
    ],
)
def test_long_findings_lose_lists_asides_and_clauses_in_this_order(full, brief):
    assert in_brief(full) == brief


@pytest.mark.parametrize("text", ["word " * 99, "x" * 999, f"Names: {SCANS}{SCANS}", ""])
def test_a_finding_in_brief_always_fits(text):
    assert len(in_brief(text)) <= LONGEST


def accuracy(value, spread=0.02):
    return {"balanced_accuracy": value, "low": value - spread, "high": value + spread}


PREDICTED = {
    "before": accuracy(0.8),
    "after": accuracy(0.02),
    "held_out": accuracy(0.26),
    "chance": 0.25,
}


def test_the_accuracy_after_is_that_in_unseen_scans():
    assert accuracy_after(PREDICTED) == PREDICTED["held_out"]
    assert accuracy_after({**PREDICTED, "held_out": None}) == PREDICTED["after"]


def test_an_accuracy_below_chance_is_explained_in_a_footnote_only():
    assert footnote(PREDICTED).startswith("In the scans it was fitted to, the accuracy is 2.0 %")
    assert footnote({**PREDICTED, "after": accuracy(0.24)}) == ""
    assert footnote({}) == ""


def test_page_and_key_numbers_show_the_accuracy_in_unseen_scans(cohort):
    facts = report_cohort.facts_about(cohort)
    predicted = facts["evaluate"]["predictability"]
    shown = next(item for item in facts["key_numbers"] if "guessed" in item["label"])
    assert shown["share_after"] == predicted["held_out"]["balanced_accuracy"]
    assert "in scans that harmonization had not seen" in render_report(facts)
    assert footnote(predicted) in render_report(facts)


def test_without_unseen_scans_the_card_says_what_less_than_chance_means(cohort):
    facts = report_cohort.evaluate_facts(cohort)
    facts["predictability"]["held_out"] = None
    shown = next(item for item in key_numbers(facts) if "guessed" in item["label"])
    assert "less than chance means not predictable" in shown["note"]


def finding(level, code, sentence):
    return {"level": level, "code": code, "sentence": sentence}


def said(**facts):
    steps = {"describe": None, "evaluate": None, "model": None} | facts
    return [item["sentence"] for item in gather_findings(**steps)]


@pytest.mark.parametrize(
    ("warning", "code"),
    [
        ("SmallSiteWarning", "small-site"),
        ("ConstantFeatureWarning", "constant-feature"),
        ("ConstantFeatureWarning", "constant-within-site"),
        ("MissingValuesWarning", "missing"),
        ("SiteLabelWarning", "lookalike-sites"),
    ],
)
def test_what_the_sample_says_the_model_does_not_repeat(warning, code):
    model = {"warnings": [{"code": warning, "sentence": "As the model says it."}]}
    describe = {"findings": [finding("note", code, "As the sample says it.")]}
    assert said(describe=describe, model=model) == ["As the sample says it."]
    assert said(model=model) == ["As the model says it."]


def test_features_that_passed_through_are_not_reported_as_untested():
    evaluate = {
        "values": {"not_tested": ["flat"]},
        "findings": [finding("note", "not-tested", "1 feature could not be tested: 'flat'.")],
    }
    assert said(evaluate=evaluate, model={"passed_through": ["flat"]}) == []
    assert len(said(evaluate=evaluate, model={"passed_through": []})) == 1


def test_terms_are_written_as_people_say_them():
    evaluate = {
        "biology": {"terms": {"C(sex)[T.M]": {}}},
        "findings": [finding("good", "slope-kept", "Slopes of 'C(sex)[T.M]' were kept.")],
    }
    assert said(evaluate=evaluate) == ["Slopes of sex: M were kept."]


def test_the_box_of_the_verdict_is_brief_and_the_list_complete(cohort):
    describe = report_cohort.describe_facts(cohort)
    long = f"Volumes are impossible for 9 scans: {SCANS}. Check them."
    describe["findings"].append(finding("problem", "impossible-value", long))
    verdict = reach_verdict(describe)
    assert verdict["sentences"][0]["brief"] == "Volumes are impossible for 9 scans. Check them."
    assert verdict["findings"][0]["sentence"] == long
    page = render_report(collect_facts(describe_facts=describe))
    assert page.count("Volumes are impossible for 9 scans. Check them.") == 1


@pytest.mark.parametrize(
    ("named", "unnamed"),
    [
        ("x = 0 in 1 scan ('a') is odd.", "x = 0 in 1 scan is odd."),
        ("0 in 9 scans ('a', 'b' and 7 more), odd.", "0 in 9 scans, odd."),
        (
            "2 scans are odd: 'a' (A, 3), 'b' (B, 4); typical is 9.",
            "2 scans are odd; typical is 9.",
        ),
        ("Missing for 2 of 9 scans: 'a', 'b'. Fill in.", "Missing for 2 of 9 scans. Fill in."),
        ("x of 'a' (A) is 4058.", "x of 1 scan is 4058."),
        ("'a', 'b' have the same value.", "2 scans have the same value."),
        ("2 sites are small: 'KCL' (3), 'OSL' (4).", "2 sites are small: 'KCL' (3), 'OSL' (4)."),
    ],
)
def test_sentences_count_scans_instead_of_naming_them(named, unnamed):
    assert leave_out_individuals({"sentence": named}, ["a", "b"]) == {"sentence": unnamed}


@pytest.mark.parametrize("name", ["O'Brien", "sub-01_ses-2", "P 7", "9"])
@pytest.mark.parametrize("sentence", ["x of '{}' (A) is 9.5.", "Odd: '{}', '{}' (3). See."])
def test_no_name_is_left_whatever_its_signs(name, sentence):
    found = leave_out_individuals([sentence.format(name, name)], [name])
    assert name not in str(found).replace("9.5", "")


def test_names_without_quotes_are_found_if_they_look_like_names():
    facts = ["sub-01 at A: volume is 9, typical is 4.", "9 of 20 scans."]
    found = leave_out_individuals(facts, ["sub-01", "9", "volume"])
    assert found == ["a scan at A: volume is 9, typical is 4.", "9 of 20 scans."]


def test_facts_without_individuals_name_no_scan_and_keep_their_shape(cohort):
    whole = report_cohort.facts_about(cohort)
    facts = report_cohort.facts_about(cohort, individuals=False)
    assert "sub-0" in json.dumps(whole)
    assert "sub-0" not in json.dumps(facts)
    assert facts["features"]["scans"] == facts["describe"]["outliers"]["scans"] == []
    assert facts["features"]["before"] == whole["features"]["before"]
    page = render_report(facts)
    assert "sub-0" not in page
    assert "dots are scans" not in page


def test_sites_named_like_scans_stay(cohort):
    facts = {"sites": {"1": 20, "2": 16}, "features": ["1", "2"]}
    assert leave_out_individuals(facts, [1, 2]) == facts
