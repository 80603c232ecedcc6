"""Turn matplotlib figures into SVG that follows the colours of the page."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import TYPE_CHECKING, Any

from isoscan.report.colours import AFTER, BEFORE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEXT, MUTED, RULE = "#123456", "#345678", "#987654"  # stand-ins that no figure uses
_VARIABLES = {
    TEXT: "var(--text)",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    BEFORE: "var(--before)",
    AFTER: "var(--after)",
}
WIDTH = 10.4  # inches; the page is about 1040 pixels wide

Drawing = dict[str, Any]


@contextmanager
def drawing_on_page(name: str, size: tuple[float, float]) -> Iterator[tuple[Figure, Drawing]]:
    """Hand out an empty figure; when it is drawn, write it into the dictionary.

    Parameters
    ----------
    name : str
        Letters only; prefix of all ids in the SVG.
    size : tuple of float
        Width and height in inches.

    Yields
    ------
    figure : Figure
        Draw here.
    drawing : dict
        Afterwards has the keys name, svg and panels.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    drawing: Drawing = {"name": name, "panels": []}
    with rc_context(_style(name)), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+")  # the browser has more fonts than we
        figure = Figure(figsize=size, layout="constrained")
        yield figure, drawing
        drawing["svg"] = _to_svg(figure, name)
    for panel in drawing["panels"]:
        box = panel.pop("axes").get_position()
        panel["box"] = [round(value, 5) for value in (box.x0, 1 - box.y1, box.width, box.height)]


def _style(name: str) -> Any:  # matplotlib types the keys of rcParams
    return {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.family": "sans-serif",
        "font.size": 9.5,
        "text.color": TEXT,
        "text.parse_math": False,
        "axes.labelcolor": MUTED,
        "axes.edgecolor": RULE,
        "axes.titlesize": 10.5,
        "axes.facecolor": "none",
        "figure.facecolor": "none",
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelcolor": TEXT,
        "ytick.labelcolor": TEXT,
        "grid.color": RULE,
    }


def _to_svg(figure: Figure, name: str) -> str:
    """Write SVG without fixed size, with colours of the page and ids of its own."""
    stream = StringIO()
    keys = ("Date", "Creator", "Format", "Type")
    figure.savefig(stream, format="svg", metadata=dict.fromkeys(keys))
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r'(<image\b[^>]*?) id="[^"]*"', r"\1", text)
    text = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{name}-", text)
    text = re.sub(r'(font: [^;"]*?)\'[^;"]*', r"\1var(--sans)", text)
    text = re.sub(r'^(<svg [^>]*?) width="[^"]*"', r"\1", text)
    text = re.sub(r'^(<svg [^>]*?) height="[^"]*"', r"\1", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    return re.sub(r"\n\s*", "\n", text)
