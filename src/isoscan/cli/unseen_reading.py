"""Bring measures, image quality and people of the same scans together."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from glob import escape
from pathlib import Path
from typing import Any

import click
import pandas as pd

from isoscan.cli.cohort import Cohort, read_cohort, without_sites
from isoscan.errors import (
    MissingColumnError,
    MissingValuesError,
    SiteLabelWarning,
    count,
    name_counts,
    name_some,
)
from isoscan.harmonizing.columns import people_of, totals_of
from isoscan.tables import read_mriqc, require_numbers
from isoscan.tables.names import is_label_name, site_columns
from isoscan.unseen import relative_volumes


@dataclass(frozen=True)
class Scans:
    """Everything a model of unknown scanners needs to know of scans.

    Attributes
    ----------
    volumes : DataFrame of shape (n_scans, n_features)
        Measures, and their total if there is one.
    quality : DataFrame or None
        Metrics of image quality.
    people : DataFrame or None
        Covariates.
    labels : Series or None
        Scanner of each scan; None where it is new.
    table : DataFrame or None
        The measures as they were read, with all other columns.
    sidecar : dict
        What was known about the columns.
    """

    volumes: pd.DataFrame
    quality: pd.DataFrame | None
    people: pd.DataFrame | None
    labels: pd.Series[Any] | None = None
    table: pd.DataFrame | None = None
    sidecar: dict[str, Any] = field(default_factory=dict)


def read_training(
    measures: Sequence[Path],
    *,
    quality: Path | None,
    needed: Iterable[str],
    total: str | None,
    dropped: Sequence[str] = (),
    drop_implausible: bool = False,
    **rest: Any,
) -> Scans:
    """Read scans whose scanner is known."""
    needed = set(needed)
    used = () if total is None else (total,)
    cohort = without_sites(read_cohort(measures, needed=needed, used=used, **rest), dropped)
    if total is not None:
        cohort = _with_total(cohort, total, drop=drop_implausible)
    return _gather(cohort, quality, needed, total, drop=rest["unmatched"] == "drop")


def read_new(
    measures: Sequence[Path],
    *,
    quality: Path | None,
    features: Sequence[str],
    needed: Iterable[str],
    total: str | None,
    drop_implausible: bool = False,
    one_scanner: bool = False,
    **rest: Any,
) -> Scans:
    """Read scans of any scanner, with the measures that a model knows."""
    needed = set(needed)
    cohort = read_cohort(
        measures,
        needed=needed,
        used=() if total is None else (total,),
        sites=(),
        features=[escape(name) for name in features],
        with_totals=False,
        normalize_labels=False,
        merged=(),
        **rest,
    )
    if one_scanner:
        _warn_of_several(cohort.table)
    if total is not None:
        cohort = _with_total(cohort, total, drop=drop_implausible)
    return _gather(cohort, quality, needed, total, drop=rest["unmatched"] == "drop")


def _warn_of_several(table: pd.DataFrame) -> None:
    """Warn of scans that are to teach one scanner, but carry several labels."""
    for name in site_columns(table.columns):
        labels = table[name].dropna().astype(str).value_counts(sort=False)
        if len(labels) > 1:
            warnings.warn(
                f"the {count(len(table), 'scan')} carry {len(labels)} labels in '{name}': "
                f"{name_counts(labels.to_dict(), 4)}. All of them are taken for scans of one "
                f"scanner.",
                SiteLabelWarning,
                stacklevel=3,
            )


def _gather(
    cohort: Cohort, path: Path | None, needed: set[str], total: str | None, *, drop: bool
) -> Scans:
    table = cohort.table
    quality = None if path is None else by_scan(read_mriqc(path), table.index)
    if quality is not None and drop:
        table = _with_quality(table, quality)
    volumes = table[[*cohort.features, *([total] if total is not None else [])]]
    people = people_of(table, list(volumes.columns), needed)
    told = [name for name in people if name in needed or not is_label_name(str(name))]
    known = replace(cohort, table=table)
    labels = known.labels if cohort.batches else None
    return Scans(
        volumes, quality, people[told], labels, table[cohort.columns], dict(cohort.sidecar)
    )


def _with_total(cohort: Cohort, total: str, *, drop: bool) -> Cohort:
    """Refuse scans whose total is not that of a person, or leave them out; say so."""
    table = cohort.table
    _require_total(table, total)
    table = table.assign(**{total: require_numbers(table, [total], "measures")[total]})
    try:
        relative_volumes(table[[*cohort.features, total]], total)
    except MissingValuesError as error:
        sentence = (
            f"{count(error.scans, 'scan')} whose intracranial volume is missing or not that of a "
            f"person: {name_some(error.scans)}"
        )
        if not drop:
            raise MissingValuesError(
                f"there are {sentence}. Look at them, or leave them out (--drop-implausible).",
                scans=error.scans,
            ) from None
        click.echo(f"Left out: {sentence}.", err=True)
        table = table.drop(index=error.scans)
    return replace(cohort, table=table)


def _require_total(table: pd.DataFrame, total: str) -> None:
    if total not in table.columns:
        known = [name for name in totals_of(table) if "cranial" in name.lower() or "ICV" in name]
        raise MissingColumnError(
            f"the measures have no column '{total}' with the intracranial volume. Columns that "
            f"may be meant: {name_some(known or totals_of(table) or table.columns, 8)}.",
            column=total,
        )


def by_scan(quality: pd.DataFrame, scans: pd.Index) -> pd.DataFrame:
    """Index metrics by scan where images are named as scans are, but for the modality.

    Tables of one image per person are matched by participant later on.
    """
    people = quality.get("participant_id", pd.Series(dtype=object))
    if scans.isin(quality.index).any() or scans.isin(people).any():
        return quality
    names = quality.index.astype(str).str.replace(r"_[A-Za-z0-9]+$", "", regex=True)
    if not scans.isin(names).any():
        return quality
    renamed = quality.set_axis(names, axis=0)
    renamed.attrs = dict(quality.attrs)
    return renamed


def _with_quality(table: pd.DataFrame, quality: pd.DataFrame) -> pd.DataFrame:
    """Leave out scans without image quality metrics; say so."""
    known = table.index.isin(quality.index)
    if not known.any() and "participant_id" in quality.columns:
        known = table.index.isin(quality["participant_id"])
    if not known.all():
        left_out = list(table.index[~known])
        click.echo(
            f"Left out: {count(left_out, 'scan')} without image quality metrics: "
            f"{name_some(left_out)}.",
            err=True,
        )
    return table[known]
