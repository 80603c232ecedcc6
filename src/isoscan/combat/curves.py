"""Fitted curves: how much they bend, and what they look like, with a band."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from isoscan.combat.smooth import Penalty, SmoothFit, standard_errors
from isoscan.combat.training import Training
from isoscan.errors import DataError, MissingColumnError, name_some

if TYPE_CHECKING:
    from isoscan.combat.base import SiteHarmonizer
    from isoscan.design.splines import Spline

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Curves:
    """How much the curves of a model bend, and what is needed to draw bands around them.

    Attributes
    ----------
    smoothing : ndarray of shape (n_curves, n_features)
        Weight of the penalty against the residual squares; inf for a straight line.
    edf : ndarray of shape (n_curves, n_features)
        Effective degrees of freedom; 1 for a straight line.
    variance : ndarray of shape (n_features,)
        Residual variance by restricted maximum likelihood.
    products : ndarray of shape (n_columns, n_columns)
        Products of the design columns within sites, over all training scans.
    centre : ndarray of shape (n_columns,)
        Mean design row of the training scans; for curves of one level, of its scans.
    """

    SHAPES: ClassVar[dict[str, tuple[str, ...]]] = {
        "smoothing": ("curves", "features"),
        "edf": ("curves", "features"),
        "variance": ("features",),
        "products": ("columns", "columns"),
        "centre": ("columns",),
    }
    smoothing: Array
    edf: Array
    variance: Array
    products: Array
    centre: Array

    @classmethod
    def of(cls, fit: SmoothFit | None, training: Training) -> Curves | None:
        """Keep what a fit says about its curves.

        Parameters
        ----------
        fit : SmoothFit or None
            Fit of all features; None if there are no curves.
        training : Training
            The training scans' covariates.

        Returns
        -------
        Curves or None
            None if there are no curves.
        """
        if fit is None:
            return None
        return cls(fit.smoothing, fit.edf, fit.variance, training.products, training.centre)


def join_curves(parts: Sequence[SmoothFit]) -> SmoothFit | None:
    """Put the fits of blocks of features side by side.

    Parameters
    ----------
    parts : sequence of SmoothFit
        Fits in the order of the features; none if there are no curves.

    Returns
    -------
    SmoothFit or None
        Fit of all features.
    """
    if not parts:
        return None
    names = ("slopes", "smoothing", "edf", "variance", "solvable")
    return SmoothFit(
        **{name: np.concatenate([getattr(part, name) for part in parts], -1) for name in names}
    )


def curve_frame(
    model: SiteHarmonizer,
    covariate: str,
    feature: str,
    *,
    at: Sequence[float] | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Draw the curves of one covariate as a table.

    Parameters
    ----------
    model : SiteHarmonizer
        A fitted model.
    covariate : str
        A covariate that entered as a curve.
    feature : str
        A feature.
    at : sequence of float, optional
        Values of the covariate; by default 100 between the bounds.
    level : float
        Coverage of the band.

    Returns
    -------
    DataFrame
        One row per value, and per level for curves by level: the covariate, `by` where there
        are levels, value, low, high, se. Curves average 0 over the training scans, in the
        unit of the feature.

    Raises
    ------
    DataError
        If there is no such curve or feature.
    """
    splines = model.smooth_design_.splines
    numbers = [number for number, spline in enumerate(splines) if spline.name == covariate]
    if not numbers:
        raise DataError(
            f"there is no curve of '{covariate}'. Curves: "
            f"{name_some([spline.label for spline in splines]) if splines else 'none'}."
        )
    names = model._names()
    if feature not in names:
        raise MissingColumnError(
            f"the model has no feature '{feature}'. Features: {name_some(names, 8)}.",
            column=feature,
        )
    return pd.concat(
        [_one_curve(model, number, names.index(feature), at, level) for number in numbers],
        ignore_index=True,
    )


def _one_curve(
    model: SiteHarmonizer, number: int, feature: int, at: Sequence[float] | None, level: float
) -> pd.DataFrame:
    curves, penalties = model.model_.curves, model._penalties()
    assert curves is not None
    spline, penalty = model.smooth_design_.splines[number], penalties[number]
    values = np.linspace(spline.low, spline.high, 100) if at is None else np.asarray(at, float)
    rows = _centred_rows(spline, penalty, curves, values)
    slopes = model.model_.slopes[:, [feature]]
    error = standard_errors(
        rows,
        curves.products[..., None],
        penalties,
        curves.smoothing[:, [feature]],
        curves.variance[[feature]],
    )[:, 0]
    value, width = (rows @ slopes)[:, 0], norm.ppf(0.5 + level / 2) * error
    known = {spline.name: values, "value": value, "low": value - width, "high": value + width}
    frame = pd.DataFrame({**known, "se": error})
    if spline.by is not None:
        frame.insert(1, spline.by[0], spline.by[1])
    return frame


def _centred_rows(spline: Spline, penalty: Penalty, curves: Curves, values: Array) -> Array:
    """Design rows of one curve alone, about its mean over the training scans."""
    rows = np.zeros((len(values), len(curves.centre)))
    rows[:, penalty.columns] = spline.basis(values) - curves.centre[penalty.columns]
    return rows
