"""Figures of pooled effects: each draws on `ax`, or a new figure, and returns the axes.

Colours are told apart by readers who do not see red and green alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from isoscan.errors import DataError, count, name_some
from isoscan.pooling.compare import PoolingComparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DARK, BLUE, GREY = "#333333", "#2a6fb0", "#8a8a8a"
MARKS: dict[str, tuple[str, str]] = {
    "no correction": ("x", "#8a8a8a"),
    "meta fixed": ("s", "#ddaa33"),
    "meta random": ("o", "#2a6fb0"),
    "mega fixed": ("v", "#cc6677"),
    "mega intercept": ("^", "#aa4499"),
    "mega slope": ("D", "#44aa99"),
    "ComBat": ("P", "#b8782f"),
}
MOST_ROWS = 40
ROW = 0.24  # inches


def plot_effects(
    table: pd.DataFrame,
    ax: Axes | None = None,
    *,
    alpha: float = 0.05,
    most: int = MOST_ROWS,
    label: str = "effect",
) -> Axes:
    """Draw the effect of every feature with its interval, in order of size.

    Filled bars have p below `alpha`, adjusted if the table tells adjusted p.

    Parameters
    ----------
    table : DataFrame
        Has the columns feature, effect, low, high and p, and p_adjusted if known: the table
        of a meta-analysis, a mega-analysis, or one strategy of a comparison.
    ax : Axes, optional
        Where to draw; a new figure by default.
    alpha : float
        Bars below are filled.
    most : int
        The strongest features that are drawn.
    label : str
        What the effect is.

    Returns
    -------
    Axes
        What was drawn.

    Raises
    ------
    DataError
        If no feature has an effect.

    Examples
    --------
    >>> table = pd.DataFrame({"feature": ["insula", "cuneus"], "effect": [-0.3, 0.1],
    ...                       "low": [-0.5, -0.1], "high": [-0.1, 0.3], "p": [0.01, 0.4]})
    >>> [text.get_text() for text in plot_effects(table).get_yticklabels()]
    ['insula', 'cuneus']
    """
    known = table[table["effect"].notna()]
    if known.empty:
        raise DataError("no feature has an effect to draw.")
    strongest = known["effect"].abs().nlargest(most).index
    rows = known.loc[strongest].sort_values("effect")
    axes = _axes(ax, (6.4, 1.1 + ROW * len(rows)))
    places = np.arange(len(rows))
    adjusted = "p_adjusted" in rows
    sure = (rows["p_adjusted" if adjusted else "p"] < alpha).to_numpy()
    effect = rows["effect"].to_numpy()
    for own, face in ((sure, BLUE), (~sure, "none")):
        axes.barh(
            places[own], effect[own], 0.7, facecolor=face, edgecolor=BLUE, alpha=0.65, linewidth=0.8
        )
    axes.hlines(places, rows["low"], rows["high"], color=DARK, linewidth=1.1)
    axes.axvline(0, color=DARK, linewidth=0.8)
    _name_rows(axes, rows["feature"])
    axes.set_xlabel(f"{label}; filled: {'adjusted ' * adjusted}p < {alpha:g}")
    if len(rows) < len(known):
        axes.set_title(f"the {len(rows)} strongest of {len(known)}", fontsize="medium", loc="left")
    return axes


def plot_agreement(
    compared: PoolingComparison,
    feature: str | None = None,
    ax: Axes | None = None,
    *,
    most: int = MOST_ROWS,
) -> Axes:
    """Draw what each strategy says: of one feature with intervals, or of many features.

    With many features the grey bar is the interval of the random-effects meta-analysis, and
    effects are in standard errors of the model with a column per site.

    Parameters
    ----------
    compared : PoolingComparison
        Result of `compare_pooling`.
    feature : str, optional
        One feature; the strongest features by default.
    ax : Axes, optional
        Where to draw; a new figure by default.
    most : int
        The strongest features that are drawn.

    Returns
    -------
    Axes
        What was drawn.

    Raises
    ------
    DataError
        If there is no such feature, or nothing to draw.

    Examples
    --------
    >>> from isoscan.phantom import simulate_tables
    >>> from isoscan.pooling import compare_pooling
    >>> cohort = simulate_tables(5, (40, 40, 50), random_state=0)
    >>> compared = compare_pooling(cohort.measures, sites=cohort.people.site,
    ...                            covariates=cohort.people, contrast="age")
    >>> ax = plot_agreement(compared, "region002_thickness")
    >>> ax.get_yticklabels()[0].get_text()
    'no correction'
    """
    if feature is None:
        return _many(compared, ax, most)
    rows = compared.table[compared.table["feature"] == feature]
    if rows.empty:
        features = compared.table["feature"].unique()
        raise DataError(f"there is no feature '{feature}': {name_some(features, 8)}.")
    axes = _axes(ax, (6.0, 1.3 + 0.3 * len(rows)))
    numbers = rows[["effect", "low", "high"]].to_numpy(dtype=float)
    for place, (strategy, (effect, low, high)) in enumerate(
        zip(rows["strategy"], numbers, strict=True)
    ):
        sign, colour = MARKS[strategy]
        axes.hlines(place, low, high, color=colour, linewidth=2)
        axes.plot(effect, place, sign, color=colour, ms=7)
    axes.axvline(0, color=DARK, linewidth=0.8)
    _name_rows(axes, rows["strategy"])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel(f"effect of {compared.contrast} on {feature}")
    return axes


def _many(compared: PoolingComparison, ax: Axes | None, most: int) -> Axes:
    effects = compared.wide("effect")
    se = compared.wide("se")
    units = se["mega fixed"].fillna(se["meta random"])
    order = (effects["meta random"] / units).dropna()
    if order.empty:
        raise DataError("no feature has an effect to draw.")
    n_known = len(order)
    order = order.loc[order.abs().nlargest(most).index].sort_values()
    units = units.loc[order.index]
    axes = _axes(ax, (7.2, 1.5 + ROW * len(order)))
    low, high = (compared.wide(name).loc[order.index, "meta random"] for name in ("low", "high"))
    places = np.arange(len(order))
    band: dict[str, Any] = {
        "color": GREY,
        "linewidth": 6,
        "alpha": 0.3,
        "label": "meta random, interval",
    }
    axes.hlines(places, low / units, high / units, **band)
    for strategy, (sign, colour) in MARKS.items():
        values = effects.loc[order.index, strategy] / units
        axes.plot(values, places, sign, color=colour, ms=4.5, label=strategy, alpha=0.9)
    axes.axvline(0, color=DARK, linewidth=0.8)
    _name_rows(axes, order.index)
    axes.set_xlabel(
        f"effect of {compared.contrast}, in standard errors of the model with a column per site"
    )
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize="small")
    if len(order) < n_known:
        title = f"the {len(order)} strongest of {count(n_known, 'feature')}"
        axes.set_title(title, fontsize="medium", loc="left")
    return axes


def _axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained").subplots()


def _name_rows(axes: Axes, names: Sequence[Any] | pd.Series[Any] | pd.Index[Any]) -> None:
    axes.set_yticks(np.arange(len(names)), [str(name) for name in names], fontsize="small")
    axes.set_ylim(-0.8, len(names) - 0.2)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="x", linewidth=0.5, alpha=0.5)
    axes.set_axisbelow(True)
