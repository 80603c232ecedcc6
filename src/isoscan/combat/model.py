"""The fitted numbers of ComBat, how they are found, and how they are applied.

A harmonized value is an affine function of the measured one. Slope and intercept
depend on site and feature, and the intercept also on the scan's covariates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.blocks import for_each_block
from isoscan.combat.curves import Curves, join_curves
from isoscan.combat.effects import SiteEffects
from isoscan.combat.flatten import require_finite
from isoscan.combat.moments import Moments
from isoscan.combat.regression import Deviations, regress
from isoscan.combat.smooth import Penalty, SmoothFit
from isoscan.errors import ModelFileError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SiteModel:
    """Everything needed to harmonize new scans of known sites; holds no subject.

    Attributes
    ----------
    intercept : ndarray of shape (n_features,)
        Expected value where all covariates are 0.
    slopes : ndarray of shape (n_covariates, n_features)
        Effects of the covariates.
    sd : ndarray of shape (n_features,)
        Residual standard deviation; 0 for features that are passed through.
    removed : ndarray of bool, shape (n_covariates,)
        Covariates whose effect is taken out.
    removed_mean : ndarray of shape (n_covariates,)
        Training means at which removed covariates are held.
    effects : SiteEffects
        Shift and variance of the sites.
    reference : int or None
        Site whose scans come back unchanged.
    shared_noise : float
        Mean correlation of the residuals of different features.
    curves : Curves or None
        How much the curves bend, and how sure they are.
    """

    SHAPES: ClassVar[dict[str, tuple[str, ...]]] = {
        "intercept": ("features",),
        "slopes": ("columns", "features"),
        "sd": ("features",),
        "removed": ("columns",),
        "removed_mean": ("columns",),
    }
    intercept: Array
    slopes: Array
    sd: Array
    removed: NDArray[np.bool_]
    removed_mean: Array
    effects: SiteEffects
    reference: int | None = None
    shared_noise: float = 1.0
    curves: Curves | None = None

    @property
    def passed_through(self) -> NDArray[np.bool_]:
        """Features that do not vary within sites and come back unchanged."""
        return np.asarray(self.sd == 0)

    def kept(self, covariates: Array) -> Array:
        """Covariates as they are expected after harmonization.

        Parameters
        ----------
        covariates : ndarray of shape (n_scans, n_covariates)
            Design columns.

        Returns
        -------
        ndarray of shape (n_scans, n_covariates)
            The same, with those that are removed held at their training mean.
        """
        return np.where(self.removed, self.removed_mean, covariates)

    def require_sound(self, name: str) -> None:
        """Refuse numbers that no fit can give.

        Parameters
        ----------
        name : str
            Name of the model in messages.

        Raises
        ------
        ModelFileError
            If a number is not finite or a variance is not positive.
        """
        require_finite(
            name,
            intercept=self.intercept,
            slopes=self.slopes,
            sd=self.sd,
            removed_mean=self.removed_mean,
            shift=self.effects.shift,
            variance=self.effects.variance,
        )
        if (self.effects.variance <= 0).any() or (self.sd < 0).any():
            raise ModelFileError("the model file is damaged: a variance is not positive.")


def fit_deviations(
    moments_of: Callable[[slice], Moments],
    scans_per_site: Array,
    n_features: int,
    *,
    reference: int | None,
    tolerance: float,
    penalties: Sequence[Penalty] = (),
    n_jobs: int | None = None,
) -> tuple[Deviations, NDArray[np.bool_]]:
    """Solve block by block, wherever the moments come from.

    Parameters
    ----------
    moments_of : callable
        Gives the moments of a slice of features.
    scans_per_site : ndarray of shape (n_sites,)
        Number of scans, missing values included.
    n_features : int
        Number of features.
    reference : int or None
        Number of the reference site.
    tolerance : float
        Relative size of rounding noise.
    penalties : sequence of Penalty
        Design columns that draw curves.
    n_jobs : int, optional
        Number of threads.

    Returns
    -------
    deviations : Deviations
        Of all features.
    constant_within : ndarray of bool, shape (n_sites, n_features)
        Where a feature does not vary within a site.
    """
    n_sites = len(scans_per_site)
    found: dict[str, NDArray[Any]] = {
        "intercept": np.empty(n_features),
        "sd": np.empty(n_features),
        "size": np.empty(n_features),
        "solvable": np.empty(n_features, dtype=bool),
        "shift": np.empty((n_sites, n_features)),
        "variance": np.empty((n_sites, n_features)),
    }
    constant = np.zeros((n_sites, n_features), dtype=bool)

    def solve(block: slice) -> tuple[Array, Array, SmoothFit | None]:
        moments = moments_of(block)
        part = regress(
            moments,
            scans_per_site,
            reference=reference,
            tolerance=tolerance,
            penalties=penalties,
        )
        for name, whole in found.items():
            whole[..., block] = getattr(part, name)
        noise = tolerance * np.maximum(np.abs(moments.feature_mean), part.sd)
        constant[:, block] = (moments.feature_squares <= moments.count * noise**2) & (
            moments.count > 1
        )
        return part.slopes, part.count, part.smooth

    parts = for_each_block(solve, scans_per_site.mean(), n_features, n_jobs)
    slopes, counts, curves = zip(*parts, strict=True)
    widths = [part.shape[1] for part in slopes]
    deviations = Deviations(
        slopes=np.concatenate(slopes, axis=1),
        count=_join_counts(counts, widths),
        smooth=join_curves([part for part in curves if part is not None]),
        **found,
    )
    return deviations, constant


def _join_counts(counts: Sequence[Array], widths: list[int]) -> Array:
    """One count per site if no block had missing values, else one per feature."""
    if all(count.shape[1] == 1 for count in counts):
        return counts[0]
    return np.concatenate(
        [
            np.broadcast_to(count, (len(count), width))
            for count, width in zip(counts, widths, strict=True)
        ],
        axis=1,
    )
