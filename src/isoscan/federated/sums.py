"""Sums mode: the centre sees totals only, and every site finishes its own model.

Expected values and residual SD need totals over all sites; what a site deviates by, and how far
that is trusted, needs its own data only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.combat import ComBat
from isoscan.combat.checks import noise_tolerance
from isoscan.combat.container import Container
from isoscan.combat.moments import Scans
from isoscan.combat.regression import Deviations, deviations_of_new_sites
from isoscan.combat.smooth import SmoothFit, penalised_slopes
from isoscan.combat.training import Training
from isoscan.errors import (
    ConfoundedDesignError,
    MessageFileError,
    NoVarianceError,
    TooFewScansError,
    name_some,
)
from isoscan.federated.messages import Saved
from isoscan.federated.site_data import read_site, site_moments
from isoscan.federated.study import Study
from isoscan.federated.totals import Sums

Array = NDArray[np.float64]

COEFFICIENTS = Container(
    "isoscan-coefficients",
    1,
    "coefficients",
    "coefficients",
    most_json_bytes=16 << 20,
    error=MessageFileError,
)
_NAMES = ("intercept", "slopes", "sd", "smoothing", "edf", "variance", "mean", "centre", "products")


@dataclass(frozen=True)
class Coefficients(Saved):
    """What all sites together say; the same for every site.

    Attributes
    ----------
    study_sha256 : str
        Hash of the study.
    dtype : str
        Coarsest type that measures are stored in.
    intercept, sd : ndarray of shape (n_features,)
        Expected value where all covariates are 0, and residual SD.
    slopes : ndarray of shape (n_columns, n_features)
        Effects of the design columns.
    smoothing, edf : ndarray of shape (n_curves, n_features)
        How much curves bend.
    variance : ndarray of shape (n_features,)
        Residual variance by restricted maximum likelihood.
    mean, centre : ndarray of shape (n_columns,)
        Mean design row; for curves of one level, over its scans.
    products : ndarray of shape (n_columns, n_columns)
        Products of the design columns within batches.
    """

    study_sha256: str
    dtype: str
    intercept: Array
    slopes: Array
    sd: Array
    smoothing: Array
    edf: Array
    variance: Array
    mean: Array
    centre: Array
    products: Array

    def pack(self) -> bytes:
        """Contents of the file that goes back to the sites.

        Returns
        -------
        bytes
            The same for the same coefficients.
        """
        facts = {"study_sha256": self.study_sha256, "dtype": self.dtype}
        return COEFFICIENTS.pack(facts, {name: getattr(self, name) for name in _NAMES})


def read_coefficients(path: str | Path, study: Study) -> Coefficients:
    """Read what the centre sent, and check every part of it.

    Parameters
    ----------
    path : str or Path
        A file written by `Coefficients.save`.
    study : Study
        What was agreed upon.

    Returns
    -------
    Coefficients
        As written.

    Raises
    ------
    MessageFileError
        If the file is damaged, altered, or of another study.
    """
    name = Path(path).name
    k, p, c = len(study.columns), len(study.features), len(study.smooth_design.splines)
    sizes = ((p,), (k, p), (p,), (c, p), (c, p), (p,), (k,), (k,), (k, k))
    shapes = dict(zip(_NAMES, sizes, strict=True))

    def announced(facts: dict[str, Any]) -> dict[str, tuple[int, ...]]:
        if facts.get("study_sha256") != study.sha256:
            raise MessageFileError(
                f"{name}: made for the study with hash {str(facts.get('study_sha256'))[:12]}..., "
                f"this one has {study.sha256[:12]}.... Ask the centre for the right file."
            )
        if facts.get("dtype") not in ("float32", "float64"):
            raise MessageFileError(f"{name}: it does not say how measures are stored.")
        return shapes

    facts, arrays = COEFFICIENTS.read(path, announced=announced)
    for key, array in arrays.items():
        may_be_open = key in ("smoothing", "edf", "variance")
        if array.dtype != np.float64 or not (may_be_open or np.isfinite(array).all()):
            raise MessageFileError(f"{name}: '{key}' holds what is not a finite number.")
    if (arrays["sd"] < 0).any():
        raise MessageFileError(f"{name}: a residual SD is negative.")
    return Coefficients(facts["study_sha256"], facts["dtype"], **arrays)


def solve_sums(total: Sums, study: Study, dtype: np.dtype[Any]) -> Coefficients:
    """Work out expected values and residual SD from totals over all sites.

    Parameters
    ----------
    total : Sums
        Totals, added up by the centre or by a service for secure summation.
    study : Study
        What was agreed upon.
    dtype : dtype
        Coarsest type that measures are stored in.

    Returns
    -------
    Coefficients
        What goes back to the sites.

    Raises
    ------
    ConfoundedDesignError
        If missing values leave covariates that cannot be told apart.
    NoVarianceError
        If no feature varies within batches.
    """
    penalties = study.penalties
    fit = penalised_slopes(
        total.measured_products,
        total.cross_products,
        total.feature_squares,
        total.degrees,
        penalties,
    )
    n_scans, weight = total.scans[0], np.maximum(total.weight, 1.0)
    explained = np.einsum(
        "qv,qv->v",
        np.broadcast_to(total.weighted_covariates, fit.slopes.shape),
        fit.slopes,
    )
    intercept = (total.weighted_features - explained) / weight
    measured = np.maximum(total.measured, 1.0)
    left = _residual_squares(total, fit.slopes)
    sd = np.sqrt(left / measured)
    size = np.sqrt(total.feature_squares / measured + (total.weighted_features / weight) ** 2)
    sd[sd <= noise_tolerance(dtype) * size] = 0.0
    _require_solved(sd, fit, study)
    mean = total.covariates / n_scans
    centre = mean.copy()
    for penalty, inside in zip(penalties, total.level_scans, strict=True):
        centre[penalty.columns] *= n_scans / max(inside, 1.0)
    return Coefficients(
        study_sha256=study.sha256,
        dtype=str(dtype),
        intercept=intercept,
        slopes=fit.slopes,
        sd=sd,
        smoothing=fit.smoothing,
        edf=fit.edf,
        variance=fit.variance,
        mean=mean,
        centre=centre,
        products=total.products,
    )


def _residual_squares(total: Sums, slopes: Array) -> Array:
    squares = total.feature_squares - 2 * np.einsum("qv,qv->v", total.cross_products, slopes)
    if total.measured_products.shape[-1] == 1:
        products = total.measured_products[..., 0]
        squares = squares + np.einsum("qv,qr,rv->v", slopes, products, slopes, optimize=True)
    else:
        squares = squares + np.einsum("qrv,qv,rv->v", total.measured_products, slopes, slopes)
    return np.asarray(np.maximum(squares, 0.0))


def _require_solved(sd: Array, fit: SmoothFit, study: Study) -> None:
    features = np.array(list(study.features), dtype=object)
    lost = features[(sd > 0) & ~fit.solvable].tolist()
    if lost:
        raise ConfoundedDesignError(
            f"too few scans to tell the covariates apart in {name_some(lost)}. Leave them out of "
            f"the study.",
            features=lost,
        )
    if not (sd > 0).any():
        raise NoVarianceError("no feature varies within sites: there is nothing to harmonize.")


def finish(
    coefficients: Coefficients,
    X: pd.DataFrame,
    study: Study,
    *,
    sites: Any,
    covariates: pd.DataFrame | None = None,
) -> ComBat:
    """At a site: estimate the site's own effects, beside what all sites say.

    Parameters
    ----------
    coefficients : Coefficients
        What came back from the centre.
    X : DataFrame of shape (n_scans, n_features)
        The same measures that were summed up.
    study : Study
        What was agreed upon.
    sites : Series or sequence of shape (n_scans,)
        Batch of each scan.
    covariates : DataFrame of shape (n_scans, n_covariates), optional
        Columns named in the study.

    Returns
    -------
    ComBat
        A model of the site's own batches, equal to that of the pooled data.

    Raises
    ------
    DataError
        If the data do not fit the study.
    """
    if coefficients.study_sha256 != study.sha256:
        raise MessageFileError("these coefficients are of another study.")
    cohort, _, _ = read_site(X, study, sites, covariates, None)
    model = study.estimator()
    names, codes, sizes = np.unique(
        cohort.sites.astype(str), return_inverse=True, return_counts=True
    )
    model.sites_ = names.tolist()
    model.scans_per_site_ = dict(zip(model.sites_, sizes.tolist(), strict=True))
    single = names[sizes < 2].tolist()
    if single and not study.mean_only:
        raise TooFewScansError(f"{name_some(single)} with 1 scan; a scale needs at least 2.")
    scans = Scans.group(codes, len(names), model._matrix(cohort.covariates, len(codes)))
    found = _deviations(coefficients, site_moments(model, cohort, scans))
    training = Training(
        scans.per_site, coefficients.mean, coefficients.centre, coefficients.products
    )
    model.model_ = model._site_model(found, model._shrink(found, None), training, None)
    model.passed_through_ = model._names(model.model_.passed_through)
    return model


def _deviations(common: Coefficients, moments: Any) -> Deviations:
    """Deviations of the site's batches from what is expected, as `regress` defines them."""
    shift, variance = deviations_of_new_sites(moments, common.intercept, common.slopes, common.sd)
    count = np.maximum(moments.count, 1.0)
    everything = (moments.count * moments.feature_mean**2 + moments.feature_squares).sum(axis=0)
    size = np.sqrt(everything / np.maximum(moments.count.sum(axis=0), 1.0))
    unit = np.where(common.sd > 0, common.sd, 1.0)
    left = variance * np.maximum(moments.count - 1, 1.0) * unit**2
    noise = count * (noise_tolerance(np.dtype(common.dtype)) * size) ** 2
    variance[~(left > noise)] = 1.0  # nothing moves, or there is nothing: as in `regress`
    known = np.ones(len(size), dtype=bool)
    smooth = SmoothFit(common.slopes, common.smoothing, common.edf, common.variance, known)
    return Deviations(
        intercept=common.intercept,
        slopes=common.slopes,
        sd=common.sd,
        shift=shift,
        variance=variance,
        count=moments.count,
        size=size,
        solvable=known,
        smooth=None if not len(common.smoothing) else smooth,
    )
