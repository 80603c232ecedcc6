"""Draw masks over the image they were made from, so that one can see what was measured where."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isoscan.quality.inputs import QualityInputs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[Any]

_PLACES = (0.3, 0.5, 0.7)
_WIDTH = 11.0  # inches
_COLOURS = {
    "white matter": "#fdd835",
    "brain": "#e8853c",
    "head": "#4fa3e0",
    "air": "#58b368",
    "artefacts": "#e0465f",
    "frame": "#9a9a9a",
}


def draw_masks(inputs: QualityInputs, title: str = "") -> Figure:
    """Draw brain and white matter, head and air, artefacts and frame, over the image.

    Parameters
    ----------
    inputs : QualityInputs
        Images and masks.
    title : str
        Name of the image.

    Returns
    -------
    Figure
        Three rows of nine slices: sagittal, coronal and axial.
    """
    from matplotlib.figure import Figure

    rows = (
        {"brain": inputs.brain, "white matter": inputs.tissues[2] > 0.5},
        {"head": inputs.head, "air": inputs.air},
        {"frame": inputs.frame, "artefacts": inputs.artifacts},
    )
    shapes = [_cut(inputs.raw, axis, 0.5, inputs.zooms)[1] for axis in range(3)]
    widths = [width for width, _ in shapes for _ in _PLACES]
    height = max(tall for _, tall in shapes) / sum(widths) * _WIDTH
    size = (_WIDTH, len(rows) * height + 0.5)
    figure = Figure(figsize=size, facecolor="black", layout="constrained")
    figure.suptitle(title, color="white", fontsize=10)
    panels = figure.subplots(len(rows), len(widths), squeeze=False, width_ratios=widths)
    bright = max(float(np.percentile(inputs.raw, 99.5)), 1e-6)
    for row, masks in zip(panels, rows, strict=True):
        _draw_row(row, inputs, masks, bright)
    return figure


def as_png(figure: Figure) -> bytes:
    """Turn a figure into an image file.

    Parameters
    ----------
    figure : Figure
        Figure of matplotlib.

    Returns
    -------
    bytes
        PNG.
    """
    stream = BytesIO()
    figure.savefig(stream, format="png", dpi=110)
    return stream.getvalue()


def _draw_row(panels: Any, inputs: QualityInputs, masks: dict[str, Array], bright: float) -> None:
    from matplotlib.colors import to_rgba

    for number, axes in enumerate(panels):
        axis, place = divmod(number, len(_PLACES))
        picture, (width, height) = _cut(inputs.raw, axis, _PLACES[place], inputs.zooms)
        extent = (0, width, 0, height)
        axes.imshow(picture, cmap="gray", vmin=0, vmax=bright, origin="lower", extent=extent)
        for name, mask in masks.items():
            inside = _cut(mask, axis, _PLACES[place], inputs.zooms)[0].astype(bool)
            layer = np.zeros((*inside.shape, 4))
            layer[inside] = to_rgba(_COLOURS[name], 0.45)
            axes.imshow(layer, origin="lower", extent=extent, interpolation="nearest")
        axes.set_axis_off()
    for number, name in enumerate(masks):
        panels[0].text(
            0.02,
            0.98 - 0.11 * number,
            name,
            color=_COLOURS[name],
            transform=panels[0].transAxes,
            va="top",
            fontsize=8,
            fontweight="bold",
            bbox={"facecolor": "black", "alpha": 0.7, "edgecolor": "none", "pad": 1},
            zorder=3,
        )


def _cut(
    volume: Array, axis: int, place: float, zooms: tuple[float, ...]
) -> tuple[Array, tuple[float, float]]:
    """One slice, and its width and height in millimetres."""
    picture = np.take(volume, int(place * volume.shape[axis]), axis).T
    across, up = (zooms[one] for one in range(3) if one != axis)
    return picture, (picture.shape[1] * across, picture.shape[0] * up)
