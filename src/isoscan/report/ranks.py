"""Draw one number per feature, in order of size, with its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from isoscan.report.colours import AFTER, RED
from isoscan.report.svg import MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_MARKS = 500
"""Features beyond that are thinned evenly along the order."""


def rank_features(values: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Put features in order of size; choose `MOST_MARKS` of them, evenly, if there are more.

    Parameters
    ----------
    values : ndarray of shape (n_features,)
        One number per feature; NaN comes last.

    Returns
    -------
    order : ndarray of int
        Positions of the features to draw, the largest first.
    rank : ndarray of int
        Their places among all features, from 1.

    Examples
    --------
    >>> order, rank = rank_features(np.array([0.5, 2.0, 1.0]))
    >>> order.tolist(), rank.tolist()
    ([1, 2, 0], [1, 2, 3])
    """
    order = np.argsort(-values, kind="stable")
    rank = np.arange(1, len(order) + 1)
    if len(order) > MOST_MARKS:
        kept = np.unique(np.linspace(0, len(order) - 1, MOST_MARKS).astype(int))
        order, rank = order[kept], rank[kept]
    return order, rank


def draw_ranked(
    axes: Axes,
    values: NDArray[np.float64],
    low: NDArray[np.float64] | None,
    high: NDArray[np.float64] | None,
    marked: NDArray[np.bool_],
) -> None:
    """Draw dots from the largest to the smallest, intervals behind them.

    Parameters
    ----------
    axes : Axes
        Where to draw.
    values : ndarray of shape (n_features,)
        One number per feature.
    low, high : ndarray of shape (n_features,) or None
        Ends of the intervals.
    marked : ndarray of bool, shape (n_features,)
        Features drawn as red diamonds.
    """
    order, rank = rank_features(values)
    if low is not None and high is not None:
        axes.vlines(rank, low[order], high[order], color=MUTED, linewidth=1, alpha=0.5, zorder=1)
    for own, colour, sign in ((~marked[order], AFTER, "o"), (marked[order], RED, "D")):
        axes.plot(rank[own], values[order][own], sign, color=colour, ms=3.8, mew=0, zorder=2)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.margins(x=0.01)
