"""Who is in the sample: volumes by scanner, ages, sexes (figures 1 to 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.combat.inputs import match_rows
from isoscan.design.covariates import as_numbers
from isoscan.design.requirements import require_covariates
from isoscan.errors import DataError, MissingColumnError, name_some
from isoscan.labels import as_labels
from isoscan.report.boxes import STATISTICS, summarize_boxes
from isoscan.report.colours import AFTER, BEFORE, LEVELS
from isoscan.report.neuroharmony.canvas import (
    DARK,
    GREY,
    legend_above,
    name_columns,
    new_axes,
    quiet,
    width_for,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GRID = 128


def plot_scanners(volumes: pd.DataFrame, sites: Any, feature: str, ax: Axes | None = None) -> Axes:
    """Draw one feature at every scanner (figure 1).

    Boxes hold the middle half of the scans, lines reach from the 5th to the 95th percentile,
    triangles are scans beyond. The grey line is the median over all scans.

    Parameters
    ----------
    volumes : DataFrame of shape (n_scans, n_features)
        Measures.
    sites : Series or sequence of shape (n_scans,)
        Scanner of each scan; a Series is matched by index.
    feature : str
        Column to draw.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        What was drawn.

    Raises
    ------
    MissingColumnError
        If there is no such column.

    Examples
    --------
    >>> from isoscan.phantom import simulate_tables
    >>> cohort = simulate_tables(2, (8, 6), random_state=0)
    >>> ax = plot_scanners(cohort.measures, cohort.people.site, "region001_thickness")
    >>> [label.get_text() for label in ax.get_xticklabels()]
    ['SITE01', 'SITE02']
    """
    if feature not in volumes.columns:
        raise MissingColumnError(
            f"there is no feature '{feature}': {name_some(volumes.columns, 8)}.", columns=[feature]
        )
    labels, _ = match_rows(volumes, sites, None)
    names = sorted(set(labels))
    boxes = summarize_boxes(volumes[[feature]], labels, names)[0]
    box = {key: boxes[:, number] for number, key in enumerate(STATISTICS)}
    axes = new_axes(ax, (width_for(names), 4.2))
    places = np.arange(len(names))
    axes.vlines(places, box["q05"], box["q95"], color=AFTER, linewidth=1.4)
    height = box["q75"] - box["q25"]
    axes.bar(places, height, 0.6, bottom=box["q25"], color=AFTER, alpha=0.55, edgecolor=AFTER)
    axes.hlines(box["median"], places - 0.3, places + 0.3, color=DARK, linewidth=1.4)
    values = volumes[feature].to_numpy(np.float64)
    at = pd.Index(names).get_indexer(pd.Index(labels))
    beyond = (values < box["q05"][at]) | (values > box["q95"][at])
    axes.plot(at[beyond], values[beyond], "^", color=BEFORE, markersize=3.5, markeredgewidth=0)
    axes.axhline(float(np.nanmedian(values)), color=GREY, linewidth=1.2, zorder=0)
    name_columns(axes, names)
    axes.set_ylabel(feature, parse_math=False)
    quiet(axes)
    return axes


def plot_ages(
    people: pd.DataFrame,
    sites: Any,
    ax: Axes | None = None,
    *,
    n_largest: int = 10,
    age: str = "age",
    sex: str = "sex",
) -> Axes:
    """Draw the ages of both sexes, of everybody and at the largest scanners (figure 2).

    Violins are kernel densities with Scott's bandwidth, all of the same width; where a sex
    has fewer than 3 people at a scanner, they are short lines.

    Parameters
    ----------
    people : DataFrame of shape (n_scans, n_columns)
        Ages and sexes.
    sites : Series or sequence of shape (n_scans,)
        Scanner of each scan; a Series is matched by index.
    ax : Axes, optional
        Where to draw; a new figure by default.
    n_largest : int
        Scanners that are drawn.
    age, sex : str
        Columns.

    Returns
    -------
    Axes
        What was drawn.

    Raises
    ------
    DataError
        If sex has not two levels.
    """
    table = require_covariates(people, [age, sex])
    labels, _ = match_rows(people, sites, None)
    ages = as_numbers(table[age], age).to_numpy()
    sexes = as_labels(table[sex], what=sex, warn=False)
    levels = _two_levels(sexes, sex)
    names = list(pd.Series(labels).value_counts(sort=True).index[:n_largest])
    axes = new_axes(ax, (2.2 + 0.8 * len(names), 4.2))
    for place, name in enumerate(["all", *names]):
        here = np.ones(len(ages), bool) if place == 0 else labels == name
        for side, level in enumerate(levels):
            _half_violin(axes, ages[here & (sexes == level)], place, side)
    for side, level in enumerate(levels):
        axes.fill_between([], [], [], color=LEVELS[side], alpha=0.7, label=f"{sex} {level}")
    name_columns(axes, ["all scanners", *names])
    axes.set_ylabel(age)
    quiet(axes)
    legend_above(axes, 2)
    return axes


def plot_sexes(
    people: pd.DataFrame, sites: Any, ax: Axes | None = None, *, sex: str = "sex"
) -> Axes:
    """Draw the share of each sex at every scanner (figure 3).

    Parameters
    ----------
    people : DataFrame of shape (n_scans, n_columns)
        Sexes.
    sites : Series or sequence of shape (n_scans,)
        Scanner of each scan; a Series is matched by index.
    ax : Axes, optional
        Where to draw; a new figure by default.
    sex : str
        Column.

    Returns
    -------
    Axes
        What was drawn.

    Raises
    ------
    DataError
        If sex has not two levels.
    """
    labels, _ = match_rows(people, sites, None)
    sexes = as_labels(require_covariates(people, [sex])[sex], what=sex, warn=False)
    levels = _two_levels(sexes, sex)
    shares = pd.crosstab(labels, sexes, normalize="index").mul(100)[levels]
    axes = new_axes(ax, (width_for(shares.index), 3.6))
    below = np.zeros(len(shares))
    for number, level in enumerate(levels):
        axes.bar(
            range(len(shares)), shares[level], 0.8, bottom=below, color=LEVELS[number],
            alpha=0.8, edgecolor="white", hatch="xx" if number else None, linewidth=0,
            label=f"{sex} {level}",
        )  # fmt: skip
        below += shares[level].to_numpy()
    axes.axhline(50, color=DARK, linewidth=0.9, linestyle=(0, (4, 3)))
    name_columns(axes, list(shares.index))
    axes.set_ylabel("% of scans")
    axes.set_ylim(0, 100)
    quiet(axes)
    legend_above(axes, 2)
    return axes


def _two_levels(sexes: NDArray[np.object_], name: str) -> list[str]:
    levels: list[str] = sorted(set(sexes))
    if len(levels) != 2:
        raise DataError(f"'{name}' has {len(levels)} levels, the figure needs 2: {levels[:5]}.")
    return levels


def _half_violin(axes: Axes, ages: Sequence[float], place: int, side: int) -> None:
    """Density to the left (side 0) or right of a place; the median as a line."""
    from scipy.stats import gaussian_kde

    values, sign, colour = np.asarray(ages), 2 * side - 1, LEVELS[side]
    if not values.size:
        return
    if values.size < 3 or np.ptp(values) == 0:
        axes.hlines(values, place, place + 0.15 * sign, color=colour, linewidth=1.2)
        return
    grid = np.linspace(values.min(), values.max(), _GRID)
    density = gaussian_kde(values)(grid)
    edge = place + 0.4 * sign * density / density.max()
    axes.fill_betweenx(grid, place, edge, color=colour, alpha=0.7, linewidth=0)
    axes.hlines(np.median(values), place, place + 0.2 * sign, color=DARK, linewidth=1.2)
