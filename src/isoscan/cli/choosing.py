"""Choose the measures on the command line, and say which columns they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

import click
import pandas as pd

from isoscan.errors import MissingColumnError, count, name_some
from isoscan.harmonizing import Choice, choose_features, say_reasons


def choose(
    table: pd.DataFrame, patterns: Sequence[str], used: set[str], *, with_totals: bool
) -> Choice:
    """Take the columns that match, or all that look like measures; say which."""
    if patterns:
        return Choice(_matching(table, patterns, used))
    choice = choose_features(table, None, used)
    if choice.totals and with_totals:
        both = {*choice.features, *choice.totals}
        choice = replace(choice, features=[n for n in table.columns if n in both], totals=[])
    _tell(choice)
    return choice


def _matching(table: pd.DataFrame, patterns: Sequence[str], used: set[str]) -> list[str]:
    chosen = [
        name
        for name in table.columns
        if name not in used and any(fnmatchcase(name, text) for text in patterns)
    ]
    if not chosen:
        raise MissingColumnError(
            f"no column matches {name_some(patterns)}. Columns: {name_some(table.columns, 8)}."
        )
    return chosen


def _tell(choice: Choice) -> None:
    measures = choice.features
    lines = [f"Taken for measures: {count(measures, 'column')} ({name_some(measures, 3)})."]
    if choice.left_out:
        lines.append(
            f"Taken for no measures: {count(choice.left_out, 'numeric column')}: "
            f"{say_reasons(choice.left_out)}. To decide yourself, name all measures with --feature."
        )
    if choice.totals:
        lines.append(
            f"Kept as they are: {count(choice.totals, 'total')} ({name_some(choice.totals)}). "
            f"--with-totals treats them as measures."
        )
    click.echo("\n".join(lines), err=True)
