"""The report on unknown scanners says what was found, promises no more, and loads nothing."""

import json
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from isoscan.evaluation.left_out import LeftOut
from isoscan.evaluation.left_out_scores import summarize
from isoscan.phantom import simulate_scanners
from isoscan.report import unseen_figures as figures
from isoscan.report.unseen_facts import collect_unseen_facts, ratio_interval
from isoscan.report.unseen_page import render_unseen_report, write_unseen_report
from isoscan.unseen import UnseenScanner

HOSTILE = "<img src=x onerror=alert(1)>"
LEFT = {  # shift left by each kind of correction, as a share of that without any
    "nothing": 1.0,
    "nearest scanner": 0.9,
    "no image quality": 0.8,
    "0 scans": 0.6,
    "1 scan": 0.7,
    "3 scans": 0.4,
    "known scanner": 0.0,
}


@pytest.fixture(scope="module")
def scans():
    return simulate_scanners(9, 12, 4, random_state=1)


@pytest.fixture(scope="module")
def model(scans):
    people = scans.people
    return UnseenScanner("age + C(sex)").fit(
        scans.measures, quality=scans.quality, sites=people.site, covariates=people
    )


@pytest.fixture(scope="module")
def predicted(scans, model):
    return model.predict(scans.measures.iloc[:12], quality=scans.quality, covariates=scans.people)


def scored(scanners, left=LEFT, spread=0.1):
    """Scores as `leave_one_scanner_out` gives them, with the errors one would wish for."""
    random = np.random.default_rng(0)

    def noisy(share):
        return max(share + spread * random.normal(), 0.0) if 0 < share < 1 else share

    rows = [
        {
            "model": name,
            "scanner": scanner,
            "draw": 0,
            "ks_share": 0.9,
            "error": 100 * noisy(share),
            "size": 100.0,
            "r2": 1 - share,
            "r2_mean": 1 - share,
            "shift_left": 0.7 * share,
            "coverage": 0.9 if name.endswith(("scan", "scans")) else np.nan,
            "correlation of people": 0.99,
            "spread of people": 0.97,
            "effect of age": 0.98,
        }
        for name, share in left.items()
        for scanner in scanners
    ]
    scores = pd.DataFrame(rows)
    scores.insert(6, "error_ratio", scores["error"] / scores["size"])
    return LeftOut(summarize(scores), scores)


@pytest.fixture(scope="module")
def facts(model):
    return collect_unseen_facts(model, left_out=scored(model.reference_.sites_))


def sentences(facts):
    return " ".join(finding["sentence"] for finding in facts["verdict"]["findings"])


def test_facts_are_plain_and_the_page_can_be_made_from_json(facts):
    text = json.dumps(facts, allow_nan=False)
    assert render_unseen_report(json.loads(text)) == render_unseen_report(facts)


def test_transfer_is_shown_when_the_error_is_less_for_other_scanners_too(facts):
    assert facts["verdict"]["transfer"] == "shown"
    assert "come closer" in facts["verdict"]["headline"]
    assert "from 0.70 to 0.42 SD" in sentences(facts)


def test_transfer_is_not_shown_when_other_scanners_might_have_none(model):
    left_out = scored(model.reference_.sites_, LEFT | {"0 scans": 0.95}, spread=0.3)
    facts = collect_unseen_facts(model, left_out=left_out)
    assert facts["verdict"]["transfer"] == "not shown"
    assert facts["verdict"]["level"] == "problem"
    assert "calibrate" in sentences(facts)
    worse = [row["scanner"] for row in facts["scanners"] if row["error_ratio"] > 1.1]
    assert worse
    assert all(f"'{name}'" in sentences(facts) for name in worse)


def test_a_model_that_learned_nothing_says_so():
    scans = simulate_scanners(10, 15, 10, told=0.0, random_state=5)
    with pytest.warns(UserWarning, match="no transfer"):
        model = UnseenScanner(use_volumes=False).fit(
            scans.measures, quality=scans.quality, sites=scans.people.site
        )
    facts = collect_unseen_facts(model)
    assert facts["verdict"]["transfer"] == "none"
    assert "left as they are" in facts["verdict"]["headline"]


def test_without_a_check_the_report_says_so(model):
    facts = collect_unseen_facts(model)
    assert facts["source"] == "training"
    assert "not checked" in facts["verdict"]["headline"]
    assert len(facts["scanners"]) == 9
    assert "may do a little worse" in render_unseen_report(facts)


