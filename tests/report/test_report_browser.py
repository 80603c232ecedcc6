"""The page works in a browser: opened from disk, without a network, by keyboard, in the dark."""

import base64
import json
import re
import shutil
from pathlib import Path

import pytest
import report_cohort

import isoscan as iso
from isoscan.phantom import simulate_tables
from isoscan.report import write_report

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
HOSTILE = "<img src=x onerror=alert(1)>"
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None or DRIVER is None, reason="needs chromium and chromedriver"
    ),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    cohort = report_cohort.rename_everything(report_cohort.cohort(), HOSTILE)
    folder = tmp_path_factory.mktemp("report")
    return write_report(report_cohort.facts_about(cohort), folder / "report.html")


@pytest.fixture
def page(browser, report):
    browser.get_log("browser")
    browser.get_log("performance")
    prefer(browser)
    browser.get(report.as_uri())
    yield browser
    assert [entry for entry in browser.get_log("browser") if entry["level"] != "INFO"] == []
    assert [address for address in requests(browser) if address.startswith(("http", "ws"))] == []


def prefer(browser, scheme="light", media=""):
    features = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
    named = [{"name": name, "value": value} for name, value in features.items()]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": named})


def requests(browser):
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]


def find(page, css):
    return page.find_element("css selector", css)


def shown(page):
    return find(page, "#feature-name").text, find(page, "#plot").get_attribute("innerHTML")


def test_the_page_asks_for_nothing_but_itself(page, report):
    asked = [address for address in requests(page) if not address.startswith("data:")]
    assert asked == [report.as_uri()]


def test_the_worst_feature_is_shown_first_with_one_row_per_site(page, facts):
    assert find(page, '[aria-selected="true"]').text == shown(page)[0]
    assert len(page.find_elements("css selector", '[data-when="before"] g.site')) == 3
    assert len(page.find_elements("css selector", '[data-when="after"] g.site')) == 3


def test_picking_another_feature_changes_the_plot(page):
    name, plot = shown(page)
    option = page.find_elements("css selector", "#options li")[4]
    option.click()
    assert shown(page)[0] == option.text != name
    assert shown(page)[1] != plot


def test_arrow_keys_and_buttons_walk_through_the_features(page):
    first = shown(page)[0]
    find(page, "#search").send_keys("\ue015")  # arrow down
    second = shown(page)[0]
    find(page, "#plot").send_keys("\ue014")  # arrow right
    third = shown(page)[0]
    assert len({first, second, third}) == 3
    find(page, "#previous").click()
    assert shown(page)[0] == second
    find(page, "#search").send_keys("\ue013")  # arrow up
    assert shown(page)[0] == first


def test_typing_narrows_the_list_to_features_with_those_letters(page):
    find(page, "#search").send_keys("011 thick")
    visible = [
        item for item in page.find_elements("css selector", "#options li") if item.is_displayed()
    ]
    assert [item.text for item in visible] == ["region011_thickness"]
    assert shown(page)[0] == "region011_thickness"


