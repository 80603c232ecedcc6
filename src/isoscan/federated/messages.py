"""What a site sends: sums over its scans, and what they are sums of.

A summary holds moments of each batch, from which the centre works out everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
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


class Saved:
    """Something that travels between sites and centre as a file."""

    def pack(self) -> bytes:
        """Contents of the file.

        Returns
        -------
        bytes
            The same for the same numbers.
        """
        raise NotImplementedError

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the file.

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
class Summary(Saved):
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
