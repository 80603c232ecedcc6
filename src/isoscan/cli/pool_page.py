"""One offline page of what `isoscan pool` found: words, figures, the table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import pandas as pd

STYLE = """
:root { color-scheme: light; --rule: #d9d9d9; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #222; background: #fff; }
svg { max-width: 100%; height: auto; display: block; margin: 1rem 0; }
.table { overflow-x: auto; max-height: 40rem; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: 0.2rem 0.6rem; text-align: right; border-bottom: 1px solid var(--rule); }
th:first-child, td:first-child { text-align: left; }
thead th { position: sticky; top: 0; background: #fff; }
"""


def write_page(
    path: Path,
    *,
    title: str,
    said: Iterable[str],
    figures: Sequence[Path],
    table: pd.DataFrame,
    reading: Iterable[str] = (),
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
    figures : sequence of Path
        SVG files to include.
    table : DataFrame
        Shown below, numbers to three digits.
    reading : iterable of str
        How to read strategies side by side.
    """
    drawings = [_drawing(figure) for figure in figures]
    cells = table.to_html(index=False, float_format=lambda value: f"{value:.3g}", border=0)
    rules = [f"<p>{escape(sentence)}</p>" for sentence in reading]
    parts = [
        "<!DOCTYPE html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1>",
        *(f"<p>{escape(sentence)}</p>" for sentence in said if sentence),
        *drawings,
        *(["<h2>Strategies side by side</h2>", *rules] if rules else []),
        f'<h2>All measures</h2><div class="table" tabindex="0">{cells}</div></body></html>',
    ]
    path.write_text("\n".join(parts), encoding="utf-8")


def _drawing(figure: Path) -> str:
    """The drawing alone: no prologue, no metadata, ids that no other drawing has."""
    text = figure.read_text(encoding="utf-8")
    text = text[text.index("<svg") :]
    start, end = text.find("<metadata>"), text.find("</metadata>")
    if start >= 0:
        text = text[:start] + text[end + len("</metadata>") :]
    own = "".join(sign if sign.isalnum() else "-" for sign in figure.stem)
    for mark in (' id="', 'href="#', "url(#"):
        text = text.replace(mark, f"{mark}{own}-")
    return f'<div role="img" aria-label="{escape(figure.stem)}">{text}</div>'
