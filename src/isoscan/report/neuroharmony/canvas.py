"""Axes of one size and look, and names below them; shared by the figures of Neuroharmony."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from isoscan.report.arrange import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DARK, GREY = "#333333", "#8a8a8a"
PER_NAME = 0.2
"""Inches that a name on the horizontal axis takes."""


def new_axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """Use the axes that were given, or make a figure.

    Parameters
    ----------
    ax : Axes or None
        Where to draw.
    size : tuple of float
        Inches of a new figure.

    Returns
    -------
    Axes
        Where to draw.
    """
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


def width_for(names: Sequence[Any] | pd.Index[Any], least: float = 5.0) -> float:
    """Width of a figure with these names on its horizontal axis.

    Parameters
    ----------
    names : sequence
        Names.
    least : float
        Narrowest figure.

    Returns
    -------
    float
        Inches.
    """
    return max(least, 1.6 + PER_NAME * len(names))


def name_columns(axes: Axes, names: Sequence[Any]) -> None:
    """Write names upright below the places 0, 1, 2...

    Parameters
    ----------
    axes : Axes
        Where they are.
    names : sequence
        Names.
    """
    labels = [shorten(str(name), 30) for name in names]
    axes.set_xticks(range(len(labels)), labels, rotation=90, fontsize="small", parse_math=False)
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.7, len(labels) - 0.3)


def quiet(axes: Axes, grid: str = "y") -> None:
    """Take away what is not data.

    Parameters
    ----------
    axes : Axes
        Where.
    grid : str
        Which lines to keep, "x", "y" or "both".
    """
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, linewidth=0.5, alpha=0.35)  # type: ignore[arg-type]
    axes.set_axisbelow(True)


def legend_above(axes: Axes, columns: int) -> None:
    """Put the legend above the axes, at the right.

    Parameters
    ----------
    axes : Axes
        Where.
    columns : int
        Entries in a row.
    """
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=columns, frameon=False)
