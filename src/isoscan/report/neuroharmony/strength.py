"""How strong corrections are, by feature and by what is removed (figures 6 and 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from isoscan.errors import DataError, MissingColumnError
from isoscan.report.colours import AFTER, BEFORE, LEVELS, STRONG
from isoscan.report.neuroharmony.canvas import (
    DARK,
    legend_above,
    name_columns,
    new_axes,
    quiet,
    width_for,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HATCHES = ("..", "xx", None, "//", "++")


def plot_correction_ratios(
    ratios: pd.DataFrame,
    ax: Axes | None = None,
    *,
    n: int = 10,
    percent: bool = False,
) -> Axes:
    """Draw the features with the smallest and the largest correction ratio (figure 6).

    Beside the ratio stand the coefficient of variation and that of the quartiles.

    Parameters
    ----------
    ratios : DataFrame
        From `correction_ratio`.
    ax : Axes, optional
        Where to draw; a new figure by default.
    n : int
        Features of each kind.
    percent : bool
        Draw the correction in percent of the volume, in the unit of the coefficients, instead
        of the volume over the correction.

    Returns
    -------
    Axes
        What was drawn.

    Raises
    ------
    MissingColumnError
        If `ratios` is another table.
    """
    absent = {"ratio", "percent", "cv", "qcv"} - set(ratios.columns)
    if absent:
        raise MissingColumnError(
            f"ratios lack {sorted(absent)}: give the table of correction_ratio.",
            columns=sorted(absent),
        )
    known = ratios[ratios.ratio.notna()].sort_values("ratio", kind="stable")
    n = min(n, len(known) // 2)
    rows = pd.concat([known.head(n), known.tail(n)]) if n else known
    axes = new_axes(ax, (max(8.0, 2.0 + 0.42 * len(rows)), 4.8))
    places = np.arange(len(rows))
    first = places < n
    height = rows["percent" if percent else "ratio"].to_numpy()
    what = "correction, % of the volume" if percent else "volume / correction"
    for own, colour, hatch, label in (
        (first, AFTER, None, f"{what}: {n} smallest ratios"),
        (~first, STRONG, "..", f"{what}: {len(rows) - n} largest"),
    ):
        axes.bar(
            places[own] - 0.27, height[own], 0.27, color=colour, hatch=hatch, edgecolor="white",
            linewidth=0, label=label,
        )  # fmt: skip
    axes.bar(places, rows.cv, 0.27, color=LEVELS[1], hatch="xx", edgecolor="white", lw=0,
             label="CV, %")  # fmt: skip
    axes.bar(places + 0.27, rows.qcv, 0.27, color=LEVELS[2], label="QCV, %")
    if 0 < n < len(rows):
        axes.axvline(n - 0.5, color=DARK, linewidth=0.8)
    name_columns(axes, list(rows.index))
    axes.set_ylabel("%" if percent else "ratio, or %")
    quiet(axes)
    legend_above(axes, 2)
    return axes


def plot_contributions(contributions: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw what each covariate contributes to the correction of each scanner (figure 7).

    Parameters
    ----------
    contributions : DataFrame of shape (n_sites, n_steps)
        Shares, from `covariate_contributions`. The last step is drawn at the bottom.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        What was drawn.

    Raises
    ------
    DataError
        If rows are no shares.
    """
    shares = contributions.to_numpy(np.float64)
    if (shares < 0).any() or not np.allclose(np.nansum(shares, axis=1), 1):
        raise DataError("contributions are no shares: rows must sum to 1.")
    axes = new_axes(ax, (width_for(contributions.index), 3.8))
    below = np.zeros(len(contributions))
    for number, step in enumerate(contributions.columns[::-1]):
        axes.bar(
            range(len(contributions)), 100 * contributions[step], 0.8, bottom=below,
            color=(AFTER, BEFORE, STRONG, *LEVELS)[number % 10],
            hatch=_HATCHES[::-1][(number + 2) % len(_HATCHES)], edgecolor="white", linewidth=0,
            label=str(step),
        )  # fmt: skip
        below += 100 * contributions[step].to_numpy()
    axes.axhline(50, color=DARK, linewidth=1.1, linestyle=(0, (4, 3)))
    name_columns(axes, list(contributions.index))
    axes.set_ylim(0, 100)
    axes.set_ylabel("% of the correction")
    quiet(axes)
    legend_above(axes, contributions.shape[1])
    return axes
