"""Is change within people kept, and is moving to another scanner no longer a change?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isoscan.description.plain import Facts, plain
from isoscan.evaluation.facts import as_numbers
from isoscan.evaluation.people import FirstAndLast
from isoscan.evaluation.sample import Sample

FEWEST = 3
"""People whose changes are needed for a correlation."""

Matrix = NDArray[np.float64]


def change_facts(before: Sample, after: Sample, pairs: FirstAndLast) -> Facts:
    """Compare each person's change from the first to the last scan before and after.

    Changes are those that covariates such as time do not explain; what they do explain is
    in the slopes.

    Parameters
    ----------
    before, after : Sample
        Same scans, same features, and whose they are.
    pairs : FirstAndLast
        First and last scan of each person.

    Returns
    -------
    dict
        same_site (people whose first and last scan are of one site), all, and moved. The
        first two hold people, per feature correlation of changes before and after and
        ratio of their root mean squares (after / before; sites count by their scans, so that
        it is 1 if site scales are evened out), and summary: the medians over
        features and the feature with the lowest correlation. moved holds people, and per
        feature by how much the changes of people who moved exceed those of people who
        stayed: ratio of root mean squares, before and after, with their medians in summary.
    """
    stayed = pairs.stayed
    first, second = (_changes(table, pairs) for table in (before, after))
    evenly = _weights(before.codes, before.codes[pairs.first[stayed]])
    return {
        "same_site": _alike(first[stayed], second[stayed], before.features, evenly),
        "all": _alike(first, second, before.features, np.ones(len(first))),
        "moved": _excess(first, second, stayed),
    }


def _changes(sample: Sample, pairs: FirstAndLast) -> Matrix:
    """Change of each person beyond what covariates explain."""
    measures = sample.visits.adjusted
    return np.asarray(measures[pairs.last] - measures[pairs.first])


def _weights(codes: NDArray[np.intp], stayed: NDArray[np.intp]) -> Matrix:
    """Weight of each person who stayed, so that sites count by their scans."""
    people = np.bincount(stayed, minlength=codes.max() + 1)
    return np.asarray(np.bincount(codes)[stayed] / people[stayed])


def _alike(before: Matrix, after: Matrix, features: list[str], weights: Matrix) -> Facts:
    """Correlation and relative size of changes, feature by feature."""
    known = ~(np.isnan(before) | np.isnan(after))
    enough = known.sum(axis=0) >= FEWEST
    x, y = (np.where(known, values, np.nan) for values in (before, after))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(
            enough, _root_mean_square(y, weights) / _root_mean_square(x, weights), np.nan
        )
        x, y = (values - _mean(values) for values in (x, y))
        size = np.sqrt(np.nansum(x * x, axis=0) * np.nansum(y * y, axis=0))
        correlation = np.where(enough, np.nansum(x * y, axis=0) / size, np.nan)
    lowest = None
    if np.isfinite(correlation).any():
        at = int(np.nanargmin(correlation))
        lowest = {"feature": features[at], "value": float(correlation[at])}
    return {
        "people": len(before),
        "correlation": as_numbers(correlation),
        "ratio": as_numbers(ratio),
        "summary": {
            "correlation": _median(correlation),
            "ratio": _median(ratio),
            "lowest": lowest,
        },
    }


def _excess(before: Matrix, after: Matrix, stayed: NDArray[np.bool_]) -> Facts:
    """How much more people change who moved than people who stayed."""
    ratios = {}
    for when, change in (("before", before), ("after", after)):
        parts = change[~stayed], change[stayed]
        enough = np.minimum(*((~np.isnan(part)).sum(axis=0) for part in parts)) >= FEWEST
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = _root_mean_square(parts[0]) / _root_mean_square(parts[1])
        ratios[when] = np.where(enough, ratio, np.nan)
    return {
        "people": int((~stayed).sum()),
        **{when: as_numbers(ratio) for when, ratio in ratios.items()},
        "summary": {when: _median(ratio) for when, ratio in ratios.items()},
    }


def _mean(values: Matrix) -> Matrix:
    return np.asarray(np.nansum(values, axis=0) / (~np.isnan(values)).sum(axis=0))


def _root_mean_square(values: Matrix, weights: Matrix | None = None) -> Matrix:
    weights = np.ones(len(values)) if weights is None else weights
    total = np.nansum(weights[:, None] * np.square(values), axis=0)
    return np.asarray(np.sqrt(total / (weights @ ~np.isnan(values))))


def _median(values: Matrix) -> float | None:
    known = values[np.isfinite(values)]
    return plain(np.median(known)) if known.size else None
