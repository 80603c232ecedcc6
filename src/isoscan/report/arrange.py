"""Put site effects and slopes into the shape and order a figure needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def standardized_slopes(
    slopes: Mapping[str, Any],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Slopes in units of their standard error before harmonization.

    Parameters
    ----------
    slopes : mapping
        Keys before and after, each with lists slope, low and high (95% interval).

    Returns
    -------
    before, after : ndarray of shape (n_features,)
        Slopes; NaN where the standard error is unknown or zero.
    moved : ndarray of bool, shape (n_features,)
        True where the slope after lies outside the 95% interval before.

    Examples
    --------
    >>> interval = {"slope": [1.0], "low": [0.02], "high": [1.98]}
    >>> standardized_slopes({"before": interval, "after": {"slope": [2.0]}})
    (array([2.]), array([4.]), array([ True]))
    """
    first = {key: np.array(slopes["before"][key], dtype=float) for key in ("slope", "low", "high")}
    later = np.array(slopes["after"]["slope"], dtype=float)
    error = (first["high"] - first["low"]) / (2 * 1.96)
    error = np.where(error > 0, error, np.nan)
    moved = (later < first["low"]) | (later > first["high"])
    return first["slope"] / error, later / error, moved


def as_matrix(
    site_effects: Any,
    what: str = "shift",
    sites: Sequence[str] | None = None,
    features: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Bring site effects into a matrix, sites in rows.

    Parameters
    ----------
    site_effects : DataFrame or array
        Tidy frame with columns site, feature and `what`, or a matrix.
    what : str
        Column of the tidy frame.
    sites, features : sequence of str, optional
        Names of rows and columns of an array.

    Returns
    -------
    DataFrame of shape (n_sites, n_features)
        Effects; NaN where there is none.

    Examples
    --------
    >>> as_matrix([[0.5, -0.1]], sites=["A"], features=["x", "y"]).loc["A", "y"]
    np.float64(-0.1)
    """
    if isinstance(site_effects, pd.DataFrame) and {"site", "feature"} <= set(site_effects):
        tidy = site_effects
        matrix = tidy.pivot(index="site", columns="feature", values=what)
        return matrix.loc[:, tidy["feature"].unique()].astype(float)
    if isinstance(site_effects, pd.DataFrame):
        return site_effects.astype(float)
    matrix = pd.DataFrame(np.array(site_effects, dtype=float))
    matrix.index = matrix.index if sites is None else pd.Index(sites)
    matrix.columns = matrix.columns if features is None else pd.Index(features)
    return matrix


def order_by_effect(values: pd.DataFrame) -> NDArray[np.int64]:
    """Positions of the features, the one with the largest mean square effect first.

    Parameters
    ----------
    values : DataFrame of shape (n_sites, n_features)
        Effects, 0 where there is none.

    Returns
    -------
    ndarray of int, shape (n_features,)
        Column positions.

    Examples
    --------
    >>> order_by_effect(pd.DataFrame([[0.1, -2.0, 1.0]]))
    array([1, 2, 0])
    """
    return np.argsort(-np.nansum(values.to_numpy() ** 2, axis=0), kind="stable")


def shorten(name: str, limit: int = 26) -> str:
    """Cut long names in the middle, where they differ least.

    Parameters
    ----------
    name : str
        Name.
    limit : int
        Longest text.

    Returns
    -------
    str
        The name or its two ends.

    Examples
    --------
    >>> shorten("lh_caudalanteriorcingulate_thickness", 20)
    'lh_caudala…thickness'
    """
    if len(name) <= limit:
        return name
    head = limit // 2
    return f"{name[:head]}…{name[len(name) - (limit - head - 1) :]}"
