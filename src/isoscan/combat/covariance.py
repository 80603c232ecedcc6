"""Sites differ in covariance: find principal components, harmonize their scores.

CovBat [1]_ works on the residuals that ComBat leaves. Rows are scans, columns are
features. Only the leading components change; what the others hold stays in the
residuals, so nothing is lost by not keeping them. Every scan is treated on its own:
alone or in bulk it gets the same bits.

References
----------
.. [1] Chen et al. (2022), Human Brain Mapping 43:1179, doi:10.1002/hbm.25688.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.apply import harmonize
from isoscan.combat.blocks import column_blocks, for_each_block, run_parallel
from isoscan.combat.checks import noise_tolerance
from isoscan.combat.effects import Shrinkage, shrink_sites
from isoscan.combat.flatten import require_finite
from isoscan.combat.leading import Axes, Centred, Wanted, leading_axes
from isoscan.combat.model import SiteModel, fit_deviations
from isoscan.combat.moments import Scans, collect
from isoscan.combat.newsites import shared_noise
from isoscan.errors import (
    ModelFileError,
    NoVarianceError,
    PriorWarning,
    TooManyComponentsError,
    count,
)

Array = NDArray[np.float64]

SCANS_AT_A_TIME = 64


@dataclass(frozen=True)
class Components:
    """Leading principal components of residuals; holds no scan.

    Attributes
    ----------
    centre : ndarray of shape (n_features,)
        Means of the residuals, in the unit of each feature.
    scale : ndarray of shape (n_features,)
        Standard deviations of the residuals (divisor n - 1); 1 if features were not
        standardized, and where a feature does not vary.
    loadings : ndarray of shape (n_features, n_components)
        Orthonormal columns; 0 where a feature takes no part. The largest loading of a
        component is positive.
    variance_share : ndarray of shape (n_components,)
        Share of all variance that each component explains.
    n_scans : int
        Number of scans they were found in.
    """

    SHAPES: ClassVar[dict[str, tuple[str, ...]]] = {
        "centre": ("features",),
        "scale": ("features",),
        "loadings": ("features", "*"),
        "variance_share": ("*",),
    }
    centre: Array
    scale: Array
    loadings: Array
    variance_share: Array
    n_scans: int

    @property
    def n_components(self) -> int:
        """Number of components kept."""
        return int(self.loadings.shape[1])

    def require_sound(self, name: str) -> None:
        """Refuse numbers that no fit can give.

        Parameters
        ----------
        name : str
            Name of the components in messages.

        Raises
        ------
        ModelFileError
            If a number is not finite, or shapes disagree.
        """
        require_finite(name, centre=self.centre, scale=self.scale, loadings=self.loadings)
        if len(self.variance_share) != self.n_components or (self.scale <= 0).any():
            raise ModelFileError(f"the model file is damaged: '{name}' is inconsistent.")


def find_components(
    residuals: NDArray[Any],
    *,
    variance_share: float = 0.95,
    n_components: int | None = None,
    standardize: bool = True,
    active: NDArray[np.bool_] | None = None,
    random_state: int | np.random.Generator | None = 0,
    n_jobs: int | None = None,
) -> Components:
    """Find the leading principal components of residuals.

    Parameters
    ----------
    residuals : ndarray of shape (n_scans, n_features)
        Harmonized measures without what is expected; no NaN. Not modified.
    variance_share : float
        Keep the first components that together explain strictly more than this share.
    n_components : int, optional
        Keep exactly so many instead.
    standardize : bool
        Divide every feature by its standard deviation first.
    active : ndarray of bool, shape (n_features,), optional
        Features that take part; all that vary by default.
    random_state : int, Generator or None
        Used only where both scans and features are too many for an exact solution.
    n_jobs : int, optional
        Number of threads; the result does not depend on it.

    Returns
    -------
    Components
        Centre, scale and loadings.

    Raises
    ------
    TooManyComponentsError
        If `n_components` is more than there are.
    NoVarianceError
        If no feature varies.

    Examples
    --------
    >>> thickness = np.array([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]])
    >>> find_components(thickness).loadings.round(3)
    array([[0.707],
           [0.707]])
    """
    centre, squares = _means_and_squares(residuals, n_jobs)
    varies = squares > 0 if active is None else (squares > 0) & active
    if not varies.any():
        raise NoVarianceError("no feature varies after harmonization; there are no components.")
    scale = np.ones(len(centre))
    if standardize:
        scale[varies] = np.sqrt(squares[varies] / (len(residuals) - 1))
    total = float((squares[varies] / scale[varies] ** 2).sum())
    axes, rank = leading_axes(
        Centred(residuals, centre, np.where(varies, 1.0 / scale, 0.0)),
        Wanted(variance_share, n_components, total),
        random_state=random_state,
        n_jobs=n_jobs,
    )
    if n_components is not None and n_components > rank:
        _refuse(n_components, rank, len(residuals), int(varies.sum()))
    loadings = _with_signs(axes)
    loadings[~varies] = 0.0
    return Components(centre, scale, loadings, axes.squares / total, len(residuals))


def _means_and_squares(residuals: NDArray[Any], n_jobs: int | None) -> tuple[Array, Array]:
    n_scans, n_features = residuals.shape
    together = Scans.group(np.zeros(n_scans, dtype=np.intp), 1, np.zeros((n_scans, 0)))

    def of_block(block: slice) -> tuple[Array, Array]:
        moments = collect(residuals[:, block], together, first_column=block.start)
        return moments.feature_mean[0], moments.feature_squares[0]

    means, squares = zip(*for_each_block(of_block, n_scans, n_features, n_jobs), strict=True)
    return np.concatenate(means), np.concatenate(squares)


def _refuse(n_components: int, rank: int, n_scans: int, n_features: int) -> None:
    raise TooManyComponentsError(
        f"n_components={n_components} is more than there are: {count(n_scans, 'scan')} and "
        f"{count(n_features, 'feature')} that vary span {count(rank, 'component')}. "
        f"Ask for {rank} or fewer, or leave the number to variance_share.",
        n_components=n_components,
        rank=rank,
    )


def _with_signs(axes: Axes) -> Array:
    """Make the largest loading positive, the first of those that rounding cannot tell apart."""
    size = np.abs(axes.directions)
    first = np.argmax(size >= (1 - 1e-8) * size.max(axis=0), axis=0)
    sign = np.sign(axes.directions[first, np.arange(len(first))])
    return np.ascontiguousarray(axes.directions * sign)


def project(residuals: NDArray[Any], components: Components, *, n_jobs: int | None = None) -> Array:
    """Scores of scans on components.

    Parameters
    ----------
    residuals : ndarray of shape (n_scans, n_features)
        Harmonized measures without what is expected. Not modified.
    components : Components
        From `find_components`.
    n_jobs : int, optional
        Number of threads.

    Returns
    -------
    ndarray of shape (n_scans, n_components)
        Scores, in standard deviations of features if those were standardized.
    """
    scores = np.zeros((len(residuals), components.n_components))

    def add_block(rows: slice, block: slice) -> None:
        values = np.asarray(residuals[rows, block] - components.centre[block], dtype=np.float64)
        values /= components.scale[block]
        scores[rows] += _row_by_row(values, np.ascontiguousarray(components.loadings[block]))

    _for_each_part(add_block, scores.shape, len(components.centre), n_jobs)
    return scores


def replace_scores(
    residuals: NDArray[Any],
    components: Components,
    old_scores: Array,
    new_scores: Array,
    *,
    n_jobs: int | None = None,
) -> NDArray[Any]:
    """Put new scores in the place of old ones; other components stay as they are.

    Parameters
    ----------
    residuals : ndarray of shape (n_scans, n_features)
        Harmonized measures without what is expected. Not modified.
    components : Components
        From `find_components`.
    old_scores, new_scores : ndarray of shape (n_scans, n_components)
        Scores of these residuals, and what they become.
    n_jobs : int, optional
        Number of threads.

    Returns
    -------
    ndarray of shape (n_scans, n_features)
        New residuals, of the type of `residuals`; a scan whose scores are the same comes
        back unchanged.
    """
    change = new_scores - old_scores
    result = np.empty_like(residuals)

    def fill_block(rows: slice, block: slice) -> None:
        back = np.ascontiguousarray(components.loadings[block].T)
        result[rows, block] = residuals[rows, block] + (
            _row_by_row(change[rows], back) * components.scale[block]
        )

    _for_each_part(fill_block, change.shape, len(components.centre), n_jobs)
    return result


def _row_by_row(rows: Array, matrix: Array) -> Array:
    """Multiply every row with the matrix by itself.

    The linear algebra library rounds a product of matrices differently for different
    numbers of rows.
    """
    return np.asarray(np.matmul(rows[:, None], matrix)[:, 0])


def _for_each_part(
    work: Callable[[slice, slice], None],
    shape: tuple[int, ...],
    n_features: int,
    n_jobs: int | None,
) -> None:
    """Share the scans between threads; the blocks of features depend on the model alone."""
    n_scans, n_components = shape
    blocks = list(column_blocks(max(n_components, 4 * SCANS_AT_A_TIME), n_features))

    def work_on_scans(start: int) -> None:
        rows = slice(start, min(start + SCANS_AT_A_TIME, n_scans))
        for block in blocks:
            work(rows, block)

    run_parallel(work_on_scans, range(0, n_scans, SCANS_AT_A_TIME), n_jobs)


def fit_scores(
    scores: Array,
    scans: Scans,
    prior: str | None = None,
    reference: int | None = None,
    *,
    to_fixed_point: bool = False,
    n_jobs: int | None = None,
) -> SiteModel:
    """Estimate shift and scale of each site's scores: ComBat without covariates.

    Parameters
    ----------
    scores : ndarray of shape (n_scans, n_components)
        Scores of the training scans.
    scans : Scans
        Rows grouped by site; their covariates are not used.
    prior : str or None
        "parametric" to shrink over components; None for raw estimates.
    reference : int, optional
        Number of the site whose scores stay as they are.
    to_fixed_point : bool
        Iterate to the fixed point instead of the reference's stop.
    n_jobs : int, optional
        Number of threads.

    Returns
    -------
    SiteModel
        Components take the place of features.
    """
    scans = _without_covariates(scans)
    deviations, _ = fit_deviations(
        lambda block: collect(scores[:, block], scans),
        scans.per_site,
        scores.shape[1],
        reference=reference,
        tolerance=noise_tolerance(scores.dtype),
        n_jobs=n_jobs,
    )
    active = deviations.sd > 0
    effects = shrink_sites(
        deviations.shift,
        deviations.variance,
        deviations.count,
        active,
        Shrinkage(_usable_prior(prior, int(active.sum())), to_fixed_point),
        scale_fixed=np.asarray(deviations.count.max(axis=1) < 2),
        skip=reference,
        n_jobs=n_jobs,
    )
    model = SiteModel(
        intercept=deviations.intercept,
        slopes=deviations.slopes,
        sd=deviations.sd,
        removed=np.zeros(0, dtype=bool),
        removed_mean=np.zeros(0),
        effects=effects,
        reference=reference,
    )
    return replace(model, shared_noise=shared_noise(scores, scans, model))


def _usable_prior(prior: str | None, n_components: int) -> str | None:
    if prior is None or n_components > 1:
        return prior
    warnings.warn(
        "1 component is kept, and there is nothing to learn a prior from: its scores are "
        "harmonized with raw estimates. Keep more components, or set score_prior=None.",
        PriorWarning,
        stacklevel=3,
    )
    return None


def adjust_scores(
    scores: Array, scans: Scans, model: SiteModel, *, n_jobs: int | None = None
) -> Array:
    """Take site effects out of scores.

    Parameters
    ----------
    scores : ndarray of shape (n_scans, n_components)
        Scores from `project`.
    scans : Scans
        Rows grouped by the sites of `model`; their covariates are not used.
    model : SiteModel
        From `fit_scores`.
    n_jobs : int, optional
        Number of threads.

    Returns
    -------
    ndarray of shape (n_scans, n_components)
        Harmonized scores; those of the reference site are the same.
    """
    return harmonize(scores, _without_covariates(scans), model, n_jobs=n_jobs)


def _without_covariates(scans: Scans) -> Scans:
    return replace(scans, covariates=scans.covariates[:, :0])
