"""Centred, mergeable moments of covariates and features, one set per site.

They are all that ComBat ever asks of the data. Moments of two parts of a site
merge into those of the whole (Chan, Golub & LeVeque 1979), so parts may come
from blocks of columns, files, other computers, or next month's scans.

The last axis runs over features. Without missing values the counts and the
moments of covariates are the same for every feature, and that axis has length 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoscan.errors import InfiniteValuesError, count

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Scans:
    """Rows of a table in the order of their sites, with their covariates.

    Attributes
    ----------
    order : ndarray of int, shape (n_scans,)
        Row numbers, grouped by site.
    starts : ndarray of int, shape (n_sites + 1,)
        Where each site begins within `order`.
    covariates : ndarray of shape (n_scans, n_covariates)
        Design columns in the order of `order`.
    """

    order: NDArray[np.intp]
    starts: NDArray[np.intp]
    covariates: Array

    @classmethod
    def group(cls, codes: NDArray[np.intp], n_sites: int, covariates: Array) -> Scans:
        """Group rows by site.

        Parameters
        ----------
        codes : ndarray of int, shape (n_scans,)
            Number of the site of each row.
        n_sites : int
            Number of sites; some may have no row.
        covariates : ndarray of shape (n_scans, n_covariates)
            Design columns, in row order.

        Returns
        -------
        Scans
            The grouped rows.
        """
        order = np.argsort(codes, kind="stable")
        starts = np.searchsorted(codes[order], np.arange(n_sites + 1))
        return cls(order, starts, np.ascontiguousarray(covariates[order], dtype=float))

    @cached_property
    def sites(self) -> list[slice]:
        """Rows of each site within `order`."""
        return [slice(*pair) for pair in zip(self.starts[:-1], self.starts[1:], strict=True)]

    @property
    def per_site(self) -> Array:
        """Number of scans of each site, shape (n_sites,)."""
        return np.diff(self.starts).astype(float)

    @cached_property
    def present(self) -> list[tuple[int, slice]]:
        """Number and rows of every site that has scans."""
        return [(site, rows) for site, rows in enumerate(self.sites) if rows.start < rows.stop]

    @cached_property
    def rows(self) -> list[slice | NDArray[np.intp]]:
        """Rows of each site in the table; a slice where they follow each other."""
        found: list[slice | NDArray[np.intp]] = []
        for part in self.sites:
            rows = self.order[part]
            together = rows.size > 0 and rows[-1] - rows[0] == rows.size - 1
            found.append(slice(int(rows[0]), int(rows[-1]) + 1) if together else rows)
        return found

    @property
    def rows_at_a_time(self) -> float:
        """Scans of an average site: what is worked on in one step."""
        return len(self.order) / max(len(self.present), 1)

    @cached_property
    def centred(self) -> CentredCovariates:
        """Moments of the covariates, and the covariates without their site means."""
        return _centre(self)

    def gather(self, table: NDArray[Any], site: int) -> Array:
        """Copy the scans of one site into float64.

        Parameters
        ----------
        table : ndarray of shape (n_scans, n_features)
            Measures of all scans.
        site : int
            Number of the site.

        Returns
        -------
        ndarray of shape (n_scans of the site, n_features)
            A copy that may be changed.
        """
        rows = self.rows[site]
        if isinstance(rows, slice):
            return np.array(table[rows], dtype=np.float64)
        return table[rows].astype(np.float64, copy=False)


@dataclass(frozen=True)
class Moments:
    """Counts, means and centred products per site.

    Attributes
    ----------
    count : ndarray of shape (n_sites, 1 or n_features)
        Number of scans with a value.
    covariate_mean : ndarray of shape (n_sites, n_covariates, 1 or n_features)
        Means of the covariates over those scans.
    feature_mean : ndarray of shape (n_sites, n_features)
        Means of the features; 0 where the count is 0.
    covariate_products : ndarray of shape (n_sites, n_covariates, n_covariates, 1 or n_features)
        Centred products of covariates.
    cross_products : ndarray of shape (n_sites, n_covariates, n_features)
        Centred products of covariates and features.
    feature_squares : ndarray of shape (n_sites, n_features)
        Centred squares of features.
    """

    count: Array
    covariate_mean: Array
    feature_mean: Array
    covariate_products: Array
    cross_products: Array
    feature_squares: Array

    @property
    def n_features(self) -> int:
        """Number of features."""
        return int(self.feature_mean.shape[1])

    @property
    def has_missing(self) -> bool:
        """Whether counts differ between features."""
        return bool(self.count.shape[1] != 1)


def collect(table: NDArray[Any], scans: Scans, *, first_column: int = 0) -> Moments:
    """Moments of a block of features, accumulated in float64.

    Parameters
    ----------
    table : ndarray of shape (n_scans, n_features)
        Measures of any real type; NaN where missing. Not modified.
    scans : Scans
        Which rows belong to which site, and their covariates.
    first_column : int
        Number of the first of these features in the whole table, for messages.

    Returns
    -------
    Moments
        One set per site.

    Raises
    ------
    InfiniteValuesError
        If a measure is infinite.

    Examples
    --------
    >>> scans = Scans.group(np.array([0, 0, 1]), 2, np.zeros((3, 0)))
    >>> collect(np.array([[1.0], [3.0], [5.0]]), scans).feature_mean.tolist()
    [[2.0], [5.0]]
    """
    moments = _collect_complete(table, scans)
    if moments is not None:
        return moments
    values = table[scans.order].astype(float)
    refuse_infinite(values, scans.order, first_column)
    return _collect_incomplete(values, scans)


def refuse_infinite(
    values: Array, order: NDArray[np.intp] | None = None, first_column: int = 0
) -> None:
    """Refuse infinities; the caller knows the names that belong to the positions.

    Parameters
    ----------
    values : ndarray of shape (n_scans, n_features)
        Measures, or what they were turned into.
    order : ndarray of int, optional
        Number of each row in the table.
    first_column : int
        Number of the first of these features.

    Raises
    ------
    InfiniteValuesError
        With the row and column of the first infinity.
    """
    rows, columns = np.nonzero(np.isinf(values))
    if len(rows):
        row = int(rows[0] if order is None else order[rows[0]])
        raise InfiniteValuesError(
            f"{count(len(rows), 'cell')} infinite, the first in row {row}.",
            row=row,
            column=first_column + int(columns[0]),
        )


@dataclass(frozen=True)
class CentredCovariates:
    """Means and centred products of covariates per site.

    Attributes
    ----------
    mean : ndarray of shape (n_sites, n_covariates, 1)
        Site means.
    products : ndarray of shape (n_sites, n_covariates, n_covariates, 1)
        Centred products.
    values : ndarray of shape (n_scans, 1 + n_covariates)
        A column of ones, then the covariates without their site means.
    """

    mean: Array
    products: Array
    values: Array


def _centre(scans: Scans) -> CentredCovariates:
    n_sites, n_covariates = len(scans.sites), scans.covariates.shape[1]
    mean = np.zeros((n_sites, n_covariates, 1))
    products = np.zeros((n_sites, n_covariates, n_covariates, 1))
    values = np.column_stack([np.ones(len(scans.order)), scans.covariates])
    centred = values[:, 1:]
    for site, rows in scans.present:
        mean[site, :, 0] = centred[rows].mean(axis=0)
        centred[rows] -= mean[site, :, 0]
        products[site, :, :, 0] = centred[rows].T @ centred[rows]
    return CentredCovariates(mean, products, values)


def _collect_complete(table: NDArray[Any], scans: Scans) -> Moments | None:
    """Subtract the first scan of each site, then multiply; None as soon as a value is missing.

    What lies between the first scan and the mean is found on the way and put right. The squares
    about any one value of a site are at most n times those about its mean, so n times the
    rounding error is the most that this can cost.
    """
    n_sites, n_features = len(scans.sites), table.shape[1]
    covariates = scans.centred
    mean, squares = np.zeros((n_sites, n_features)), np.zeros((n_sites, n_features))
    cross = np.zeros((n_sites, covariates.values.shape[1], n_features))
    for site, part in scans.present:
        of_site = scans.gather(table, site)
        mean[site] = of_site[0]
        with np.errstate(invalid="ignore"):  # infinities are refused by name later
            of_site -= mean[site]
            np.matmul(covariates.values[part].T, of_site, out=cross[site])
            if not np.isfinite(np.add.reduce(cross[site, 0])):
                return None
        np.einsum("ij,ij->j", of_site, of_site, out=squares[site])
    per_site = scans.per_site[:, None]
    left = cross[:, 0] / np.maximum(per_site, 1.0)
    mean += left
    squares -= per_site * left**2
    return Moments(
        count=per_site,
        covariate_mean=covariates.mean,
        feature_mean=mean,
        covariate_products=covariates.products,
        cross_products=cross[:, 1:],
        feature_squares=np.maximum(squares, 0.0, out=squares),
    )


def _collect_incomplete(values: Array, scans: Scans) -> Moments:
    """Every feature has its own scans, so every moment has its own count."""
    n_features = values.shape[1]
    n_sites, n_covariates = len(scans.sites), scans.covariates.shape[1]
    seen = np.isfinite(values).astype(float)
    values[seen == 0] = 0.0
    seen_scans = np.zeros((n_sites, n_features))
    mean = np.zeros((n_sites, n_features))
    squares = np.zeros((n_sites, n_features))
    cross = np.zeros((n_sites, n_covariates, n_features))
    covariate_mean = np.zeros((n_sites, n_covariates, n_features))
    products = np.zeros((n_sites, n_covariates, n_covariates, n_features))
    for site, rows in scans.present:
        covariates, of_seen = scans.centred.values[rows, 1:], seen[rows]
        seen_scans[site] = of_seen.sum(axis=0)
        divisor = np.maximum(seen_scans[site], 1.0)
        mean[site] = values[rows].sum(axis=0) / divisor
        of_site = (values[rows] - mean[site]) * of_seen
        left = of_site.sum(axis=0) / divisor
        mean[site] += left
        of_site -= left * of_seen
        squares[site] = np.einsum("ij,ij->j", of_site, of_site)
        cross[site] = covariates.T @ of_site
        offset = covariates.T @ of_seen / divisor
        covariate_mean[site] = scans.centred.mean[site] + offset
        for column in range(n_covariates):
            product = covariates * covariates[:, [column]]
            products[site, column] = product.T @ of_seen - divisor * offset * offset[column]
    return Moments(seen_scans, covariate_mean, mean, products, cross, squares)


def merge(first: Moments, second: Moments) -> Moments:
    """Moments of two sets of scans of the same sites, as if collected together.

    Parameters
    ----------
    first, second : Moments
        Moments with the same sites, covariates and features.

    Returns
    -------
    Moments
        Moments of all scans.
    """
    together = first.count + second.count
    total = np.where(together > 0, together, 1.0)
    weight = first.count * second.count / total
    share = second.count / total
    covariate_gap = second.covariate_mean - first.covariate_mean
    feature_gap = second.feature_mean - first.feature_mean
    return Moments(
        count=together,
        covariate_mean=first.covariate_mean + share[:, None] * covariate_gap,
        feature_mean=first.feature_mean + share * feature_gap,
        covariate_products=first.covariate_products
        + second.covariate_products
        + weight[:, None, None] * covariate_gap[:, :, None] * covariate_gap[:, None],
        cross_products=first.cross_products
        + second.cross_products
        + weight[:, None] * covariate_gap * feature_gap[:, None],
        feature_squares=first.feature_squares + second.feature_squares + weight * feature_gap**2,
    )


def merge_all(parts: Iterable[Moments]) -> Moments:
    """Merge any number of moments.

    Parameters
    ----------
    parts : iterable of Moments
        Moments with the same sites, covariates and features.

    Returns
    -------
    Moments
        Moments of all scans.
    """
    return reduce(merge, parts)
