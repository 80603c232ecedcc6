"""Can a classifier guess the site from the measures? Balanced accuracy against chance."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.combat.splitting import Visits
from isoscan.description.plain import Facts, plain
from isoscan.errors import DataError, IsoscanError, IsoscanWarning, count, name_counts, name_some
from isoscan.evaluation.discriminant import learn_discriminant
from isoscan.evaluation.regression import regress
from isoscan.evaluation.sample import Sample, Table, gather_sample

CLASSIFIER = "linear discriminant analysis, Ledoit-Wolf covariance, equal priors"
INTERVAL = "Wilson, 95 %, for the balanced accuracy of {who} guessed independently"
SMALLEST_SITE = 4
"""Scans a site needs to be guessed at all, however few the folds."""

Matrix = NDArray[np.float64]
Codes = NDArray[np.intp]
Harmonize = Callable[[NDArray[np.bool_]], Matrix]
"""Gives the measures of all scans, harmonized with what the marked scans teach."""


@dataclass(frozen=True)
class Predictability:
    """How well the site of unseen scans is guessed.

    Attributes
    ----------
    balanced_accuracy : float
        Mean over sites of the share guessed right; NaN if it could not be computed.
    low, high : float
        95 % interval.
    chance : float
        What guessing gives: 1 / number of sites.
    folds : int
        Number of cross-validation folds.
    recall : dict of {str: float}
        Share guessed right, per site.
    left_out : dict of {str: int}
        Sites with too few scans, and how many they have.
    reason : str or None
        Why nothing was computed, or which sites or features were left out.
    who : {"scans", "people"}
        What is left out of training together, and counts once in the interval.
    """

    balanced_accuracy: float
    low: float
    high: float
    chance: float
    folds: int
    recall: dict[str, float]
    left_out: dict[str, int]
    reason: str | None = None
    who: str = "scans"


def site_predictability(
    X: Table,
    sites: Any,
    covariates: pd.DataFrame | None = None,
    preserve: str | None = None,
    *,
    subject: str | None = None,
    model: Any = None,
    n_folds: int = 5,
    random_state: int | np.random.Generator | None = 0,
) -> Predictability:
    """Guess the site of scans the classifier has not seen.

    Everything is learned from the training folds: within-site slopes of the preserved
    covariates (whose effect is taken out, so that an older sample is not taken for a
    scanner), medians that replace missing values, means, spreads, and the classifier,
    linear discriminant analysis. A linear classifier sees shifted means and shifted
    patterns; a site that differs only in spread stays hidden from it. Where sites hardly
    overlap in a covariate, the error of its slope looks like a site effect and is guessed.

    Harmonized measures need care. A model fitted to all scans has removed the mean of each
    site over all of them; so if the training folds of a site lie a little high, its test
    fold must lie a little low, and the site is guessed *less* often than by chance. Less
    than chance means "not predictable"; it is an artefact, not a triumph. To learn what new
    scans of these sites will do, pass raw measures and the model: it is then fitted to the
    training folds only.

    Parameters
    ----------
    X : DataFrame or array of shape (n_scans, n_features)
        Measures; NaN where missing. A feature that is missing in more than half the scans
        of a site is left out: its absence alone would give the site away.
    sites : Series or sequence of shape (n_scans,)
        Site of each scan; a Series is matched by index. Sites with fewer scans than folds
        (or fewer than 4) are left out.
    covariates : DataFrame, optional
        Covariates named in `preserve`, matched by index.
    preserve : str, optional
        Formula of the covariates to adjust for.
    subject : str, optional
        Covariate that says who was scanned. All scans of a person are then in one fold, so
        that nobody is guessed from another scan of the same brain.
    model : estimator, optional
        Unfitted harmonization, such as ``ComBat(preserve="age")``; `X` is then raw. A copy
        is fitted to the training folds and applied to the scans of all folds.
    n_folds : int
        Number of folds; each holds the same share of every site.
    random_state : int, Generator or None
        Which scans go into which fold.

    Returns
    -------
    Predictability
        Balanced accuracy with a 95 % Wilson interval, chance, and recall per site. The
        interval treats scans as guessed independently; as training folds overlap it is a
        little narrow (it holds the truth about 92 times in 100).

    Raises
    ------
    DataError
        If rows do not match, or there are fewer than two folds.

    References
    ----------
    .. [1] Brodersen et al. (2010), ICPR 3121, doi:10.1109/ICPR.2010.764 (balanced accuracy).

    Examples
    --------
    >>> from isoscan.phantom import simulate_tables
    >>> cohort = simulate_tables(site_shift=1.0, random_state=0)
    >>> found = site_predictability(cohort.measures, cohort.people.site)
    >>> found.chance, found.low > found.chance
    (0.25, True)
    """
    sample = gather_sample(X, sites, covariates, preserve, subject)
    folds = assign_folds(sample.codes, n_folds, random_state, sample.subjects)
    return guess_sites(sample, folds, model)


def assign_folds(
    codes: Codes,
    n_folds: int,
    random_state: int | np.random.Generator | None = 0,
    subjects: NDArray[Any] | None = None,
) -> Codes:
    """Deal the scans of each site to folds, so that every fold has its share of every site.

    Parameters
    ----------
    codes : ndarray of int, shape (n_scans,)
        Site of each scan.
    n_folds : int
        Number of folds.
    random_state : int, Generator or None
        Seed.
    subjects : ndarray of shape (n_scans,), optional
        Person of each scan; all scans of a person go into one fold.

    Returns
    -------
    ndarray of int, shape (n_scans,)
        Fold of each scan.

    Raises
    ------
    DataError
        If there are fewer than two folds.

    Examples
    --------
    >>> sorted(assign_folds(np.array([0, 0, 0, 1]), 2).tolist())
    [0, 0, 1, 1]
    """
    if n_folds < 2:
        raise DataError(f"n_folds is {n_folds}; cross-validation needs at least 2 folds.")
    random = np.random.default_rng(random_state)
    if subjects is not None:
        visits = Visits.count(codes.astype(object), subjects)
        people = random.permutation(len(visits.scans_per_person))
        return visits.deal(visits.in_turn(people), n_folds, 0)[visits.person_of_scan]
    shuffled = random.permutation(len(codes))
    by_site = shuffled[np.argsort(codes[shuffled], kind="stable")]
    folds = np.empty(len(codes), dtype=np.intp)
    folds[by_site] = np.arange(len(codes)) % n_folds
    return folds


def guess_sites(sample: Sample, folds: Codes, model: Any = None) -> Predictability:
    """Guess the site of each scan from the other folds.

    Parameters
    ----------
    sample : Sample
        The scans.
    folds : ndarray of int, shape (n_scans,)
        Fold of each scan, from `assign_folds`.
    model : estimator, optional
        Harmonization to fit to the training folds.

    Returns
    -------
    Predictability
        As from `site_predictability`.
    """
    n_folds = int(folds.max()) + 1
    smallest = max(n_folds, SMALLEST_SITE)
    left_out = {site: n for site, n in _counted(sample).items() if n < smallest}
    kept = [at for at, site in enumerate(sample.sites) if site not in left_out]
    rows = np.flatnonzero(np.isin(sample.codes, kept))
    codes = np.searchsorted(kept, sample.codes[rows])
    features = _measured_everywhere(sample.values[rows], codes)
    reason = _reason(sample, left_out, smallest, features)
    if len(kept) < 2 or not features.any():
        return Predictability(np.nan, np.nan, np.nan, np.nan, n_folds, {}, left_out, reason)
    values = sample.values[np.ix_(rows, np.flatnonzero(features))]
    harmonize = None if model is None else _refit(model, values, sample, rows)
    try:
        guessed = _cross_validate(values, codes, sample.design[rows], folds[rows], harmonize)
    except IsoscanError as error:  # a training fold may be too poor for the model
        reason = f"Harmonization could not be fitted inside the training folds: {error}"
        return Predictability(np.nan, np.nan, np.nan, np.nan, n_folds, {}, left_out, reason)
    recall = np.bincount(codes, guessed == codes) / np.bincount(codes)
    names = [sample.sites[at] for at in kept]
    independent = np.array([_counted(sample)[name] for name in names])
    low, high = _wilson(float(recall.mean()), len(kept) ** 2 / float((1 / independent).sum()))
    return Predictability(
        balanced_accuracy=float(recall.mean()),
        low=low,
        high=high,
        chance=1 / len(kept),
        folds=n_folds,
        recall=dict(zip(names, map(float, recall), strict=True)),
        left_out=left_out,
        reason=reason,
        who="scans" if sample.subjects is None else "people",
    )


def _counted(sample: Sample) -> dict[str, int]:
    """Scans of each site; people, where they were scanned more than once."""
    if sample.subjects is None:
        return sample.scans_per_site
    of_site = pd.Series(sample.subjects).groupby(sample.codes).nunique()
    return dict(zip(sample.sites, map(int, of_site), strict=True))


def _measured_everywhere(values: Matrix, codes: Codes) -> NDArray[np.bool_]:
    """Features that at least half of every site's scans have, and that vary."""
    if not len(values):
        return np.zeros(values.shape[1], dtype=bool)
    member = (codes[None, :] == np.arange(codes.max() + 1)[:, None]).astype(float)
    present = (member @ ~np.isnan(values)) / member.sum(axis=1)[:, None]
    return np.asarray((present >= 0.5).all(axis=0))


