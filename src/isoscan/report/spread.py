"""What covariates do to the spread of measures, as facts and a figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from isoscan.report.ranks import draw_ranked
from isoscan.report.svg import WIDTH, Drawing, drawing_on_page
from isoscan.report.wording import percent, plain_term

if TYPE_CHECKING:
    from isoscan.combat.base import SiteHarmonizer

_Z = 1.959963984540054
BY_CHANCE = 0.05

Facts = Mapping[str, Any]


def describe_spread(model: SiteHarmonizer) -> dict[str, Any] | None:
    """Tell what covariates do to the standard deviation of every feature.

    Parameters
    ----------
    model : SiteHarmonizer
        A fitted model.

    Returns
    -------
    dict or None
        Keys features, terms (per column of the scale formula: effect, low and high on the
        log SD, and how many are above and below zero) and sentences; None if the model has no
        scale formula.
    """
    effects = getattr(model, "scale_effects_", None)
    if effects is None or effects.empty:
        return None
    known = effects[~effects["feature"].isin(model.passed_through_)]
    terms = {
        str(column): _term(part)
        for column, part in known.groupby("column", sort=False, dropna=False)
    }
    return {
        "features": list(known["feature"].unique()),
        "terms": terms,
        "sentences": [_sentence(name, facts) for name, facts in terms.items()],
    }


def _term(part: pd.DataFrame) -> dict[str, Any]:
    effect, half = part["effect"].to_numpy(), _Z * part["se"].to_numpy()
    low, high = effect - half, effect + half
    return {
        "effect": [float(f"{value:.4g}") for value in effect],
        "low": [float(f"{value:.4g}") for value in low],
        "high": [float(f"{value:.4g}") for value in high],
        "grows": int((low > 0).sum()),
        "falls": int((high < 0).sum()),
    }


def _sentence(term: str, facts: Facts) -> str:
    """How many features, by how much, and how many chance alone would give."""
    n = len(facts["effect"])
    effect = np.array(facts["effect"])
    low, high = np.array(facts["low"]), np.array(facts["high"])
    name, is_level = plain_term(term), "[" in term
    parts = []
    for word, level_word, clear in (("grows", "larger", low > 0), ("falls", "smaller", high < 0)):
        if clear.any():
            typical = percent(abs(float(np.expm1(np.median(effect[clear])))))
            if is_level:
                parts.append(f"is {level_word} by {typical} in {int(clear.sum())}")
            else:
                parts.append(f"{word} by {typical} per unit in {int(clear.sum())}")
    start = f"{name}: the SD"
    chance = f"chance alone gives about {round(BY_CHANCE * n)}"
    if not parts:
        return f"{start} changes in none of {n} features ({chance})."
    return (
        f"{start} {' and '.join(parts)} of {n} features (median of those whose 95 % interval "
        f"excludes no change; {chance})."
    )


def draw_spread(spread: Facts) -> Drawing:
    """Change of the SD with each covariate, all features in order, with intervals.

    Parameters
    ----------
    spread : mapping
        From `describe_spread`.

    Returns
    -------
    dict
        The drawing.
    """
    from matplotlib.ticker import PercentFormatter

    terms = dict(list(spread["terms"].items())[:6])
    with drawing_on_page("spread", (WIDTH, 2.3 * len(terms) + 0.3)) as (figure, drawing):
        rows = figure.subplots(len(terms), 1, squeeze=False)[:, 0]
        for axes, (term, facts) in zip(rows, terms.items(), strict=True):
            effect, low, high = (
                np.expm1(np.array(facts[key], dtype=float)) for key in ("effect", "low", "high")
            )
            draw_ranked(axes, effect, low, high, (low > 0) | (high < 0))
            axes.axhline(0, color="0.5", linewidth=0.8, zorder=0)
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
            axes.set_title(plain_term(term), loc="left")
            axes.set_ylabel("change of SD")
        rows[-1].set_xlabel("features, in order of the effect")
    return drawing
