"""Tell scans that training knows nothing about, and how much to believe of a correction.

The score of a scan is the root mean square of its profile; scans of training have a score of
about 1, those of new scanners a little more. Beyond what is usual for scanners left out of
training, a correction is extrapolation.
"""

from __future__ import annotations

import warnings
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.errors import DataError, ExtrapolationError, ExtrapolationWarning, count
from isoscan.unseen.shifts import distance

Array = NDArray[np.float64]
OnShift = Literal["shrink", "warn", "raise", "identity"]
USUAL = 0.99
"""Share of the scans of scanners left out whose score is usual."""


def usual_score(profiles: Array, scanners: NDArray[np.intp]) -> float:
    """Largest score that is usual for scans of scanners that training has not seen.

    Parameters
    ----------
    profiles : ndarray of shape (n_scans, n_columns)
        Profiles of training.
    scanners : ndarray of int, shape (n_scans,)
        Scanner of each scan, from 0.

    Returns
    -------
    float
        99 % of the scans score less when centre and spread come from the other scanners.
    """
    spread = profiles.std(axis=0)
    scores = []
    for scanner in range(scanners.max() + 1):
        own = scanners == scanner
        others = profiles[~own]
        apart = others.std(axis=0)
        factor = np.divide(spread, apart, out=np.ones_like(spread), where=apart > 0)
        scores.append(distance((profiles[own] - others.mean(axis=0)) * factor))
    return float(np.quantile(np.concatenate(scores), USUAL))


def belief(scores: Array, usual: float, on_shift: str) -> Array:
    """How much of a correction is made.

    Parameters
    ----------
    scores : ndarray of shape (n_scans,)
        Scores.
    usual : float
        Largest usual score.
    on_shift : {"shrink", "warn", "raise", "identity"}
        What is done beyond it.

    Returns
    -------
    ndarray of shape (n_scans,)
        1 within the usual. Beyond, "shrink" falls with the distance (one third at half as
        much again), "identity" is 0, and the others stay at 1.

    Raises
    ------
    DataError
        If `on_shift` is none of these.
    """
    if on_shift not in get_args(OnShift):
        raise DataError(f"on_shift must be one of {get_args(OnShift)}, got {on_shift!r}.")
    beyond = np.maximum(scores / usual - 1.0, 0.0)
    if on_shift == "shrink":
        return np.asarray(np.exp(-2.2 * beyond))
    return np.where((beyond > 0) & (on_shift == "identity"), 0.0, 1.0)


def report_shift(scans: pd.Index, scores: Array, usual: float, on_shift: str) -> None:
    """Name the scans beyond training, and what became of them.

    Parameters
    ----------
    scans : Index
        Ids of the scans.
    scores : ndarray of shape (n_scans,)
        Their scores.
    usual : float
        Largest usual score.
    on_shift : str
        What is done.

    Raises
    ------
    ExtrapolationError
        If `on_shift` is "raise" and there are any.

    Warns
    -----
    ExtrapolationWarning
        If there are any.
    """
    beyond = np.flatnonzero(scores > usual)
    if not beyond.size:
        return
    far = beyond[np.argsort(-scores[beyond])][:5]
    shown = ", ".join(f"'{scans[int(row)]}' ({scores[row]:.2f})" for row in far)
    sentence = (
        f"{len(beyond)} of {count(len(scans), 'scan')} are unlike those of training (score above "
        f"{usual:.2f}): {shown}{f' and {len(beyond) - 5} more' if len(beyond) > 5 else ''}"
    )
    if on_shift == "raise":
        raise ExtrapolationError(
            f"{sentence}. Leave them out, calibrate with scans of that scanner, or set "
            f"on_shift='shrink'.",
            scans=list(scans[beyond]),
        )
    done = {
        "shrink": "less of their correction is made the further they are",
        "identity": "they are left as they are",
        "warn": "their corrections are extrapolations",
    }[on_shift]
    warnings.warn(f"{sentence}; {done}.", ExtrapolationWarning, stacklevel=4)
