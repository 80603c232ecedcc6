"""One offline page of what `isoscan pool` found: words, figures, tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import pandas as pd

from isoscan.errors import count
from isoscan.tables.write import write_text

MOST_ROWS = 500
STYLE = """
:root { color-scheme: light; --rule: #d9d9d9; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #222; background: #fff; }
figure { margin: 1.5rem 0; }
figcaption { color: #555; font-size: 13px; }
svg { max-width: 100%; height: auto; display: block; margin: 0.5rem 0; }
.table { overflow-x: auto; max-height: 40rem; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: 0.2rem 0.6rem; text-align: right; border-bottom: 1px solid var(--rule); }
th:first-child, td:first-child, .words th:last-child, .words td:last-child { text-align: left; }
thead th { position: sticky; top: 0; background: #fff; }
"""
COLUMNS = (
    "k: sites; effect: pooled effect with its 95 % interval (low, high); p_adjusted: p adjusted "
    "for the number of measures; I2: percent of the variance of site effects that is between sites."
)


@dataclass(frozen=True)
class Drawn:
    """One figure of the page.

    Attributes
    ----------
    name : str
        File it was written to.
    svg : str
        Its content.
    caption : str
        What it shows.
    """

    name: str
    svg: str
    caption: str


def write_page(
    path: Path,
    *,
    title: str,
    said: Iterable[str],
    drawn: Sequence[Drawn],
    table: pd.DataFrame,
    strategies: pd.DataFrame | None,
    reading: Iterable[str],
    files: Sequence[str],
    overwrite: bool,
) -> None:
    """Write a page that needs nothing but itself.

    Parameters
    ----------
    path : Path
        File to write.
    title : str
        Heading.
    said : iterable of str
        Sentences above the figures.
    drawn : sequence of Drawn
        Figures.
    table : DataFrame
        Pooled effects; those with the smallest p are shown.
    strategies : DataFrame or None
        Strategies side by side, the last column in words.
    reading : iterable of str
        How to read strategies side by side.
    files : sequence of str
        What lies beside the page.
    overwrite : bool
        Replace a page that exists.
    """
    parts = [
        "<!DOCTYPE html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1>",
        *_paragraphs(said),
        *(_figure(figure) for figure in drawn),
        *_strategies(strategies, reading),
        *_effects(table),
        f"<h2>Files beside this page</h2><p>{escape(', '.join(files))}</p></body></html>",
    ]
    write_text(path, "\n".join(parts), overwrite=overwrite)


def _paragraphs(sentences: Iterable[str]) -> list[str]:
    return [f"<p>{escape(sentence)}</p>" for sentence in sentences if sentence]


def _strategies(strategies: pd.DataFrame | None, reading: Iterable[str]) -> list[str]:
    if strategies is None:
        return []
    return [
        "<h2>Strategies side by side</h2>",
        f'<div class="table words">{strategies.to_html(index=False, border=0)}</div>',
        "<p>Standard errors are shares of those of 'mega fixed', median over measures.</p>",
        *_paragraphs(reading),
    ]


def _effects(table: pd.DataFrame) -> list[str]:
    shown, title = table, "All measures"
    if len(table) > MOST_ROWS:
        shown = table.nsmallest(MOST_ROWS, "p")
        title = f"The {MOST_ROWS} smallest p of {count(len(table), 'measure')}"
    cells = shown.to_html(index=False, float_format=lambda value: f"{value:.3g}", border=0)
    return [
        f'<h2>{title}</h2><p>{COLUMNS}</p><div class="table" tabindex="0">{cells}</div>',
        "<p>All digits and further columns are in pooled.tsv.</p>",
    ]


def _figure(figure: Drawn) -> str:
    """The drawing alone: no prologue, no metadata, ids that no other drawing has."""
    text = figure.svg[figure.svg.index("<svg") :]
    start, end = text.find("<metadata>"), text.find("</metadata>")
    if start >= 0:
        text = text[:start] + text[end + len("</metadata>") :]
    stem = figure.name.removesuffix(".svg")
    own = "".join(sign if sign.isalnum() else "-" for sign in stem)
    for mark in (' id="', 'href="#', "url(#"):
        text = text.replace(mark, f"{mark}{own}-")
    return (
        f'<figure><div role="img" aria-label="{escape(stem)}">{text}</div>'
        f"<figcaption>{escape(figure.caption)}</figcaption></figure>"
    )
