"""The page is one file, complete, small and safe."""

import json
import re
from html.parser import HTMLParser

import pytest
import report_cohort

from isoscan.errors import OutputExistsError
from isoscan.report import render_report, write_report
from isoscan.report.drawings import site_medians

HOSTILE = "<script>alert(1)</script>&\"'\u2028</style>$x^2$"


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses, self.ids = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href", "srcset", "action", "data"):
                self.addresses.append((tag, value))


@pytest.fixture(scope="module")
def text(facts):
    return render_report(facts)


def test_a_report_of_200_features_and_15_sites_is_at_most_2_mb():
    cohort = report_cohort.cohort(200, (90, 75, 70, 65, 60, 58, 55, 52, 50, 48, 45, 40, 36, 32, 24))
    page = render_report(report_cohort.facts_about(cohort))
    assert len(page.encode()) <= 2_000_000


def test_a_report_of_many_sites_is_at_most_2_mb():
    cohort = report_cohort.cohort(200, (8,) * 100)
    assert len(render_report(report_cohort.facts_about(cohort)).encode()) <= 2_000_000


def test_the_page_refers_to_nothing_outside_itself(text):
    for tag, address in Page(text).addresses:
        assert address.startswith(("#", "data:")) or (tag == "a" and "doi.org" in address)
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)


def test_only_the_script_of_the_page_may_run(text):
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert "default-src 'none'" in policy
    assert re.search(r"script-src 'sha256-[^']+'$", policy)


def test_ids_are_unique(text):
    ids = Page(text).ids
    assert len(ids) == len(set(ids))


@pytest.fixture(scope="module")
def hostile(cohort):
    named = report_cohort.rename_everything(cohort, HOSTILE)
    return render_report(report_cohort.facts_about(named, title=HOSTILE))


def test_hostile_names_are_text(hostile):
    assert "<script>alert" not in hostile
    assert Page(hostile).tags.count("script") == 2
    assert "\u2028" not in re.search(r'id="data">(.*?)</script>', hostile, re.DOTALL)[1]


def test_hostile_names_survive_in_the_data(hostile):
    data = json.loads(re.search(r'id="data">(.*?)</script>', hostile, re.DOTALL)[1])
    assert HOSTILE in data["features"]["sites"]
    assert HOSTILE in data["features"]["names"]


@pytest.mark.parametrize(
    ("left_out", "gone"),
    [
        ("describe", {"sample"}),
        ("evaluate", {"distributions", "biology"}),
        ("model", {"methods"}),
    ],
)
def test_a_section_vanishes_with_its_facts(cohort, left_out, gone):
    whole = {"summary", "features", "effects", "distributions", "biology", "sample", "methods"}
    page = render_report(report_cohort.facts_about(cohort, **{left_out: False}))
    assert set(re.findall(r'<section id="(\w+)"', page)) == whole - gone
    assert set(re.findall(r'<a href="#(\w+)">', page)) == whole - gone


def test_a_description_alone_makes_a_report(cohort):
    facts = report_cohort.collect_facts(describe_facts=report_cohort.describe_facts(cohort))
    sections = re.findall(r'<section id="(\w+)"', render_report(facts))
    assert sections == ["summary", "sample"]


def test_facts_read_back_from_json_give_the_same_page(facts, text):
    assert render_report(json.loads(json.dumps(facts))) == text


def test_facts_with_gaps_are_rendered(cohort):
    facts = report_cohort.facts_about(cohort)
    effects = facts["evaluate"]["site_effects"]
    effects["after"]["partial_r2"][0] = effects["before"]["p"][1] = None
    facts["evaluate"]["predictability"] |= {"before": None, "after": None, "reason": "Too few."}
    facts["evaluate"]["biology"]["terms"]["age"]["after"]["slope"][2] = None
    facts["model"]["site_effects"]["shift"][0][0] = None
    facts["describe"]["overlap"]["age"]["common_range"] = None
    facts["describe"]["covariates"]["age"]["by_site"]["SITE01"] = {"n": 0, "missing": 20}
    assert "Too few." in render_report(facts)


def test_the_page_names_versions_hash_and_citations(facts, text):
    assert facts["model"]["hash"] in text
    assert f"isoscan {facts['software']['isoscan']}" in text
    assert "https://doi.org/10.1093/biostatistics/kxj037" in text


def test_svg_takes_its_colours_from_the_page(text):
    assert "var(--text)" in text
    assert "#123456" not in text


def test_an_existing_report_is_not_overwritten_unasked(tmp_path, facts, text):
    path = write_report(facts, tmp_path / "results" / "report.html")
    assert path.read_text(encoding="utf-8") == text
    with pytest.raises(OutputExistsError, match=r"report\.html"):
        write_report(facts, path)
    path.write_text("old")
    assert write_report(facts, path, overwrite=True).read_text(encoding="utf-8") == text
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


def test_features_without_spread_are_not_in_the_map_of_site_medians(cohort):
    flat = cohort.measures.assign(flat=1.0)
    facts = report_cohort.collect_facts(flat, sites=cohort.people.site)
    assert "flat" in facts["features"]["names"]
    assert "flat" not in site_medians(facts["features"], "before").columns
    render_report(facts)
