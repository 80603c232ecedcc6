"""Draw who was scanned where: covariates of every site, as SVG for the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from isoscan.report.arrange import shorten
from isoscan.report.colours import LEVELS
from isoscan.report.svg import MUTED, TEXT, WIDTH, Drawing, drawing_on_page

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BAND = "#44aa99"

Facts = Mapping[str, Any]


def draw_covariates(describe: Facts) -> Drawing:
    """Ranges of numeric covariates and shares of categories, one row per site.

    Parameters
    ----------
    describe : mapping
        Facts of the description.

    Returns
    -------
    dict
        The drawing.
    """
    covariates = dict(list(describe["covariates"].items())[:6])
    columns = min(len(covariates), 3)
    rows = -(-len(covariates) // columns)
    sites = list(describe["sites"])
    height = rows * (1.1 + 0.21 * len(sites))
    with drawing_on_page("covariates", (WIDTH, height)) as (figure, drawing):
        panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
        for axes, (name, facts) in zip(panels, covariates.items(), strict=False):
            if facts["kind"] == "numeric":
                overlap = (describe.get("overlap") or {}).get(name) or {}
                _draw_ranges(axes, facts, sites, overlap.get("common_range"))
            else:
                _draw_shares(axes, facts, sites)
            axes.set_title(shorten(name, 30), loc="left")
        for axes in panels[len(covariates) :]:
            axes.remove()
    return drawing


def _draw_ranges(axes: Axes, facts: Facts, sites: list[str], common: Any) -> None:
    keys = ("min", "q05", "median", "q95", "max")
    known = np.array(
        [[facts["by_site"].get(site, {}).get(key) for key in keys] for site in sites], dtype=float
    )
    rows = np.arange(len(sites))
    if common:
        axes.axvspan(*common, color=_BAND, alpha=0.16, linewidth=0)
    axes.hlines(rows, known[:, 0], known[:, 4], color=MUTED, linewidth=0.8)
    axes.hlines(rows, known[:, 1], known[:, 3], color=MUTED, linewidth=4, alpha=0.55)
    axes.plot(known[:, 2], rows, "o", color=TEXT, markersize=4.5, markeredgewidth=0)
    axes.grid(axis="x", linewidth=0.5)
    _frame(axes, sites)


def _draw_shares(axes: Axes, facts: Facts, sites: list[str]) -> None:
    counts = np.array(
        [[facts["by_site"].get(site, {}).get(level, 0) for level in facts["levels"]]
         for site in sites], dtype=float,
    )  # fmt: skip
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    start = np.zeros(len(sites))
    for position, level in enumerate(facts["levels"][: len(LEVELS)]):
        colour = LEVELS[position]
        axes.barh(
            range(len(sites)), shares[:, position], 0.72, left=start, color=colour,
            alpha=0.75, label=shorten(str(level), 14),
        )  # fmt: skip
        start += shares[:, position]
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=4, frameon=False,
                fontsize="small", handlelength=0.9, columnspacing=1.0, borderpad=0.1)  # fmt: skip
    _frame(axes, sites)


def _frame(axes: Axes, sites: list[str]) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_yticks(range(len(sites)), [shorten(site, 22) for site in sites], parse_math=False)
    axes.set_ylim(len(sites) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.set_axisbelow(True)
