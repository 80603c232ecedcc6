"""Moments of several messages as if they had been collected together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.moments import Moments, merge_all
from isoscan.errors import MessageFileError
from isoscan.federated.messages import Sender, Summary
from isoscan.federated.totals import Sums

Array = NDArray[np.float64]
Message = Summary | Sums


@dataclass(frozen=True)
class Combined:
    """What the centre makes of all messages of one batch axis.

    Attributes
    ----------
    batches : list of str
        All batches, sorted.
    everyone : Moments
        Counts and covariates of all scans.
    moments : Moments
        Moments of all features.
    level_scans : ndarray of shape (n_batches, n_curves)
        Scans that take part in each curve.
    dtype : dtype
        Coarsest type that measures are stored in.
    """

    batches: list[str]
    everyone: Moments
    moments: Moments
    level_scans: Array
    dtype: np.dtype[Any]


def merged(summaries: Sequence[Summary]) -> Combined:
    """Merge the moments of all messages; a batch may be spread over several.

    Parameters
    ----------
    summaries : sequence of Summary
        Checked messages.

    Returns
    -------
    Combined
        Moments of all batches.
    """
    batches = sorted({batch for summary in summaries for batch in summary.batches})
    places = [[batches.index(batch) for batch in s.batches] for s in summaries]
    pairs = list(zip(summaries, places, strict=True))
    level_scans = np.zeros((len(batches), summaries[0].level_scans.shape[1]))
    for summary, rows in pairs:
        level_scans[rows] += summary.level_scans
    return Combined(
        batches,
        merge_all(_among(summary.everyone, rows, len(batches)) for summary, rows in pairs),
        _merge_about_origin([_among(s.moments, rows, len(batches)) for s, rows in pairs]),
        level_scans,
        coarsest(summaries),
    )


def _among(moments: Moments, rows: list[int], n_batches: int) -> Moments:
    """The same moments on an axis of all batches."""

    def spread(array: Array) -> Array:
        whole = np.zeros((n_batches, *array.shape[1:]))
        whole[rows] = array
        return whole

    return Moments(*(spread(getattr(moments, name)) for name in Moments.__dataclass_fields__))


def _merge_about_origin(parts: list[Moments]) -> Moments:
    """Merge with means counted from a common origin, so that large means are rounded once."""
    measured = [np.broadcast_to(part.count, part.feature_mean.shape) > 0 for part in parts]
    origin = np.zeros(parts[0].n_features)
    for part, seen in zip(parts, measured, strict=True):
        first = np.take_along_axis(part.feature_mean, seen.argmax(axis=0)[None], axis=0)[0]
        origin = np.where((origin == 0) & seen.any(axis=0), first, origin)
    moved = merge_all(
        replace(part, feature_mean=np.where(seen, part.feature_mean - origin, 0.0))
        for part, seen in zip(parts, measured, strict=True)
    )
    return replace(moved, feature_mean=np.where(moved.count > 0, moved.feature_mean + origin, 0.0))


def require_distinct(messages: Sequence[Message]) -> None:
    """Refuse messages that would count the same scans twice.

    Parameters
    ----------
    messages : sequence of Summary or Sums
        Checked messages.

    Raises
    ------
    MessageFileError
        If two are of the same part of a site, or hold the same numbers.
    """
    seen: set[tuple[str, str]] = set()
    contents: dict[bytes, str] = {}
    for message in messages:
        sender = message.sender
        key = (sender.location, sender.part)
        if key in seen:
            raise MessageFileError(
                f"two messages of '{sender.location}' are of the same part '{sender.part}'. Use "
                f"the newer one; for further scans the site names another part (--part)."
            )
        seen.add(key)
        numbers = (
            message.feature_squares
            if isinstance(message, Sums)
            else (message.moments.feature_squares)
        ).tobytes()
        if numbers in contents:
            raise MessageFileError(
                f"'{contents[numbers]}' and '{sender.label}' sent the same numbers: the same "
                f"scans would count twice. Use one of them."
            )
        contents[numbers] = sender.label


def coarsest(messages: Sequence[Message]) -> np.dtype[Any]:
    """Type of the measures with the fewest digits.

    Parameters
    ----------
    messages : sequence of Summary or Sums
        Messages.

    Returns
    -------
    dtype
        float32 if any site stores measures so.
    """
    return np.dtype(min(message.sender.dtype for message in messages))  # float32 < float64


def merge(messages: Sequence[Summary], *, part: str = "merged") -> Summary:
    """Make one message of several parts of a site.

    Parameters
    ----------
    messages : sequence of Summary
        Messages of one site and one study, such as last month's and that of new scans.
    part : str
        Name of the result as a part.

    Returns
    -------
    Summary
        Moments of all scans together.

    Raises
    ------
    MessageFileError
        If the messages are of different sites or studies.
    """
    first = messages[0].sender
    for other in messages[1:]:
        if (other.sender.location, other.sender.study_sha256) != (
            first.location,
            first.study_sha256,
        ):
            raise MessageFileError(
                f"'{first.label}' and '{other.sender.label}' are of different sites or studies; "
                f"only parts of one site are merged. Give both to combine."
            )
    require_distinct(messages)
    data = merged(messages)
    patterns = None
    if any(message.patterns is not None for message in messages):
        shape = data.moments.feature_mean.shape
        patterns = np.arange(shape[0] * shape[1]).reshape(shape)
    sender = Sender(first.location, part, first.study, first.study_sha256, str(data.dtype))
    return Summary(
        sender, tuple(data.batches), data.everyone, data.moments, patterns, data.level_scans
    )
