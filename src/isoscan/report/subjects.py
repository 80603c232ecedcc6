"""How much of each measure lies between subjects and how much within, as facts and a figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from isoscan.report.ranks import draw_ranked
from isoscan.report.svg import WIDTH, Drawing, drawing_on_page
from isoscan.report.wording import percent

if TYPE_CHECKING:
    from isoscan.combat.base import SiteHarmonizer

Facts = Mapping[str, Any]


def describe_subjects(model: SiteHarmonizer) -> dict[str, Any] | None:
    """Tell the variance components of a fitted model of repeated scans.

    Parameters
    ----------
    model : SiteHarmonizer
        A fitted model.

    Returns
    -------
    dict or None
        Keys features, share (of the variance between subjects), subject_sd, residual_sd,
        slope_sd and correlation (None without a random slope), boundary (bool per feature),
        slope (name of the covariate or None) and sentences; None if the model has none.
    """
    frame = getattr(model, "variance_components_", None)
    if frame is None:
        return None
    frame = frame[~frame["feature"].isin(model.passed_through_)]
    total = frame["subject"] + frame["residual"]
    share = frame["subject"] / total.where(total > 0)
    facts = {
        "features": list(frame["feature"]),
        "share": share.round(4),
        "subject_sd": _digits(np.sqrt(frame["subject"])),
        "residual_sd": _digits(np.sqrt(frame["residual"])),
        "slope_sd": _digits(np.sqrt(frame["slope"])) if "slope" in frame else None,
        "correlation": frame["correlation"].round(3) if "correlation" in frame else None,
        "boundary": frame["singular"].astype(bool),
        "slope": getattr(model, "slope", None),
    }
    return facts | {"sentences": _sentences(frame, share, facts["slope"])}


def _digits(values: pd.Series[Any]) -> list[float]:
    return [float(f"{value:.4g}") for value in values]


def _sentences(frame: pd.DataFrame, share: pd.Series[Any], slope: str | None) -> list[str]:
    names = frame["feature"].to_numpy()
    known = share.dropna()
    if known.empty:
        return []
    least, most = names[share.argmin()], names[share.argmax()]
    where = f", where {slope} is 0" if slope else ""
    said = [
        f"Of the variance that covariates and sites leave, {percent(float(known.median()))} lies "
        f"between subjects{where} in the median feature: from {percent(float(known.min()))} "
        f"('{least}') to {percent(float(known.max()))} ('{most}')."
    ]
    boundary = int(frame["singular"].sum())
    if boundary:
        said.append(
            f"In {boundary} of {len(frame)} features the estimate lies on the boundary: "
            + (
                "subjects do not differ, or level and slope determine each other."
                if slope
                else "subjects do not differ beyond what their scans differ by."
            )
        )
    return said


def draw_subjects(subjects: Facts) -> Drawing:
    """Share of the variance between subjects, all features in order.

    Parameters
    ----------
    subjects : mapping
        From `describe_subjects`.

    Returns
    -------
    dict
        The drawing.
    """
    from matplotlib.ticker import PercentFormatter

    share = np.array(subjects["share"], dtype=float)
    boundary = np.array(subjects["boundary"], dtype=bool)
    with drawing_on_page("subjects", (WIDTH, 2.8)) as (figure, drawing):
        axes = figure.subplots()
        draw_ranked(axes, np.nan_to_num(share), None, None, boundary)
        axes.set_ylim(-0.03, 1.03)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
        axes.set_xlabel("features, largest share first")
        axes.set_ylabel("between subjects")
    return drawing
