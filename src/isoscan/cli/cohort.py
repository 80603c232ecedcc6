"""Bring measures, people and sites together for the command line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import pandas as pd

from isoscan.cli.choosing import choose
from isoscan.cli.earlier import read_sidecars
from isoscan.errors import MissingColumnError, count, name_counts, name_some
from isoscan.harmonizing import advise_site, one_label, sites_of
from isoscan.labels import as_labels, normalize_labels
from isoscan.tables import (
    align_rows,
    read_measures,
    read_participants,
    require_numbers,
)
from isoscan.tables.names import is_person_name


@dataclass(frozen=True)
class Cohort:
    """Everything about one set of scans.

    Attributes
    ----------
    table : DataFrame
        Measures, site and covariates; one row per scan.
    features : list of str
        Columns that are measures.
    columns : list of str
        Columns that came with the measures, in their order.
    batches : list of str
        Columns with the site, or with several batch variables.
    sidecar : dict
        What was known about the columns.
    choice : dict
        Which columns were taken for measures, and why others were not.
    """

    table: pd.DataFrame
    features: list[str]
    columns: list[str]
    batches: list[str]
    sidecar: dict[str, Any]
    choice: dict[str, Any]

    @property
    def measures(self) -> pd.DataFrame:
        """The columns that are measures."""
        return self.table[self.features]

    @property
    def people(self) -> pd.DataFrame:
        """All other columns."""
        return self.table.drop(columns=self.features)

    @property
    def sites(self) -> Any:
        """Sites as estimators take them: a series, or a frame of several batch variables."""
        return sites_of(self.table, self.batches)

    @property
    def labels(self) -> pd.Series[Any]:
        """One label per scan, to be looked at."""
        return one_label(self.table, self.batches)


def read_cohort(
    paths: Sequence[Path],
    *,
    participants: Path | None,
    sites: Sequence[str],
    features: Sequence[str],
    with_totals: bool,
    unmatched: str,
    drop_incomplete: bool,
    normalize_labels: bool,
    merged: Sequence[str],
    decimal: str,
    session: str | None = None,
    drop_duplicates: bool = False,
    needed: Iterable[str] = (),
    used: Iterable[str] = (),
) -> Cohort:
    """Read measures and people, matched by id; say what was left out.

    Scans lacking a column that is `needed` may be left out; neither those columns nor others
    that are `used` are measures, nor are columns of the people unless a pattern names them.
    """
    batches = list(dict.fromkeys(sites))
    as_told: dict[str, Any] = {
        "decimal": decimal,
        "labels": tuple(batches),
        "session": session,
        "drop_duplicates": drop_duplicates,
    }
    measures = read_measures(
        paths[0] if len(paths) == 1 else list(paths),
        unmatched="drop" if unmatched == "drop" else "error",
        **as_told,
    )
    table = measures
    if participants is not None:
        people = read_participants(participants, **as_told)
        table = _join_people(measures, people, drop=unmatched == "drop")
    _require_sites(table, batches, (participants or paths[0]).name, list(measures.columns))
    table = _with_ids(table, needed)
    table = table.assign(**_renamed(table, batches, merged, normalize=normalize_labels))
    if drop_incomplete:
        table = _drop_incomplete(table, needed)
    candidates = table if features else table[measures.columns]
    choice = choose(candidates, features, {*batches, *needed, *used}, with_totals=with_totals)
    table = table.assign(**_numbers(table, choice.features))
    return Cohort(
        table,
        choice.features,
        list(measures.columns),
        batches,
        read_sidecars(paths),
        choice.as_facts(),
    )


def _require_sites(
    table: pd.DataFrame, batches: Sequence[str], file: str, measures: Sequence[str]
) -> None:
    known = [name for name in table.columns if name not in measures] or list(table.columns)
    for name in batches:
        if name not in table.columns:
            raise MissingColumnError(
                f"no column '{name}' in {file}: {name_some(known, 8)}. {advise_site(known)}",
                column=name,
            )


def _join_people(measures: pd.DataFrame, people: pd.DataFrame, *, drop: bool) -> pd.DataFrame:
    by_scan = measures.index.isin(people.index).any()
    if not by_scan and "participant_id" in measures:
        ids = pd.Index(measures["participant_id"])
        known = ids.isin(people.index)
        if drop:
            measures, ids = measures[known], ids[known]
        people = align_rows(people, ids.unique(), what="participants").loc[ids]
        people = people.set_axis(measures.index, axis=0)
    else:
        if drop:
            known = measures.index.isin(people.index)
            if not known.all():
                left_out = list(measures.index[~known])
                click.echo(
                    f"Left out: {count(left_out, 'scan')} without a row in the participants "
                    f"table: {name_some(left_out)}.",
                    err=True,
                )
            measures = measures[known]
            people = people[people.index.isin(measures.index)]
        people = align_rows(people, measures.index, what="participants")
    return measures.join(people[[name for name in people.columns if name not in measures.columns]])


def _with_ids(table: pd.DataFrame, needed: Iterable[str]) -> pd.DataFrame:
    """Give ids back the name by which they are needed: reading calls them participant_id."""
    index = str(table.index.name)
    for name in needed:
        if name in table.columns or not (is_person_name(name) or name == index):
            continue
        if "participant_id" in table.columns:
            table = table.assign(**{name: table["participant_id"]})
        elif is_person_name(index) or name == index:
            table = table.assign(**{name: table.index})
    return table


def _renamed(
    table: pd.DataFrame, batches: Sequence[str], merged: Sequence[str], *, normalize: bool
) -> dict[str, pd.Series[Any]]:
    """Sites as text, with the names the user wants."""
    renamed: dict[str, pd.Series[Any]] = {}
    for name in batches:
        labels = as_labels(table[name], name)
        labels = normalize_labels(labels) if normalize else labels
        renamed[name] = pd.Series(labels, index=table.index, dtype=object)
    for rule in merged:
        old, equals, new = rule.partition("=")
        holding = [name for name in batches if old in set(renamed[name])]
        if not equals or not holding:
            raise click.UsageError(f"--merge-site {rule}: give OLD=NEW, where OLD is a site.")
        renamed |= {name: renamed[name].replace({old: new}) for name in holding}
    return renamed


def _drop_incomplete(table: pd.DataFrame, needed: Iterable[str]) -> pd.DataFrame:
    incomplete = table[sorted({*needed} & {*table.columns})].isna().any(axis=1)
    if incomplete.any():
        click.echo(
            f"Left out: {count(int(incomplete.sum()), 'scan')} with missing covariates: "
            f"{name_some(table.index[incomplete])}.",
            err=True,
        )
    return table[~incomplete]


def _numbers(table: pd.DataFrame, features: list[str]) -> dict[str, Any]:
    numbers = require_numbers(table, features, "measures")
    return {name: numbers[name] for name in features}


def without_sites(cohort: Cohort, names: Sequence[str]) -> Cohort:
    """Leave out sites by name; say so."""
    batches = cohort.table[cohort.batches]
    absent = sorted(set(names) - {site for name in batches for site in batches[name]})
    if absent:
        raise click.UsageError(f"--drop-site {absent[0]}: there is no such site.")
    left_out = batches.isin(names).any(axis=1)
    if not left_out.any():
        return cohort
    click.echo(
        f"Left out: {count(int(left_out.sum()), 'scan')} of "
        f"{name_counts(cohort.labels[left_out].value_counts(sort=False).to_dict())}.",
        err=True,
    )
    return replace(cohort, table=cohort.table[~left_out])
