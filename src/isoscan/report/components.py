"""Principal components that CovBat harmonizes: how much they explain, how sites differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from isoscan.errors import count
from isoscan.report.colours import AFTER
from isoscan.report.drawings import draw_model_effects
from isoscan.report.svg import MUTED, WIDTH, Drawing, drawing_on_page
from isoscan.report.wording import percent

if TYPE_CHECKING:
    from isoscan.combat.base import SiteHarmonizer

MOST_BARS = 60

Facts = Mapping[str, Any]


def describe_components(model: SiteHarmonizer) -> dict[str, Any] | None:
    """Tell the harmonized components of a fitted model.

    Parameters
    ----------
    model : SiteHarmonizer
        A fitted model.

    Returns
    -------
    dict or None
        Keys names, variance_share, standardized, site_effects (as those of the model, features
        being components) and sentences; None if the model has no components.
    """
    components, scores = getattr(model, "components_", None), getattr(model, "scores_", None)
    if components is None or scores is None:
        return None
    names = [f"PC{position + 1}" for position in range(components.n_components)]
    shares = components.variance_share
    shift, scale = scores.effects.shift, np.sqrt(scores.effects.variance)
    return {
        "names": names,
        "variance_share": shares,
        "standardized": bool(getattr(model, "standardize", True)),
        "site_effects": {
            "sites": list(model.sites_),
            "features": names,
            "shift": shift,
            "scale": scale,
        },
        "sentences": list(_sentences(names, shares, scale, list(model.sites_))),
    }


def _sentences(names: list[str], shares: Any, scale: Any, sites: list[str]) -> list[str]:
    said = [
        f"{count(names, 'principal component')} of what ComBat leaves "
        f"{'was' if len(names) == 1 else 'were'} harmonized: {percent(float(shares.sum()))} of "
        f"its variance, {percent(float(shares[0]))} in the first. The rest was left as it is."
    ]
    site, component = np.unravel_index(int(np.argmax(np.abs(np.log(scale)))), scale.shape)
    ratio = float(scale[site, component])
    if abs(np.log(ratio)) > 0.01:
        word = "wider" if ratio > 1 else "narrower"
        said.append(
            f"The scores of {names[component]} differ most in spread at {sites[site]}: "
            f"{percent(abs(ratio - 1))} {word} than pooled."
        )
    return said


def draw_components(components: Facts) -> dict[str, Drawing]:
    """Bars of the variance that components explain; heat maps of the sites' scores.

    Parameters
    ----------
    components : mapping
        From `describe_components`.

    Returns
    -------
    dict of {str: dict}
        Drawings by name.
    """
    return {
        "components": _draw_shares(components),
        "scores": draw_model_effects(components["site_effects"], name="scores", sort=False),
    }


def _draw_shares(components: Facts) -> Drawing:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    shares = np.array(components["variance_share"], dtype=float)
    places = np.arange(1, len(shares) + 1)
    with drawing_on_page("components", (WIDTH, 2.6)) as (figure, drawing):
        axes = figure.subplots()
        shown = slice(0, MOST_BARS)
        axes.bar(places[shown], shares[shown], 0.8, color=AFTER, label="each")
        axes.plot(
            places[shown], np.cumsum(shares)[shown], ".-", color=MUTED, lw=1, ms=4, label="together"
        )
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
        axes.set_ylim(0, 1)
        axes.set_xlim(0.4, len(places[shown]) + 0.6)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("principal component")
        axes.set_ylabel("explained")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.legend(loc="center right", frameon=False)
    return drawing
