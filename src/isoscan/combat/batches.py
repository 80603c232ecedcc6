"""Several batch variables at once: scanner and head coil, site and software version.

A scan belongs to one level of every variable. Scans that share all their levels form a
cell; moments are collected per cell, effects are estimated per level.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.errors import ConfoundingWarning, SiteLabelError, TooFewSitesError, count, name_some
from isoscan.labels import as_labels


@dataclass(frozen=True)
class Cells:
    """Combinations of levels among some scans.

    Attributes
    ----------
    codes : ndarray of int, shape (n_scans,)
        Number of the cell of each scan; those of unknown levels have the number after the
        last cell.
    members : ndarray of bool, shape (n_cells, n_levels)
        Levels of each cell.
    """

    codes: NDArray[np.intp]
    members: NDArray[np.bool_]


@dataclass(frozen=True)
class Batches:
    """The batch variables that a model knows.

    Attributes
    ----------
    levels : dict of {str: list of str}
        Sorted levels of every variable, in the order of the variables.
    """

    levels: Mapping[str, list[str]]

    @classmethod
    def learn(cls, table: pd.DataFrame) -> Batches:
        """Learn the levels of every variable.

        Parameters
        ----------
        table : DataFrame of shape (n_scans, n_variables)
            Labels.

        Returns
        -------
        Batches
            Variables and levels.

        Raises
        ------
        TooFewSitesError
            If a variable has one level only.

        Examples
        --------
        >>> table = pd.DataFrame({"scanner": ["A", "B", "A"], "coil": ["8", "8", "32"]})
        >>> Batches.learn(table).labels
        ['scanner: A', 'scanner: B', 'coil: 32', 'coil: 8']
        """
        levels = {str(name): sorted(set(table[name])) for name in table.columns}
        single = [name for name, found in levels.items() if len(found) < 2]
        if single:
            raise TooFewSitesError(
                f"batch variable {name_some(single)} has the same level for all "
                f"{count(len(table), 'scan')}: there is nothing to remove. Leave it out of sites.",
                variables=single,
            )
        return cls(levels)

    @property
    def labels(self) -> list[str]:
        """Names of all levels."""
        return [f"{name}: {level}" for name, levels in self.levels.items() for level in levels]

    @property
    def parts(self) -> list[slice]:
        """Where the levels of each variable stand among all levels."""
        edges = np.cumsum([0, *(len(levels) for levels in self.levels.values())]).tolist()
        return [slice(*pair) for pair in pairwise(edges)]

    def members(self, table: pd.DataFrame) -> NDArray[np.bool_]:
        """Mark the levels of every scan; unknown levels are marked nowhere.

        Parameters
        ----------
        table : DataFrame of shape (n_scans, n_variables)
            Labels.

        Returns
        -------
        ndarray of bool, shape (n_scans, n_levels)
            One True per variable and scan.
        """
        return np.hstack(
            [
                table[name].to_numpy()[:, None] == np.array(levels, dtype=object)
                for name, levels in self.levels.items()
            ]
        ).astype(bool)

    def cells(self, table: pd.DataFrame) -> Cells:
        """Group scans by their combination of levels.

        Parameters
        ----------
        table : DataFrame of shape (n_scans, n_variables)
            Labels.

        Returns
        -------
        Cells
            Cells in sorted order.
        """
        members = self.members(table)
        known = members.sum(axis=1) == len(self.levels)
        distinct, codes = np.unique(members[known], axis=0, return_inverse=True)
        everyone = np.full(len(table), len(distinct), dtype=np.intp)
        everyone[known] = codes.ravel()
        return Cells(everyone, distinct)

    def require_columns(self, table: pd.DataFrame | None) -> pd.DataFrame:
        """Refuse a table that lacks a batch variable.

        Parameters
        ----------
        table : DataFrame or None
            Labels of new scans.

        Returns
        -------
        DataFrame
            The variables of the model, in its order.

        Raises
        ------
        SiteLabelError
            Naming what is absent.
        """
        absent = [name for name in self.levels if table is None or name not in table.columns]
        if table is None or absent:
            raise SiteLabelError(
                f"this model knows {count(len(self.levels), 'batch variable')} "
                f"({name_some(self.levels)}): pass sites as a frame with these columns; "
                f"{name_some(absent)} not found.",
                absent=absent,
            )
        return table[list(self.levels)]

    def warn_of_aliases(self, cells: Cells) -> None:
        """Say which variables cannot be told apart from those before them.

        Parameters
        ----------
        cells : Cells
            Cells of the training scans.
        """
        seen = np.ones((len(cells.members), 1))
        for name, part in zip(self.levels, self.parts, strict=True):
            own = cells.members[:, part].astype(float)
            together = np.hstack([seen, own])
            gained = np.linalg.matrix_rank(together) - np.linalg.matrix_rank(seen)
            missing = own.shape[1] - 1 - gained
            if seen.shape[1] > 1 and missing > 0:
                before = [other for other in self.levels if other != name]
                before = before[: list(self.levels).index(name)]
                what = "nested in or determined by" if not gained else "partly determined by"
                warnings.warn(
                    f"batch variable '{name}' is {what} {name_some(before)}: "
                    f"{count(int(missing), 'difference')} between its levels cannot be told "
                    f"apart. What is removed in all is not affected, but which variable it is "
                    f"ascribed to is arbitrary; the one named first takes it.",
                    ConfoundingWarning,
                    stacklevel=6,
                )
            seen = together


def as_batches(sites: Any) -> pd.DataFrame | None:
    """Read several batch variables; None if there is only one.

    Parameters
    ----------
    sites : DataFrame or anything else
        Labels.

    Returns
    -------
    DataFrame or None
        Text labels, one column per variable.

    Raises
    ------
    SiteLabelError
        If a label is missing, or a column occurs twice.
    """
    if not isinstance(sites, pd.DataFrame) or sites.shape[1] < 2:
        return None
    names = [str(name) for name in sites.columns]
    if len(set(names)) < len(names):
        raise SiteLabelError(f"a batch variable occurs twice among {name_some(names)}.")
    return pd.DataFrame(
        {name: as_labels(sites.iloc[:, n], name) for n, name in enumerate(names)},
        index=sites.index,
    )


def cell_labels(table: pd.DataFrame) -> pd.Series[Any]:
    """Name the cell of every scan.

    Parameters
    ----------
    table : DataFrame of shape (n_scans, n_variables)
        Text labels.

    Returns
    -------
    Series of str
        Levels joined by " / ".
    """
    columns: Sequence[Any] = [table[name] for name in table.columns]
    return pd.Series([" / ".join(row) for row in zip(*columns, strict=True)], index=table.index)
