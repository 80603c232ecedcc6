"""How close corrections of an unknown scanner come to those that know it, and what they cost.

The yardstick is the correction by a reference model that has seen all scans of the scanner.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.evaluation.ks_grid import THRESHOLD, ks_against
from isoscan.unseen.people import share_of_people
from isoscan.unseen.reading import Residuals

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Held:
    """One scanner that was held out.

    Attributes
    ----------
    scanner : str
        Its name.
    rest : Residuals
        Its measures, and how they deviate from what is expected.
    truth : ndarray of shape (n_scans, n_features)
        Corrections by a model that knows the scanner, in residual standard deviations.
    others : DataFrame of shape (n_training_scans, n_features)
        Deviations of the other scanners after harmonization.
    covariates : DataFrame or None
        Of its people.
    """

    scanner: str
    rest: Residuals
    truth: Array
    others: pd.DataFrame
    covariates: pd.DataFrame | None

    def at(self, rows: NDArray[np.intp]) -> Held:
        """Some of the scans.

        Parameters
        ----------
        rows : ndarray of int
            Which.

        Returns
        -------
        Held
            Only these; the truth is still that of all.
        """
        rest = self.rest
        part = Residuals(rest.measures.iloc[rows], rest.values[rows], rest.sd, rest.moved[rows])
        people = None if self.covariates is None else self.covariates.iloc[rows]
        return Held(self.scanner, part, self.truth[rows], self.others, people)


def score_held(held: Held, corrections: Array, margins: Array | None = None) -> dict[str, float]:
    """Score corrections of one scanner.

    Parameters
    ----------
    held : Held
        The scanner.
    corrections : ndarray of shape (n_scans, n_features)
        In residual standard deviations; NaN where missing.
    margins : ndarray of shape (n_scans, n_features), optional
        Half widths of their intervals.

    Returns
    -------
    dict of {str: float}
        ks_share (features whose distribution is like that of the other scanners, p > 0.001),
        error and size (sums of absolute error and of absolute truth), error_ratio, r2 and
        r2_mean (against the truth, scan by scan and for the mean of the scanner), shift_left
        (mean absolute, in residual standard deviations), coverage, and what is kept of
        people.
    """
    error = corrections - held.truth
    both = np.isfinite(error)
    mean_error, mean_truth = _mean(error), _mean(held.truth)
    after = pd.DataFrame(held.rest.values + corrections, columns=held.rest.measures.columns)
    p = ks_against(after, held.others).to_numpy()
    sums = np.abs(error[both]).sum(), np.abs(held.truth[both]).sum()
    covered = np.nan if margins is None else (np.abs(error) <= margins)[both].mean()
    return {
        "ks_share": float(np.mean(p[np.isfinite(p)] > THRESHOLD)),
        "error": float(sums[0]),
        "size": float(sums[1]),
        "error_ratio": float(sums[0] / sums[1]) if sums[1] else np.nan,
        "r2": 1 - float((error[both] ** 2).sum() / (held.truth[both] ** 2).sum()),
        "r2_mean": 1 - float((mean_error**2).sum() / (mean_truth**2).sum()),
        "shift_left": float(np.abs(mean_error).mean()),
        "coverage": float(covered),
        **share_of_people(held.rest, corrections, held.covariates),
    }


def summarize(scores: pd.DataFrame) -> pd.DataFrame:
    """Average scores over scanners; errors are summed over scans first.

    Parameters
    ----------
    scores : DataFrame
        One row per model and scanner, columns model, scanner, draw and the scores.

    Returns
    -------
    DataFrame of shape (n_models, n_scores)
        Indexed by model, in the order of `scores`; worst is the largest error ratio of a
        scanner, worsened the number of scanners above 1.1.
    """
    draws = scores.groupby(["model", "scanner"], sort=False).mean(numeric_only=True)
    by_model = draws.groupby("model", sort=False)
    table = by_model.mean().drop(columns=["error", "size", "draw"])
    sums = by_model[["error", "size"]].sum()
    table["error_ratio"] = sums["error"] / sums["size"]
    ratio = draws["error"] / draws["size"]
    table.insert(2, "worst", ratio.groupby("model").max().reindex(table.index))
    worsened = (ratio > 1.1).groupby("model").sum().reindex(table.index)
    table.insert(3, "worsened", worsened.astype(int))
    return pd.DataFrame(table)


def _mean(values: Array) -> Array:
    known = np.isfinite(values)
    return np.asarray(np.where(known, values, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1))
