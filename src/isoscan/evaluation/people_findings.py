"""Say who was scanned repeatedly, how that was allowed for, and whether change was kept."""

from __future__ import annotations

from collections.abc import Iterator

from isoscan.description.plain import Facts
from isoscan.errors import count
from isoscan.evaluation.wording import Finding, say

ALIKE = 0.9
"""Median correlation of changes from which on they count as kept."""
CHANGED = 0.15
"""Share by which changes may grow or shrink."""
EXCESS = 0.2
"""Share by which people who moved may change more than people who stayed."""


def about_people(facts: Facts) -> Iterator[Finding]:
    """Tell how repeated scans were taken into account, and what became of change.

    Parameters
    ----------
    facts : dict
        Facts of the evaluation.

    Yields
    ------
    dict
        Findings; none if every scan counts as a person of its own.
    """
    people = facts["people"]
    if people is None:
        return
    yield _about_tests(people, facts["scans"])
    changes = people["changes"]
    same, every = changes["same_site"], changes["all"]
    if same["summary"]["correlation"] is not None:
        yield _about_change(same, every, people["ordered_by"])
    if changes["moved"]["summary"]["before"] is not None:
        yield _about_moving(changes["moved"])


def _about_tests(people: Facts, scans: int) -> Finding:
    moved = people["moved"]
    where = f"{moved} of them at more than one site" if moved else "nobody at more than one site"
    resting = (
        ""
        if moved
        else " Differences between sites rest on differences between people, as in data without "
        "repeated scans."
    )
    return say(
        "note",
        "repeated-scans",
        f"{count(scans, 'scan')} are of {count(people['people'], 'person', 'people')} "
        f"('{people['column']}'), {people['repeated']} scanned more than once, {where}. Site was "
        f"tested in mixed models with a level of its own for every person (F test of Kenward and "
        f"Roger); slopes are of the same models; distributions were compared in one scan of each "
        f"person; and site was guessed in people of whom no scan was trained on.{resting}",
    )


def _about_change(same: Facts, every: Facts, ordered_by: str | None) -> Finding:
    summary = same["summary"]
    kept = summary["correlation"] >= ALIKE and abs(summary["ratio"] - 1) <= CHANGED
    order = f" by '{ordered_by}'" if ordered_by else ""
    beyond = every["people"] - same["people"]
    rest = (
        f" With the {count(beyond, 'person', 'people')} who moved between sites the correlation "
        f"is {every['summary']['correlation']:.2f}."
        if beyond
        else ""
    )
    larger = (
        " If this is LongitudinalComBat(variance='reml'): variance='msr' keeps the size of change."
        if summary["ratio"] > 1 + CHANGED
        else ""
    )
    return say(
        "good" if kept else "warning",
        "change-kept" if kept else "change-altered",
        f"Change within people was {'kept' if kept else 'altered'}: from the first to the last "
        f"scan{order} of {count(same['people'], 'person', 'people')} at the same site, changes "
        f"beyond covariates correlate at {summary['correlation']:.2f} in the median feature "
        f"(lowest {summary['lowest']['value']:.2f}, '{summary['lowest']['feature']}') with those "
        f"before, and are {summary['ratio']:.2f} times as large.{rest}{larger}",
    )


def _about_moving(moved: Facts) -> Finding:
    before, after = moved["summary"]["before"], moved["summary"]["after"]
    if after is None or after > 1 + EXCESS:
        level = "warning"
    else:
        level = "good" if before > 1 + EXCESS else "note"
    later = "unknown after" if after is None else f"{after:.2f} times after"
    return say(
        level,
        "moving",
        f"Changes of the {count(moved['people'], 'person', 'people')} whose first and last scan "
        f"are of different sites were {before:.2f} times as large as those of people who stayed "
        f"before harmonization, and {later} (beyond covariates, median feature; 1 if scanners "
        f"are alike).",
    )
