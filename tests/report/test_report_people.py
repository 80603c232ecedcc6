"""Repeated scans: whose they are, and what became of change within people."""

import json
import re
from copy import deepcopy

import numpy as np
import pytest
import report_cohort
import report_visits

import isoscan as iso
from isoscan.report import render_report
from isoscan.report.people import draw_people, has_ratios, say_changes
from isoscan.report.ranks import MOST_MARKS


@pytest.fixture
def people(visits):
    return deepcopy(visits.facts["evaluate"]["people"])


def text_of(page):
    return " ".join(re.sub(r"<[^>]+>", " ", page).replace("\u00a0", " ").split())


def changes_of(n_features, ratio=1.0):
    part = {"people": 20, "correlation": [1.0] * n_features, "ratio": [ratio] * n_features}
    part["summary"] = {"correlation": 1.0, "ratio": ratio, "lowest": None}
    moved = {"people": 9, "before": [3.0] * n_features, "after": [ratio] * n_features}
    return {"same_site": part, "moved": {**moved, "summary": {"before": 3.0, "after": ratio}}}


def test_the_header_counts_people_and_those_who_moved(visits):
    page = render_report(visits.facts)
    lead = re.search(r'<p class="lead">([^<]*)', page)[1]
    assert "108 scans of 36 people (36 scanned more than once, 9 at more than one site)" in lead


def test_the_ratios_of_those_who_moved_and_stayed_are_said_in_words(people):
    whose, moved, stayed = say_changes(people)
    summary = people["changes"]["moved"]["summary"]
    assert "in the order of rows" in whose
    assert "the 9 people whose last scan is of another site than their first" in moved
    assert f"changed {summary['before']:.2f} times as much as the 27 who stayed" in moved
    assert f"after it, {summary['after']:.2f} times as much" in moved
    assert f"{people['changes']['same_site']['summary']['ratio']:.2f} times as large" in stayed
    assert "ordered by years" in say_changes({**people, "ordered_by": "years"})[0]


def test_the_page_has_a_picture_and_a_row_per_feature(visits):
    page = render_report(visits.facts)
    section = page[page.index('<section id="people"') :]
    section = section[: section.index("</section>")]
    assert 'data-drawing="people"' in section
    assert len(re.findall(r'<th scope="row">', section)) == len(visits.features)
    assert "Moved / stayed before" in section
    ids = re.findall(r' id="([^"]*)"', page)
    assert len(ids) == len(set(ids))


def test_tests_in_people_are_not_said_to_be_tests_in_scans(visits):
    words = text_of(render_report(visits.facts))
    assert "in one scan of each person" in words
    assert "in people that harmonization had not seen" in words
    assert "in people harmonization had not seen" in words
    assert "applied to the scans of the people in the test fold" in words
    assert "in scans" not in words.replace("in scans of", "")


def test_scans_of_different_people_are_still_called_scans(facts):
    words = text_of(render_report(facts))
    assert "in scans that harmonization had not seen" in words
    assert "applied to the scans of the test fold" in words
    assert "Change within people" not in words
    assert "each person" not in words


def test_where_nobody_moved_only_those_who_stayed_are_drawn(people):
    gone = people["changes"]["moved"]
    gone |= {"people": 0, "before": [None] * 8, "after": [None] * 8}
    gone["summary"] = {"before": None, "after": None}
    assert "0 people moved" in say_changes(people)[1]
    svg = draw_people(people["changes"])["svg"]
    assert "people who stayed" in svg
    assert "people who moved" not in svg


def test_where_nothing_can_be_told_the_page_says_so(visits):
    facts = json.loads(json.dumps(visits.facts))
    changes = facts["evaluate"]["people"]["changes"]
    for part, keys in (("moved", ("before", "after")), ("same_site", ("ratio", "correlation"))):
        changes[part] |= {key: [None] * 8 for key in keys}
        changes[part]["summary"] = dict.fromkeys((*keys, "lowest"))
    assert not has_ratios(changes)
    page = render_report(facts)
    assert "too few stayed" in page
    assert 'data-drawing="people"' not in page


def test_features_that_change_by_more_are_red_diamonds():
    diamonds = draw_people(changes_of(5, 1.3))["svg"], draw_people(changes_of(5, 1.1))["svg"]
    assert ["#cc3d33" in svg for svg in diamonds] == [True, False]


def test_many_features_are_thinned_and_a_few_unknown_ones_do_no_harm():
    changes = changes_of(20 * MOST_MARKS)
    changes["moved"]["before"] = list(np.linspace(9, 1, 20 * MOST_MARKS))
    changes["moved"]["after"][3] = changes["same_site"]["ratio"][4] = None
    assert len(draw_people(changes)["svg"]) < 400_000


def test_people_are_not_named_where_individuals_are_left_out():
    table = report_visits.table(4)
    table.iloc[4, -1] = 1e3
    done = iso.harmonize(table, method="longitudinal", preserve="years", individuals=False)
    page = render_report(done.facts)
    assert 'data-drawing="people"' in page
    assert "sub-0" not in page


def test_a_cohort_without_people_says_nothing_about_them():
    facts = report_cohort.facts_about(report_cohort.cohort(4), model=False)
    facts["evaluate"]["people"] = None
    assert '<section id="people"' not in render_report(facts)
