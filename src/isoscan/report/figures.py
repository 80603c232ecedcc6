"""Figures for papers, slides and the report: each draws on `ax` and returns it.

Rows of matrices are sites. Colours are told apart by readers who do not see red
and green alike: before is ochre, after is blue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from isoscan.labels import as_labels
from isoscan.report.arrange import as_matrix, order_by_effect, shorten, standardized_slopes
from isoscan.report.boxes import STATISTICS, find_outlying, summarize_boxes
from isoscan.report.colours import (
    AFTER,
    BEFORE,
    P_STEPS,
    RED,
    STRONG,
    colour_limit,
    diverging_colours,
    stepped_colours,
)
from isoscan.tables.align import align_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_feature(
    before: pd.DataFrame,
    after: pd.DataFrame | None,
    sites: pd.Series[Any] | Sequence[Any] | NDArray[Any],
    feature: str,
    ax: Axes | None = None,
) -> Axes:
    """Draw one feature at each site, before and after harmonization.

    Boxes hold the middle half of the scans, whiskers reach from the 5th to the
    95th percentile, dots are scans beyond 1.5 box lengths. Broken lines are the
    medians over all scans.

    Parameters
    ----------
    before : DataFrame of shape (n_scans, n_features)
        Measures as they came from the scanners.
    after : DataFrame of shape (n_scans, n_features) or None
        Harmonized measures.
    sites : Series or array of shape (n_scans,)
        Site of each scan; a Series is matched by index.
    feature : str
        Column to draw.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        What was drawn.

    Examples
    --------
    >>> from isoscan.phantom import simulate_tables
    >>> cohort = simulate_tables(3, (8, 6), random_state=0)
    >>> ax = plot_feature(
    ...     cohort.measures, cohort.clean, cohort.people.site, "region001_thickness"
    ... )
    >>> ax.get_xlabel()
    'region001_thickness'
    """
    if isinstance(sites, pd.Series):
        sites = align_rows(sites, before.index, what="sites")
    labels = as_labels(sites)
    names = sorted(set(labels))
    axes = _axes(ax, (7.0, 1.2 + 0.42 * len(names)))
    tables = {"before": (before, BEFORE)}
    if after is not None:
        tables["after"] = (align_rows(after, before.index, what="harmonized measures"), AFTER)
    for number, (when, (table, colour)) in enumerate(tables.items()):
        offset = (number - (len(tables) - 1) / 2) * 0.38
        _draw_boxes(axes, table[[feature]], labels, names, offset, colour, when)
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel(feature, parse_math=False)
    _quiet(axes, "x")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False)
    return axes


def plot_site_effects(
    site_effects: pd.DataFrame | ArrayLike,
    *,
    what: str = "shift",
    sites: Sequence[str] | None = None,
    features: Sequence[str] | None = None,
    limit: float | None = None,
    sort: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw the site effects of every feature as a heat map.

    Red is more than the average site, blue is less, grey is not estimated.

    Parameters
    ----------
    site_effects : DataFrame or array of shape (n_sites, n_features)
        A model's tidy `site_effects_` (columns site, feature and `what`), or a matrix.
    what : str
        Column of the tidy frame: shift (in residual standard deviations) or scale (a
        ratio, drawn as its base-2 logarithm).
    sites, features : sequence of str, optional
        Names of rows and columns of an array.
    limit : float, optional
        Value of the strongest colour; the 99th percentile of the sizes by default.
    sort : bool
        Put the feature with the largest effects first, or keep the order.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        What was drawn.
    """
    matrix = as_matrix(site_effects, what, sites, features)
    values = matrix.transform(np.log2) if what == "scale" else matrix
    if sort:
        values = values.iloc[:, order_by_effect(values)]
    axes = _axes(ax, (10.0, 1.6 + 0.24 * len(values)))
    reach = limit or colour_limit(values.to_numpy())
    axes.imshow(
        values, cmap=diverging_colours(), vmin=-reach, vmax=reach, aspect="auto",
        interpolation="none",
    )  # fmt: skip
    _label_matrix(axes, list(values.index), list(values.columns))
    return axes


