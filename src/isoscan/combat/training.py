"""What a model keeps of the training scans' covariates: counts, means and products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.moments import Moments, Scans
from isoscan.combat.smooth import Penalty

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Training:
    """The training scans, as far as they are the same for all features.

    Attributes
    ----------
    per_site : ndarray of shape (n_sites,)
        Number of scans, missing values included.
    mean : ndarray of shape (n_columns,)
        Mean design row.
    centre : ndarray of shape (n_columns,)
        The same, but for curves of one level the mean over the scans of that level.
    products : ndarray of shape (n_columns, n_columns)
        Products of the design columns, centred within sites.
    """

    per_site: Array
    mean: Array
    centre: Array
    products: Array

    @classmethod
    def of(cls, scans: Scans, penalties: Sequence[Penalty] = ()) -> Training:
        """Summarize scans.

        Parameters
        ----------
        scans : Scans
            Training scans.
        penalties : sequence of Penalty
            Columns of each curve.

        Returns
        -------
        Training
            Their summary.
        """
        mean = scans.covariates.mean(axis=0)
        centre = mean.copy()
        for penalty in penalties:
            columns = scans.covariates[:, penalty.columns]
            centre[penalty.columns] = columns[columns.any(axis=1)].mean(axis=0)
        products = scans.centred.products.sum(axis=0)[..., 0]
        return cls(scans.per_site, mean, centre, products)

    @classmethod
    def of_moments(cls, moments: Moments, per_site: Array) -> Training:
        """Summarize scans of which only complete moments are known.

        Parameters
        ----------
        moments : Moments
            Moments of scans without missing covariates.
        per_site : ndarray of shape (n_sites,)
            Number of scans.

        Returns
        -------
        Training
            Their summary; curves of one level are centred over all scans.
        """
        mean = per_site @ moments.covariate_mean[..., 0] / per_site.sum()
        return cls(per_site, mean, mean, moments.covariate_products.sum(axis=0)[..., 0])
