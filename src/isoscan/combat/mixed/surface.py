"""Likelihood of a random intercept and slope, with its derivatives, for many features.

What a group contributes depends on the sums of its scans and on the sums weighted by the
slope, nothing else: two by two matrices per group. The likelihood is a surface over three
numbers per feature, the covariance of intercept and slope in units of the residual
variance, written as (intercept, both, slope).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Three = tuple[Array, Array, Array]


@dataclass(frozen=True)
class GroupSums:
    """Sums of the design per group.

    Attributes
    ----------
    counts : ndarray of shape (3, n_groups)
        Scans, sum of the slope, sum of its squares.
    plain, weighted : ndarray of shape (n_groups, n_columns)
        Sums of the basis, and sums weighted by the slope.
    """

    counts: Array
    plain: Array
    weighted: Array

    @property
    def n_columns(self) -> int:
        """Columns of the design."""
        return int(self.plain.shape[1])

    @cached_property
    def corners(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Positions of the upper triangle of a symmetric matrix of columns."""
        return np.triu_indices(self.n_columns)

    @cached_property
    def products(self) -> Array:
        """Upper triangles of the products of sums; shape (3 n_groups, n_corners)."""
        rows, columns = self.corners
        plain, weighted = self.plain, self.weighted
        both = plain[:, rows] * weighted[:, columns] + weighted[:, rows] * plain[:, columns]
        return np.concatenate(
            [plain[:, rows] * plain[:, columns], both, weighted[:, rows] * weighted[:, columns]]
        )

    def sandwich(self, middle: Three) -> Array:
        """Sum over groups of sums' @ middle @ sums, for a symmetric matrix per group.

        Parameters
        ----------
        middle : tuple of ndarray of shape (n_features, n_groups)
            Upper triangle of the matrix in the middle.

        Returns
        -------
        ndarray of shape (n_features, n_columns, n_columns)
            Symmetric matrices.
        """
        corners = np.concatenate(middle, axis=1) @ self.products
        out = np.empty((len(corners), self.n_columns, self.n_columns))
        rows, columns = self.corners
        out[:, rows, columns] = corners
        out[:, columns, rows] = corners
        return out

    def bread(self, inner: Array) -> Three:
        """For each group, sums @ inner @ sums' of a symmetric matrix of columns.

        Parameters
        ----------
        inner : ndarray of shape (n_features, n_columns, n_columns)
            Symmetric matrices.

        Returns
        -------
        tuple of ndarray of shape (n_features, n_groups)
            Upper triangle of the two by two matrix of each group.
        """
        rows, columns = self.corners
        twice = np.where(rows == columns, 1.0, 2.0)
        out = (inner[:, rows, columns] * twice) @ self.products.T
        first, both, second = np.split(out, 3, axis=1)
        return first, 0.5 * both, second

    def collect(self, first: Array, second: Array) -> Array:
        """Sum over groups of sums' @ vector.

        Parameters
        ----------
        first, second : ndarray of shape (n_features, n_groups)
            Elements of the vector of each group.

        Returns
        -------
        ndarray of shape (n_features, n_columns)
            Vectors.
        """
        return np.asarray(first @ self.plain + second @ self.weighted)


