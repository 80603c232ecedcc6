"""What a site sends in sums mode: totals that add up over sites.

Only the totals over all sites are needed, so a service for secure summation may stand between.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import reduce
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from isoscan.federated.messages import SUMMARY, Arrays, Saved, Sender, Shapes, Summary
from isoscan.federated.study import Study

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sums(Saved):
    """Totals over the batches of one site, or of all sites.

    All arrays add up over sites. An axis `measured` runs over features if
    scans may lack measures, and has length 1 otherwise.

    Attributes
    ----------
    sender : Sender
        Whose they are.
    scans : ndarray of shape (1,)
        Number of scans.
    covariates : ndarray of shape (n_columns,)
        Design columns.
    products : ndarray of shape (n_columns, n_columns)
        Products of the design columns within batches.
    level_scans : ndarray of shape (n_curves,)
        Scans that take part in each curve.
    measured : ndarray of shape (measured,)
        Scans that have the measure.
    degrees : ndarray of shape (measured,)
        The same less one per batch.
    weight : ndarray of shape (measured,)
        Scans of the batches that have the measure.
    weighted_covariates : ndarray of shape (n_columns, measured)
        Batch means of the design columns over scans with the measure, times all scans.
    weighted_features : ndarray of shape (n_features,)
        Batch means of the measures, times all scans.
    measured_products : ndarray of shape (n_columns, n_columns, measured)
        Products of the design columns within batches, over scans with the measure.
    cross_products : ndarray of shape (n_columns, n_features)
        Products of design columns and measures within batches.
    feature_squares : ndarray of shape (n_features,)
        Squares of the measures within batches.
    """

    sender: Sender
    scans: Array
    covariates: Array
    products: Array
    level_scans: Array
    measured: Array
    degrees: Array
    weight: Array
    weighted_covariates: Array
    weighted_features: Array
    measured_products: Array
    cross_products: Array
    feature_squares: Array

    @classmethod
    def of(cls, summary: Summary) -> Self:
        """Add up the batches of a site.

        Parameters
        ----------
        summary : Summary
            Moments of the batches; they stay at the site.

        Returns
        -------
        Sums
            What may leave it.
        """
        moments, scans = summary.moments, summary.scans
        weight = np.where(moments.count > 0, scans[:, None], 0.0)
        return cls(
            sender=summary.sender,
            scans=np.array([scans.sum()]),
            covariates=scans @ summary.everyone.covariate_mean[..., 0],
            products=summary.everyone.covariate_products.sum(axis=0)[..., 0],
            level_scans=summary.level_scans.sum(axis=0),
            measured=moments.count.sum(axis=0),
            degrees=np.maximum(moments.count - 1, 0).sum(axis=0),
            weight=weight.sum(axis=0),
            weighted_covariates=(weight[:, None] * moments.covariate_mean).sum(axis=0),
            weighted_features=(weight * moments.feature_mean).sum(axis=0),
            measured_products=moments.covariate_products.sum(axis=0),
            cross_products=moments.cross_products.sum(axis=0),
            feature_squares=moments.feature_squares.sum(axis=0),
        )

    @property
    def arrays(self) -> Arrays:
        """Everything that is added up over sites, by name."""
        names = [item.name for item in fields(self) if item.name != "sender"]
        return {name: getattr(self, name) for name in names}

    def pack(self) -> bytes:
        """Contents of the message file.

        Returns
        -------
        bytes
            The same for the same sums.
        """
        return SUMMARY.pack({"mode": "sums", "sender": self.sender.to_json()}, self.arrays)

    @classmethod
    def shapes(cls, study: Study) -> Shapes:
        """Shapes of the arrays of a message; the same for all sites.

        Parameters
        ----------
        study : Study
            What was agreed upon.

        Returns
        -------
        dict of {str: tuple of int}
            By name.
        """
        k, p = len(study.columns), len(study.features)
        width = p if study.missing == "pattern" else 1
        return {
            "scans": (1,),
            "covariates": (k,),
            "products": (k, k),
            "level_scans": (len(study.smooth_design.splines),),
            "measured": (width,),
            "degrees": (width,),
            "weight": (width,),
            "weighted_covariates": (k, width),
            "weighted_features": (p,),
            "measured_products": (k, k, width),
            "cross_products": (k, p),
            "feature_squares": (p,),
        }

    @classmethod
    def unpack(cls, facts: Mapping[str, Any], arrays: Arrays) -> Self:
        """Put a checked message together again.

        Parameters
        ----------
        facts : mapping
            Checked facts.
        arrays : dict of {str: ndarray}
            Checked numbers.

        Returns
        -------
        Summary or Sums
            As it was sent.
        """
        return cls(Sender(**facts["sender"]), **arrays)

    def widened(self, study: Study) -> Self:
        """The same with the shapes that all sites agree upon.

        Parameters
        ----------
        study : Study
            What was agreed upon.

        Returns
        -------
        Sums
            Arrays of counts are repeated for every feature if scans may lack measures.
        """
        shapes = self.shapes(study)
        arrays = {name: np.broadcast_to(a, shapes[name]) for name, a in self.arrays.items()}
        return type(self)(self.sender, **arrays)

    def __add__(self, other: Sums) -> Sums:
        """Totals over both."""
        theirs = other.arrays
        return Sums(self.sender, **{name: a + theirs[name] for name, a in self.arrays.items()})


def add_up(messages: list[Sums]) -> Sums:
    """Total over sites, as a service for secure summation would give it.

    Parameters
    ----------
    messages : list of Sums
        One per site.

    Returns
    -------
    Sums
        Their total.
    """
    return reduce(lambda first, second: first + second, messages)