def _reason(
    sample: Sample, left_out: dict[str, int], smallest: int, features: NDArray[np.bool_]
) -> str | None:
    """Say what was left out and, if so, that nothing remained."""
    parts = []
    who = "scans" if sample.subjects is None else "people"
    if left_out:
        parts.append(
            f"{count(left_out, 'site')} with fewer than {smallest} {who} left out of site "
            f"prediction: {name_counts(left_out)}."
        )
    if len(sample.sites) - len(left_out) < 2:
        parts.append("Site was not predicted: fewer than two sites are large enough.")
    elif not features.all():
        missing = [name for name, ok in zip(sample.features, features, strict=True) if not ok]
        parts.append(
            f"{count(missing, 'feature')} missing in more than half the scans of a site left out "
            f"of site prediction: {name_some(missing)}."
        )
    return " ".join(parts) or None


def _refit(model: Any, values: Matrix, sample: Sample, rows: Codes) -> Harmonize:
    """Make a copy of the model learn from some scans, and apply it to all of them."""
    from sklearn.base import clone

    labels = np.array(sample.sites, dtype=object)[sample.codes[rows]]
    covariates = None if sample.covariates is None else sample.covariates.iloc[rows]

    def harmonize(train: NDArray[np.bool_]) -> Matrix:
        known = None if covariates is None else covariates[train]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", IsoscanWarning)  # said when the whole was fitted
            fitted = clone(model).fit(values[train], sites=labels[train], covariates=known)
            return np.asarray(fitted.transform(values, sites=labels, covariates=covariates))

    return harmonize


