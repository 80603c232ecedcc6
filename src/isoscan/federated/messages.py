"""What a site sends: sums over its scans, and what they are sums of.

A summary holds moments of each batch, from which the centre works out everything. In sums mode
a message holds totals over the batches of a site, of which only the totals over all sites are
needed, so that a service for secure summation may stand between.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import reduce
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.container import Container
from isoscan.combat.moments import Moments
from isoscan.errors import MessageFileError
from isoscan.federated.study import Study
from isoscan.tables.write import write_atomically

Array = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]
Shapes = dict[str, tuple[int, ...]]

SUMMARY = Container(
    "isoscan-summary", 1, "summary", "summaries", most_json_bytes=16 << 20, error=MessageFileError
)


@dataclass(frozen=True)
class Sender:
    """Who sends a message about what; the same in both modes.

    Attributes
    ----------
    location : str
        The site that sends, under the name it chose.
    part : str
        Which of its scans: messages of other parts are added, those of the same part are not.
    study : str
        Name of the study.
    study_sha256 : str
        Hash of the study file.
    dtype : str
        How measures are stored at the site; "float32" carries 7 digits.
    """

    location: str
    part: str
    study: str
    study_sha256: str
    dtype: str

    @property
    def label(self) -> str:
        """Location, and part if there is more than the first."""
        return self.location if self.part == "1" else f"{self.location} ({self.part})"

    def to_json(self) -> dict[str, str]:
        """Describe the sender in plain types."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


@dataclass(frozen=True)
class Summary:
    """Moments of the batches of one site.

    Attributes
    ----------
    sender : Sender
        Whose they are.
    batches : tuple of str
        Names of the batches.
    everyone : Moments
        Counts and covariates of all scans, whatever they lack; no features.
    moments : Moments
        Moments of all features.
    patterns : ndarray of int, shape (n_batches, n_features) or None
        Number of the set of scans that each feature is measured in; features of one batch with
        the same number have the same counts and moments of covariates. None if nothing is
        missing.
    level_scans : ndarray of shape (n_batches, n_curves)
        Scans that take part in each curve.
    """

    sender: Sender
    batches: tuple[str, ...]
    everyone: Moments
    moments: Moments
    patterns: NDArray[np.int64] | None
    level_scans: Array

    @property
    def scans(self) -> Array:
        """Number of scans of each batch, shape (n_batches,)."""
        return self.everyone.count[:, 0]

    def pack(self) -> bytes:
        """Contents of the message file.

        Returns
        -------
        bytes
            The same for the same summary.
        """
        moments, arrays = self.moments, self._covariates()
        arrays["feature_mean"] = moments.feature_mean
        arrays["cross_products"] = moments.cross_products
        arrays["feature_squares"] = moments.feature_squares
        facts = {
            "mode": "full",
            "sender": self.sender.to_json(),
            "batches": list(self.batches),
            "n_patterns": len(arrays["pattern_scans"]) if self.patterns is not None else None,
        }
        return SUMMARY.pack(facts, arrays)

    def _covariates(self) -> Arrays:
        arrays: Arrays = {
            "scans": self.scans,
            "covariate_mean": self.everyone.covariate_mean[..., 0],
            "covariate_products": self.everyone.covariate_products[..., 0],
            "level_scans": self.level_scans,
        }
        if self.patterns is None:
            return arrays
        count = np.broadcast_to(self.moments.count, self.patterns.shape)
        _, first, numbers = np.unique(self.patterns, return_index=True, return_inverse=True)
        batch, feature = np.unravel_index(first, self.patterns.shape)
        arrays["pattern_of"] = numbers.reshape(self.patterns.shape).astype(np.int64)
        arrays["pattern_scans"] = count[batch, feature]
        arrays["pattern_mean"] = self.moments.covariate_mean[batch, :, feature]
        arrays["pattern_products"] = self.moments.covariate_products[batch, :, :, feature]
        return arrays

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the message file.

        Parameters
        ----------
        path : str or Path
            Where to write.
        overwrite : bool
            Replace an existing file.

        Raises
        ------
        OutputExistsError
            If the file exists and `overwrite` is false.
        """
        write_atomically(path, self.pack(), overwrite=overwrite)

    @classmethod
    def shapes(cls, facts: Mapping[str, Any], study: Study) -> Shapes:
        """Shapes of the arrays that the facts of a message announce.

        Parameters
        ----------
        facts : mapping
            Checked facts.
        study : Study
            What was agreed upon.

        Returns
        -------
        dict of {str: tuple of int}
            By name.
        """
        b, k, p = len(facts["batches"]), len(study.columns), len(study.features)
        shapes: Shapes = {
            "scans": (b,),
            "covariate_mean": (b, k),
            "covariate_products": (b, k, k),
            "level_scans": (b, len(study.smooth_design.splines)),
            "feature_mean": (b, p),
            "cross_products": (b, k, p),
            "feature_squares": (b, p),
        }
        n = facts["n_patterns"]
        if n is not None:
            shapes |= {
                "pattern_of": (b, p),
                "pattern_scans": (n,),
                "pattern_mean": (n, k),
                "pattern_products": (n, k, k),
            }
        return shapes

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
        n_batches = len(facts["batches"])
        nothing = np.zeros((n_batches, 0))
        everyone = Moments(
            count=arrays["scans"][:, None],
            covariate_mean=arrays["covariate_mean"][..., None],
            feature_mean=nothing,
            covariate_products=arrays["covariate_products"][..., None],
            cross_products=np.zeros((*arrays["covariate_mean"].shape, 0)),
            feature_squares=nothing,
        )
        patterns = arrays.get("pattern_of")
        if patterns is None:
            count, mean = everyone.count, everyone.covariate_mean
            products = everyone.covariate_products
        else:
            count = arrays["pattern_scans"][patterns]
            mean = np.moveaxis(arrays["pattern_mean"][patterns], -1, 1)
            products = np.moveaxis(arrays["pattern_products"][patterns], 1, -1)
        moments = Moments(
            count,
            mean,
            arrays["feature_mean"],
            products,
            arrays["cross_products"],
            arrays["feature_squares"],
        )
        sender = Sender(**facts["sender"])
        return cls(
            sender, tuple(facts["batches"]), everyone, moments, patterns, arrays["level_scans"]
        )


@dataclass(frozen=True)
class Sums:
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

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the message file.

        Parameters
        ----------
        path : str or Path
            Where to write.
        overwrite : bool
            Replace an existing file.

        Raises
        ------
        OutputExistsError
            If the file exists and `overwrite` is false.
        """
        write_atomically(path, self.pack(), overwrite=overwrite)

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