def test_a_feature_of_the_table_can_be_opened(page):
    page.execute_script("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    link = page.find_elements("css selector", "[data-feature]")[7]
    page.execute_script("arguments[0].click()", link)
    assert shown(page)[0] == link.text


def test_tables_sort_by_their_headings(page):
    page.execute_script("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    heading = page.find_elements("css selector", "#effects thead button")[2]
    page.execute_script("arguments[0].click()", heading)
    cells = page.find_elements("css selector", "#effects tbody tr td:nth-child(3)")
    values = [float(cell.get_attribute("data-value")) for cell in cells]
    assert values == sorted(values, reverse=True)


def test_sites_can_be_ordered_by_their_median(page):
    find(page, "#by-median").click()
    boxes = page.find_elements("css selector", '[data-when="before"] line.median')
    places = [float(box.get_attribute("x1")) for box in boxes]
    assert places == sorted(places)


def test_zooming_leaves_no_scan_out(page):
    before = len(page.find_elements("css selector", "#plot .dot"))
    find(page, "#zoom").click()
    assert len(page.find_elements("css selector", "#plot .dot")) == before > 0


def test_a_cell_of_the_heat_map_is_named_under_the_pointer(page):
    from selenium.webdriver import ActionChains

    svg = find(page, '[data-drawing="medians"] svg')
    page.execute_script("arguments[0].scrollIntoView({behavior: 'instant', block: 'center'})", svg)
    ActionChains(page).move_to_element_with_offset(svg, -100, -60).perform()
    readout = find(page, '[data-readout="medians"]').text
    assert re.fullmatch(r".+ · .+ · (before|after): −?[\d.]+ spreads", readout)


def test_hostile_names_are_shown_as_they_are(page):
    assert HOSTILE in find(page, "#plot").get_attribute("textContent")
    assert page.find_elements("css selector", "img") == []


def background(page):
    return page.execute_script("return getComputedStyle(document.body).backgroundColor")


def test_dark_mode_follows_the_system_and_the_button(page):
    light = background(page)
    prefer(page, "dark")
    dark = background(page)
    assert dark != light
    find(page, "#theme").click()
    assert background(page) == light
    find(page, "#theme").click()
    assert background(page) == dark


def test_nothing_is_wider_than_a_phone(page):
    screen = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
        assert page.execute_script("return document.documentElement.scrollWidth") <= 400
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_printing_opens_every_part(page, tmp_path):
    page.execute_script(
        "addEventListener('beforeprint', () => { window.open_when_printed ="
        " document.querySelectorAll('details:not([open])').length; });"
    )
    paper = page.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"]
    Path(tmp_path / "report.pdf").write_bytes(base64.b64decode(paper))
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    assert page.execute_script("return window.open_when_printed") == 0


def test_on_paper_colours_are_light_and_controls_are_gone(page):
    prefer(page, "dark", media="print")
    assert background(page) == "rgb(255, 255, 255)"
    for hidden in (".bar", ".choose", ".controls"):
        assert not find(page, hidden).is_displayed()


def test_the_skip_link_is_the_first_stop_of_the_keyboard(page):
    find(page, "body").send_keys("\ue004")  # tab
    assert page.switch_to.active_element.get_attribute("class") == "skip"


def test_a_harmonized_cohort_opens_without_error_and_its_picker_works(browser, tmp_path):
    cohort = simulate_tables(6, (20, 16), random_state=2)
    done = iso.harmonize(cohort.people.join(cohort.measures), preserve="age + C(sex)")
    folder = done.to_folder(tmp_path / "out")
    browser.get_log("browser")
    browser.get_log("performance")
    prefer(browser)
    browser.get((folder / "report.html").as_uri())
    asked = [address for address in requests(browser) if not address.startswith("data:")]
    assert asked == [(folder / "report.html").as_uri()]
    name, plot = shown(browser)
    assert name == done.facts["features"]["names"][0]
    browser.find_elements("css selector", "#options li")[3].click()
    assert shown(browser)[0] == done.facts["features"]["names"][3]
    assert shown(browser)[1] != plot
    assert [entry for entry in browser.get_log("browser") if entry["level"] != "INFO"] == []


def test_curves_of_the_picked_feature_are_drawn_a_line_per_level(browser, tmp_path):
    cohort = simulate_tables(6, (30, 26), random_state=2)
    table = cohort.people.join(cohort.measures)
    done = iso.harmonize(table, preserve="C(sex)", smooth=["age:sex"])
    folder = done.to_folder(tmp_path / "out")
    browser.get_log("browser")
    prefer(browser)
    browser.get((folder / "report.html").as_uri())
    lines = browser.find_elements("css selector", "#curve-plot .curve .line")
    assert len(lines) == 2
    assert len(browser.find_elements("css selector", "#curve-plot .curve .band")) == 2
    first = lines[0].get_attribute("d")
    browser.find_elements("css selector", "#options li")[3].click()
    assert find(browser, "#curve-plot .curve .line").get_attribute("d") != first
    assert find(browser, "#curves figure").is_displayed()
    assert [entry for entry in browser.get_log("browser") if entry["level"] != "INFO"] == []


def test_opening_all_findings_hides_the_brief_ones(page):
    brief, details = (find(page, f".verdict > {css}") for css in (".findings", "details"))
    assert brief.is_displayed()
    page.execute_script("arguments[0].open = true", details)
    assert not brief.is_displayed()


def test_change_within_people_is_shown_and_sorted_on_a_phone_in_the_dark(browser, visits, tmp_path):
    file = write_report(visits.facts, tmp_path / "report.html")
    browser.get_log("browser")
    prefer(browser, "dark")
    screen = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
        browser.get(file.as_uri())
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 400
        assert find(browser, '[data-drawing="people"] svg').is_displayed()
        browser.execute_script("document.querySelector('#people details').open = true")
        heading = browser.find_elements("css selector", "#people thead button")[1]
        browser.execute_script("arguments[0].click()", heading)
        cells = browser.find_elements("css selector", "#people tbody tr td:nth-child(2)")
        values = [float(cell.get_attribute("data-value")) for cell in cells]
        assert values == sorted(values, reverse=True)
        assert len(values) == len(visits.features)
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert [entry for entry in browser.get_log("browser") if entry["level"] != "INFO"] == []
