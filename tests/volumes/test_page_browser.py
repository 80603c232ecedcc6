"""The page of maps opens from disk in a browser: every picture is drawn, nothing is fetched."""

import json
import shutil

import nibabel as nib
import pytest
from many_sites import AFFINE, make_study

import isoscan as iso
from isoscan.volumes.page import write_page

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None or DRIVER is None, reason="needs chromium and chromedriver"
    ),
]


@pytest.fixture
def browser(tmp_path_factory):
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    profile = f"--user-data-dir={tmp_path_factory.mktemp('profile')}"
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", profile):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


def test_every_picture_is_drawn_and_nothing_is_fetched(browser, tmp_path):
    study = make_study({"KCL": 16, "MUC": 13, "<img src=x onerror=alert(1)>": 14})
    paths, mask = study.write(tmp_path / "in"), nib.Nifti1Image(study.mask, AFFINE)
    after, model = iso.harmonize_volumes(paths, study.people, mask=mask, output=tmp_path / "out")
    page = write_page(tmp_path / "out", model, [*paths.values()], after, study.people.site)
    browser.get_log("performance")
    browser.get(page.as_uri())
    script = "return [...document.images].map(image => [image.naturalWidth, image.alt.length])"
    pictures = browser.execute_script(script)
    assert len(pictures) == 4 and all(width > 1000 and words for width, words in pictures)
    wider = "return document.documentElement.scrollWidth > window.innerWidth"
    browser.set_window_size(520, 900)
    assert not browser.execute_script(wider)
    said = [entry["message"] for entry in browser.get_log("browser")]
    assert not said
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert urls and all(url.startswith(("file:", "data:")) for url in urls)
