"""Figures of corrections of unknown scanners: each draws on `ax` and returns it.

Before is ochre, after is blue, after some scans of the scanner is violet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from isoscan.report.arrange import shorten
from isoscan.report.colours import AFTER, BEFORE, RED, STRONG

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GREY = "#8a8a8a"


def plot_scanners(scanners: pd.DataFrame, *, few: int = 3, ax: Axes | None = None) -> Axes:
    """Draw the shift of each scanner that was left out, before and after.

    Parameters
    ----------
    scanners : DataFrame
        Columns scanner, before, after and, if known, few (after calibration), in residual
        standard deviations; drawn in this order from the top.
    few : int
        Number of scans that `few` was calibrated with.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        What was drawn.

    Examples
    --------
    >>> table = pd.DataFrame({"scanner": ["A"], "before": [0.8], "after": [0.3], "few": [None]})
    >>> plot_scanners(table).get_xlabel()
    'mean absolute shift (residual SD)'
    """
    axes = _axes(ax, (6.0, 1.3 + 0.26 * len(scanners)))
    rows = np.arange(len(scanners))
    values = {
        name: np.array(scanners[name], dtype=np.float64) for name in ("before", "after", "few")
    }
    axes.hlines(rows, values["before"], values["after"], color=GREY, alpha=0.5, lw=1.4, zorder=1)
    axes.plot(values["before"], rows, "o", color=BEFORE, ms=8, mew=0, label="no correction")
    axes.plot(values["after"], rows, "o", color=AFTER, ms=5.5, mew=0, label="model alone")
    if np.isfinite(values["few"]).any():
        label = f"calibrated with {few} scans"
        axes.plot(values["few"], rows, "D", mfc="none", mec=STRONG, ms=5, label=label)
    axes.set_xlim(left=0)
    axes.set_xlabel("mean absolute shift (residual SD)")
    _name_rows(axes, list(scanners["scanner"]))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, borderaxespad=0.2)
    return axes


def plot_coverage(
    coverage: Sequence[float | None],
    scanners: Sequence[str],
    nominal: float,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Draw the share of corrections of each scanner that lie inside their intervals.

    Parameters
    ----------
    coverage : sequence of float or None
        Shares.
    scanners : sequence of str
        Names, from the top.
    nominal : float
        Share that the intervals were asked to hold.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        What was drawn.

    Examples
    --------
    >>> plot_coverage([0.92], ["A"], 0.9).get_xlabel()
    'inside the interval (%)'
    """
    axes = _axes(ax, (3.0, 1.3 + 0.26 * len(scanners)))
    shares = 100 * np.array(coverage, dtype=np.float64)
    rows = np.arange(len(shares))
    low = shares < 100 * nominal
    axes.axvline(100 * nominal, color=GREY, ls="--", lw=1)
    axes.plot(shares[~low], rows[~low], "o", color=AFTER, ms=6, mew=0)
    axes.plot(shares[low], rows[low], "o", mfc="none", mec=AFTER, ms=5.5)
    axes.set_xlim(0, 104)
    axes.set_xlabel("inside the interval (%)")
    axes.set_title(f"asked for: {100 * nominal:.0f} %", loc="left", fontsize="medium")
    _name_rows(axes, list(scanners))
    return axes


def plot_few_scans(curve: Mapping[str, Any], *, ax: Axes | None = None) -> Axes:
    """Draw the shift that is left against the number of scans of the new scanner.

    Parameters
    ----------
    curve : mapping
        Lists scans (0 first), left, low and high, and the number nothing, the shift without
        correction.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        What was drawn.

    Examples
    --------
    >>> curve = {"scans": [0, 3], "left": [0.5, 0.3], "low": [0.3, 0.2], "high": [0.7, 0.4],
    ...          "nothing": 0.8}
    >>> plot_few_scans(curve).get_xlabel()
    'scans of the new scanner'
    """
    axes = _axes(ax, (6.0, 3.2))
    left, low, high = (np.array(curve[name], dtype=np.float64) for name in ("left", "low", "high"))
    places = np.arange(len(left))
    axes.axhline(curve["nothing"], color=BEFORE, ls="--", lw=1.4)
    axes.annotate(
        "no correction", (1, curve["nothing"]), (-4, 4), xycoords=("axes fraction", "data"),
        textcoords="offset points", ha="right", color=BEFORE,
    )  # fmt: skip
    axes.vlines(places, low, high, color=GREY, alpha=0.6, lw=1.4)
    axes.plot(places[1:], left[1:], "-", color=STRONG, lw=1.4)
    axes.plot(places[1:], left[1:], "D", color=STRONG, ms=6, mew=0)
    axes.plot(places[:1], left[:1], "o", color=AFTER, ms=7, mew=0)
    names = [str(scans) if scans else "0\n(model alone)" for scans in curve["scans"]]
    axes.set_xticks(places, names)
    axes.set_xlim(-0.5, len(places) - 0.5)
    axes.set_ylim(0, 1.12 * max(high.max(), curve["nothing"]))
    axes.set_xlabel("scans of the new scanner")
    axes.set_ylabel("shift left (residual SD)")
    _open(axes, "y")
    return axes


