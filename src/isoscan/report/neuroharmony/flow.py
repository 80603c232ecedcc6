"""Where the scans go: sample, ComBat, forests, validation (figure 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from isoscan.errors import DataError, count
from isoscan.labels import as_labels
from isoscan.report.colours import AFTER, BEFORE, STRONG
from isoscan.report.neuroharmony.canvas import DARK, GREY, new_axes
from isoscan.unseen.selection import Selection
from isoscan.unseen.splits import cap_sites, merge_small_sites

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text


def plot_data_flow(
    selection: Selection,
    training: Any,
    validation: Any = (),
    ax: Axes | None = None,
    *,
    min_per_split: int = 30,
    max_per_site: int | str | None = None,
) -> Axes:
    """Draw which scans are left out, which train and which validate (figure 4).

    Parameters
    ----------
    selection : Selection
        From `select_sample`.
    training : Series or sequence
        Scanner of each training scan.
    validation : Series or sequence
        Scanner of each scan that is kept for validation.
    ax : Axes, optional
        Where to draw; a new figure by default.
    min_per_split : int
        As for `Neuroharmony`.
    max_per_site : int, "second-largest" or None
        As for `Neuroharmony`.

    Returns
    -------
    Axes
        What was drawn.

    Raises
    ------
    DataError
        If training and validation share scanners, or hold more scans than were selected.
    """
    train, test = (as_labels(list(labels)) for labels in (training, validation))
    _require_apart(selection, train, test)
    learned = cap_sites(train, max_per_site, 0)
    groups = merge_small_sites(train[learned], min_per_split)
    axes = new_axes(ax, (9.0, 4.6))
    axes.set_axis_off()
    axes.set_xlim(0, 10)
    axes.set_ylim(0, 6)
    started = int(selection.counts.dropped.sum()) + len(selection.kept)
    everyone = _box(axes, (2.6, 5.5), count(started, "scan"), GREY)
    sample = _box(axes, (2.6, 3.9), f"sample: {_size(np.concatenate([train, test]))}", GREY)
    combat = _box(axes, (2.6, 2.3), f"ComBat: {_size(train)}", BEFORE)
    fewer = "" if len(learned) == len(train) else f" of {len(train)}"
    splits = f"settings by leaving out one of {count(set(groups), 'group')} of scanners"
    forests = _box(axes, (2.6, 0.6), f"forests: {len(learned)}{fewer} scans\n{splits}", AFTER)
    for above, below in ((everyone, sample), (sample, combat), (combat, forests)):
        _arrow(axes, above, below)
    axes.text(
        2.8, 4.7, _left_out(selection), color=DARK, va="center", fontsize="small", parse_math=False
    )
    if len(test):
        text = f"validation: {_size(test)},\nseen by neither"
        unseen = _box(axes, (7.9, 2.3), text, STRONG)
        _arrow(axes, sample, unseen)
        _arrow(axes, forests, unseen)
    return axes


def _require_apart(selection: Selection, train: Any, test: Any) -> None:
    shared = sorted(set(train) & set(test))
    if shared:
        raise DataError(
            f"{count(shared, 'scanner')} {shared[:5]} are in training and in validation: nothing "
            f"is unseen then.",
            sites=shared,
        )
    if len(train) + len(test) > len(selection.kept):
        raise DataError(
            f"training and validation have {len(train) + len(test)} scans, {len(selection.kept)} "
            f"were selected."
        )


def _size(labels: Any) -> str:
    return f"{count(labels, 'scan')}, {count(set(labels), 'scanner')}"


def _left_out(selection: Selection) -> str:
    steps = selection.counts[selection.counts.dropped > 0]
    lost = [f"{step}: {n}" for step, n in zip(steps.step, steps.dropped, strict=True)]
    return "left out: " + (", ".join(lost) or "nobody")


def _box(axes: Axes, place: tuple[float, float], text: str, colour: str) -> Text:
    style = {"boxstyle": "round,pad=0.5", "facecolor": "white", "edgecolor": colour, "linewidth": 2}
    return axes.text(*place, text, ha="center", va="center", bbox=style, parse_math=False)


def _arrow(axes: Axes, start: Text, end: Text) -> None:
    """From the edge of one box to the edge of another."""
    look = {
        "arrowstyle": "-|>", "color": DARK, "shrinkA": 2, "shrinkB": 2,
        "patchA": start.get_bbox_patch(), "patchB": end.get_bbox_patch(),
    }  # fmt: skip
    axes.annotate("", xy=end.get_position(), xytext=start.get_position(), arrowprops=look)
