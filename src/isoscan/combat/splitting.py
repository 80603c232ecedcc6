"""Split scans for cross-validation so that every site stays in training.

Whole people are dealt out to folds, a site at a time. A fold takes a person only if every
site keeps enough scans to train on; who fits nowhere is trained on and never tested.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import BaseCrossValidator

from isoscan.errors import (
    DataError,
    SiteLabelError,
    SmallSiteWarning,
    TooFewScansError,
    count,
    name_counts,
    name_some,
)
from isoscan.labels import as_labels
from isoscan.tables.align import align_rows, require_unique


class EverySiteKFold(BaseCrossValidator):  # type: ignore[misc]
    """Split scans into folds, with every site in the training scans of every fold.

    The scans of a site are spread evenly over the folds, and the folds are of equal size. A
    scan that cannot be tested without leaving its site fewer than `at_least` training scans
    is trained on in every fold; a warning counts these by site.

    Parameters
    ----------
    n_splits : int
        Number of folds.
    shuffle : bool
        Deal scans out in random order, or in the order of the table.
    random_state : int, Generator or None
        Seed of the order; the same number gives the same folds.
    at_least : int
        Scans that every site keeps in training; ComBat needs 2 to measure a scale.

    See Also
    --------
    sklearn.model_selection.LeaveOneGroupOut : Test each site by the others.

    Notes
    -----
    Every site has at least `at_least` scans in every training set, if it has as many at all.
    In a site of `at_least` + 1 or more scans, all are tested if `n_splits` is greater than
    `at_least`, unless one person has most of them.

    Examples
    --------
    >>> sites = ["KCL"] * 4 + ["OSL"] * 8
    >>> for train, test in EverySiteKFold(4, random_state=0).split(sites, groups=sites):
    ...     print(test, [sites[scan] for scan in test])
    [ 2  9 11] ['KCL', 'OSL', 'OSL']
    [0 6 7] ['KCL', 'OSL', 'OSL']
    [ 3  4 10] ['KCL', 'OSL', 'OSL']
    [1 5 8] ['KCL', 'OSL', 'OSL']
    """

    __metadata_request__split: ClassVar = {"groups": True, "sites": True, "subjects": True}

    def __init__(
        self,
        n_splits: int = 5,
        *,
        shuffle: bool = True,
        random_state: int | np.random.Generator | None = None,
        at_least: int = 2,
    ) -> None:
        for name, value, least in (("n_splits", n_splits, 2), ("at_least", at_least, 1)):
            if not isinstance(value, int | np.integer) or value < least:
                raise DataError(f"{name} must be a whole number from {least} on, got {value!r}.")
        self.n_splits = n_splits
        self.shuffle = shuffle
        self.random_state = random_state
        self.at_least = at_least

    def get_n_splits(
        self,
        X: Any = None,
        y: Any = None,
        groups: Any = None,
        *,
        sites: Any = None,
        subjects: Any = None,
    ) -> int:
        """Say how many folds there are.

        Parameters
        ----------
        X, y, groups, sites, subjects : object
            Not looked at.

        Returns
        -------
        int
            Number of folds.
        """
        return self.n_splits

    def split(
        self,
        X: Any,
        y: Any = None,
        groups: Any = None,
        *,
        sites: Any = None,
        subjects: Any = None,
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Give the training and test scans of each fold.

        Parameters
        ----------
        X : DataFrame or array of shape (n_scans, n_features)
            Measures; only their index and length matter.
        y : object
            Not looked at.
        groups : Series or sequence of shape (n_scans,), optional
            Another name of `sites`, the only one that scikit-learn passes on without metadata
            routing.
        sites : Series or sequence of shape (n_scans,)
            Site of each scan; matched to a frame by index, to an array by position.
        subjects : Series or sequence of shape (n_scans,), optional
            Person of each scan; all scans of a person, at all sites, stay together.

        Returns
        -------
        iterator of (ndarray of int, ndarray of int)
            Positions of training scans and of test scans. No scan is tested twice.

        Raises
        ------
        DataError
            If sites are not given, labels do not match the scans, or a fold would be empty.
        """
        labels, people = _one_label_per_scan(X, groups, sites, subjects)
        visits = Visits.count(labels, people)
        folds = visits.deal(visits.in_turn(self._order(visits)), self.n_splits, self.at_least)
        folds = folds[visits.person_of_scan]
        _require_full(folds, self.n_splits, self.at_least)
        _warn_of_untested(labels, people, folds < 0, self.at_least)
        return (
            (np.flatnonzero(folds != fold), np.flatnonzero(folds == fold))
            for fold in range(self.n_splits)
        )

    def _order(self, visits: Visits) -> NDArray[np.int64]:
        n_people = len(visits.scans_per_person)
        if not self.shuffle:
            return np.arange(n_people)
        return np.random.default_rng(self.random_state).permutation(n_people)


