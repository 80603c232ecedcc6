"""What ComBat refuses, and what it warns of, in words."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.regression import Deviations
from isoscan.errors import (
    ConfoundedDesignError,
    ConstantFeatureWarning,
    ConvergenceWarning,
    DataError,
    MissingValuesError,
    MissingValuesWarning,
    NoVarianceError,
    PrecisionWarning,
    PriorWarning,
    SmallSiteWarning,
    TooFewScansError,
    TooFewSitesError,
    UnknownSiteError,
    UnknownSiteWarning,
    count,
    name_counts,
    name_some,
)
from isoscan.labels import as_labels

if TYPE_CHECKING:
    from isoscan.combat.base import SiteHarmonizer
    from isoscan.combat.cohort import Cohort

FEW_SCANS = 10
_CHOICES: dict[str, tuple[Any, ...]] = {
    "prior": ("parametric", "nonparametric", None),
    "smooth_outside": ("clamp", "error"),
    "variance": ("msr", "reml"),
    "unknown_sites": ("error", "estimate", "skip"),
    "small_sites": ("error", "mean-only", "drop"),
    "single_site": ("error", "pass"),
    "convergence": ("reference", "full"),
}


def require_options(estimator: SiteHarmonizer) -> None:
    """Refuse options that do not exist."""
    for name, choices in _CHOICES.items():
        value = getattr(estimator, name, choices[0])
        if value not in choices:
            raise DataError(f"{name} must be one of {choices}, got {value!r}.")
    if estimator.unknown_sites == "estimate" and not hasattr(estimator, "adapt"):
        raise DataError(
            f"{type(estimator).__name__} cannot estimate unknown sites: unknown_sites must be "
            f"'error' or 'skip', got 'estimate'."
        )
    if estimator.robust and estimator.prior == "nonparametric":
        raise DataError(
            "robust=True needs prior='parametric' or None: the non-parametric prior rests "
            "on means and variances."
        )


def require_sites(estimator: SiteHarmonizer) -> None:
    """Refuse a single site, unless the user said it may pass."""
    if len(estimator.sites_) == 1 and estimator.single_site == "error":
        only = estimator.sites_[0]
        raise TooFewSitesError(
            f"nothing to harmonize: all {count(estimator.scans_per_site_[only], 'scan')} come "
            f"from 1 site, '{only}'. Add sites, or set single_site='pass' (--allow-single) to "
            f"get the measures back unchanged.",
            site=only,
        )


def require_joint_options(estimator: SiteHarmonizer) -> None:
    """Refuse options that are not defined for several batch variables."""
    for name, plain in (("reference", None), ("robust", False), ("unknown_sites", "skip")):
        value = getattr(estimator, name)
        if value not in (plain, "error"):
            raise DataError(
                f"{name}={value!r} is for one batch variable, and sites has several. Leave it "
                f"out, or remove the variables one after the other (StepwiseComBat)."
            )
    if len(estimator.smooth):
        raise DataError(
            "smooth is for one batch variable, and sites has several. Use a formula such as "
            "preserve='bs(age, df=5)', or StepwiseComBat."
        )


def require_one_batch(estimator: SiteHarmonizer) -> None:
    """Refuse to learn new levels of one of several batch variables."""
    if estimator.batches_ is not None:
        raise DataError(
            "a model of several batch variables cannot learn new levels of one of them; refit it."
        )


def reference_position(estimator: SiteHarmonizer) -> int | None:
    """Number of the reference site; the only site is its own reference."""
    if len(estimator.sites_) == 1:
        return 0
    if estimator.reference is None:
        return None
    label = as_labels([estimator.reference], "reference", warn=False)[0]
    if label not in estimator.sites_:
        raise UnknownSiteError(
            f"the reference site '{label}' is not among the sites: "
            f"{name_some(estimator.sites_, 12)}.",
            sites=[label],
        )
    return estimator.sites_.index(str(label))


def noise_tolerance(dtype: np.dtype[Any]) -> float:
    """Relative spread below which a feature counts as constant: rounding noise."""
    return max(1e-10, 4 * float(np.finfo(dtype).eps))


def usable_prior(prior: str | None, n_active: int) -> str | None:
    """Say so if empirical Bayes has little or nothing to learn from."""
    if prior is None or n_active > 2:
        return prior
    if n_active < 2:
        warnings.warn(
            "with 1 feature there is nothing to learn a prior from: empirical Bayes is off and "
            "raw estimates are used.",
            PriorWarning,
            stacklevel=7,
        )
        return None
    warnings.warn(
        "priors are learned from 2 features only; consider prior=None.", PriorWarning, stacklevel=7
    )
    return prior


def require_variation(
    estimator: SiteHarmonizer, deviations: Deviations, constant: NDArray[np.bool_]
) -> None:
    """Refuse data in which a site, or everything, stands still or is missing."""
    if len(estimator.sites_) == 1:
        return
    active = deviations.sd > 0
    confounded = estimator._names(active & ~deviations.solvable)
    if confounded:
        raise ConfoundedDesignError(
            f"missing values leave too few scans to tell the covariates apart in "
            f"{count(confounded, 'feature')}: {name_some(confounded)}. Leave them out.",
            features=confounded,
        )
    if not active.any():
        raise NoVarianceError(
            f"none of {count(len(active), 'feature')} varies within sites: there is nothing to "
            f"harmonize."
        )
    still = [
        site
        for site, same in zip(estimator.sites_, constant, strict=True)
        if same[active.argmax()] and same[active].all()
    ]
    if still:
        raise NoVarianceError(
            f"every feature is constant at {name_some(still)}: were its scans copied from one? "
            f"Leave the site out.",
            sites=still,
        )
    _require_values(estimator, deviations, active)


def _require_values(
    estimator: SiteHarmonizer, deviations: Deviations, active: NDArray[np.bool_]
) -> None:
    """Every site needs enough values: two features for a prior, all features without one."""
    needed = 1.0 if estimator.mean_only else 2.0
    numbers = np.flatnonzero(active)
    for site, counts in zip(estimator.sites_, deviations.count, strict=True):
        seen = counts if counts.size == 1 else counts[active]
        is_single = seen.max() < 2 and seen.min() > 0
        short = seen < (1.0 if is_single else needed)  # of a single scan, the shift only
        if short.any() and (estimator.prior is None or (~short).sum() < 2):
            names = estimator._names(numbers[short])
            raise MissingValuesError(
                f"{count(names, 'feature')} with too few values at site '{site}': "
                f"{name_some(names)}. Leave them out"
                + (", or use prior='parametric'." if estimator.prior is None else "."),
                site=site,
                features=names,
            )


def require_complete(estimator: SiteHarmonizer, cohort: Cohort) -> None:
    """Refuse missing measures where a method cannot work with them."""
    missing = np.isnan(cohort.table)
    if missing.any():
        names = estimator._names(missing.any(axis=0))
        raise MissingValuesError(
            f"{type(estimator).__name__} needs complete measures: {int(missing.sum())} of "
            f"{missing.size} values missing, in {count(names, 'feature')} ({name_some(names)}). "
            f"Leave these features or scans out, fill them in, or use ComBat.",
            features=names,
        )


def warn_of_single_spread(estimator: SiteHarmonizer, converged: NDArray[np.bool_]) -> None:
    """Name features whose spread could not be made to depend on covariates."""
    failed = estimator._names(~converged)
    if failed:
        warnings.warn(
            f"no maximum of the likelihood was found for {count(failed, 'feature')}: "
            f"{name_some(failed)}. Their spread is taken to be the same for all scans, as in "
            f"ComBat.",
            ConvergenceWarning,
            stacklevel=5,
        )


def _learning(estimator: SiteHarmonizer) -> str:
    """What a model that can learn new sites offers instead."""
    if not hasattr(estimator, "adapt") or estimator.batches_ is not None:
        return ', or copy their scans (unknown_sites="skip")'
    return ', adapt the model to them, or pass unknown_sites="estimate" (--new-site)'


def answer_unknown_sites(
    estimator: SiteHarmonizer, labels: NDArray[np.object_], unknown: NDArray[np.bool_]
) -> None:
    """Refuse scans of sites the model has not seen, or warn of what is done with them."""
    names, sizes = np.unique(labels[unknown], return_counts=True)
    what = (
        f"{int(unknown.sum())} of {count(len(labels), 'scan')} come from sites this model has "
        f"not seen: {name_counts(dict(zip(names, sizes, strict=True)), 8)}"
    )
    if estimator.unknown_sites == "error":
        raise UnknownSiteError(
            f"{what}. Known: {name_some(estimator.sites_, 12)}. Refit with them"
            f"{_learning(estimator)}. In cross-validation, keep every site in training "
            f"(EverySiteKFold).",
            sites=names.tolist(),
        )
    done = (
        "estimated from these scans" if estimator.unknown_sites == "estimate" else "left as it is"
    )
    warnings.warn(f"{what}: each is {done}.", UnknownSiteWarning, stacklevel=4)


def require_new_sites(
    estimator: SiteHarmonizer, names: list[str], sizes: NDArray[np.int64], prior: str
) -> None:
    """Refuse sites the model knows, and sites too small for the prior asked for."""
    if estimator.robust:
        raise DataError("a robust model cannot learn new sites from their moments; refit it.")
    if prior not in ("own", "training"):
        raise DataError(f"prior must be 'own' or 'training', got {prior!r}.")
    known = sorted(set(names) & set(estimator.sites_))
    if known:
        raise DataError(
            f"{name_some(known)} known already; adapt learns new sites only, and what is known "
            f"does not move. Refit to change it.",
            sites=known,
        )
    if prior == "training":
        return
    single = [name for name, n in zip(names, sizes, strict=True) if n < 2]
    if single and not estimator.mean_only:
        raise TooFewScansError(
            f"{name_some(single)}: 1 scan cannot be its own prior. Use prior='training'.",
            sites=single,
        )
    few = {name: n for name, n in zip(names, sizes, strict=True) if n < FEW_SCANS}
    if few:
        warnings.warn(
            f"new {'site' if len(few) == 1 else 'sites'} with fewer than {FEW_SCANS} scans: "
            f"{name_counts(few)}. prior='training' is more accurate for so few.",
            SmallSiteWarning,
            stacklevel=5,
        )


def warn_of_data(
    estimator: SiteHarmonizer,
    deviations: Deviations,
    constant: NDArray[np.bool_],
    n_scans: int,
    dtype: np.dtype[Any],
) -> None:
    """Warn of what was missing, constant, or imprecise."""
    _warn_of_missing(estimator, deviations, n_scans)
    passed = estimator._names(deviations.sd == 0)
    if passed and len(estimator.sites_) > 1:
        warnings.warn(
            f"{count(passed, 'feature')} without variation within sites passed through "
            f"unchanged and kept out of the priors: {name_some(passed)}.",
            ConstantFeatureWarning,
            stacklevel=5,
        )
    if constant.any():
        _warn_of_standstill(estimator, constant & (deviations.sd > 0))
    _warn_of_precision(estimator, deviations, dtype)


def _warn_of_standstill(estimator: SiteHarmonizer, constant: NDArray[np.bool_]) -> None:
    sites, features = np.nonzero(constant)
    if len(estimator.sites_) == 1 or not len(sites):
        return
    some = [
        f"{name}' at '{estimator.sites_[site]}"
        for site, name in zip(sites[:4], estimator._names(features[:4]), strict=True)
    ]
    rest = f" and {len(sites) - 4} more" if len(sites) > 4 else ""
    warnings.warn(
        f"{count(np.unique(features), 'feature')} with variance 0 at a site: "
        f"{name_some(some)}{rest}. The scale there is not measured; it rests on the prior.",
        ConstantFeatureWarning,
        stacklevel=6,
    )


def _warn_of_missing(estimator: SiteHarmonizer, deviations: Deviations, n_scans: int) -> None:
    if deviations.count.shape[1] == 1:
        return
    missing = n_scans - deviations.count.sum(axis=0)
    incomplete = estimator._names(missing > 0)
    warnings.warn(
        f"{missing.sum():.0f} of {n_scans * missing.size} values missing, in "
        f"{count(len(incomplete), 'feature')} ({name_some(incomplete)}). They stay missing; the "
        f"others are harmonized from the scans that have them.",
        MissingValuesWarning,
        stacklevel=6,
    )


def _warn_of_precision(
    estimator: SiteHarmonizer, deviations: Deviations, dtype: np.dtype[Any]
) -> None:
    step = deviations.size * float(np.finfo(dtype).eps)
    coarse = (deviations.sd > 0) & (step > 0.01 * deviations.sd)
    if coarse.any():
        warnings.warn(
            f"{count(int(coarse.sum()), 'feature')} stored in {dtype}, whose steps are "
            f"{100 * np.max(step[coarse] / deviations.sd[coarse]):.0f} % of the residual SD: "
            f"{name_some(estimator._names(coarse))}. Store them in float64.",
            PrecisionWarning,
            stacklevel=6,
        )
