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
    summary, lowest = same["summary"], same["summary"]["lowest"]
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
        f"Change of people at one site was {'kept' if kept else 'altered'}: {summary['ratio']:.2f} "
        f"times as large as before, correlation {summary['correlation']:.2f} (medians over "
        f"features).{larger} It is change beyond covariates, from the first to the last scan"
        f"{order} of {count(same['people'], 'person', 'people')}; the lowest correlation is "
        f"{lowest['value']:.2f} ('{lowest['feature']}').{rest}",
    )


def _about_moving(moved: Facts) -> Finding:
    before, after = moved["summary"]["before"], moved["summary"]["after"]
    if after is None or after > 1 + EXCESS:
        level = "warning"
    else:
        level = "good" if before > 1 + EXCESS else "note"
    later = "an unknown amount after" if after is None else f"{after:.2f} times as much after"
    return say(
        level,
        "moving",
        f"People who moved between sites changed {before:.2f} times as much as people who stayed "
        f"before harmonization, {later}. If scanners are alike it is 1; median feature, beyond "
        f"covariates, {count(moved['people'], 'person', 'people')} who moved.",
    )