@dataclass(frozen=True)
class Visits:
    """How many scans each person has at each site.

    Attributes
    ----------
    person_of_scan : ndarray of int, shape (n_scans,)
        Who was scanned; people are numbered as they appear.
    scans_per_person : ndarray of int, shape (n_people,)
        Scans of each person, at all sites together.
    scans_per_site : ndarray of int, shape (n_sites,)
        Scans of each site.
    sites, scans : list of ndarray of int, one per person
        The sites where a person was scanned, and how often there.
    """

    person_of_scan: NDArray[np.int64]
    scans_per_person: NDArray[np.int64]
    scans_per_site: NDArray[np.int64]
    sites: list[NDArray[np.int64]]
    scans: list[NDArray[np.int64]]

    @classmethod
    def count(cls, sites: NDArray[np.object_], people: NDArray[Any]) -> Visits:
        """Count the scans of each person at each site.

        Parameters
        ----------
        sites, people : ndarray of shape (n_scans,)
            Labels.

        Returns
        -------
        Visits
            The counts.
        """
        names, site = np.unique(sites, return_inverse=True)
        person = pd.factorize(people)[0]
        cells, scans = np.unique(person * len(names) + site, return_counts=True)
        last = np.cumsum(np.bincount(cells // len(names)))[:-1]
        return cls(
            person,
            np.bincount(person),
            np.bincount(site),
            np.split(cells % len(names), last),
            np.split(scans, last),
        )

    def in_turn(self, order: NDArray[np.int64]) -> NDArray[np.int64]:
        """Put people with many scans first, and those of one site next to each other.

        Parameters
        ----------
        order : ndarray of int, shape (n_people,)
            Who comes first among equals.

        Returns
        -------
        ndarray of int, shape (n_people,)
            The order in which people are dealt out.
        """
        first_site = np.array([sites[0] for sites in self.sites])
        return order[np.lexsort((first_site[order], -self.scans_per_person[order]))]

    def deal(self, order: NDArray[np.int64], n_folds: int, at_least: int) -> NDArray[np.int64]:
        """Give each person to the fold that has tested least of the person's sites.

        Parameters
        ----------
        order : ndarray of int, shape (n_people,)
            Who comes first.
        n_folds : int
            Number of folds.
        at_least : int
            Scans of each site that no fold may test.

        Returns
        -------
        ndarray of int, shape (n_people,)
            Fold in which a person is tested; -1 for those who fit into none.
        """
        limit = self.scans_per_site - at_least
        tested = np.zeros((n_folds, len(limit)), dtype=np.int64)
        sizes = np.zeros(n_folds, dtype=np.int64)
        folds = np.full(len(order), -1)
        for person in order:
            sites, scans = self.sites[person], self.scans[person]
            so_far = tested[:, sites]
            fits = np.flatnonzero((so_far + scans <= limit[sites]).all(axis=1))
            if len(fits):
                share = (so_far[fits] / self.scans_per_site[sites]).sum(axis=1)
                fold = fits[np.lexsort((sizes[fits], share))[0]]
                tested[fold, sites] += scans
                sizes[fold] += scans.sum()
                folds[person] = fold
        return folds


def _one_label_per_scan(
    X: Any, groups: Any, sites: Any, subjects: Any
) -> tuple[NDArray[np.object_], NDArray[Any]]:
    """Site and person of each scan; without subjects every scan is a person of its own."""
    if sites is None and groups is None:
        raise SiteLabelError("sites are needed: one label per scan, split(X, sites=...).")
    labels = _labels(X, groups if sites is None else sites, "site")
    if sites is not None and groups is not None and (_labels(X, groups, "site") != labels).any():
        raise SiteLabelError(
            "groups and sites differ; here groups are the sites. To keep the scans of a person "
            "together, pass subjects=."
        )
    return labels, np.arange(len(labels)) if subjects is None else _labels(X, subjects, "subject")


def _labels(X: Any, values: Any, what: str) -> NDArray[np.object_]:
    if isinstance(X, pd.DataFrame) and isinstance(values, pd.Series):
        require_unique(X.index, "measures")
        values = align_rows(values, X.index, what=f"{what}s", extra="ignore")
    n_scans = X.shape[0] if hasattr(X, "shape") else len(X)
    if len(values) != n_scans:
        raise DataError(f"{what}s has {len(values)} rows, X has {n_scans}.")
    return as_labels(values, what)


def _require_full(folds: NDArray[np.int64], n_folds: int, at_least: int) -> None:
    full = len(set(folds[folds >= 0]))
    if full < n_folds:
        raise TooFewScansError(
            f"only {full} of {n_folds} folds have anything to test: every site keeps "
            f"{count(at_least, 'scan')} for training, and a person is in one fold only. Use "
            f"fewer folds, or merge small sites.",
            n_folds=full,
        )


def _warn_of_untested(
    sites: NDArray[np.object_], people: NDArray[Any], untested: NDArray[np.bool_], at_least: int
) -> None:
    if not untested.any():
        return
    scans = pd.DataFrame({"site": sites, "person": people})
    left = scans.site[untested].value_counts().sort_index()
    visits = scans[scans.site.isin(left.index)].groupby("site").person.agg(["size", "nunique"])
    single = visits.index[(visits["nunique"] == 1) & (visits["size"] > at_least)]
    whose = f" All scans of {name_some(single)} are of one subject." if len(single) else ""
    warnings.warn(
        f"{count(int(untested.sum()), 'scan')} of {name_counts(left.to_dict(), 8)} are trained on "
        f"in every fold and never tested, so that every site keeps {at_least} for training."
        f"{whose} Merge such sites, or report results as those of the other sites.",
        SmallSiteWarning,
        stacklevel=3,
    )