def plot_baselines(rows: Sequence[Mapping[str, Any]], *, ax: Axes | None = None) -> Axes:
    """Draw the error that each kind of correction leaves, with its interval over scanners.

    Parameters
    ----------
    rows : sequence of mapping
        Keys label, error_ratio, low and high (None where exact), and kind: "own" for the model,
        "calibrated", or another; drawn from the top.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        What was drawn.

    Examples
    --------
    >>> rows = [{"label": "no correction", "error_ratio": 1.0, "low": None, "high": None}]
    >>> plot_baselines(rows).get_xlabel()
    'error left (% of that without correction)'
    """
    axes = _axes(ax, (7.0, 1.0 + 0.3 * len(rows)))
    colours = {"own": AFTER, "calibrated": STRONG}
    places = np.arange(len(rows))
    ratio, low, high = (
        100 * np.array([row[name] for row in rows], dtype=np.float64)
        for name in ("error_ratio", "low", "high")
    )
    axes.axvline(100, color=BEFORE, ls="--", lw=1.2)
    for row, value, least, most, place in zip(rows, ratio, low, high, places, strict=True):
        colour = colours.get(str(row.get("kind")), GREY)
        axes.hlines(place, least, most, color=colour, alpha=0.5, lw=2)
        axes.plot(value, place, "o", color=colour, ms=6, mew=0)
    axes.set_xlim(-2, 1.06 * max(100.0, float(np.nanmax([*ratio, *high]))))
    axes.set_xlabel("error left (% of that without correction)")
    _name_rows(axes, [str(row["label"]) for row in rows], 44)
    return axes


def plot_shift_scores(
    scores: Sequence[float],
    abstained: Sequence[bool],
    usual: float,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Draw how unlike training each scan is, the most unlike first.

    Parameters
    ----------
    scores : sequence of float
        Shift scores; about 1 for scans like those of training.
    abstained : sequence of bool
        Whether less than half of a correction was made.
    usual : float
        Largest score that is usual in training.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        What was drawn.

    Examples
    --------
    >>> plot_shift_scores([1.1, 2.4], [False, True], 1.9).get_ylabel()
    'shift score'
    """
    from matplotlib.ticker import MaxNLocator

    axes = _axes(ax, (7.0, 2.6))
    values, idle = np.array(scores, dtype=np.float64), np.array(abstained, dtype=bool)
    order = np.argsort(-values, kind="stable")
    rank = np.arange(1, len(values) + 1)
    for chosen, mark, colour, label in (
        (~idle[order], "o", AFTER, "corrected"),
        (idle[order], "X", RED, "left nearly as before"),
    ):
        if chosen.any():
            shown = values[order][chosen]
            axes.plot(rank[chosen], shown, mark, color=colour, ms=6, mew=0, label=label)
    axes.axhline(usual, color=GREY, ls="--", lw=1.2)
    axes.annotate(
        "usual in training: below", (1, usual), (-4, 4), xycoords=("axes fraction", "data"),
        textcoords="offset points", ha="right", color=GREY,
    )  # fmt: skip
    axes.set_ylim(0, 1.15 * max(usual, float(values.max())))
    axes.set_xlim(0, len(values) + 1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("scans, most unlike training first")
    axes.set_ylabel("shift score")
    _open(axes, "y")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, borderaxespad=0.2)
    return axes


def _axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    _, axes = plt.subplots(figsize=size, layout="constrained")
    return axes


def _name_rows(axes: Axes, names: list[str], longest: int = 26) -> None:
    axes.set_yticks(range(len(names)), [shorten(name, longest) for name in names], parse_math=False)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    _open(axes, "x")


def _open(axes: Axes, grid: str) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x" if grid == "x" else "y", linewidth=0.6)
    axes.set_axisbelow(True)
