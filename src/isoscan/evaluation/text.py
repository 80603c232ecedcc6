"""Write the facts for a terminal: the verdict first, then the numbers behind it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from isoscan.description.plain import Facts, in_words, percent
from isoscan.errors import count
from isoscan.evaluation.wording import LEVELS

WIDTH = 100
MOST_LINES = 10
"""Features listed by name; the rest is in the facts."""

_HEADINGS = {"problem": "PROBLEMS", "warning": "WARNINGS", "good": "WENT WELL", "note": "NOTES"}
_MARKS = {"problem": "✗", "warning": "!", "good": "✓", "note": "·"}


def as_text(facts: Facts) -> str:
    """Write facts as readable text.

    Parameters
    ----------
    facts : dict
        What `isoscan.evaluation.evaluate` returned.

    Returns
    -------
    str
        At most 100 columns wide; findings first, then numbers before and after, then the
        features in which most of site is left.

    Examples
    --------
    >>> from isoscan.evaluation import evaluate
    >>> from isoscan.phantom import simulate_tables
    >>> cohort = simulate_tables(n_features=4, random_state=0)
    >>> text = as_text(evaluate(cohort.measures, cohort.clean, sites=cohort.people.site))
    >>> text.splitlines()[0]
    '159 scans, 4 features, 4 sites'
    """
    people = facts["people"]
    whose = "" if people is None else f" of {count(people['people'], 'person', 'people')}"
    sizes = [
        count(facts["scans"], "scan") + whose,
        count(facts["features"], "feature"),
        count(facts["sites"], "site"),
    ]
    blocks = [[", ".join(sizes)], *_findings(facts), list(_numbers(facts)), list(_worst(facts))]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _findings(facts: Facts) -> Iterator[list[str]]:
    for level in LEVELS:
        lines = [
            _wrap(finding["sentence"], f"  {_MARKS[level]} ")
            for finding in facts["findings"]
            if finding["level"] == level
        ]
        if lines:
            yield [_HEADINGS[level], *lines]


def _wrap(sentence: str, mark: str) -> str:
    """Break lines, but never between a number and its percent sign."""
    joined = sentence.replace(" %", "\N{NO-BREAK SPACE}%")
    filled = textwrap.fill(
        joined,
        WIDTH,
        initial_indent=mark,
        subsequent_indent=" " * len(mark),
        break_on_hyphens=False,
    )
    return filled.replace("\N{NO-BREAK SPACE}%", " %")


def _numbers(facts: Facts) -> Iterator[str]:
    summary = facts["site_effects"]["summary"]
    rows = [
        ("variance explained by site, median feature", *_both(summary, "median_partial_r2")),
        ("variance explained by site, worst feature", *_both(summary, "max_partial_r2")),
        ("features whose mean differs", *_both(summary, "share_mean_significant")),
        ("features whose variance differs", *_both(summary, "share_variance_significant")),
    ]
    different = facts["distributions"]["share_significant"]
    rows.append(
        ("pairs of sites and features that differ", different["before"], different["after"])
    )
    predicted = facts["predictability"]
    if predicted["before"] and predicted["after"]:
        label = f"site guessed right (chance {percent(predicted['chance'])})"
        rows.append((label, *_both(predicted, "balanced_accuracy")))
        if predicted["held_out"]:
            unseen = predicted["held_out"]["balanced_accuracy"]
            who = predicted["left_out_together"]
            rows.append((f"  in {who} harmonization has not seen", None, unseen))
    width = max(len(label) for label, _, _ in rows)
    yield f"{'NUMBERS':<{width + 2}}  {'before':>8}  {'after':>8}"
    for label, before, after in rows:
        yield f"  {label:<{width}}  {_percent(before):>8}  {_percent(after):>8}"


def _both(summary: Facts, name: str) -> tuple[float | None, float | None]:
    return summary["before"][name], summary["after"][name]


def _percent(share: float | None) -> str:
    if share is None:
        return "-"
    return f"{100 * share:.1f} %"


def _worst(facts: Facts) -> Iterator[str]:
    """Features with the largest site effect after harmonization."""
    effects = facts["site_effects"]
    left = [
        (after, name, before, p)
        for name, before, after, p in zip(
            facts["features"],
            effects["before"]["partial_r2"],
            effects["after"]["partial_r2"],
            effects["after"]["p"],
            strict=True,
        )
        if after is not None
    ]
    if not left:
        return
    left.sort(key=lambda row: -row[0])
    shown = left[:MOST_LINES]
    names = [_shorten(name) for _, name, _, _ in shown]
    width = max(25, *map(len, names))
    heading = "MOST SITE LEFT (partial R²)"
    yield f"{heading:<{width + 2}}  {'before':>8}  {'after':>8}  {'p after':>8}"
    for name, (after, _, before, p) in zip(names, shown, strict=True):
        probability = "n/a" if p is None else in_words(p)
        yield f"  {name:<{width}}  {_percent(before):>8}  {_percent(after):>8}  {probability:>8}"


def _shorten(name: str, width: int = 60) -> str:
    return name if len(name) <= width else name[: width - 1] + "…"
