"""The verdict of a report, in lines for the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import click

SIGNS = {
    "problem": ("✗", "red"),
    "warning": ("!", "yellow"),
    "note": ("·", "blue"),
    "good": ("✓", "green"),
}
WIDTH = 98


def as_lines(facts: Mapping[str, Any]) -> list[str]:
    """Headline, then findings in brief by severity; at most 100 columns wide.

    Notes are in the report.
    """
    verdict = facts["verdict"]
    lines = [click.style(verdict["headline"], bold=True), ""]
    for finding in verdict["findings"]:
        if finding["level"] == "note":
            continue
        sign, colour = SIGNS[finding["level"]]
        wrapped = textwrap.wrap(finding["brief"], WIDTH - 2, break_on_hyphens=False) or [""]
        lines.append(f"{click.style(sign, fg=colour)} {wrapped[0]}")
        lines += [f"  {line}" for line in wrapped[1:]]
    return lines
