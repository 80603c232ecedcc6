"""Write the facts for a terminal: what was found first, then the sites, then names."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Iterable, Iterator

from isoscan.description.plain import Facts, in_words, percent
from isoscan.errors import count

WIDTH = 100
MOST_SITES = 60
MOST_LINES = 10
"""Lines of names per section; the rest is counted."""

_HEADINGS = {"problem": "PROBLEMS", "warning": "WARNINGS", "note": "NOTES", "good": "FINE"}


def as_text(facts: Facts) -> str:
    """Write facts as readable text.

    Parameters
    ----------
    facts : dict
        What `isoscan.description.describe` returned.

    Returns
    -------
    str
        At most 100 columns wide; findings first, then a table of sites, then details.

    Examples
    --------
    >>> from isoscan.description import describe
    >>> print(as_text(describe([[2.5], [2.4], [2.6], [2.3]], sites=list("AABB"))))
    4 scans, 1 feature, 2 sites
    <BLANKLINE>
    WARNINGS
      ! 2 sites with fewer than 10 scans: 'A' (2), 'B' (2). ...
    """
    head = ", ".join(
        [
            count(facts["scans"], "scan"),
            count(facts["features"], "feature"),
            count(facts["sites"], "site"),
        ]
    )
    blocks = [[head], *_findings(facts), list(_site_table(facts))]
    blocks += [list(_outlying_scans(facts)), list(_extreme_values(facts))]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _findings(facts: Facts) -> Iterator[list[str]]:
    marks = {"problem": "✗", "warning": "!", "note": "·", "good": "✓"}
    for level, heading in _HEADINGS.items():
        lines = [
            _wrap(finding["sentence"], f"  {marks[level]} ")
            for finding in facts["findings"]
            if finding["level"] == level
        ]
        if lines:
            yield [heading, *lines]


def _wrap(sentence: str, mark: str) -> str:
    return textwrap.fill(
        sentence,
        WIDTH,
        initial_indent=mark,
        subsequent_indent=" " * len(mark),
        break_on_hyphens=False,
    )


def _site_table(facts: Facts) -> Iterator[str]:
    yield "SITES"
    columns = [["site", *(_shorten(site) for site in facts["sites"])]]
    columns.append(["scans", *(str(n) for n in facts["sites"].values())])
    columns += list(_covariate_columns(facts))
    columns.append(_outlier_column(facts))
    widths = [max(map(len, column)) for column in columns]
    while sum(widths) + 2 * len(widths) > WIDTH and len(columns) > 2:
        columns.pop(-2 if len(columns) > 3 else -1)  # covariates give way before outliers do
        widths = [max(map(len, column)) for column in columns]
    for row in list(zip(*columns, strict=True))[: MOST_SITES + 1]:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        yield "  " + "  ".join(cells)
    if len(facts["sites"]) > MOST_SITES:
        yield f"  and {len(facts['sites']) - MOST_SITES} more"


def _shorten(name: str, width: int = 24) -> str:
    return name if len(name) <= width else name[: width - 1] + "…"


def _covariate_columns(facts: Facts) -> Iterator[list[str]]:
    """Median and range of numbers; counts of categories with at most three levels."""
    fixed = facts["confounding"]["fixed_by_site"]
    for name, covariate in facts["covariates"].items():
        by_site = covariate["by_site"].values()
        if covariate["kind"] == "numeric":
            yield [f"{_shorten(name)} (range)", *(_median_and_range(item) for item in by_site)]
        elif name not in fixed and 1 < len(covariate["levels"]) <= 3:
            levels = covariate["levels"]
            cells = [":".join(str(item[level]) for level in levels) for item in by_site]
            yield [":".join(_shorten(level, 10) for level in levels), *cells]


def _median_and_range(summary: Facts) -> str:
    if not summary["n"]:
        return "n/a"
    low, middle, high = (in_words(summary[name]) for name in ("min", "median", "max"))
    return f"{middle} ({low} to {high})"


def _outlier_column(facts: Facts) -> list[str]:
    found: dict[str, int] = defaultdict(int)
    for item in facts["outliers"]["scans"]:
        found[item["site"]] += 1
    unchecked = set(facts["outliers"]["not_checked"])
    return [
        "outlying",
        *("-" if site in unchecked else str(found[site]) for site in facts["sites"]),
    ]


def _outlying_scans(facts: Facts) -> Iterator[str]:
    scans = facts["outliers"]["scans"]
    if scans:
        yield "OUTLYING SCANS (share of extreme features, and the most extreme)"
        ranked = sorted(scans, key=lambda item: (-item["share"], item["scan"]))
        yield from _table(
            [item["scan"], item["site"], percent(item["share"]), ", ".join(item["worst"][:3])]
            for item in ranked
        )


def _extreme_values(facts: Facts) -> Iterator[str]:
    """Single values far from all others; the impossible ones stand among the findings."""
    extremes = [item for item in facts["extremes"] if not item["impossible"]]
    if len(extremes) > 1:
        yield "SINGLE VALUES (and what is typical at the site)"
        yield from _table(
            [
                item["scan"],
                item["site"],
                item["feature"],
                f"{in_words(item['value'])} ({in_words(item['typical'])})",
            ]
            for item in extremes
        )


def _table(rows: Iterable[list[str]]) -> Iterator[str]:
    """Align the first rows in columns, and count the others."""
    every = list(rows)
    shown = [[_shorten(cell, 40) for cell in row[:-1]] + row[-1:] for row in every[:MOST_LINES]]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield _shorten("  " + "  ".join(cells).rstrip(), WIDTH)
    if len(every) > MOST_LINES:
        yield f"  and {len(every) - MOST_LINES} more"
