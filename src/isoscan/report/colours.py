"""Colours of the figures and the page.

Readers who do not see red and green alike can tell them apart. Colour maps fade to
clear instead of white: they show the page behind them, light or dark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

BEFORE, AFTER = "#b8782f", "#2a6fb0"
BLUE, RED = "#2972bf", "#cc3d33"
STRONG = "#8a5cb3"
LEVELS = ("#4477aa", "#ddaa33", "#44aa99", "#aa4499", "#999933", "#cc6677", "#88ccee")
"""Levels of a category."""
P_STEPS = (0.001, 0.01, 0.05)


def colour_limit(values: NDArray[np.float64]) -> float:
    """Value of the strongest colour: large enough for 99% of the cells.

    Parameters
    ----------
    values : ndarray
        Effects.

    Returns
    -------
    float
        Positive limit.

    Examples
    --------
    >>> colour_limit(np.array([[0.0, 0.0]]))
    1.0
    """
    sizes = np.abs(values[np.isfinite(values)])
    return float(np.quantile(sizes, 0.99)) or 1.0 if sizes.size else 1.0


def diverging_colours() -> Colormap:
    """Blue through clear to red; clear shows the page, light or dark.

    Returns
    -------
    Colormap
        Colours whose opacity grows with the distance from the middle.
    """
    from matplotlib.colors import ListedColormap, to_rgb

    position = np.linspace(-1, 1, 255)
    hue = np.where(position[:, None] < 0, to_rgb(BLUE), to_rgb(RED))
    colours = ListedColormap(np.column_stack([hue, np.abs(position) ** 0.85]), "isoscan_diverging")
    return colours.with_extremes(bad=(0.5, 0.5, 0.5, 0.35))


def stepped_colours(colour: str, steps: int = len(P_STEPS) + 1) -> Colormap:
    """Clear to one colour in a few steps.

    Parameters
    ----------
    colour : str
        Strongest colour.
    steps : int
        Number of steps.

    Returns
    -------
    Colormap
        Colours of growing opacity.
    """
    from matplotlib.colors import ListedColormap, to_rgb

    opacity = np.linspace(0.08, 0.95, steps)
    colours = ListedColormap([(*to_rgb(colour), alpha) for alpha in opacity], "isoscan_steps")
    return colours.with_extremes(bad=(0.5, 0.5, 0.5, 0.0))
