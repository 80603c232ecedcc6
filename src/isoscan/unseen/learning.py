"""Choose how to predict shifts, by leaving one scanner out after the other.

What is chosen is the weight of differences between people of one scanner: the one that
corrects unknown scanners best among those that leave people as different as they were.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.unseen.profile import group_means, within_groups
from isoscan.unseen.regressors import OtherRegression, fit_regressor, predict_left_out
from isoscan.unseen.shifts import WITHIN_WEIGHTS, ShiftProblem, ShiftRidge

Array = NDArray[np.float64]
Regression = ShiftRidge | OtherRegression
LEAST_GAIN = 0.02
"""A gain below this share of the error is none."""
_PRICE, _TOLERATED = 10.0, 0.005
"""What a share of lost differences between people costs, in shares of error; and the share that
costs nothing, as scanners left out are predicted from one scanner less than new ones will be."""
_STRENGTHS = np.linspace(0.0, 1.0, 11)


@dataclass(frozen=True)
class Lesson:
    """What training has to teach, in residual standard deviations.

    Attributes
    ----------
    profiles : ndarray of shape (n_scans, n_columns)
        Profiles of the scans.
    scanners : ndarray of int, shape (n_scans,)
        Scanner of each scan, from 0.
    residuals : ndarray of shape (n_scans, n_features)
        Measures minus expectation; NaN where missing.
    measures : ndarray of shape (n_scans, n_features)
        The measures themselves; NaN where missing.
    corrections : ndarray of shape (n_scans, n_features)
        What the reference model, which knows the scanners, adds.
    shifts : ndarray of shape (n_scanners, n_features)
        Shift of each scanner.
    stretch : ndarray of shape (n_features,)
        Factor that brings the spread of a typical scanner to that of the reference.
    """

    profiles: Array
    scanners: NDArray[np.intp]
    residuals: Array
    measures: Array
    corrections: Array
    shifts: Array
    stretch: Array

    def corrected(self, shifts: Array, strength: float = 1.0) -> Array:
        """Add to each scan what a prediction says.

        Parameters
        ----------
        shifts : ndarray of shape (n_scans, n_features)
            Predicted shifts.
        strength : float
            Share of the correction that is made.

        Returns
        -------
        ndarray of shape (n_scans, n_features)
            Corrections.
        """
        return correction(self.residuals, shifts, self.stretch, np.full(len(shifts), strength))


@dataclass(frozen=True)
class Score:
    """How well corrections of unknown scanners did.

    Attributes
    ----------
    error_ratio : float
        Size of the error relative to that of no correction.
    mean_ratio : float
        Mean of this ratio over the scanners, each counting the same.
    correlation : float
        Of people within scanners, before and after.
    spread_kept : float
        Standard deviation within scanners, after over before.
    """

    error_ratio: float
    mean_ratio: float
    correlation: float
    spread_kept: float

    def shortfall(self, keep: float) -> float:
        """How far this is from leaving people as they are.

        Parameters
        ----------
        keep : float
            Least correlation and least share of the spread.

        Returns
        -------
        float
            0 if people are left as they are.
        """
        lost = (keep - self.correlation, keep - self.spread_kept, self.spread_kept - 2 + keep)
        return max(0.0, *lost)


@dataclass(frozen=True)
class Learned:
    """The chosen regression, and what it did for scanners it had not seen.

    Attributes
    ----------
    regression : ShiftRidge or OtherRegression
        Fitted to all scanners.
    within_weight : float or None
        Weight of differences between people that was chosen for the ridge.
    left_out : ndarray of shape (n_scans, n_features)
        Prediction for each scan from the other scanners.
    strength : float
        Share of a correction that is made; 0 if nothing could be learned.
    score : Score
        At that strength.
    """

    regression: Regression
    within_weight: float | None
    left_out: Array
    strength: float
    score: Score


def learn_shifts(lesson: Lesson, keep: float, regressor: Any = None) -> Learned:
    """Choose a weight by leaving out one scanner after the other, and fit it to all.

    Parameters
    ----------
    lesson : Lesson
        Training.
    keep : float
        Least correlation and least share of the spread within scanners.
    regressor : estimator, optional
        Another regression than the ridge; it is taken as it is.

    Returns
    -------
    Learned
        The regression.
    """
    if regressor is not None:
        data = lesson.profiles, lesson.scanners, lesson.shifts
        left_out = predict_left_out(regressor, *data)
        return _judged(lesson, fit_regressor(regressor, *data), None, left_out)
    problem = ShiftProblem(lesson.profiles, lesson.scanners, lesson.shifts)
    found = problem.predict_left_out(WITHIN_WEIGHTS)
    costs = [
        score.mean_ratio + _PRICE * score.shortfall(keep - _TOLERATED)
        for score in (score_of(lesson, lesson.corrected(shifts)) for shifts in found)
    ]
    best = int(np.argmin(costs))
    weight = WITHIN_WEIGHTS[best]
    return _judged(lesson, problem.solve(weight), weight, found[best])


def _judged(
    lesson: Lesson, fitted: Regression, within_weight: float | None, left_out: Array
) -> Learned:
    strength = best_strength(lesson, left_out)
    score = score_of(lesson, lesson.corrected(left_out, strength))
    return Learned(fitted, within_weight, left_out, strength, score)


def best_strength(lesson: Lesson, predicted: Array) -> float:
    """Share of a correction that leaves the smallest error; 0 if its gain may be chance.

    Parameters
    ----------
    lesson : Lesson
        Training.
    predicted : ndarray of shape (n_scans, n_features)
        Prediction for each scan from the other scanners.

    Returns
    -------
    float
        Between 0 and 1. Scanners must gain by 2 % and by more than one standard error.
    """
    made = [lesson.corrected(predicted, strength) for strength in _STRENGTHS]
    errors = [_absolute(one - lesson.corrections).sum() for one in made]
    best = int(np.argmin(errors))
    ratios = scanner_ratios(lesson, made[best])
    gains = 1.0 - ratios[np.isfinite(ratios)]
    error = gains.std(ddof=1) / np.sqrt(gains.size) if gains.size > 1 else np.inf
    return float(_STRENGTHS[best]) if gains.mean() > max(LEAST_GAIN, error) else 0.0


def scanner_ratios(lesson: Lesson, corrections: Array) -> Array:
    """Size of the error relative to that of no correction, scanner by scanner.

    Parameters
    ----------
    lesson : Lesson
        Training.
    corrections : ndarray of shape (n_scans, n_features)
        What a model adds without knowing the scanner.

    Returns
    -------
    ndarray of shape (n_scanners,)
        NaN for a scanner that needs no correction.
    """
    errors, sizes = _absolute(corrections - lesson.corrections), _absolute(lesson.corrections)
    sums = np.bincount(lesson.scanners, errors), np.bincount(lesson.scanners, sizes)
    ratios = np.full(len(sums[0]), np.nan)
    return np.asarray(np.divide(*sums, out=ratios, where=sums[1] > 0))


def score_of(lesson: Lesson, corrections: Array) -> Score:
    """Compare corrections with those of the reference model.

    Parameters
    ----------
    lesson : Lesson
        Training.
    corrections : ndarray of shape (n_scans, n_features)
        What a model adds without knowing the scanner.

    Returns
    -------
    Score
        Error, and what was left of people.
    """
    errors, sizes = _absolute(corrections - lesson.corrections), _absolute(lesson.corrections)
    correlation, spread = people_kept(lesson.measures, corrections, lesson.scanners)
    ratios = scanner_ratios(lesson, corrections)
    return Score(float(errors.sum() / sizes.sum()), _mean_of_finite(ratios), correlation, spread)


def people_kept(
    measures: Array, corrections: Array, scanners: NDArray[np.intp]
) -> tuple[float, float]:
    """How far people of one scanner keep their differences.

    Parameters
    ----------
    measures : ndarray of shape (n_scans, n_features)
        Before, in residual standard deviations; NaN where missing.
    corrections : ndarray of shape (n_scans, n_features)
        What is added.
    scanners : ndarray of int, shape (n_scans,)
        Scanner of each scan, from 0.

    Returns
    -------
    correlation : float
        Of before and after, mean over scanners and features.
    spread : float
        Standard deviation after over before, mean over scanners and features.
    """
    known = np.isfinite(measures)
    centre = np.where(known, measures, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    before = np.where(known, measures, centre)
    after = within_groups(before + np.where(known, corrections, 0.0), scanners)
    before = within_groups(before, scanners)
    squares = group_means(before**2, scanners), group_means(after**2, scanners)
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.sqrt(squares[1] / squares[0])
        shared = group_means(before * after, scanners) / np.sqrt(squares[0] * squares[1])
    return _mean_of_finite(shared), _mean_of_finite(spread)


def _absolute(corrections: Array) -> Array:
    """Size of what is added to each scan, over all features that were measured."""
    return np.asarray(np.abs(np.nan_to_num(corrections)).sum(axis=1))


def _mean_of_finite(values: Array) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else 1.0


def correction(residuals: Array, shifts: Array, stretch: Array, strength: Array) -> Array:
    """What is added to scans whose scanner has a predicted shift.

    Parameters
    ----------
    residuals : ndarray of shape (n_scans, n_features)
        Measures minus expectation; NaN where missing.
    shifts : ndarray of shape (n_scans, n_features)
        Predicted shift of the scanner of each scan.
    stretch : ndarray of shape (n_features,)
        Factor that brings the spread of a typical scanner to that of the reference.
    strength : ndarray of shape (n_scans,)
        Share of the correction that is made.

    Returns
    -------
    ndarray of shape (n_scans, n_features)
        In residual standard deviations.
    """
    share = strength[:, None]
    factor = 1.0 + share * (stretch - 1.0)
    return np.asarray(factor * (residuals - share * shifts) - residuals)


def scanner_table(lesson: Lesson, corrections: Array, names: list[str]) -> pd.DataFrame:
    """Tell for each scanner of training how well it was corrected by the others.

    Parameters
    ----------
    lesson : Lesson
        Training.
    corrections : ndarray of shape (n_scans, n_features)
        Corrections of scans whose scanner was left out.
    names : list of str
        Scanners.

    Returns
    -------
    DataFrame of shape (n_scanners, 4)
        Indexed by scanner: scans, shift_before, shift_after (mean absolute shift, in residual
        standard deviations), error_ratio.
    """
    means = group_means(np.nan_to_num(lesson.corrections), lesson.scanners)
    left = group_means(np.nan_to_num(corrections), lesson.scanners) - means
    return pd.DataFrame(
        {
            "scans": np.bincount(lesson.scanners),
            "shift_before": np.abs(means).mean(axis=1),
            "shift_after": np.abs(left).mean(axis=1),
            "error_ratio": scanner_ratios(lesson, corrections),
        },
        index=pd.Index(names, name="scanner"),
    )