def plot_ks_matrix(
    p_values: ArrayLike, sites: Sequence[str], *, colour: str = STRONG, ax: Axes | None = None
) -> Axes:
    """Draw which pairs of sites differ in distribution.

    Parameters
    ----------
    p_values : array of shape (n_sites, n_sites)
        Smallest adjusted p of the Kolmogorov-Smirnov tests of each pair; NaN or None
        where there was none.
    sites : sequence of str
        Names of rows and columns.
    colour : str
        Colour of the strongest difference.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        What was drawn.
    """
    values = np.array(p_values, dtype=float)
    side = 1.4 + 0.28 * len(values)
    axes = _axes(ax, (side, side))
    strength = len(P_STEPS) - np.digitize(values, P_STEPS).astype(float)
    strength[np.isnan(values)] = np.nan
    axes.imshow(
        strength, cmap=stepped_colours(colour), vmin=0, vmax=len(P_STEPS), interpolation="none"
    )
    _label_matrix(axes, list(sites), list(sites))
    return axes


def plot_slopes(
    slopes: Mapping[str, Any],
    *,
    term: str = "",
    features: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a covariate's slope in every feature, after against before.

    Slopes are divided by their standard error before harmonization, so that
    features of different units fit in one picture. Points on the line did not
    change; red diamonds are slopes that left their 95% interval.

    Parameters
    ----------
    slopes : mapping
        Keys before and after, each with lists slope, low and high (95% interval).
    term : str
        Name of the covariate.
    features : sequence of str, optional
        Names of the features, to label slopes that changed.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        What was drawn.
    """
    axes = _axes(ax, (4.2, 4.2))
    before, after, moved = standardized_slopes(slopes)
    axes.axline((0, 0), slope=1, color="0.6", linewidth=0.8, zorder=0)
    axes.plot(before[~moved], after[~moved], "o", color=AFTER, alpha=0.55, markersize=4, mew=0)
    axes.plot(before[moved], after[moved], "D", color=RED, markersize=5, mew=0)
    farthest = np.argsort(-np.where(moved, np.abs(after - before), -1))[:3]
    for feature in farthest[moved[farthest]] if features is not None else ():
        axes.annotate(
            shorten(str(list(features or ())[feature])), (before[feature], after[feature]),
            xytext=(6, -3), textcoords="offset points", fontsize="x-small", parse_math=False,
        )  # fmt: skip
    axes.set_title(shorten(term, 40), loc="left", parse_math=False)
    axes.set_xlabel("slope before, in standard errors")
    axes.set_ylabel("slope after, in the same unit")
    axes.set_aspect("equal", adjustable="datalim")
    _quiet(axes, "both")
    return axes


def _axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


def _draw_boxes(
    axes: Axes,
    column: pd.DataFrame,
    labels: NDArray[np.object_],
    names: list[str],
    offset: float,
    colour: str,
    when: str,
) -> None:
    box = {key: summarize_boxes(column, labels, names)[0, :, number]
           for number, key in enumerate(STATISTICS)}  # fmt: skip
    rows = np.arange(len(names)) + offset
    far = find_outlying(column, labels, names, limit=len(column))[0]
    axes.hlines(rows, box["q05"], box["q95"], color=colour, linewidth=1.2)
    axes.barh(rows, box["q75"] - box["q25"], 0.28, left=box["q25"], color=colour, alpha=0.45)
    axes.barh(
        rows, box["q75"] - box["q25"], 0.28, left=box["q25"], fill=False, edgecolor=colour, lw=0.8
    )
    axes.plot(box["median"], rows, "|", color=colour, markersize=8, markeredgewidth=2.4, label=when)
    for row, scans in zip(rows, far, strict=True):
        axes.plot(
            [value for _, value in scans], [row] * len(scans), "o", color=colour, ms=2.5, mew=0
        )
    axes.axvline(float(column.iloc[:, 0].median()), color=colour, lw=0.9, ls=(0, (4, 3)), zorder=0)


def _label_matrix(axes: Axes, rows: Sequence[Any], columns: Sequence[Any]) -> None:
    """Label every row and column, or every n-th when there are too many."""
    step = 1 if len(columns) <= 60 else int(np.ceil(len(columns) / 50))
    down = 1 if len(rows) <= 60 else int(np.ceil(len(rows) / 50))
    size = "small" if len(columns) <= 40 else "x-small"
    axes.set_xticks(
        range(0, len(columns), step), [shorten(str(name)) for name in columns[::step]],
        rotation=90, fontsize=size, parse_math=False,
    )  # fmt: skip
    axes.set_yticks(
        range(0, len(rows), down), [shorten(str(name)) for name in rows[::down]],
        fontsize="small", parse_math=False,
    )  # fmt: skip
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _quiet(axes: Axes, grid: str) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, linewidth=0.5, alpha=0.35)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
