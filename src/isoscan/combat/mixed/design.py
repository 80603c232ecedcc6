"""Who belongs to which group, and what the design explains: once for all features.

Rows are scans, columns are features. The design is turned into an orthonormal basis,
so that nothing is lost when a feature has a mean of a million.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import linalg, sparse

from isoscan.combat.blocks import column_blocks
from isoscan.errors import (
    ConfoundedDesignError,
    DataError,
    InfiniteValuesError,
    MissingValuesError,
    MixedModelError,
    TooManyTermsError,
    count,
)

Array = NDArray[np.float64]
COLLINEAR = 1e-10
"""A column of the design with a smaller share of its own follows from the others."""


@dataclass(frozen=True)
class Basis:
    """The design of some scans, orthonormal.

    Attributes
    ----------
    columns : ndarray of shape (n_scans, n_columns)
        Orthonormal columns that span the design.
    to_coefficients : ndarray of shape (n_columns, n_columns)
        Turns weights of the basis into coefficients of the design.
    log_determinant : float
        Logarithm of the determinant of the products of the design.
    """

    columns: Array
    to_coefficients: Array
    log_determinant: float


def orthogonalize(design: Array) -> Basis:
    """Find an orthonormal basis of the design.

    Parameters
    ----------
    design : ndarray of shape (n_scans, n_columns)
        Sites, intercept and covariates.

    Returns
    -------
    Basis
        Orthonormal columns, and the way back.

    Raises
    ------
    TooManyTermsError
        If there are not more scans than columns.
    ConfoundedDesignError
        If columns follow from the others.

    Examples
    --------
    >>> orthogonalize(np.ones((4, 1))).columns.ravel().round(2).tolist()
    [-0.5, -0.5, -0.5, -0.5]
    """
    n_scans, n_columns = design.shape
    if n_columns >= n_scans:
        raise TooManyTermsError(
            f"the design has {count(n_columns, 'column')} for {count(n_scans, 'scan')}; "
            f"a mixed model needs more scans than columns. Drop terms or add scans.",
            terms=n_columns,
            scans=n_scans,
        )
    size = np.sqrt(np.einsum("ij,ij->j", design, design))
    size[size == 0] = 1.0
    columns, triangle, order = linalg.qr(design / size, mode="economic", pivoting=True)
    diagonal = np.abs(np.diagonal(triangle))
    aliased = np.sort(order[diagonal <= COLLINEAR]).tolist()
    if aliased:
        raise ConfoundedDesignError(
            f"{len(aliased)} of {count(n_columns, 'column')} of the design "
            f"{'follows' if len(aliased) == 1 else 'follow'} from the others "
            f"(in position {', '.join(map(str, aliased))}). Drop the terms they belong to.",
            columns=aliased,
        )
    back = np.empty((n_columns, n_columns))
    back[order] = linalg.solve_triangular(triangle, np.eye(n_columns))
    log_determinant = 2.0 * float(np.log(diagonal).sum() + np.log(size).sum())
    return Basis(columns, back / size[:, None], log_determinant)


@dataclass(frozen=True)
class Groups:
    """Which scans belong to which group; groups of the same size stand together.

    Attributes
    ----------
    membership : sparse array of shape (n_groups, n_scans)
        1 where a scan belongs to a group.
    sizes : ndarray of shape (n_groups,)
        Scans per group, ascending.
    codes : ndarray of int, shape (n_scans,)
        Number of the group of each scan.
    """

    membership: sparse.csr_array
    sizes: Array
    codes: NDArray[np.intp]

    @classmethod
    def of(cls, labels: NDArray[np.intp]) -> Groups:
        """Sort groups by size.

        Parameters
        ----------
        labels : ndarray of int, shape (n_scans,)
            Any numbers, one per group.

        Returns
        -------
        Groups
            Numbered anew; numbers without a scan are left out.
        """
        _, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
        order = np.argsort(sizes, kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        codes = rank[codes]
        n_scans = len(codes)
        ones = (np.ones(n_scans), (codes, np.arange(n_scans)))
        members = sparse.csr_array(ones, shape=(len(sizes), n_scans))
        return cls(members, sizes[order].astype(float), codes)

    def require_repeats(self) -> None:
        """Refuse groups that cannot be told apart from residuals.

        Raises
        ------
        MixedModelError
            If there are fewer than two groups, or one scan in each.
        """
        n_groups = len(self.sizes)
        if n_groups < 2:
            raise MixedModelError(
                f"a mixed model needs at least 2 groups, found {n_groups} in "
                f"{count(len(self.codes), 'scan')}. Give one label per subject (or site).",
                groups=n_groups,
            )
        if self.sizes.max() < 2:
            raise MixedModelError(
                f"every group has 1 scan ({count(n_groups, 'group')}), so what groups differ by "
                f"cannot be told apart from residuals. Check the labels, or use a model "
                f"without random effects.",
                groups=n_groups,
            )


def group_codes(groups: Sequence[Any] | NDArray[Any], n_scans: int) -> tuple[Any, NDArray[np.intp]]:
    """Number the groups.

    Parameters
    ----------
    groups : array_like of shape (n_scans,)
        Label of the group of each scan.
    n_scans : int
        Number of scans.

    Returns
    -------
    labels : ndarray of shape (n_groups,)
        Distinct labels, in the order in which they appear.
    codes : ndarray of int, shape (n_scans,)
        Number of the label of each scan.

    Raises
    ------
    DataError
        If there is not one label per scan.
    MissingValuesError
        If labels are missing.
    """
    if np.ndim(groups) != 1 or len(groups) != n_scans:
        raise DataError(
            f"groups must be one label per scan: expected {n_scans}, got shape {np.shape(groups)}."
        )
    codes, labels = pd.factorize(np.asarray(groups))
    missing = int((codes < 0).sum())
    if missing:
        raise MissingValuesError(
            f"{missing} of {count(n_scans, 'scan')} have no group. Label them or leave them out.",
            scans=np.flatnonzero(codes < 0).tolist(),
        )
    return labels, codes


@dataclass(frozen=True)
class Pattern:
    """Features that have values for the same scans.

    Attributes
    ----------
    features : ndarray of int
        Columns of the table.
    scans : ndarray of int
        Rows of the table.
    complete : bool
        Whether these are all scans.
    """

    features: NDArray[np.intp]
    scans: NDArray[np.intp]
    complete: bool


def missing_patterns(measures: NDArray[Any]) -> list[Pattern]:
    """Put features together that have values for the same scans.

    Parameters
    ----------
    measures : ndarray of shape (n_scans, n_features)
        Measures; NaN where missing.

    Returns
    -------
    list of Pattern
        Every feature belongs to one.

    Raises
    ------
    InfiniteValuesError
        If a measure is infinite.

    Examples
    --------
    >>> table = np.array([[1.0, np.nan, 3.0], [1.0, 2.0, 3.0]])
    >>> [(part.features.tolist(), part.scans.tolist()) for part in missing_patterns(table)]
    [([0, 2], [0, 1]), ([1], [1])]
    """
    n_scans, n_features = measures.shape
    found: dict[bytes, list[int]] = {}
    for columns in column_blocks(n_scans, n_features):
        block = measures[:, columns]
        if np.isfinite(block.sum(dtype=np.float64)):
            found.setdefault(b"", []).extend(range(columns.start, columns.stop))
            continue
        _refuse_infinite(block, columns.start)
        missing = np.isnan(block)
        packed = np.packbits(missing, axis=0)
        for feature, some in enumerate(missing.any(axis=0)):
            key = packed[:, feature].tobytes() if some else b""
            found.setdefault(key, []).append(columns.start + feature)
    return [_pattern(measures, features, key == b"") for key, features in found.items()]


def _pattern(measures: NDArray[Any], features: list[int], complete: bool) -> Pattern:
    columns = np.array(features, dtype=np.intp)
    if complete:
        return Pattern(columns, np.arange(len(measures)), True)
    return Pattern(columns, np.flatnonzero(~np.isnan(measures[:, columns[0]])), False)


def _refuse_infinite(block: NDArray[Any], first_column: int) -> None:
    rows, columns = np.nonzero(np.isinf(block))
    if len(rows):
        row, column = int(rows[0]), first_column + int(columns[0])
        raise InfiniteValuesError(
            f"measures are infinite, the first in row {row}, column {column}. "
            f"Correct them or mark them as missing.",
            row=row,
            column=column,
        )
