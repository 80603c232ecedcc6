"""A message that passed all checks: shown in plain words, remembered, and handed out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from isoscan.errors import count
from isoscan.federated.ledger import Ledger
from isoscan.federated.messages import Summary
from isoscan.federated.study import Study
from isoscan.federated.thresholds import Thresholds
from isoscan.federated.totals import Sums


@dataclass(frozen=True)
class Release:
    """A message that passed all checks, and what is kept of it at the site.

    Attributes
    ----------
    message : Summary or Sums
        What would leave the site.
    people : list of lists
        Who the groups of the message consist of; never leaves the site.
    n_people : int
        Number of people.
    study : Study
        What was agreed upon.
    thresholds : Thresholds
        Limits that were kept.
    ledger : Ledger or None
        Where releases are remembered.
    left_out : int
        Scans left out because they lack a measure.
    """

    message: Summary | Sums
    people: list[list[Any]]
    n_people: int
    study: Study
    thresholds: Thresholds
    ledger: Ledger | None
    left_out: int

    @property
    def preview(self) -> str:
        """What the message holds, in plain words."""
        return "\n".join(_preview(self))

    def send(self) -> Summary | Sums:
        """Remember the release in the ledger, and hand the message out.

        Returns
        -------
        Summary or Sums
            The message.
        """
        if self.ledger is not None:
            self.ledger.record(self.people, study=self.study.name, columns=self.study.told)
        return self.message

    def receipt(self) -> dict[str, Any]:
        """What the site keeps to know later what it sent.

        Returns
        -------
        dict
            Plain types.
        """
        return {
            "study": self.study.name,
            "study_sha256": self.study.sha256,
            "message_sha256": hashlib.sha256(self.message.pack()).hexdigest(),
            "sender": self.message.sender.to_json(),
            "thresholds": self.thresholds.to_json(),
            "differencing": "checked" if self.ledger else "not checked",
            "people": self.n_people,
            "left_out": self.left_out,
            "preview": self.preview.splitlines(),
        }


def _preview(release: Release) -> list[str]:
    study, message = release.study, release.message
    k, p = len(study.columns), len(study.features)
    columns = f" ({', '.join(study.columns[:6])}{', ...' if k > 6 else ''})" if k else ""
    arrays = _numbers_of(message)
    limits = study.thresholds
    lines = [
        f"Message of '{message.sender.label}' for the study '{study.name}' "
        f"(hash {study.sha256[:12]}).",
        f"It is about {count(release.n_people, 'person', 'people')}, and holds {arrays} numbers:",
    ]
    if isinstance(message, Summary):
        sizes = zip(message.batches, message.scans, strict=True)
        lines.append(f"- how many scans: {', '.join(f'{b} {n:.0f}' for b, n in sizes)};")
        unit = "of each batch"
    else:
        lines.append(f"- how many scans: {message.scans[0]:.0f};")
        unit = "over all batches together"
    lines += [
        f"- means and products of {count(k, 'design column')}{columns}, {unit};",
        f"- mean, sum of squares and products with these columns of {count(p, 'measure')}, {unit};",
        "- names of the site, its batches and the versions of the software.",
        "It holds no row of your table, no name, date or path, no smallest or largest value.",
        f"Every number is over at least {limits.people} people, with at least {limits.cell} or "
        f"none in each level and pair of levels.",
    ]
    if release.left_out:
        lines.append(f"{count(release.left_out, 'scan')} left out: a measure is missing.")
    if isinstance(message, Summary) and message.patterns is not None:
        lines.append("Some measures are missing: it also says how many scans have each measure.")
    if release.ledger is None:
        lines.append("Not checked: whether an earlier release differs by few people (no ledger).")
    return lines


def _numbers_of(message: Summary | Sums) -> int:
    if isinstance(message, Sums):
        return sum(array.size for array in message.arrays.values())
    moments = message.moments
    parts = (moments.feature_mean, moments.cross_products, moments.feature_squares)
    return sum(array.size for array in (*parts, *message._covariates().values()))
