"""Which scanners can be told apart, and whether new ones still can (figures 5 and 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from isoscan.errors import DataError
from isoscan.evaluation.distributions import PairTests
from isoscan.evaluation.ks_grid import THRESHOLD
from isoscan.report.arrange import shorten
from isoscan.report.colours import AFTER, BEFORE, RED
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

LEAST = 1e-4


def plot_smallest_p(
    before: PairTests,
    after: PairTests,
    ax: Axes | None = None,
    *,
    threshold: float = THRESHOLD,
) -> Axes:
    """Draw the smallest p over features of every pair of scanners (figure 5).

    Below the diagonal before harmonization, above it after; the colour scale is logarithmic
    from 0.0001 to 1. Crosses are pairs below the threshold. p is not adjusted for the number of
    features or of pairs.

    Parameters
    ----------
    before, after : PairTests
        From `ks_grid`, of the same scanners.
    ax : Axes, optional
        Where to draw; a new figure by default.
    threshold : float
        Pairs below can be told apart.

    Returns
    -------
    Axes
        What was drawn.

    Raises
    ------
    DataError
        If the scanners differ.

    Examples
    --------
    >>> from isoscan.evaluation import ks_pairs
    >>> from isoscan.phantom import simulate_tables
    >>> cohort = simulate_tables(3, (8, 6, 9), random_state=0)
    >>> raw, clean = (ks_pairs(t, cohort.people.site) for t in (cohort.measures, cohort.clean))
    >>> ax = plot_smallest_p(raw, clean)
    """
    from matplotlib.colors import LogNorm

    if before.sites != after.sites:
        raise DataError("before and after are tests of different scanners.")
    lower, upper = (tests.smallest(adjusted=False).to_numpy() for tests in (before, after))
    rows, columns = np.indices(lower.shape)
    values = np.where(rows > columns, lower, upper)
    np.fill_diagonal(values, np.nan)
    side = 2.2 + 0.26 * len(values)
    axes = new_axes(ax, (side + 0.8, side))
    shown = axes.imshow(
        np.clip(values, LEAST, 1), cmap="cividis", norm=LogNorm(LEAST, 1), interpolation="none"
    )
    down, across = np.nonzero(values < threshold)
    axes.plot(across, down, "x", color="white", markersize=3.5, markeredgewidth=0.8)
    axes.plot([-0.5, len(values) - 0.5], [-0.5, len(values) - 0.5], color=DARK, linewidth=0.8)
    name_columns(axes, before.sites)
    axes.set_xlim(-0.5, len(values) - 0.5)
    names = [shorten(site, 30) for site in before.sites]
    axes.set_yticks(range(len(names)), names, fontsize="small", parse_math=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(f"above: after, below: before; crosses: p < {threshold:g}", fontsize="medium")
    bar = axes.figure.colorbar(shown, ax=axes, shrink=0.8, extend="min")
    bar.set_label("smallest p over features")
    return axes


def plot_validation_p(
    raw: pd.Series[Any],
    harmonized: pd.Series[Any],
    ax: Axes | None = None,
    *,
    threshold: float = THRESHOLD,
    least: float = 1e-12,
) -> Axes:
    """Draw p of every feature, of new scanners against the training sample (figure 8).

    Parameters
    ----------
    raw, harmonized : Series of shape (n_features,)
        P values without and with correction, from `ks_against`; matched by name.
    ax : Axes, optional
        Where to draw; a new figure by default.
    threshold : float
        Line below which a feature gives new scanners away.
    least : float
        Smaller p are drawn as this.

    Returns
    -------
    Axes
        What was drawn.

    Raises
    ------
    DataError
        If the features differ.
    """
    if set(raw.index) != set(harmonized.index):
        raise DataError("raw and harmonized are tests of different features.")
    after = harmonized.sort_values(ascending=False, kind="stable")
    before = raw.loc[after.index]
    axes = new_axes(ax, (width_for(after.index), 4.6))
    axes.set_yscale("log")
    places = np.arange(len(after))
    for offset, values, colour, hatch, label in (
        (-0.2, after, AFTER, None, "harmonized"),
        (0.2, before, BEFORE, "..", "not harmonized"),
    ):
        heights = values.clip(lower=least).to_numpy() - least
        axes.bar(
            places + offset, heights, 0.4, bottom=least, color=colour, hatch=hatch,
            edgecolor="white", linewidth=0, label=label,
        )  # fmt: skip
    axes.axhline(threshold, color=RED, linewidth=1.1, linestyle=(0, (4, 3)))
    axes.set_ylim(least, 1.5)
    axes.set_ylabel("p of Kolmogorov-Smirnov")
    name_columns(axes, list(after.index))
    quiet(axes)
    legend_above(axes, 2)
    return axes
