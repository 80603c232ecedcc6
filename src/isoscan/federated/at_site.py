"""At a site: check, show in plain words what would be told, and write it.

Rows are scans. What leaves the site is sums over many people; rows, names and extreme values
stay where they are.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.combat.cohort import Cohort
from isoscan.combat.moments import Moments, Scans
from isoscan.errors import DataError, DisclosureError, MissingValuesWarning, count
from isoscan.federated.disclosure import Group, People, require_safe
from isoscan.federated.ledger import Ledger
from isoscan.federated.messages import Sender, Summary
from isoscan.federated.release import Release
from isoscan.federated.site_data import read_site, site_moments
from isoscan.federated.study import Study
from isoscan.federated.thresholds import Thresholds
from isoscan.federated.totals import Sums

MOST_LABEL = 100


def summarize(
    X: pd.DataFrame,
    study: Study,
    *,
    sites: Any,
    location: str,
    ledger: str | Path | None,
    covariates: pd.DataFrame | None = None,
    people: Iterable[object] | None = None,
    part: str = "1",
    mode: Literal["full", "sums"] = "full",
    thresholds: Thresholds | None = None,
) -> Summary | Sums:
    """Sum up the scans of a site for a federated fit, unless that tells about single people.

    Parameters
    ----------
    X : DataFrame of shape (n_scans, n_features)
        Measures, with the names of scans as index; other columns are ignored.
    study : Study
        What was agreed upon.
    sites : Series or sequence of shape (n_scans,)
        Batch of each scan: scanner, or scanner and protocol.
    location : str
        Name of the site in the message.
    ledger : path or None
        Folder that remembers what was released, so that two releases never differ by few
        people. None leaves that unchecked.
    covariates : DataFrame of shape (n_scans, n_covariates), optional
        Columns named in the study.
    people : sequence of shape (n_scans,), optional
        Whose scan each row is; by default every row is another person.
    part : str
        Name of this part of the site's scans, if it sends several that are to be added up.
    mode : {"full", "sums"}
        Moments of each batch, or totals over all of them.
    thresholds : Thresholds, optional
        The least that the site asks for; the defaults if not given. A study that asks for less
        is refused.

    Returns
    -------
    Summary or Sums
        The message; `save` writes it.

    Raises
    ------
    DisclosureError
        If the message would tell about single people.
    DataError
        If the data do not fit the study.

    Warns
    -----
    MissingValuesWarning
        If the study leaves out scans that lack a measure, and there are some.
    """
    release = prepare(
        X,
        study,
        sites=sites,
        location=location,
        ledger=ledger,
        covariates=covariates,
        people=people,
        part=part,
        mode=mode,
        thresholds=thresholds,
    )
    if release.left_out:
        warnings.warn(
            f"{count(release.left_out, 'scan')} of '{location}' left out: a measure is missing. "
            f"A study with missing='pattern' uses what they have.",
            MissingValuesWarning,
            stacklevel=2,
        )
    return release.send()


def prepare(
    X: pd.DataFrame,
    study: Study,
    *,
    sites: Any,
    location: str,
    ledger: str | Path | None,
    covariates: pd.DataFrame | None = None,
    people: Iterable[object] | None = None,
    part: str = "1",
    mode: Literal["full", "sums"] = "full",
    thresholds: Thresholds | None = None,
) -> Release:
    """Do everything but release: to look at the preview first.

    Parameters
    ----------
    X : DataFrame of shape (n_scans, n_features)
        Measures, with the names of scans as index; other columns are ignored.
    study : Study
        What was agreed upon.
    sites : Series or sequence of shape (n_scans,)
        Batch of each scan: scanner, or scanner and protocol.
    location : str
        Name of the site in the message.
    ledger : path or None
        Folder that remembers what was released, so that two releases never differ by few
        people. None leaves that unchecked.
    covariates : DataFrame of shape (n_scans, n_covariates), optional
        Columns named in the study.
    people : sequence of shape (n_scans,), optional
        Whose scan each row is; by default every row is another person.
    part : str
        Name of this part of the site's scans, if it sends several that are to be added up.
    mode : {"full", "sums"}
        Moments of each batch, or totals over all of them.
    thresholds : Thresholds, optional
        The least that the site asks for; the defaults if not given. A study that asks for less
        is refused.

    Returns
    -------
    Release
        `send` hands the message out and remembers it.

    Raises
    ------
    DisclosureError
        If the message would tell about single people.
    DataError
        If the data do not fit the study.
    """
    _require_options(study, mode, location, part)
    _require_strict(study, thresholds or Thresholds())
    cohort, names, left_out = read_site(X, study, sites, covariates, people)
    summary, groups, everybody = _sum_up(cohort, names, study, location, part, mode)
    require_safe(groups, everybody, study, study.thresholds)
    sets = [list(names[group.rows]) for group in groups]
    kept = None if ledger is None else Ledger(ledger)
    if kept is not None:
        kept.require_distant(sets, least=_least_difference(study))
        kept.require_few_columns(sets, study.told, share=study.thresholds.share)
    message = Sums.of(summary).widened(study) if mode == "sums" else summary
    n_people = everybody.number(np.ones(len(names), dtype=bool))
    return Release(message, sets, n_people, study, study.thresholds, kept, left_out)


def _least_difference(study: Study) -> int:
    """More people than there are sums of a measure, so that these cannot be solved for them."""
    least = study.thresholds.difference
    return max(least, len(study.columns) + 2) if least else 0


def _sum_up(
    cohort: Cohort, names: NDArray[np.object_], study: Study, location: str, part: str, mode: str
) -> tuple[Summary, list[Group], People]:
    model = study.estimator()
    matrix = model._matrix(cohort.covariates, len(names))
    batches, codes = np.unique(cohort.sites.astype(str), return_inverse=True)
    long = [name for name in (*batches, location, part) if not 0 < len(name) <= MOST_LABEL]
    if long:
        raise DataError(f"names of sites have 1 to {MOST_LABEL} letters, not '{long[0][:20]}...'.")
    scans = Scans.group(codes, len(batches), matrix)
    moments = site_moments(model, cohort, scans)
    missing = np.isnan(cohort.table)
    missing = missing if missing.any() else None
    patterns, sets = (None, {}) if missing is None else _patterns(missing, codes, len(batches))
    sender = Sender(location, part, study.name, study.sha256, str(cohort.table.dtype))
    summary = Summary(
        sender=sender,
        batches=tuple(batches.tolist()),
        everyone=_without_features(scans),
        moments=moments,
        patterns=patterns,
        level_scans=_level_scans(matrix, codes, len(batches), study),
    )
    if mode == "sums":
        groups = [Group(f"'{location}'", np.ones(len(names), dtype=bool))]
        groups += _without_measures(missing, study, location)
    else:
        groups = [Group(f"'{name}'", codes == code) for code, name in enumerate(batches)]
        groups += [
            Group(f"'{batches[code]}' with '{list(study.features)[feature]}'", rows)
            for (code, feature), rows in sets.items()
        ]
    return summary, groups, People(names, cohort.covariates, matrix)


def _patterns(
    missing: NDArray[np.bool_], codes: NDArray[np.intp], n_batches: int
) -> tuple[NDArray[np.int64], dict[tuple[int, int], NDArray[np.bool_]]]:
    """Number the sets of scans that features are measured in, and list those not complete."""
    patterns = np.zeros((n_batches, missing.shape[1]), dtype=np.int64)
    sets: dict[tuple[int, int], NDArray[np.bool_]] = {}
    start = 0
    for code in range(n_batches):
        rows = codes == code
        kinds, first, numbers = np.unique(
            missing[rows], axis=1, return_index=True, return_inverse=True
        )
        patterns[code] = start + numbers.ravel()
        start += kinds.shape[1]
        for feature in first.tolist():
            if 0 < missing[rows, feature].sum() < rows.sum():
                sets[code, feature] = rows & ~missing[:, feature]
    return patterns, sets


def _without_measures(
    missing: NDArray[np.bool_] | None, study: Study, location: str
) -> list[Group]:
    """In sums mode: every set of scans that some feature is measured in."""
    if missing is None:
        return []
    _, first = np.unique(missing, axis=1, return_index=True)
    names = list(study.features)
    return [
        Group(f"'{location}' with '{names[feature]}'", ~missing[:, feature])
        for feature in first.tolist()
        if 0 < missing[:, feature].sum() < len(missing)
    ]


def _without_features(scans: Scans) -> Moments:
    covariates, n_batches = scans.centred, len(scans.sites)
    nothing = np.zeros((n_batches, 0))
    return Moments(
        count=scans.per_site[:, None],
        covariate_mean=covariates.mean,
        feature_mean=nothing,
        covariate_products=covariates.products,
        cross_products=np.zeros((n_batches, covariates.mean.shape[1], 0)),
        feature_squares=nothing,
    )


def _level_scans(
    matrix: NDArray[np.float64], codes: NDArray[np.intp], n_batches: int, study: Study
) -> NDArray[np.float64]:
    penalties = study.penalties
    inside = [matrix[:, penalty.columns].any(axis=1) for penalty in penalties]
    counts = [np.bincount(codes, weights=rows, minlength=n_batches) for rows in inside]
    return np.array(counts, dtype=float).T.reshape(n_batches, len(penalties))


def _require_options(study: Study, mode: str, location: str, part: str) -> None:
    if mode not in ("full", "sums"):
        raise DataError(f"mode must be 'full' or 'sums', got {mode!r}.")
    if not (isinstance(location, str) and isinstance(part, str)):
        raise DataError("location and part must be text.")
    if mode == "sums" and study.reference is not None:
        raise DataError(
            "sums mode has no reference site: its own means would have to be sent. Use "
            "mode='full', or a study without reference."
        )


def _require_strict(study: Study, floor: Thresholds) -> None:
    weaker = study.thresholds.weaker_than(floor)
    if weaker:
        raise DisclosureError(
            f"the study allows messages about fewer people than this site does: "
            f"{', '.join(weaker)}. Ask the centre for a stricter study, or agree to it "
            f"(thresholds=study.thresholds, --accept-thresholds).",
            thresholds=weaker,
        )
