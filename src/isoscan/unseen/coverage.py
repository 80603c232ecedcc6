"""Which inputs of a scan lie outside what a model has seen."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.errors import ExtrapolationWarning, count, name_some


@dataclass(frozen=True)
class Ranges:
    """Smallest and largest value of every input in training.

    Attributes
    ----------
    names : list of str
        Inputs.
    low, high : ndarray of shape (n_inputs,)
        Limits, in the units of the inputs.
    """

    names: list[str]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @classmethod
    def of(cls, values: pd.DataFrame) -> Ranges:
        """Measure the ranges of a training sample.

        Parameters
        ----------
        values : DataFrame of shape (n_scans, n_inputs)
            Inputs; NaN is left out.

        Returns
        -------
        Ranges
            Their limits.
        """
        return cls(list(values.columns), values.min().to_numpy(), values.max().to_numpy())

    def outside(self, values: pd.DataFrame) -> dict[str, list[str]]:
        """Name the inputs of each scan that lie outside.

        Parameters
        ----------
        values : DataFrame of shape (n_scans, n_inputs)
            The same columns, in the same order; NaN is not outside.

        Returns
        -------
        dict of {str: list of str}
            Names per scan; only scans that have any.

        Examples
        --------
        >>> seen = Ranges.of(pd.DataFrame({"cnr": [2.0, 4.0]}))
        >>> seen.outside(pd.DataFrame({"cnr": [3.0, 5.0]}, index=["sub-1", "sub-2"]))
        {'sub-2': ['cnr']}
        """
        table = values.to_numpy()
        beyond = (table < self.low) | (table > self.high)
        rows = np.flatnonzero(beyond.any(axis=1)).tolist()
        names = np.array(self.names, dtype=object)
        return {values.index[row]: names[beyond[row]].tolist() for row in rows}


def warn_of_outside(outside: dict[str, list[str]], n_scans: int) -> None:
    """Warn that scans lie outside the range of training, each with its inputs.

    Parameters
    ----------
    outside : dict of {str: list of str}
        Inputs per scan.
    n_scans : int
        Number of all scans.

    Warns
    -----
    ExtrapolationWarning
        If there are any.
    """
    if not outside:
        return
    shown = [f"'{scan}' ({name_some(names, 3)})" for scan, names in list(outside.items())[:5]]
    rest = len(outside) - len(shown)
    warnings.warn(
        f"{len(outside)} of {count(n_scans, 'scan')} lie outside the range of training: "
        f"{', '.join(shown)}{f' and {rest} more' if rest else ''}. Their corrections rest on "
        f"extrapolation; predict() lists what is outside for each scan.",
        ExtrapolationWarning,
        stacklevel=3,
    )
