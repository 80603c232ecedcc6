"""Distributions of a validation sample, and correlations of the inputs (figures 9 and 10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from isoscan.errors import DataError, MissingColumnError
from isoscan.evaluation.ks_grid import ks_against
from isoscan.report.arrange import shorten
from isoscan.report.colours import AFTER, BEFORE, diverging_colours
from isoscan.report.neuroharmony.canvas import GREY, new_axes, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GRID = 256
_STYLES: Mapping[str, tuple[str, Any]] = {
    "training, ComBat": (GREY, "--"),
    "new scanners, harmonized": (AFTER, "-"),
    "new scanners, not harmonized": (BEFORE, ":"),
}


def plot_distributions(
    training: pd.DataFrame,
    harmonized: pd.DataFrame,
    raw: pd.DataFrame,
    features: Sequence[str],
    *,
    columns: int = 4,
) -> Figure:
    """Draw the densities of features in training and at new scanners (figure 9).

    Kernel densities with Scott's bandwidth; the title tells p of the Kolmogorov-Smirnov test
    of the harmonized scans against training.

    Parameters
    ----------
    training : DataFrame of shape (n_training_scans, n_features)
        Training sample, harmonized by ComBat.
    harmonized, raw : DataFrame of shape (n_scans, n_features)
        Scans of new scanners with and without correction.
    features : sequence of str
        One panel each.
    columns : int
        Panels in a row.

    Returns
    -------
    Figure
        What was drawn.

    Raises
    ------
    MissingColumnError
        If a feature is not in all tables.
    DataError
        If there is nothing to draw.
    """
    import matplotlib.pyplot as plt

    tables = dict(zip(_STYLES, (training, harmonized, raw), strict=True))
    absent = [name for name in features if any(name not in table for table in tables.values())]
    if absent or not len(features):
        raise MissingColumnError(f"no tables with the features {absent}.", columns=absent)
    rows = -(-len(features) // columns)
    columns = min(columns, len(features))
    size = (2.9 * columns, 2.5 * rows + 0.4)
    figure, panels = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    p = ks_against(harmonized, training, list(features))
    for axes, feature in zip(panels.flat, features, strict=False):
        for name, (colour, style) in _STYLES.items():
            _density(axes, tables[name][feature], colour, style, name)
        axes.set_title(f"p = {p[feature]:.2g}", fontsize="medium")
        axes.set_xlabel(shorten(feature, 34), fontsize="small", parse_math=False)
        axes.set_yticks([])
        axes.tick_params(axis="x", labelsize="x-small")
        axes.locator_params(axis="x", nbins=4)
        quiet(axes, "x")
    for axes in panels.flat[len(features) :]:
        axes.set_axis_off()
    lines, names = panels[0, 0].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside upper center", ncols=3, frameon=False)
    return figure


def plot_correlations(inputs: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw Pearson's correlation of all inputs, such as metrics, age and sex (figure 10).

    Parameters
    ----------
    inputs : DataFrame of shape (n_scans, n_inputs)
        Numbers; columns that do not vary are grey.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        What was drawn.

    Raises
    ------
    DataError
        If there are fewer than 3 scans.
    """
    if len(inputs) < 3:
        raise DataError(f"correlations need 3 scans, got {len(inputs)}.")
    table = inputs.corr().to_numpy()
    side = 1.8 + 0.135 * len(table)
    axes = new_axes(ax, (side + 0.7, side))
    shown = axes.imshow(table, cmap=diverging_colours(), vmin=-1, vmax=1, interpolation="none")
    names = [str(name) for name in inputs.columns]
    size = "small" if len(names) <= 30 else "xx-small"
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=size, parse_math=False)
    axes.set_yticks(range(len(names)), names, fontsize=size, parse_math=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    bar = axes.figure.colorbar(shown, ax=axes, shrink=0.7)
    bar.set_label("Pearson correlation")
    bar.outline.set_visible(False)
    return axes


def _density(axes: Axes, values: pd.Series[Any], colour: str, style: Any, name: str) -> None:
    from scipy.stats import gaussian_kde

    known = values.dropna().to_numpy(np.float64)
    if len(known) < 3 or np.ptp(known) == 0:
        axes.plot(known, np.zeros(len(known)), "|", color=colour, markersize=12, label=name)
        return
    reach = 0.15 * np.ptp(known)
    grid = np.linspace(known.min() - reach, known.max() + reach, _GRID)
    axes.plot(grid, gaussian_kde(known)(grid), color=colour, linestyle=style, lw=1.8, label=name)