@dataclass(frozen=True)
class Shrinkage:
    """What a covariance of random effects does to each group.

    Attributes
    ----------
    inverse : tuple of four ndarray of shape (n_features, n_groups)
        Inverse of one plus products times covariance, row by row.
    determinant : ndarray of shape (n_features, n_groups)
        Its determinant before inversion.
    effect : tuple of three ndarray of shape (n_features, n_groups)
        Turns group sums into random effects.
    information : tuple of three ndarray of shape (n_features, n_groups)
        Products of each group, weighted by the inverse of the covariance of its scans.
    """

    inverse: tuple[Array, Array, Array, Array]
    determinant: Array
    effect: Three
    information: Three

    @classmethod
    def of(cls, counts: Array, covariance: Array) -> Shrinkage:
        """Invert two by two matrices.

        Parameters
        ----------
        counts : ndarray of shape (3, n_groups)
            Scans, sum of the slope, sum of its squares.
        covariance : ndarray of shape (n_features, 3)
            Of the random effects, in units of the residual variance.

        Returns
        -------
        Shrinkage
            For every group and feature.
        """
        n, m, s = counts
        a, b, c = covariance.T[:, :, None]
        upper = 1.0 + n * a + m * b, n * b + m * c
        lower = m * a + s * b, 1.0 + m * b + s * c
        determinant = upper[0] * lower[1] - upper[1] * lower[0]
        k11, k12 = lower[1] / determinant, -upper[1] / determinant
        k21, k22 = -lower[0] / determinant, upper[0] / determinant
        return cls(
            inverse=(k11, k12, k21, k22),
            determinant=determinant,
            effect=(a * k11 + b * k21, a * k12 + b * k22, b * k12 + c * k22),
            information=(k11 * n + k12 * m, k11 * m + k12 * s, k21 * m + k22 * s),
        )

    def outer(self) -> tuple[Three, Three, Three]:
        """Derivatives of the information, between inverse and its transpose.

        Returns
        -------
        tuple of three
            By (intercept, both, slope); each the upper triangle of a matrix per group.
        """
        k11, k12, k21, k22 = self.inverse
        return (
            (k11 * k11, k11 * k12, k12 * k12),
            (2 * k11 * k21, k11 * k22 + k12 * k21, 2 * k12 * k22),
            (k21 * k21, k21 * k22, k22 * k22),
        )


@dataclass(frozen=True)
class Surface:
    """The likelihood of a block of features.

    Attributes
    ----------
    sums : GroupSums
        The design.
    plain, weighted : ndarray of shape (n_features, n_groups)
        Group sums of the residuals of ordinary least squares, and weighted by the slope.
    squares : ndarray of shape (n_features,)
        Residual squares of ordinary least squares.
    degrees : float
        Scans less columns of the design (REML), or scans (ML).
    restricted : bool
        REML rather than ML.
    """

    sums: GroupSums
    plain: Array
    weighted: Array
    squares: Array
    degrees: float
    restricted: bool

    def of(self, features: NDArray[np.intp]) -> Surface:
        """Surfaces of some features.

        Parameters
        ----------
        features : ndarray of int
            Which; a feature may occur more than once.

        Returns
        -------
        Surface
            Theirs.
        """
        return Surface(
            self.sums,
            self.plain[features],
            self.weighted[features],
            self.squares[features],
            self.degrees,
            self.restricted,
        )

    def at(self, covariance: Array) -> Point:
        """Evaluate every feature at its own covariance.

        Parameters
        ----------
        covariance : ndarray of shape (n_features, 3)
            Of the random effects, in units of the residual variance.

        Returns
        -------
        Point
            Heights; derivatives on demand.
        """
        shrunk = Shrinkage.of(self.sums.counts, covariance)
        first, both, second = shrunk.effect
        effects = (
            first * self.plain + both * self.weighted,
            both * self.plain + second * self.weighted,
        )
        precision = np.eye(self.sums.n_columns) - self.sums.sandwich(shrunk.effect)
        moved = -self.sums.collect(*effects)
        weights = np.asarray(np.linalg.solve(precision, moved[:, :, None])[:, :, 0], np.float64)
        squares = self.squares - (self.plain * effects[0] + self.weighted * effects[1]).sum(axis=1)
        squares -= np.einsum("fc,fc->f", moved, weights)
        logs = np.log(shrunk.determinant).sum(axis=1)
        if self.restricted:
            logs += np.linalg.slogdet(precision)[1]
        return Point(self, shrunk, precision, weights, np.maximum(squares, 1e-300), logs)


