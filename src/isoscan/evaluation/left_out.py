"""Leave one scanner out after the other: what a model does for scanners it has not seen.

Image quality names the scanner. A random split therefore measures how well a model
remembers, and is refused.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from isoscan.errors import DataError, IsoscanWarning, UnmatchedRowsError
from isoscan.evaluation.left_out_scores import Held, score_held, summarize
from isoscan.tables.align import align_rows, require_unique
from isoscan.unseen.nearest import nearest_scanner
from isoscan.unseen.scanner import UnseenScanner

Array = NDArray[np.float64]
Progress = Callable[[str, int, int], None]
WHY_NOT_RANDOM = (
    "a random split leaves scans of every scanner in training. Image quality names the scanner, "
    "so the model only has to remember it, and the score says nothing about unknown scanners. "
    "Leave whole scanners out (split='scanner'), or set force=True to see how large the "
    "illusion is."
)


@dataclass(frozen=True)
class LeftOut:
    """Scores of models on scanners they have not seen.

    Attributes
    ----------
    table : DataFrame of shape (n_models, n_scores)
        Means over scanners, see `summarize`; seconds is the time of all fits.
    scanners : DataFrame
        One row per model, scanner and draw.
    """

    table: pd.DataFrame
    scanners: pd.DataFrame


def leave_one_scanner_out(
    model: UnseenScanner,
    volumes: pd.DataFrame,
    *,
    quality: pd.DataFrame | None = None,
    sites: Any,
    covariates: pd.DataFrame | None = None,
    others: Mapping[str, Any] | None = None,
    few: Sequence[int] = (1, 3, 5, 10),
    draws: int = 10,
    split: str = "scanner",
    force: bool = False,
    random_state: int = 0,
    progress: Progress | None = None,
) -> LeftOut:
    """Score a model, what is simpler, and what is known after a few scans.

    Every scanner is held out once; everything, tuning included, is learned from the others.
    Baselines are always there: nothing, the nearest scanner of training, the model without
    image quality, the model calibrated with a few scans, and the correction that knows the
    scanner, which is the yardstick.

    Parameters
    ----------
    model : UnseenScanner
        The model; it is not changed.
    volumes : DataFrame of shape (n_scans, n_features)
        Measures indexed by scan.
    quality : DataFrame, optional
        Metrics of image quality.
    sites : Series or sequence of shape (n_scans,)
        Scanner of each scan.
    covariates : DataFrame, optional
        Columns named in the formulas.
    others : mapping of {str: estimator}, optional
        Further models, with ``fit(volumes, quality=, sites=, covariates=)`` and
        ``transform``; they get the measures as `model` adjusts them for the total.
    few : sequence of int
        Numbers of scans to calibrate with; scores are those of the other scans.
    draws : int
        How often scans are drawn.
    split : {"scanner", "random"}
        What is held out. A random split is refused unless forced.
    force : bool
        Allow a random split.
    random_state : int
        Seed of the draws.
    progress : callable, optional
        Called with (scanner, done, total).

    Returns
    -------
    LeftOut
        Scores.

    Raises
    ------
    DataError
        If a random split is asked for.
    """
    if split not in ("scanner", "random"):
        raise DataError(f"split must be 'scanner' or 'random', got {split!r}.")
    if split == "random" and not force:
        raise DataError(WHY_NOT_RANDOM)
    require_unique(volumes.index, "volumes")
    labels = _labels(sites, volumes.index)
    people = None if covariates is None else align_rows(covariates, volumes.index, extra="ignore")
    random = np.random.default_rng(random_state)
    parts = _parts(labels, split, random)
    rows: list[dict[str, Any]] = []
    for number, (scanner, held) in enumerate(parts):
        if progress is not None:
            progress(scanner, number, len(parts))
        with warnings.catch_warnings():  # the same as of a fit to all, once per scanner
            warnings.simplefilter("ignore", IsoscanWarning)
            fold = _Fold(model, volumes, quality, labels, people, held, scanner)
            for name, draw, own in fold.run(others or {}, few, draws, random):
                rows.append({"model": name, "scanner": scanner, "draw": draw, **own})
    scores = pd.DataFrame(rows)
    table = summarize(scores)
    seconds = scores.groupby("model", sort=False)["seconds"].sum()
    table["seconds"] = seconds.where(seconds > 0)
    return LeftOut(table, scores)


class _Fold:
    """One scanner held out."""

    def __init__(
        self,
        model: UnseenScanner,
        volumes: pd.DataFrame,
        quality: pd.DataFrame | None,
        labels: pd.Series[str],
        people: pd.DataFrame | None,
        held: NDArray[np.bool_],
        scanner: str,
    ) -> None:
        self.quality, self.model = quality, model
        self.train, self.test = volumes[~held], volumes[held]
        self.people = None if people is None else people[~held]
        self.new_people = None if people is None else people[held]
        self.labels, self.scanner = labels[~held], scanner
        self.fitted, self.seconds = self._timed(model, self.train)
        reference = self.fitted.reference_
        rest = self.fitted.residuals(self.test, quality=quality, covariates=self.new_people)
        own = labels[held] + " (held out)"
        adapted = reference.adapt(rest.measures, sites=own, covariates=self.new_people)
        after = adapted.transform(rest.measures, sites=own, covariates=self.new_people)
        self.known = self.fitted.residuals(self.train, quality=quality, covariates=self.people)
        harmonized = reference.transform(
            self.known.measures, sites=self.labels, covariates=self.people
        )
        self.held = Held(
            scanner,
            rest,
            self._corrections(rest, after),
            pd.DataFrame(
                self.known.values + self._corrections(self.known, harmonized),
                index=self.train.index,
                columns=self.known.measures.columns,
            ),
            self.new_people,
        )

    def run(
        self,
        others: Mapping[str, Any],
        few: Sequence[int],
        draws: int,
        random: np.random.Generator,
    ) -> Iterator[tuple[str, int, dict[str, float]]]:
        """Score everything on this scanner."""
        held = self.held
        yield "nothing", 0, self._scored(held, np.zeros_like(held.truth), None, 0.0)
        nearest = nearest_scanner(self.fitted, self.test, self.quality, self.new_people)
        yield "nearest scanner", 0, self._scored(held, nearest, None, 0.0)
        for name, other in others.items():
            yield name, 0, self._other(other)
        if self.quality is not None and self.model.use_volumes:
            plain, seconds = self._timed(self.model, self.train, use_quality=False)
            made, margins = self._made(plain, self.test, self.new_people)
            yield "no image quality", 0, self._scored(held, made, margins, seconds)
        made, margins = self._made(self.fitted, self.test, self.new_people)
        yield "0 scans", 0, self._scored(held, made, margins, self.seconds)
        for n_scans in few:
            for draw in range(draws):
                rows = random.permutation(len(self.test))
                if n_scans + 2 > len(rows):
                    break
                yield self._calibrated(n_scans, draw, rows)
        yield "known scanner", 0, self._scored(held, held.truth, None, 0.0)

    def _calibrated(
        self, n_scans: int, draw: int, rows: NDArray[np.intp]
    ) -> tuple[str, int, dict[str, float]]:
        seen, rest = rows[:n_scans], rows[n_scans:]
        started = time.perf_counter()
        model = self.fitted.calibrate(
            self.test.iloc[seen], quality=self.quality, covariates=self._people(seen)
        )
        seconds = time.perf_counter() - started
        made, margins = self._made(model, self.test.iloc[rest], self._people(rest))
        name = f"{n_scans} scan{'s' if n_scans > 1 else ''}"
        return name, draw, self._scored(self.held.at(rest), made, margins, seconds)

    def _other(self, other: Any) -> dict[str, float]:
        started = time.perf_counter()
        fitted = clone(other).fit(
            self.known.measures, quality=self.quality, sites=self.labels, covariates=self.people
        )
        seconds = time.perf_counter() - started
        rest = self.held.rest
        after = fitted.transform(rest.measures, quality=self.quality, covariates=self.new_people)
        return self._scored(self.held, self._corrections(rest, after), None, seconds)

    def _timed(
        self, model: UnseenScanner, volumes: pd.DataFrame, *, use_quality: bool = True
    ) -> tuple[UnseenScanner, float]:
        started = time.perf_counter()
        fitted = clone(model).fit(
            volumes,
            quality=self.quality if use_quality else None,
            sites=self.labels,
            covariates=self.people,
        )
        return fitted, time.perf_counter() - started

    def _made(
        self, model: UnseenScanner, volumes: pd.DataFrame, people: pd.DataFrame | None
    ) -> tuple[Array, Array]:
        """Corrections and half widths, in residual standard deviations."""
        rest, profiles = model.profiles(volumes, quality=self.quality, covariates=people)
        made, margins, _ = model.corrections(rest, profiles)
        return made, margins

    def _corrections(self, rest: Any, after: pd.DataFrame) -> Array:
        sd = np.where(rest.sd > 0, rest.sd, np.inf)
        return np.asarray(((after[list(rest.measures)] - rest.measures) - rest.moved) / sd)

    def _people(self, rows: NDArray[np.intp]) -> pd.DataFrame | None:
        return None if self.new_people is None else self.new_people.iloc[rows]

    @staticmethod
    def _scored(held: Held, made: Array, margins: Array | None, seconds: float) -> dict[str, float]:
        return {**score_held(held, made, margins), "seconds": seconds}


def _labels(sites: Any, scans: pd.Index) -> pd.Series[str]:
    if isinstance(sites, pd.Series):
        return pd.Series(align_rows(sites, scans, what="sites", extra="ignore")).astype(str)
    if len(sites) != len(scans):
        raise UnmatchedRowsError(f"sites has {len(sites)} labels for {len(scans)} scans.")
    return pd.Series(list(sites), index=scans).astype(str)


def _parts(
    labels: pd.Series[str], split: str, random: np.random.Generator
) -> list[tuple[str, NDArray[np.bool_]]]:
    if split == "scanner":
        return [(name, (labels == name).to_numpy()) for name in sorted(labels.unique())]
    fold = random.permutation(len(labels)) % 5
    return [(f"fold {number + 1}", fold == number) for number in range(5)]
