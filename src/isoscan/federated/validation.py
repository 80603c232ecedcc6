"""What the centre refuses: messages come from elsewhere and may be anything.

The header is checked before anything is inflated, then shapes, then whether the numbers can be
sums over people at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoscan.errors import IsoscanError, MessageFileError, count, name_some
from isoscan.federated.messages import SUMMARY, Sender, Summary
from isoscan.federated.study import Study
from isoscan.federated.totals import Sums

Array = NDArray[np.float64]

MOST_LABEL = 200
MOST_BATCHES = 10_000
LARGEST = 1e100
_ROUNDING = 1e-6


def read_message(path: str | Path, study: Study) -> Summary | Sums:
    """Read one message and check every part of it.

    Parameters
    ----------
    path : str or Path
        A file written by `Summary.save` or `Sums.save`.
    study : Study
        What was agreed upon.

    Returns
    -------
    Summary or Sums
        The message.

    Raises
    ------
    MessageFileError
        If it is damaged, altered, of another study, or holds what cannot be sums over people.
    """
    name = Path(path).name
    kind: list[type[Summary] | type[Sums]] = []

    def announced(facts: dict[str, Any]) -> dict[str, tuple[int, ...]]:
        _require_header(facts, study, name)
        if facts["mode"] == "sums":
            kind.append(Sums)
            return Sums.shapes(study)
        kind.append(Summary)
        _require_batches(facts, study, name)
        return Summary.shapes(facts, study)

    facts, arrays = SUMMARY.read(path, announced=announced)
    try:
        numbers = _as_numbers(arrays, name)
        message = kind[0].unpack(facts, numbers)
        require_plausible(message, study, name)
    except IsoscanError:
        raise
    except Exception as error:
        raise MessageFileError(f"{name}: inconsistent message ({error}).") from None
    return message


def _require_header(facts: Mapping[str, Any], study: Study, name: str) -> None:
    sender = facts.get("sender")
    known = set(Sender.__dataclass_fields__)
    if not isinstance(sender, dict) or set(sender) != known:
        raise MessageFileError(f"{name}: the message does not say who sends it.")
    long = [
        key
        for key, text in sender.items()
        if not isinstance(text, str) or not 0 < len(text) <= MOST_LABEL
    ]
    if long:
        raise MessageFileError(f"{name}: {name_some(long)} of the sender is not a short text.")
    require_same_study(Sender(**sender), study, name)
    if sender["dtype"] not in ("float32", "float64"):
        raise MessageFileError(f"{name}: measures stored as '{sender['dtype'][:20]}'.")
    if facts.get("mode") not in ("full", "sums"):
        raise MessageFileError(f"{name}: unknown mode {facts.get('mode')!r}.")


def require_same_study(sender: Sender, study: Study, name: str) -> None:
    """Refuse a message that was made for another study.

    Parameters
    ----------
    sender : Sender
        Who sends it.
    study : Study
        What was agreed upon.
    name : str
        Name of the message in sentences.

    Raises
    ------
    MessageFileError
        Showing both hashes.
    """
    if sender.study_sha256 != study.sha256:
        raise MessageFileError(
            f"{name}: made for study '{sender.study}' with hash {sender.study_sha256[:12]}..., "
            f"this is '{study.name}' with hash {study.sha256[:12]}.... Ask the site to use this "
            f"study file."
        )


def _require_batches(facts: Mapping[str, Any], study: Study, name: str) -> None:
    batches = facts.get("batches")
    if not isinstance(batches, list) or not 0 < len(batches) <= MOST_BATCHES:
        raise MessageFileError(f"{name}: the message names no batches.")
    if any(not isinstance(b, str) or not 0 < len(b) <= MOST_LABEL for b in batches):
        raise MessageFileError(f"{name}: a batch has no proper name.")
    if len(set(batches)) < len(batches):
        raise MessageFileError(f"{name}: a batch is named twice.")
    n = facts.get("n_patterns")
    if n is None:
        return
    if study.missing != "pattern":
        raise MessageFileError(f"{name}: measures are missing, which this study does not allow.")
    if type(n) is not int or not 0 < n <= len(batches) * len(study.features):
        raise MessageFileError(f"{name}: {n!r} sets of scans are impossible.")


def _as_numbers(arrays: Mapping[str, NDArray[Any]], name: str) -> dict[str, NDArray[Any]]:
    numbers: dict[str, NDArray[Any]] = {}
    for key, array in arrays.items():
        expected = np.int64 if key == "pattern_of" else np.float64
        if array.dtype != expected:
            raise MessageFileError(
                f"{name}: '{key}' is stored as {array.dtype}, expected {np.dtype(expected)}."
            )
        if not np.isfinite(array).all() or (np.abs(array) > LARGEST).any():
            raise MessageFileError(f"{name}: '{key}' holds a number that is not finite.")
        numbers[key] = array
    patterns = numbers.get("pattern_of")
    if patterns is not None:
        n = len(numbers["pattern_scans"])
        if patterns.min() < 0 or patterns.max() >= n:
            raise MessageFileError(f"{name}: 'pattern_of' points to sets of scans not sent.")
    return numbers


def require_plausible(message: Summary | Sums, study: Study, name: str) -> None:
    """Refuse numbers that cannot be sums over people.

    Parameters
    ----------
    message : Summary or Sums
        A message.
    study : Study
        What was agreed upon.
    name : str
        Name of the message in sentences.

    Raises
    ------
    MessageFileError
        Saying what is impossible, where.
    """
    problems = _sums(message, study) if isinstance(message, Sums) else _summary(message, study)
    first = next(problems, None)
    if first is not None:
        raise MessageFileError(f"{name}: {first}.")


def _summary(message: Summary, study: Study) -> Iterator[str]:
    moments, everyone = message.moments, message.everyone
    names = [f"'{batch}'" for batch in message.batches]
    scans = message.scans
    yield from _counts(scans, names, study)
    if (moments.count > scans[:, None]).any() or not _whole(moments.count):
        yield "a measure has more scans than its batch, or no whole number of them"
    yield from _level_counts(message.level_scans, scans[:, None])
    yield from _products(everyone.covariate_products, names)
    yield from _means(everyone.covariate_mean[..., 0], study, names)
    if message.patterns is not None:
        yield from _means(np.moveaxis(moments.covariate_mean, 1, -1), study, names, moments.count)
        yield from _products(moments.covariate_products, names)
    yield from _features(
        moments.covariate_products,
        moments.cross_products,
        moments.feature_squares,
        moments.count,
        _rounding(moments.count, moments.covariate_mean, moments.feature_mean),
        study,
        names,
    )


def _sums(message: Sums, study: Study) -> Iterator[str]:
    names = [f"'{message.sender.location}'"]
    yield from _counts(message.scans, names, study)
    counts = (message.measured, message.degrees, message.weight)
    if any((each > message.scans).any() or not _whole(each) for each in counts):
        yield "a measure has more scans than there are, or no whole number of them"
    yield from _level_counts(message.level_scans, message.scans)
    yield from _products(message.products[None, ..., None], names)
    yield from _products(message.measured_products[None], names)
    yield from _means(message.covariates[None] / message.scans[0], study, names)
    yield from _features(
        message.measured_products[None],
        message.cross_products[None],
        message.feature_squares[None],
        message.measured[None],
        _rounding(
            message.measured[None],
            message.weighted_covariates[None] / np.maximum(message.weight, 1.0),
            message.weighted_features[None] / np.maximum(message.weight, 1.0),
        ),
        study,
        names,
    )


def _whole(counts: Array) -> bool:
    return bool((counts >= 0).all() and (counts == np.round(counts)).all())


def _counts(scans: Array, names: Sequence[str], study: Study) -> Iterator[str]:
    if not _whole(scans) or (scans < 1).any() or (scans > 1e9).any():
        yield "a number of scans is not a whole number"
    for name, number in zip(names, scans.tolist(), strict=True):
        if number < study.thresholds.people:
            yield (
                f"{name} has {count(int(number), 'scan')}, fewer than the "
                f"{study.thresholds.people} of the study; the site must not send this"
            )


def _level_counts(level_scans: Array, scans: Array) -> Iterator[str]:
    if not _whole(level_scans) or (level_scans > scans).any():
        yield "a curve has more scans than there are, or no whole number of them"


def _products(products: Array, names: Sequence[str]) -> Iterator[str]:
    """Centred products of covariates are symmetric, and squares are not negative."""
    if not products.size:
        return
    matrices = np.moveaxis(products, -1, 1)  # batch, feature, column, column
    size = np.abs(matrices).max(axis=(2, 3), keepdims=True)
    size = np.where(size > 0, size, 1.0)
    scaled = matrices / size
    lopsided = np.abs(scaled - np.swapaxes(scaled, 2, 3)).max(axis=(1, 2, 3)) > _ROUNDING
    if lopsided.any():
        yield f"the products of covariates of {names[int(lopsided.argmax())]} are not symmetric"
        return
    negative = (np.linalg.eigvalsh(scaled)[..., 0] < -_ROUNDING).any(axis=1)
    if negative.any():
        yield (
            f"the products of covariates of {names[int(negative.argmax())]} cannot be sums of "
            f"squares"
        )


def _means(
    means: Array, study: Study, names: Sequence[str], counts: Array | None = None
) -> Iterator[str]:
    """Means of plain numbers lie within what the study allows."""
    for name, item in study.design.covariates.items():
        if item.levels is not None or name not in study.columns:
            continue
        column = means[..., study.columns.index(name)]
        slack = _ROUNDING * (item.high - item.low)
        wrong = (column < item.low - slack) | (column > item.high + slack)
        if counts is not None:
            wrong &= counts > 0
        if wrong.any():
            where = int(np.argwhere(wrong)[0][0])
            yield (
                f"the mean of '{name}' at {names[where]} is {column[wrong].flat[0]:.6g}, outside "
                f"{item.low:g} to {item.high:g}"
            )


def _rounding(counts: Array, covariate_mean: Array, feature_mean: Array) -> Array:
    """What centring may leave of products, where values are far from zero."""
    values = (1.0 + np.abs(covariate_mean)) * (1.0 + np.abs(feature_mean))[:, None]
    return np.asarray(1e-12 * counts[:, None] * values)


def _features(
    products: Array,
    cross: Array,
    squares: Array,
    counts: Array,
    rounding: Array,
    study: Study,
    names: Sequence[str],
) -> Iterator[str]:
    features = list(study.features)

    def where(wrong: NDArray[np.bool_]) -> str:
        batch, feature = np.argwhere(wrong)[0][[0, -1]]
        return f"'{features[feature]}' at {names[batch]}"

    if (squares < 0).any():
        yield f"the squares of {where(squares < 0)} are negative"
    alone = (np.broadcast_to(counts, squares.shape) == 0) & (squares > 0)
    if alone.any():
        yield f"{where(alone)} has squares but no scans"
    own = np.einsum("bqqv->bqv", products)
    largest = np.sqrt(np.maximum(own * squares[:, None], 0.0)) * (1 + _ROUNDING)
    beyond = np.abs(cross) > largest + rounding
    if beyond.any():
        yield (
            f"the products with covariates of {where(beyond.any(axis=1))} are larger than its "
            f"squares allow"
        )
