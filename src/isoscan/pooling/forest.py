"""Forest plot: what every site found, and what they say together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.errors import DataError
from isoscan.pooling.meta import MetaAnalysis
from isoscan.pooling.site_table import KINDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SITE, POOLED, PREDICTED = "#333333", "#2a6fb0", "#b8782f"
ROW = 0.3  # inches


def plot_forest(found: MetaAnalysis, feature: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw the effects of all sites on one feature, and the pooled effect below.

    Squares grow with the weight of a site. The diamond is the pooled effect with its
    interval, the bar below it the interval in which the effect of a new site is expected.

    Parameters
    ----------
    found : MetaAnalysis
        Result of `meta_analysis`.
    feature : str, optional
        Which; may be left out if there is one.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        What was drawn.

    Raises
    ------
    DataError
        If there is no such feature, or no site has it.

    Examples
    --------
    >>> from isoscan.pooling import meta_analysis
    >>> found = meta_analysis(pd.DataFrame({"site": ["KCL", "OSL", "MUC"],
    ...     "effect": [0.2, 0.5, 0.1], "se": [0.2, 0.14, 0.22], "n": [40, 90, 35]}))
    >>> ax = plot_forest(found)
    >>> [text.get_text() for text in ax.get_yticklabels()]
    ['KCL', 'OSL', 'MUC', 'pooled', 'new site']
    """
    if feature is None:
        if len(found.studies.features) > 1:
            raise DataError("there are several features: say which, plot_forest(found, feature).")
        feature = found.studies.features[0]
    sites = found.sites_of(feature)
    if sites.empty:
        raise DataError(f"no site has an effect on '{feature}'.")
    pooled = found.table[found.table["feature"] == feature].iloc[0]
    axes = _axes(ax, (8.6, 1.7 + ROW * (len(sites) + 2)))
    _draw_sites(axes, sites)
    _draw_pooled(axes, pooled, len(sites))
    places = [float(row) for row in range(len(sites))] + [len(sites) + 0.5, len(sites) + 1.5]
    axes.set_yticks(places, [*sites["site"], "pooled", "new site"])
    axes.set_ylim(len(sites) + 2.1, -1.4)
    _write_columns(axes, sites, pooled, places, found.options.level)
    axes.axvline(0, color=SITE, linewidth=0.8)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    kind = KINDS.get(found.studies.kind or "", "effect")
    axes.set_xlabel(f"{kind}\n{_heterogeneity(pooled)}", fontsize="small")
    axes.set_title(feature, loc="left", fontsize="medium", fontweight="bold")
    return axes


def _draw_sites(axes: Axes, sites: pd.DataFrame) -> None:
    places = np.arange(len(sites))
    axes.hlines(places, sites["low"], sites["high"], color=SITE, linewidth=1.2)
    size = 12 + 150 * sites["weight"] / sites["weight"].max()
    axes.scatter(sites["effect"], places, s=size, marker="s", color=SITE, zorder=3)


def _draw_pooled(axes: Axes, pooled: Any, n_sites: int) -> None:
    place = n_sites + 0.5
    axes.axhline(n_sites - 0.25, color=SITE, linewidth=0.5)
    axes.axvline(pooled["effect"], color=POOLED, linewidth=0.8, linestyle=":")
    corners = [pooled["low"], pooled["effect"], pooled["high"], pooled["effect"]]
    if np.isfinite(corners).all():
        axes.fill(corners, [place, place - 0.3, place, place + 0.3], color=POOLED, zorder=3)
    axes.hlines(place + 1, pooled["pi_low"], pooled["pi_high"], color=PREDICTED, linewidth=5)


def _write_columns(
    axes: Axes, sites: pd.DataFrame, pooled: Any, places: list[float], level: float
) -> None:
    """Numbers to the right of the drawing: people, effect with interval, weight."""
    columns = _counts(sites, pooled)
    digits = _digits(sites["effect"].to_numpy())

    def between(low: float, high: float) -> str:
        return f"[{_number(low, digits)}, {_number(high, digits)}]"

    cells = sites[["effect", "low", "high"]].to_numpy(dtype=float)
    words = [f"{_number(effect, digits)} {between(low, high)}" for effect, low, high in cells]
    words += [
        f"{_number(pooled['effect'], digits)} {between(pooled['low'], pooled['high'])}",
        between(pooled["pi_low"], pooled["pi_high"]),
    ]
    columns[f"effect [{100 * level:g} % CI]"] = words
    columns["weight"] = [f"{weight:.1f} %" for weight in sites["weight"]]
    lines = [""] * (len(sites) + 3)
    for head, words in columns.items():
        rows = [head, *words] + [""] * (len(sites) + 2 - len(words))
        width = max(len(row) for row in rows)
        lines = [f"{line}  {row:>{width}}" for line, row in zip(lines, rows, strict=True)]
    right = axes.twinx()
    right.set_ylim(axes.get_ylim())
    right.set_yticks([-0.9, *places], lines, family="monospace", fontsize="small", color=SITE)
    right.tick_params(axis="y", length=0)
    right.spines[:].set_visible(False)


def _digits(effects: NDArray[np.float64]) -> int:
    """Places behind the point that show three digits of the largest effect."""
    largest = float(np.abs(effects).max())
    return int(np.clip(2 - np.floor(np.log10(largest)), 0, 6)) if largest > 0 else 2


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", "−")


def _counts(sites: pd.DataFrame, pooled: Any) -> dict[str, list[str]]:
    names = [name for name in ("n1", "n2") if name in sites] or ["n"]
    return {
        name: [f"{value:.0f}" for value in [*sites[name], pooled[name]]]
        for name in names
        if name in sites and name in pooled
    }


def _heterogeneity(pooled: Any) -> str:
    return (
        f"Q = {pooled['Q']:.3g} (p = {pooled['Q_p']:.2g}), τ² = {pooled['tau2']:.3g} "
        f"[{pooled['tau2_low']:.3g}, {pooled['tau2_high']:.3g}], I² = {pooled['I2']:.0f} %; "
        f"pooled p = {pooled['p']:.2g}"
    )


def _axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained").subplots()
