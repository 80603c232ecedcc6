"""What may be told about a group of people without telling about one of them.

Sums over few people are the people: with one woman at a site, the products of sex and measures
are her measures. So every group that a message speaks of must be large enough, in every cell
that can be told apart with its numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.errors import DisclosureError, count
from isoscan.federated.study import Study
from isoscan.federated.thresholds import Thresholds

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Group:
    """Scans whose sums are in a message.

    Attributes
    ----------
    name : str
        What it is called in messages.
    rows : ndarray of bool, shape (n_scans,)
        Who belongs to it.
    """

    name: str
    rows: NDArray[np.bool_]


@dataclass(frozen=True)
class People:
    """Who was scanned, and what the design says of them.

    Attributes
    ----------
    names : ndarray of shape (n_scans,)
        Whose scan it is; never leaves the site.
    covariates : DataFrame of shape (n_scans, n_covariates) or None
        Covariates.
    matrix : ndarray of shape (n_scans, n_columns)
        Design columns.
    """

    names: NDArray[np.object_]
    covariates: pd.DataFrame | None
    matrix: Array

    def number(self, rows: NDArray[np.bool_]) -> int:
        """Count people, not scans.

        Parameters
        ----------
        rows : ndarray of bool, shape (n_scans,)
            Some scans.

        Returns
        -------
        int
            Number of different people.
        """
        return len(set(self.names[rows]))


def require_safe(
    groups: Sequence[Group], people: People, study: Study, thresholds: Thresholds
) -> None:
    """Refuse a message from which single people could be read.

    Parameters
    ----------
    groups : sequence of Group
        All groups whose sums are in the message.
    people : People
        Everybody at the site.
    study : Study
        What is agreed upon.
    thresholds : Thresholds
        Limits.

    Raises
    ------
    DisclosureError
        Naming group and cell; `cells` lists all of them.
    """
    cells: list[str] = []
    for group in groups:
        cells += _too_few(group, people, study, thresholds)
        if not cells:
            cells += _small_cells(group, people, study, thresholds.cell)
    cells += _too_similar(groups, people, thresholds.difference)
    if cells:
        cells = list(dict.fromkeys(cells))
        more = f" (and {len(cells) - 3} more)" if len(cells) > 3 else ""
        raise DisclosureError(
            f"nothing was written, for it would tell about single people: "
            f"{'; '.join(cells[:3])}{more}. Merge scanners or levels, leave these people out, "
            f"or join without contributing: apply the model that the others make.",
            cells=cells,
        )


def _too_few(group: Group, people: People, study: Study, thresholds: Thresholds) -> Iterator[str]:
    n_people, n_columns = people.number(group.rows), len(study.columns)
    said = f"{group.name} has {count(n_people, 'person', 'people')}"
    if n_people < thresholds.people:
        yield f"{said} (at least {thresholds.people})"
    elif (n_columns + 1) / n_people > thresholds.share or (
        n_people - n_columns - 1 < thresholds.degrees
    ):
        needed = max((n_columns + 1) / thresholds.share, n_columns + 1 + thresholds.degrees)
        yield f"{said} for {count(n_columns, 'design column')} (at least {int(np.ceil(needed))})"


def _small_cells(group: Group, people: People, study: Study, least: int) -> Iterator[str]:
    """Levels, pairs of levels, and whatever else single columns can tell apart."""
    if people.covariates is None:
        return
    labels = {
        name: study.covariates[name].encode(people.covariates[name]).astype(object)
        for name in study.categories
    }
    sets = [
        [(f"{name} = {level}", np.asarray(values == level)) for level in sorted(set(values))]
        for name, values in labels.items()
    ]
    for levels in sets:
        for said, rows in levels:
            yield from _small(group, people, rows, said, least)
    for first, second in combinations(sets, 2):
        for said, rows in first:
            for said_too, rows_too in second:
                both = f"{said}, {said_too}"
                yield from _small(group, people, rows & rows_too, both, least)
    yield from _small_columns(group, people, study, least)


def _small_columns(group: Group, people: People, study: Study, least: int) -> Iterator[str]:
    if not group.rows.any():
        return
    curved = {number for part in study.curved_columns.values() for number in part}
    halves: list[tuple[str, NDArray[np.bool_]]] = []
    for number, name in enumerate(study.columns):
        if number in curved:
            continue
        column = people.matrix[:, number]
        values, numbers = np.unique(column[group.rows], return_counts=True)
        odd = column != values[numbers.argmax()]
        yield from _small(group, people, odd, f"a '{name}' of their own", least)
        if len(values) == 2:
            halves.append((name, odd))
    yield from _small_pairs(group, people, halves, least)
    yield from _small_pieces(group, people, study, least)


def _small_pairs(
    group: Group, people: People, halves: list[tuple[str, NDArray[np.bool_]]], least: int
) -> Iterator[str]:
    """Two columns of two values each, such as two comparisons, whose difference is few people."""
    for (name, first), (other, second) in combinations(halves, 2):
        for rows in (first & second, first & ~second, ~first & second, ~first & ~second):
            yield from _small(group, people, rows, f"'{name}' and '{other}' of their own", least)


def _small_pieces(group: Group, people: People, study: Study, least: int) -> Iterator[str]:
    """Pieces of curves that rest on few people."""
    for spline in study.smooth_design.splines:
        assert people.covariates is not None
        pieces = spline.raw_basis(people.covariates[spline.name].to_numpy(dtype=float)) > 0
        if spline.by is not None:
            of_level = study.covariates[spline.by[0]].encode(people.covariates[spline.by[0]])
            pieces &= (of_level == spline.by[1]).to_numpy()[:, None]
        for piece, (low, high) in zip(pieces.T, _spans(spline.knots), strict=True):
            low, high = max(low, spline.low), min(high, spline.high)
            said = f"{spline.label} between {low:.3g} and {high:.3g}"
            yield from _small(group, people, piece, said, least)


def _spans(knots: Array) -> list[tuple[float, float]]:
    return [(float(knots[k]), float(knots[k + 4])) for k in range(len(knots) - 4)]


def _small(
    group: Group, people: People, rows: NDArray[np.bool_], said: str, least: int
) -> Iterator[str]:
    number = people.number(rows & group.rows)
    if 0 < number < least:
        yield (
            f"{group.name} has {count(number, 'person', 'people')} with {said} (at least {least}, "
            f"or none)"
        )


def _too_similar(groups: Sequence[Group], people: People, least: int) -> Iterator[str]:
    """Two sums that differ by few people: the difference is about those few."""
    for first, second in combinations(groups, 2):
        overlap = first.rows & second.rows
        if not overlap.any():
            continue
        number = people.number(first.rows ^ second.rows)
        if 0 < number < least:
            yield (
                f"{first.name} and {second.name} differ by {count(number, 'person', 'people')} "
                f"(at least {least}, or none)"
            )
