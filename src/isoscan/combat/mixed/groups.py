"""What each group adds to its scans: best linear unbiased predictions.

Predictions need the variances of a fit and residuals, nothing else: they can be made for
scans and groups that the fit has not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from isoscan.combat.blocks import column_blocks
from isoscan.combat.mixed.design import group_codes
from isoscan.errors import DataError, FeatureMismatchError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class GroupEffects:
    """Random effects of groups, in the unit of the features.

    Attributes
    ----------
    labels : ndarray of shape (n_groups,)
        Distinct labels, in the order in which they appear.
    codes : ndarray of int, shape (n_scans,)
        Number of the group of each scan.
    intercept : ndarray of shape (n_groups, n_features)
        What a group adds to each of its scans; 0 for a group without values.
    slope : ndarray of shape (n_groups, n_features) or None
        What it adds per unit of the slope.
    """

    labels: NDArray[Any]
    codes: NDArray[np.intp]
    intercept: Array
    slope: Array | None = None

    def at_scans(self, slope: ArrayLike | None = None) -> Array:
        """Add up what the group of each scan contributes.

        Parameters
        ----------
        slope : array_like of shape (n_scans,), optional
            Values of the slope, for random slopes.

        Returns
        -------
        ndarray of shape (n_scans, n_features)
            The random part of each scan.
        """
        out = self.intercept[self.codes]
        values = slope_values(slope, len(self.codes), wanted=self.slope is not None)
        if self.slope is not None and values is not None:
            out += self.slope[self.codes] * values[:, None]
        return out


def slope_values(slope: ArrayLike | None, n_scans: int, *, wanted: bool) -> Array | None:
    """Check the values of a slope.

    Parameters
    ----------
    slope : array_like of shape (n_scans,) or None
        One value per scan.
    n_scans : int
        Number of scans.
    wanted : bool
        Whether the model has a random slope.

    Returns
    -------
    ndarray of shape (n_scans,) or None
        The values.

    Raises
    ------
    DataError
        If values are missing, or given where there is no slope.
    """
    if (slope is not None) != wanted:
        what = "needs its values" if wanted else "takes no values: it was fitted without"
        raise DataError(f"the random slope of this model {what}. Check the argument 'slope'.")
    if slope is None:
        return None
    values = np.asarray(slope, dtype=np.float64)
    if values.shape != (n_scans,) or not np.isfinite(values).all():
        raise DataError(
            f"slope must be one finite number per scan: expected {n_scans}, got shape "
            f"{values.shape} with {int((~np.isfinite(values)).sum())} missing or infinite."
        )
    return values


def predict_groups(
    residuals: ArrayLike,
    groups: Sequence[Any] | NDArray[Any],
    *,
    variance: Array,
    between: Array,
    slope: ArrayLike | None = None,
) -> GroupEffects:
    """Predict what each group adds to its scans.

    Parameters
    ----------
    residuals : array_like of shape (n_scans, n_features)
        Measures less what the design explains; NaN where missing.
    groups : sequence of shape (n_scans,)
        Label of the group of each scan.
    variance : ndarray of shape (n_features,)
        Residual variance.
    between : ndarray of shape (n_features,) or (n_features, 2, 2)
        Variance between groups.
    slope : array_like of shape (n_scans,), optional
        Values of the slope, for random slopes.

    Returns
    -------
    GroupEffects
        One row per group.

    Raises
    ------
    FeatureMismatchError
        If there are not as many features as variances.
    DataError
        If labels or slopes do not fit.

    Examples
    --------
    >>> one = np.ones(1)
    >>> predict_groups([[1.0], [1.0], [-3.0]], "aab", variance=one, between=one).intercept
    array([[ 0.66666667], [-1.5 ]])
    """
    left = np.asarray(residuals)
    if left.ndim != 2 or left.shape[1] != len(variance):
        raise FeatureMismatchError(
            f"residuals must have one column for each of {len(variance)} features, got shape "
            f"{left.shape}."
        )
    labels, codes = group_codes(np.asarray(list(groups)), len(left))
    values = slope_values(slope, len(left), wanted=between.ndim == 3)
    n_groups = len(labels)
    members = sparse.csr_array(
        (np.ones(len(left)), (codes, np.arange(len(left)))), shape=(n_groups, len(left))
    )
    found = np.empty((n_groups, left.shape[1]))
    slopes = None if values is None else np.empty_like(found)
    for part in column_blocks(len(left), left.shape[1]):
        block = np.array(left[:, part], dtype=np.float64)
        seen = np.isfinite(block)
        block[~seen] = 0.0
        within, covariance = variance[part], between[part]
        if values is None or slopes is None:
            counts, sums = members @ seen.astype(float), members @ block
            found[:, part] = _intercepts(np.asarray(sums), np.asarray(counts), within, covariance)
        else:
            found[:, part], slopes[:, part] = _with_slopes(
                members, block, seen, values, within, covariance
            )
    return GroupEffects(labels, codes, found, slopes)


def _intercepts(sums: Array, counts: Array, variance: Array, between: Array) -> Array:
    divisor = variance + counts * between
    return np.asarray(between * sums / np.where(divisor == 0, 1.0, divisor), dtype=np.float64)


def _with_slopes(
    members: sparse.csr_array,
    block: Array,
    seen: NDArray[np.bool_],
    values: Array,
    variance: Array,
    between: Array,
) -> tuple[Array, Array]:
    """Solve (residual variance + covariance x products) effects = covariance x sums."""
    here, column = seen.astype(float), values[:, None]
    count, first, second = (members @ (here * column**power) for power in (0, 1, 2))
    total, weighted = members @ block, members @ (block * column)
    a, b, c = between[:, 0, 0], between[:, 0, 1], between[:, 1, 1]
    upper = variance + a * count + b * first, a * first + b * second
    lower = b * count + c * first, variance + b * first + c * second
    right = a * total + b * weighted, b * total + c * weighted
    determinant = upper[0] * lower[1] - upper[1] * lower[0]
    determinant = np.where(determinant == 0, 1.0, determinant)
    intercept = (right[0] * lower[1] - upper[1] * right[1]) / determinant
    return intercept, (upper[0] * right[1] - right[0] * lower[0]) / determinant