def test_few_scans_are_advised_when_they_do_better_than_the_model(facts):
    assert facts["curve"]["scans"] == [0, 1, 3]
    assert "3 scans of the scanner leave a shift of 0.28 SD" in sentences(facts)
    assert "Calibrate" in sentences(facts)


def test_what_people_lose_is_named(model):
    left_out = scored(model.reference_.sites_)
    left_out.table["effect of age"] = 0.7
    said = sentences(collect_unseen_facts(model, left_out=left_out))
    assert "corrections change effect of age by more than 10 %" in said


def test_intervals_that_hold_too_little_are_named(model):
    left_out = scored(model.reference_.sites_)
    left_out.table["coverage"] = 0.7
    assert "held 70" in sentences(collect_unseen_facts(model, left_out=left_out))


def test_scans_that_were_left_are_named_unless_they_may_not_be(scans, model, predicted):
    odd = scans.measures.index[3]
    changed = predicted.assign(
        shift_score=predicted.shift_score.where(predicted.scan != odd, 9.0),
        abstained=predicted.scan == odd,
    )
    facts = collect_unseen_facts(model, predicted=changed)
    assert f"'{odd}'" in sentences(facts)
    page = render_unseen_report(facts)
    assert page.count(odd) > 1
    hidden = collect_unseen_facts(model, predicted=changed, individuals=False)
    assert odd not in json.dumps(hidden)
    assert odd not in render_unseen_report(hidden)
    assert hidden["applied"]["abstained"].count(True) == 1


def test_a_calibrated_model_does_not_speak_of_other_scanners(scans, model):
    new = scans.measures.iloc[:3]
    taught = model.calibrate(new, covariates=scans.people)
    told = taught.predict(new, covariates=scans.people)
    facts = collect_unseen_facts(taught, predicted=told)
    assert "has seen 3 scans of their scanner" in facts["verdict"]["headline"]
    page = render_unseen_report(facts)
    assert 'id="unseen_scanners"' not in page
    assert "These scans must be of the same scanner" in page


def test_the_page_loads_nothing_is_small_and_escapes_names(model, tmp_path):
    names = [HOSTILE, *model.reference_.sites_[1:]]
    left_out = scored(names)
    facts = collect_unseen_facts(model, left_out=left_out, title=HOSTILE)
    path = write_unseen_report(facts, tmp_path / "report.html")
    page = path.read_text(encoding="utf-8")
    assert len(page) < 500_000
    assert HOSTILE not in page
    assert not re.search(r'(src|href)="(?!#|data:|https://doi\.org)', page)
    with pytest.raises(FileExistsError):
        write_unseen_report(facts, path)


def test_the_interval_of_a_ratio_is_that_of_scanners_and_always_the_same():
    errors, sizes = np.array([1.0, 3.0, 2.0, 2.5]), np.full(4, 2.0)
    low, high = ratio_interval(errors, sizes)
    assert low < errors.sum() / sizes.sum() < high
    assert (low, high) == ratio_interval(errors, sizes)
    assert ratio_interval(errors * 7, sizes * 7) == pytest.approx((low, high))


def test_scanners_with_too_few_scans_take_no_part_in_the_curve(model):
    left_out = scored(model.reference_.sites_)
    small = model.reference_.sites_[0]
    kept = ~((left_out.scanners.model == "3 scans") & (left_out.scanners.scanner == small))
    facts = collect_unseen_facts(model, left_out=LeftOut(left_out.table, left_out.scanners[kept]))
    assert facts["curve"]["scanners"] == 8
    assert facts["curve"]["left_out"] == [small]


def test_figures_draw_on_the_axes_they_are_given(facts):
    table = pd.DataFrame(facts["scanners"])
    scores = [1.0, 2.5, 1.2]
    drawn = {
        figures.plot_scanners: lambda ax: figures.plot_scanners(table, ax=ax),
        figures.plot_coverage: lambda ax: figures.plot_coverage(
            [0.9, None], ["A", "B"], 0.9, ax=ax
        ),
        figures.plot_few_scans: lambda ax: figures.plot_few_scans(facts["curve"], ax=ax),
        figures.plot_baselines: lambda ax: figures.plot_baselines(facts["baselines"], ax=ax),
        figures.plot_shift_scores: lambda ax: figures.plot_shift_scores(
            scores, [False, True, False], 1.9, ax=ax
        ),
    }
    for draw in drawn.values():
        axes = plt.figure().subplots()
        assert draw(axes) is axes
        assert axes.lines
    plt.close("all")
