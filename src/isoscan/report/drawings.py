"""Draw the facts as SVG that follows the colours of the page, light or dark.

Each drawing is a dictionary: svg (text), and panels, where the cells of its
matrices are, so that the page can name what lies under the pointer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from isoscan.report.arrange import order_by_effect
from isoscan.report.colours import AFTER, BEFORE, P_STEPS, colour_limit, diverging_colours
from isoscan.report.figures import plot_ks_matrix, plot_site_effects, plot_slopes
from isoscan.report.svg import RULE, WIDTH, Drawing, drawing_on_page
from isoscan.report.wording import plain_term

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_CELLS = 12_000  # of a matrix that can be read by pointing; more would need too much space

Facts = Mapping[str, Any]


def draw_site_effects(evaluate: Facts) -> Drawing:
    """Share of variance explained by site, all features, before and after.

    Parameters
    ----------
    evaluate : mapping
        Facts of the evaluation.

    Returns
    -------
    dict
        The drawing.
    """
    from matplotlib.ticker import PercentFormatter

    effects = evaluate["site_effects"]
    before = np.array(effects["before"]["partial_r2"], dtype=float)
    after = np.array(effects["after"]["partial_r2"], dtype=float)
    order = np.argsort(-np.nan_to_num(before), kind="stable")
    with drawing_on_page("effects", (WIDTH, 3.0)) as (figure, drawing):
        axes = figure.subplots()
        rank = np.arange(1, len(order) + 1)
        axes.vlines(rank, after[order], before[order], color=RULE, linewidth=0.8, zorder=0)
        axes.plot(rank, before[order], "o", color=BEFORE, ms=3.6, mew=0, label="before")
        axes.plot(rank, after[order], "o", color=AFTER, ms=3.6, mew=0, label="after")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
        axes.set_ylim(bottom=0)
        axes.margins(x=0.01)
        axes.set_xlabel("features, largest site effect first")
        axes.set_ylabel("explained by site (partial R²)")
        _open_frame(axes)
        axes.legend(loc="upper right", frameon=False, ncols=2)
    return drawing


def draw_site_medians(features: Facts) -> Drawing:
    """Heat map of site medians, before and after on one colour scale.

    Parameters
    ----------
    features : mapping
        Box statistics from `collect_facts`.

    Returns
    -------
    dict
        The drawing.
    """
    parts = {when: site_medians(features, when) for when in ("before", "after") if features[when]}
    order = parts["before"].columns[order_by_effect(parts["before"])]
    limit = colour_limit(parts["before"].to_numpy())
    height = (0.8 if len(order) > 1 else 1.2) + len(parts) * (0.45 + 0.2 * len(features["sites"]))
    with drawing_on_page("medians", (WIDTH, height + 1.2)) as (figure, drawing):
        rows = figure.subplots(len(parts), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (when, values) in zip(rows, parts.items(), strict=True):
            values = values.reindex(columns=order)
            _heat_map(axes, values, limit, when if len(parts) > 1 else "")
            _remember(drawing, axes, values, f"{when}: " if len(parts) > 1 else "", " spreads")
        for axes in rows[:-1]:
            axes.tick_params(labelbottom=False)
        _colour_scale(figure, list(rows), limit, "median − middle of the sites", 18 * len(rows))
    return drawing


def draw_model_effects(site_effects: Facts, *, name: str = "model", sort: bool = True) -> Drawing:
    """Heat maps of what the model takes out: shift and scale.

    Parameters
    ----------
    site_effects : mapping
        Keys sites, features, shift and scale (matrices, sites in rows).
    name : str
        Name of the drawing.
    sort : bool
        Put the feature with the largest shifts first, or keep the order.

    Returns
    -------
    dict
        The drawing.
    """
    sites, features = site_effects["sites"], site_effects["features"]
    shift = pd.DataFrame(np.array(site_effects["shift"], dtype=float), sites, features)
    scale = pd.DataFrame(np.array(site_effects["scale"], dtype=float), sites, features)
    ratio = scale.where(scale > 0).transform(np.log2)
    order = order_by_effect(shift) if sort else np.arange(len(features))
    with drawing_on_page(name, (WIDTH, 2.8 + 0.4 * len(sites))) as (figure, drawing):
        rows = figure.subplots(2, 1, sharex=True)
        named: tuple[tuple[str, pd.DataFrame, str, str], ...] = (
            ("shift", shift, " SD", "residual SD"),
            ("scale", ratio, "", "log₂ of the ratio"),
        )
        for axes, (what, values, unit, legend) in zip(rows, named, strict=True):
            values = values.iloc[:, order]
            limit = colour_limit(values.to_numpy())
            _heat_map(axes, values, limit, what)
            _colour_scale(figure, [axes], limit, legend)
            shown = values if what == "shift" else scale.iloc[:, order]
            _remember(drawing, axes, shown, f"{what}: ", unit)
        rows[0].tick_params(labelbottom=False)
    return drawing


def draw_ks(distributions: Facts) -> Drawing:
    """Matrices of pairs of sites that differ in distribution, before and after.

    Parameters
    ----------
    distributions : mapping
        Keys sites, before and after.

    Returns
    -------
    dict
        The drawing.
    """
    sites = distributions["sites"]
    side = min(WIDTH / 2, 1.6 + 0.3 * len(sites))
    with drawing_on_page("ks", (WIDTH, side + 0.3)) as (figure, drawing):
        for axes, when in zip(figure.subplots(1, 2), ("before", "after"), strict=True):
            plot_ks_matrix(distributions[when], sites, ax=axes)
            axes.set_title(when, loc="left")
            values = pd.DataFrame(np.array(distributions[when], dtype=float), sites, sites)
            _remember(drawing, axes, values, f"{when}: p = ", "")
    return drawing


def draw_slopes(terms: Facts, features: Sequence[str]) -> Drawing:
    """Slopes after against before, one panel per covariate.

    Parameters
    ----------
    terms : mapping
        Slopes of each term before and after.
    features : sequence of str
        Names of the features.

    Returns
    -------
    dict
        The drawing.
    """
    columns = 3
    rows = -(-len(terms) // columns)
    with drawing_on_page("slopes", (WIDTH, 3.6 * rows)) as (figure, drawing):
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, (term, slopes) in zip(panels, terms.items(), strict=False):
            plot_slopes(slopes, term=plain_term(term), features=features, ax=axes)
        for axes in panels[len(terms) :]:
            axes.remove()
    return drawing


def site_medians(features: Facts, when: str) -> pd.DataFrame:
    """Median of each site minus the middle of the sites, in typical within-site spreads.

    The spread is the median over sites of the interquartile range / 1.349, which is the
    standard deviation of a normal distribution. Covariates are not considered.

    Parameters
    ----------
    features : mapping
        Box statistics from `collect_facts`.
    when : str
        Before or after.

    Returns
    -------
    DataFrame of shape (n_sites, n_features)
        Deviations; NaN where a site has no value. Features without spread are left out.
    """
    column = features["statistics"].index
    boxes = np.array(features[when], dtype=float)
    spreads = (boxes[:, :, column("q75")] - boxes[:, :, column("q25")]) / 1.349
    medians = pd.DataFrame(boxes[:, :, column("median")])
    spread = pd.DataFrame(spreads).median(axis=1)
    deviations = medians.sub(medians.median(axis=1), axis=0).div(spread.where(spread > 0), axis=0)
    named = deviations.T.set_axis(features["sites"]).set_axis(features["names"], axis=1)
    return named.loc[:, spread.gt(0).to_numpy()]


def _heat_map(axes: Axes, values: pd.DataFrame, limit: float, title: str) -> None:
    plot_site_effects(values, limit=limit, sort=False, ax=axes)
    axes.set_title(title, loc="left")


def _colour_scale(
    figure: Figure, axes: list[Axes], limit: float, label: str, aspect: int = 18
) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    scale = ScalarMappable(Normalize(-limit, limit), diverging_colours())
    bar = figure.colorbar(scale, ax=axes, pad=0.01, aspect=aspect, shrink=0.9)
    bar.set_label(label, fontsize="small")
    bar.ax.tick_params(labelsize="small", length=0)
    bar.outline.set_visible(False)


def _remember(drawing: Drawing, axes: Axes, values: pd.DataFrame, prefix: str, suffix: str) -> None:
    if values.size > MOST_CELLS:
        return
    drawing["panels"].append(
        {
            "axes": axes,
            "rows": [str(name) for name in values.index],
            "columns": [str(name) for name in values.columns],
            "values": [
                [None if np.isnan(value) else float(f"{value:.3g}") for value in row]
                for row in values.to_numpy().tolist()
            ],
            "prefix": prefix,
            "suffix": suffix,
        }
    )


def _open_frame(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", linewidth=0.6)
    axes.set_axisbelow(True)


def p_legend() -> list[str]:
    """Words for the steps of the matrices of p values, the strongest first.

    Returns
    -------
    list of str
        One text per step.

    Examples
    --------
    >>> p_legend()
    ['p < 0.001', 'p < 0.01', 'p < 0.05', 'p ≥ 0.05']
    """
    return [*(f"p < {step:g}" for step in P_STEPS), f"p ≥ {P_STEPS[-1]:g}"]
