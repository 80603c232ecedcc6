"""Figures of maps: slices of each site on one colour scale, and distributions of values."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isoscan.volumes.pictures import Shown, Slices

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#4477aa", "#cc6677", "#228833", "#aa7a00", "#aa3377", "#2299bb", "#666666")
_STYLES = ("-", "--", ":")
_WIDTH, _MARGIN = 10.4, 1.1  # inches
_BINS = 80

Array = NDArray[np.float64]


def draw_slices(
    values: Array,
    names: list[str],
    slices: Slices,
    limits: tuple[float, float],
    *,
    colours: str = "viridis",
    label: str = "",
) -> Figure:
    """Draw slices of several maps before and after, all on one colour scale.

    Parameters
    ----------
    values : ndarray of shape (2, n_rows, n_voxels)
        Maps before and after.
    names : list of str
        What each row is.
    slices : Slices
        Where to cut.
    limits : tuple of float
        Values of the first and the last colour.
    colours : str
        Name of a colour map of matplotlib.
    label : str
        What the colours mean.

    Returns
    -------
    Figure
        One row per map: slices before on the left, after on the right.
    """
    n_slices, n_rows = len(slices.heights), len(names)
    width = (_WIDTH - _MARGIN) / (2 * n_slices + 0.15)
    figure = _figure(n_rows * (width * slices.height_to_width + 0.06) + 1.1)
    columns = [*[1.0] * n_slices, 0.15, *[1.0] * n_slices]
    panels = figure.subplots(n_rows, len(columns), squeeze=False, width_ratios=columns)
    for axes in panels.ravel():
        axes.set_axis_off()
    colouring = _colouring(figure, panels, limits, colours, label)
    for when, word in enumerate(("before", "after")):
        group = panels[:, when * (n_slices + 1) :][:, :n_slices]
        group[0, n_slices // 2].set_title(word)
        for row in range(n_rows):
            _show(slices.of(values[when, row]), group[row], slices.aspect, colouring)
    for axes, name in zip(panels[:, 0], names, strict=True):
        axes.text(-0.06, 0.5, name, transform=axes.transAxes, ha="right", va="center")
    return figure


def _colouring(
    figure: Figure, panels: Any, limits: tuple[float, float], colours: str, label: str
) -> dict[str, Any]:
    """Draw the colour scale that all slices share."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    scale: dict[str, Any] = {"norm": Normalize(*limits), "cmap": colours}
    figure.colorbar(
        ScalarMappable(**scale),
        ax=panels,
        location="bottom",
        label=label,
        aspect=50,
        shrink=0.5,
        pad=0.02,
        extend="both",
    )
    return scale


def _show(pictures: list[Array], places: Any, aspect: float, colouring: dict[str, Any]) -> None:
    for axes, picture in zip(places, pictures, strict=True):
        axes.imshow(picture, origin="lower", aspect=aspect, interpolation="nearest", **colouring)


def draw_histograms(shown: Shown, label: str = "value in the mask") -> Figure:
    """Draw how the values of each site are distributed, before and after.

    Parameters
    ----------
    shown : Shown
        A few scans of each site.
    label : str
        What the values are.

    Returns
    -------
    Figure
        Two panels with the same axes.
    """
    figure = _figure(3.6)
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    low, high = shown.range
    edges = np.linspace(low - 0.1 * (high - low), high + 0.1 * (high - low), _BINS + 1)
    for when, (axes, word) in enumerate(zip(panels, ("before", "after"), strict=True)):
        for number, (site, values) in enumerate(zip(shown.sites, shown.values, strict=True)):
            known = values[when][np.isfinite(values[when])]
            share = np.histogram(known, edges)[0] / max(len(known), 1)
            axes.stairs(
                100 * share,
                edges,
                color=COLOURS[number % len(COLOURS)],
                linestyle=_STYLES[number // len(COLOURS) % len(_STYLES)],
                linewidth=1.4,
                label=site,
            )
        axes.set_title(word)
        axes.set_xlabel(label)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("% of values")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", frameon=False)
    return figure


def draw_site_f(tests: Array, slices: Slices) -> Figure:
    """Draw where site is: its F statistic in every voxel, before and after.

    Parameters
    ----------
    tests : ndarray of shape (2, n_voxels)
        F statistics.
    slices : Slices
        Where to cut.

    Returns
    -------
    Figure
        One row on one colour scale.
    """
    known = tests[0][np.isfinite(tests[0])]
    most = float(np.quantile(known, 0.99)) if known.size else 1.0
    limits = 0.0, max(most, 1.0)
    return draw_slices(tests[:, None], [""], slices, limits, colours="magma", label="F of site")


def as_webp(figure: Figure) -> bytes:
    """Turn a figure into an image file.

    Parameters
    ----------
    figure : Figure
        Figure of matplotlib.

    Returns
    -------
    bytes
        WebP.
    """
    stream = BytesIO()
    figure.savefig(stream, format="webp", dpi=130, pil_kwargs={"quality": 88, "method": 4})
    return stream.getvalue()


@contextmanager
def plain_style() -> Iterator[None]:
    """Draw names as they are: without formulas, without a word about missing letters.

    Yields
    ------
    None
        Control to what draws and saves figures.
    """
    from matplotlib import rc_context

    style: Any = {"text.parse_math": False, "font.size": 9.5, "axes.titlesize": 10.5}
    with rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+")
        yield


def _figure(height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(_WIDTH, height), layout="constrained", facecolor="white")
