"""Whose scans these are, and which scans of a person come first and last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.description.plain import Facts
from isoscan.design.covariates import as_numbers
from isoscan.design.requirements import require_covariates
from isoscan.errors import MissingValuesError, MixedModelError, count, name_some
from isoscan.labels import as_labels


def people_of(covariates: pd.DataFrame | None, subject: str) -> NDArray[Any]:
    """Look up who was scanned, and refuse a column that cannot say it.

    Parameters
    ----------
    covariates : DataFrame or None
        One row per scan.
    subject : str
        Covariate that says who was scanned.

    Returns
    -------
    ndarray of shape (n_scans,)
        Labels of people.

    Raises
    ------
    MissingCovariateError, MissingValuesError
        If the column is not there, or incomplete.
    MixedModelError
        If nobody was scanned twice.
    """
    table = require_covariates(covariates, [subject])
    missing = table[subject].isna()
    if missing.any():
        raise MissingValuesError(
            f"'{subject}' is missing for {int(missing.sum())} of {count(len(table), 'scan')}: "
            f"{name_some(table.index[missing])}. Say whose scans they are, or leave them out.",
            covariate=subject,
        )
    labels = as_labels(table[subject], subject, warn=False)
    n_people = len(set(labels))
    if n_people == len(labels):
        raise MixedModelError(
            f"every subject has 1 scan ({count(n_people, 'subject')} in '{subject}'): there are "
            f"no repeated scans. Check the column, or leave subject out.",
            subjects=n_people,
        )
    return labels


def one_of_each(subjects: NDArray[Any], codes: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Choose one scan of each person, at the site that has fewest so far.

    Parameters
    ----------
    subjects : ndarray of shape (n_scans,)
        Labels of people.
    codes : ndarray of int, shape (n_scans,)
        Site of each scan.

    Returns
    -------
    ndarray of bool, shape (n_scans,)
        True for as many scans as there are people. Measures have no say in it.

    Examples
    --------
    >>> one_of_each(np.array(["ann", "ann", "ben", "ben"]), np.array([0, 1, 0, 1])).tolist()
    [True, False, False, True]
    """
    chosen = np.zeros(len(codes), dtype=bool)
    so_far = np.zeros(codes.max() + 1, dtype=np.intp)
    person = pd.factorize(subjects)[0]
    order = np.argsort(person, kind="stable")
    scans_of = np.split(order, np.flatnonzero(np.diff(person[order])) + 1)
    for scans in sorted(scans_of, key=lambda own: len(set(codes[own]))):
        scan = scans[np.argmin(so_far[codes[scans]])]
        chosen[scan] = True
        so_far[codes[scan]] += 1
    return chosen


@dataclass(frozen=True)
class FirstAndLast:
    """The first and the last scan of everybody who was scanned more than once.

    Attributes
    ----------
    first, last : ndarray of int, shape (n_people,)
        Positions of the scans.
    stayed : ndarray of bool, shape (n_people,)
        Whether both are of one site.
    """

    first: NDArray[np.intp]
    last: NDArray[np.intp]
    stayed: NDArray[np.bool_]

    @classmethod
    def of(
        cls, subjects: NDArray[Any], codes: NDArray[np.intp], time: NDArray[np.float64] | None
    ) -> FirstAndLast:
        """Order the scans of each person by time, or leave them as they stand.

        Parameters
        ----------
        subjects : ndarray of shape (n_scans,)
            Labels of people.
        codes : ndarray of int, shape (n_scans,)
            Site of each scan.
        time : ndarray of shape (n_scans,) or None
            What orders the scans of a person.

        Returns
        -------
        FirstAndLast
            One pair per person.
        """
        person = pd.factorize(subjects)[0]
        order = np.lexsort((np.arange(len(person)) if time is None else time, person))
        bounds = np.flatnonzero(np.diff(person[order]))
        first = order[np.r_[0, bounds + 1]]
        last = order[np.r_[bounds, len(order) - 1]]
        several = first != last
        first, last = first[several], last[several]
        return cls(first, last, codes[first] == codes[last])


def times_of(covariates: pd.DataFrame | None, time: str | None) -> NDArray[np.float64] | None:
    """Look up when the scans were made.

    Parameters
    ----------
    covariates : DataFrame or None
        One row per scan.
    time : str or None
        A covariate in numbers, such as age or time since the first visit.

    Returns
    -------
    ndarray of shape (n_scans,) or None
        Its values; None if no covariate was named.

    Raises
    ------
    MissingCovariateError, NotNumericError, MissingValuesError
        If the column is not there, or holds something else than numbers.
    """
    if time is None:
        return None
    return as_numbers(require_covariates(covariates, [time])[time], time).to_numpy(dtype=float)


def people_facts(
    subjects: NDArray[Any], codes: NDArray[np.intp], subject: str, time: str | None
) -> Facts:
    """Count who was scanned how often and where.

    Parameters
    ----------
    subjects : ndarray of shape (n_scans,)
        Labels of people.
    codes : ndarray of int, shape (n_scans,)
        Site of each scan.
    subject : str
        Covariate that says who was scanned.
    time : str or None
        Covariate that orders the scans of a person.

    Returns
    -------
    dict
        column, ordered_by, people, repeated (scanned more than once), moved (at more than
        one site).
    """
    of_person = pd.Series(codes).groupby(pd.factorize(subjects)[0])
    return {
        "column": subject,
        "ordered_by": time,
        "people": int(of_person.ngroups),
        "repeated": int((of_person.size() > 1).sum()),
        "moved": int((of_person.nunique() > 1).sum()),
    }
