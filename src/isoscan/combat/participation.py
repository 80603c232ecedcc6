"""Which scans take part in a fit."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.combat.checks import FEW_SCANS
from isoscan.design.formula import parse_formula, variables
from isoscan.design.rows import choose_rows
from isoscan.errors import (
    SmallSiteWarning,
    TargetLeakError,
    TooFewScansError,
    count,
    name_counts,
    name_some,
)

if TYPE_CHECKING:
    from isoscan.combat.base import SiteHarmonizer
    from isoscan.combat.cohort import Cohort


def require_no_leak(
    estimator: SiteHarmonizer, target: Any, covariates: pd.DataFrame | None
) -> None:
    """Refuse to model what will be predicted: test scans would carry the answer.

    Parameters
    ----------
    estimator : SiteHarmonizer
        The estimator and its formulas.
    target : array-like or None
        What will be predicted.
    covariates : DataFrame or None
        Covariates, in the order of the target.

    Raises
    ------
    TargetLeakError
        Naming the covariate that is the target.
    """
    formulas = (estimator.preserve, estimator.remove, getattr(estimator, "scale", None))
    names = [name for text in formulas if text for name in variables(parse_formula(text))]
    smooth = [estimator.smooth] if isinstance(estimator.smooth, str) else estimator.smooth
    names += [part for term in smooth for part in term.split(":")]
    if target is None or covariates is None or not names:
        return
    answers = np.asarray(target)
    if answers.shape != (len(covariates),):
        return
    for name in names:
        if name in covariates and bool((covariates[name].to_numpy() == answers).all()):
            raise TargetLeakError(
                f"'{name}' is in the model and is also the target y: harmonizing a test scan would "
                f"need its answer, and would write it into the measures. Leave '{name}' out of "
                f"the formula, or harmonize without y what is not used for prediction.",
                covariate=name,
            )


def scans_to_fit(estimator: SiteHarmonizer, cohort: Cohort) -> NDArray[np.bool_]:
    """Mark the scans that take part in the fit: those of `fit_on`, of sites large enough.

    Parameters
    ----------
    estimator : SiteHarmonizer
        The estimator and its options.
    cohort : Cohort
        All scans.

    Returns
    -------
    ndarray of bool, shape (n_scans,)
        True for those that take part.

    Raises
    ------
    TooFewScansError
        If a site has too few of them.
    """
    kept = np.ones(len(cohort.sites), dtype=bool)
    if estimator.fit_on is not None:
        kept = choose_rows(estimator.fit_on, cohort.covariates)
        absent = sorted(set(cohort.sites) - set(cohort.sites[kept]))
        if absent:
            raise TooFewScansError(
                f'no scan of {name_some(absent)} fulfils fit_on "{estimator.fit_on}": their '
                f"site effects cannot be estimated. Choose a wider group, or leave them out.",
                sites=absent,
            )
    if cohort.batches is not None:
        for name, levels in cohort.batches.items():
            labels = np.array([f"{name}: {level}" for level in levels], dtype=object)
            kept &= _of_large_sites(estimator, labels, kept)
        return kept
    return kept & _of_large_sites(estimator, cohort.sites, kept)


def _of_large_sites(
    estimator: SiteHarmonizer, labels: NDArray[np.object_], kept: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Mark scans of sites that have enough; refuse or leave out sites of one scan."""
    codes, names = pd.factorize(labels, sort=True)
    sizes = np.bincount(codes[kept], minlength=len(names))
    single = names[sizes < 2]
    few = {name: n for name, n in zip(names, sizes, strict=True) if 2 <= n < FEW_SCANS}
    if few:
        warnings.warn(
            f"{count(few, 'site')} with fewer than {FEW_SCANS} scans: {name_counts(few, 8)}. "
            f"Their estimates rest mostly on the prior.",
            SmallSiteWarning,
            stacklevel=5,
        )
    if not len(single) or estimator.mean_only:
        return np.ones(len(labels), dtype=bool)
    if estimator.small_sites == "error":
        has = "has" if len(single) == 1 else "have"
        raise TooFewScansError(
            f"{'site' if len(single) == 1 else 'sites'} {name_some(single)} {has} 1 scan; "
            f"a scale needs at least 2. Merge the site (--merge-site), leave it out "
            f"(small_sites='drop', --small-sites drop), correct its shift only "
            f"(small_sites='mean-only'), or set mean_only=True.",
            sites=single.tolist(),
        )
    what = "left out of the model" if estimator.small_sites == "drop" else "corrected in shift only"
    warnings.warn(
        f"{count(len(single), 'site')} with 1 scan {what}: {name_some(single)}.",
        SmallSiteWarning,
        stacklevel=5,
    )
    left_out = sizes < (2 if estimator.small_sites == "drop" else 0)
    return np.asarray(~left_out[codes])
