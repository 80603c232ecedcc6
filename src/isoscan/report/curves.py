"""Curves of covariates: how much they bend, and what they look like, as facts and figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from isoscan.report.arrange import shorten
from isoscan.report.colours import AFTER, LEVELS
from isoscan.report.svg import WIDTH, Drawing, drawing_on_page
from isoscan.report.wording import plain_levels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from isoscan.combat.base import SiteHarmonizer
    from isoscan.design.splines import Spline

POINTS = 41
"""Values of the covariate at which a curve is told."""
MOST_NUMBERS = 36_000  # about 0.3 MB
STRAIGHT = 1.1
"""Effective degrees of freedom below which a curve is as good as a straight line."""
MOST_BENT, TYPICAL = 6, 3
_Z = 1.959963984540054

Facts = Mapping[str, Any]


def describe_curves(model: SiteHarmonizer) -> dict[str, Any] | None:
    """Tell the curves of a fitted model.

    Parameters
    ----------
    model : SiteHarmonizer
        A fitted model.

    Returns
    -------
    dict or None
        Keys features (the most bent first), edf (per curve, one number per feature), drawn
        (per covariate: its values, and per feature and level value and half-width of a 95 %
        band) and sentences; None if there is no curve.
    """
    curves, design = model.model_.curves, getattr(model, "smooth_design_", None)
    if curves is None or design is None or not design.splines:
        return None
    labels = [spline.label for spline in design.splines]
    edf = pd.DataFrame(curves.edf.T, list(model.get_feature_names_out()), labels)
    edf = edf[(model.model_.sd > 0)]
    edf = edf.iloc[np.argsort(-edf.max(axis=1).to_numpy(), kind="stable")]
    groups: dict[tuple[str, str | None], list[Spline]] = {}
    for spline in design.splines:
        groups.setdefault((spline.name, spline.by and spline.by[0]), []).append(spline)
    room = MOST_NUMBERS // (2 * POINTS * len(labels))
    shown = list(edf.index[: max(room, MOST_BENT + TYPICAL)])
    return {
        "features": list(edf.index),
        "edf": {_plain(spline): edf[spline.label].round(3).tolist() for spline in design.splines},
        "drawn": [_tell(model, splines, shown) for splines in groups.values()],
        "sentences": [_sentence(_plain(s), edf[s.label]) for s in design.splines[:6]],
    }


def _plain(spline: Spline) -> str:
    return plain_levels(spline.name, spline.by)


def _sentence(name: str, edf: pd.Series[float]) -> str:
    straight = int((edf < STRAIGHT).sum())
    if straight == len(edf):
        return f"{name}: a straight line in all {len(edf)} features."
    most = edf.idxmax()
    lines = f"as good as a straight line in {straight}" if straight else "bent in all"
    return (
        f"{name}: {lines} of {len(edf)} features; most bent in '{most}', with "
        f"{edf.max():.1f} effective degrees of freedom (median {edf.median():.1f})."
    )


def _tell(model: SiteHarmonizer, splines: list[Spline], shown: list[str]) -> dict[str, Any]:
    """Values of the curves of one covariate, one per level."""
    first = splines[0]
    at = np.linspace(first.low, first.high, POINTS)
    levels = [spline.by[1] if spline.by else "" for spline in splines]
    told: dict[str, list[list[list[float]]]] = {}
    for feature in shown:
        frame = model.curve(first.name, feature, at=at.tolist())
        told[feature] = [
            [_rounded(part["value"]), _rounded(_Z * part["se"])]
            for part in (_of_level(frame, spline.by) for spline in splines)
        ]
    return {
        "covariate": first.name,
        "by": first.by[0] if first.by else None,
        "at": _rounded(pd.Series(at)),
        "levels": levels,
        "curves": told,
    }


def _of_level(frame: pd.DataFrame, by: tuple[str, str] | None) -> pd.DataFrame:
    if by is not None:
        return frame[frame[by[0]] == by[1]]
    others = [name for name in frame.columns[1:] if name not in ("value", "low", "high", "se")]
    return frame[frame[others].isna().all(axis=1)]


def _rounded(values: pd.Series[Any]) -> list[float]:
    return [float(f"{value:.4g}") for value in values]


def draw_curves(curves: Facts) -> Iterator[Drawing]:
    """Small multiples of the curves: the most bent, and a few typical ones.

    Parameters
    ----------
    curves : mapping
        From `describe_curves`.

    Yields
    ------
    dict
        One drawing per covariate: curvea, curveb, ...
    """
    features = panels_of(curves)
    position_of = {name: at for at, name in enumerate(curves["features"])}
    for position, told in enumerate(curves["drawn"][:4]):
        rows = -(-len(features) // 3)
        name = f"curve{'abcd'[position]}"
        with drawing_on_page(name, (WIDTH, 0.4 + 2.0 * rows)) as (figure, drawing):
            panels = figure.subplots(rows, 3, sharex=True, squeeze=False).ravel()
            for axes, feature in zip(panels, features, strict=False):
                _draw_curve(axes, told, feature)
                own = [curves["edf"][label][position_of[feature]] for label in _labels(told)]
                axes.set_title(shorten(feature, 30), loc="left", fontsize="medium")
                text = " / ".join(f"{value:.1f}" for value in own)
                axes.set_title(text, loc="right", fontsize="small")
            for axes in panels[len(features) :]:
                axes.remove()
            for axes in panels[max(len(features) - 3, 0) : len(features)]:
                axes.set_xlabel(told["covariate"])
                axes.tick_params(labelbottom=True)
            if told["by"]:
                figure.legend(
                    *panels[0].get_legend_handles_labels(), loc="outside upper right",
                    ncols=len(told["levels"]), frameon=False,
                )  # fmt: skip
        yield drawing


def panels_of(curves: Facts) -> list[str]:
    """Choose the features to draw: those that bend most, then those nearest the median.

    Parameters
    ----------
    curves : mapping
        From `describe_curves`.

    Returns
    -------
    list of str
        At most nine features.
    """
    told = list(curves["drawn"][0]["curves"])
    bent, rest = told[:MOST_BENT], told[MOST_BENT:]
    largest = pd.DataFrame(curves["edf"], index=pd.Index(curves["features"])).max(axis=1)
    distance = (largest[rest] - largest.median()).abs()
    return bent + list(distance.sort_values(kind="stable").index[:TYPICAL])


def _labels(told: Facts) -> list[str]:
    by = told["by"]
    return [plain_levels(told["covariate"], by and (by, level)) for level in told["levels"]]


def _draw_curve(axes: Axes, told: Facts, feature: str) -> None:
    colours = LEVELS if told["by"] else (AFTER,)
    at = np.array(told["at"])
    for place, (level, curve) in enumerate(
        zip(told["levels"], told["curves"][feature], strict=True)
    ):
        value, half = np.array(curve)
        colour = colours[place % len(colours)]
        axes.fill_between(at, value - half, value + half, color=colour, alpha=0.2, linewidth=0)
        axes.plot(at, value, color=colour, linewidth=1.6, label=shorten(level, 16))
    axes.axhline(0, color="0.6", linewidth=0.6, zorder=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0)