def _cross_validate(
    raw: Matrix, codes: Codes, design: Matrix, folds: Codes, harmonize: Harmonize | None
) -> Codes:
    guessed = np.empty_like(codes)
    for fold in range(int(folds.max()) + 1):
        test, train = folds == fold, folds != fold
        values = raw if harmonize is None else harmonize(train)
        slopes = regress(values[train], codes[train], design[train]).coefficients
        adjusted = values - design @ slopes
        ready = _standardize(adjusted[train], adjusted)
        guessed[test] = learn_discriminant(ready[train], codes[train]).predict(ready[test])
    return guessed


def _standardize(training: Matrix, values: Matrix) -> Matrix:
    """Fill in and scale by what the training scans say; features without spread are 0."""
    known = ~np.isnan(training).all(axis=0)
    median = np.nanmedian(np.where(known, training, 0.0), axis=0)
    filled = np.where(np.isnan(training), median, training)
    mean, spread = filled.mean(axis=0), filled.std(axis=0)
    varies = spread > 1e-12 * np.abs(mean)
    standardized = (np.where(np.isnan(values), median, values) - mean) / np.where(
        varies, spread, 1.0
    )
    return np.where(varies, standardized, 0.0)


def _wilson(share: float, n: float) -> tuple[float, float]:
    """95 % interval of a share [Wilson (1927), JASA 22:209]; `n` may be an effective number."""
    z2 = 1.959963984540054**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = np.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n**2))) / (1 + z2 / n)
    return max(float(middle - half), 0.0), min(float(middle + half), 1.0)


def predictability_facts(
    before: Predictability, after: Predictability, held_out: Predictability | None = None
) -> Facts:
    """Write the predictability of site in both tables as plain facts.

    Parameters
    ----------
    before, after : Predictability
        From `site_predictability`, on the same folds.
    held_out : Predictability, optional
        The same, harmonized inside the training folds.

    Returns
    -------
    dict
        before, after and held_out (balanced_accuracy, low, high; None if not computed), recall,
        chance, classifier, interval, left_out_together (scans or people), folds, left_out and
        reason.
    """
    return {
        "before": _numbers(before),
        "after": _numbers(after),
        "held_out": None if held_out is None else _numbers(held_out),
        "recall": {"before": before.recall, "after": after.recall},
        "chance": plain(before.chance),
        "classifier": CLASSIFIER,
        "interval": INTERVAL.format(who=before.who),
        "left_out_together": before.who,
        "folds": before.folds,
        "left_out": before.left_out,
        "reason": before.reason or after.reason or (held_out.reason if held_out else None),
    }


def _numbers(found: Predictability) -> Facts | None:
    if np.isnan(found.balanced_accuracy):
        return None
    return {
        "balanced_accuracy": found.balanced_accuracy,
        "low": found.low,
        "high": found.high,
    }