@dataclass(frozen=True)
class Point:
    """One place on the surface of each feature.

    Attributes
    ----------
    surface : Surface
        The surface.
    shrunk : Shrinkage
        What the covariance does to each group.
    precision : ndarray of shape (n_features, n_columns, n_columns)
        Inverse covariance of the weights of the basis, times the residual variance.
    weights : ndarray of shape (n_features, n_columns)
        What is added to the weights of ordinary least squares.
    squares : ndarray of shape (n_features,)
        Weighted residual squares.
    log_determinant : ndarray of shape (n_features,)
        Penalty.
    """

    surface: Surface
    shrunk: Shrinkage
    precision: Array
    weights: Array
    squares: Array
    log_determinant: Array

    @property
    def height(self) -> Array:
        """Twice the negative log-likelihood, up to a constant."""
        return self.surface.degrees * np.log(self.squares) + self.log_determinant

    def derivatives(self) -> tuple[Array, Array, Array, Array]:
        """First and second derivatives by the covariance.

        Returns
        -------
        squares_slope : ndarray of shape (n_features, 3)
            Of the weighted squares.
        squares_bend : ndarray of shape (n_features, 3, 3)
            Of the weighted squares.
        slope : ndarray of shape (n_features, 3)
            Of the log-determinant.
        bend : ndarray of shape (n_features, 3, 3)
            Of the log-determinant.
        """
        information = self.shrunk.information
        slope = _by_covariance(information)
        bend = -_second(information, information)
        if self.surface.restricted:
            inverse = np.asarray(np.linalg.inv(self.precision), np.float64)
            explained = self._explained(inverse)
            slope -= _by_covariance(explained)
            bend += 2.0 * _second(information, explained)
            turned = [self.surface.sums.sandwich(part) @ inverse for part in self.shrunk.outer()]
            bend -= np.array(
                [[np.einsum("fij,fji->f", one, two) for one in turned] for two in turned]
            ).transpose(2, 0, 1)
        return *self._of_squares(), slope, bend

    def _explained(self, inverse: Array) -> Three:
        """What the design takes from the information of each group."""
        k11, k12, k21, k22 = self.shrunk.inverse
        p, q, r = self.surface.sums.bread(inverse)
        return (
            k11 * k11 * p + 2 * k11 * k12 * q + k12 * k12 * r,
            k11 * k21 * p + (k11 * k22 + k12 * k21) * q + k12 * k22 * r,
            k21 * k21 * p + 2 * k21 * k22 * q + k22 * k22 * r,
        )

    def _of_squares(self) -> tuple[Array, Array]:
        surface, sums = self.surface, self.surface.sums
        k11, k12, k21, k22 = self.shrunk.inverse
        plain = surface.plain - self.weights @ sums.plain.T
        weighted = surface.weighted - self.weights @ sums.weighted.T
        g, h = k11 * plain + k12 * weighted, k21 * plain + k22 * weighted
        slope = -_by_covariance((g * g, g * h, h * h))
        bend = 2.0 * _second(self.shrunk.information, (g * g, g * h, h * h))
        moved = np.stack(
            [
                sums.collect(k11 * g, k12 * g),
                sums.collect(k11 * h + k21 * g, k12 * h + k22 * g),
                sums.collect(k21 * h, k22 * h),
            ],
            axis=2,
        )
        bend -= 2.0 * moved.transpose(0, 2, 1) @ np.linalg.solve(self.precision, moved)
        return slope, bend


def _by_covariance(matrix: Three) -> Array:
    """Trace of the product with each direction of the covariance, summed over groups."""
    first, both, second = (part.sum(axis=1) for part in matrix)
    return np.stack([first, 2.0 * both, second], axis=1)


def _second(one: Three, two: Three) -> Array:
    """Trace of direction @ one @ direction @ two, summed over groups, symmetrized."""

    def dot(left: Array, right: Array) -> Array:
        return np.asarray(np.einsum("fg,fg->f", left, right))

    a, b, c = one
    p, q, r = two
    out = np.empty((len(a), 3, 3))
    out[:, 0, 0] = dot(a, p)
    out[:, 0, 1] = out[:, 1, 0] = dot(a, q) + dot(b, p)
    out[:, 0, 2] = out[:, 2, 0] = dot(b, q)
    out[:, 1, 1] = dot(c, p) + 2.0 * dot(b, q) + dot(a, r)
    out[:, 1, 2] = out[:, 2, 1] = dot(c, q) + dot(b, r)
    out[:, 2, 2] = dot(c, r)
    return out
