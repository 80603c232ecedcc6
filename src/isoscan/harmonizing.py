"""The whole job on one table: describe, fit, apply, evaluate, report."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from isoscan.combat import ComBat
from isoscan.description import describe
from isoscan.design.formula import parse_formula, variables
from isoscan.errors import (
    DataError,
    IsoscanWarning,
    MissingColumnError,
    MissingValuesError,
    OutputExistsError,
    SmallSiteWarning,
    count,
    name_counts,
    name_some,
)
from isoscan.evaluation import evaluate
from isoscan.labels import as_labels
from isoscan.report import collect_facts, describe_columns, describe_model, write_report
from isoscan.tables import summary_columns, write_json, write_table

METHODS = {"combat": ComBat}
PEOPLE = frozenset(
    "age sex gender diagnosis dx sdx group handedness education iq fiq session run scan "
    "participant_id subject_id subjid scanner".split()
)
"""Columns that describe people, not brains; never taken for a feature unless named."""
NAMES = frozenset("participant_id subject_id subjid subject session_id scan_id".split())
"""Columns that name people; left out of facts without individuals."""
SETTINGS = ("rater_", "size_", "spacing_")
"""Beginnings of MRIQC's columns that are opinions, or how the image was taken."""

FILES = ("harmonized.tsv", "harmonized.json", "model.isoscan", "report.html", "facts.json")


@dataclass(frozen=True)
class Harmonized:
    """A harmonized table, the model that made it, and what was found on the way.

    Attributes
    ----------
    table : DataFrame
        All columns of the input in the same order; features harmonized, others untouched.
    model : ComBat
        The fitted model, to be applied to new scans.
    facts : dict
        What the report says, in plain types.
    features : list of str
        Columns that were harmonized.
    """

    table: pd.DataFrame
    model: ComBat
    facts: dict[str, Any]
    features: list[str] = field(default_factory=list)

    def to_folder(
        self,
        path: str | os.PathLike[str],
        *,
        sidecar: Mapping[str, Any] | None = None,
        overwrite: bool = False,
    ) -> Path:
        """Write table, sidecar, model, report and facts into a folder.

        Parameters
        ----------
        path : path-like
            Folder; made if it does not exist.
        sidecar : mapping, optional
            Descriptions and units of the columns, as in a BIDS sidecar; kept.
        overwrite : bool
            Replace files of the same names.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        OutputExistsError
            If one of the files exists; nothing is written then.
        """
        folder = Path(path)
        require_free(folder, FILES, overwrite=overwrite)
        described = describe_columns(self.table.columns, self.features, self.model, sidecar)
        write_table(self.table, folder / FILES[0], sidecar=described, overwrite=overwrite)
        self.model.save(folder / FILES[2], overwrite=overwrite)
        write_report(self.facts, folder / FILES[3], overwrite=overwrite)
        write_json(folder / FILES[4], self.facts, overwrite=overwrite)
        return folder


def harmonize(
    table: pd.DataFrame,
    *,
    features: Sequence[str] | None = None,
    site: str = "site",
    preserve: str | None = None,
    method: str = "combat",
    title: str = "Harmonization report",
    individuals: bool = True,
    **options: Any,
) -> Harmonized:
    """Harmonize the measures of one table and show what it did.

    Parameters
    ----------
    table : DataFrame of shape (n_scans, n_columns)
        One row per scan: measures, site and covariates, indexed by scan.
    features : sequence of str, optional
        Columns to harmonize. By default all numeric columns but the site, the covariates of
        the formulas, columns that describe people (age, sex, diagnosis, ...) or the setting of
        the scanner (MRIQC's size_* and spacing_*), and totals (intracranial volume, ...).
    site : str
        Column with the site.
    preserve : str, optional
        Formula of what must survive, such as ``"age + C(sex)"``.
    method : {"combat"}
        Method.
    title : str
        Heading of the report.
    individuals : bool
        Whether the facts and the report may name single scans.
    **options : object
        Further options of the method, see `ComBat`. With ``small_sites="drop"``, scans of
        sites of one scan are left out of everything, the table included.

    Returns
    -------
    Harmonized
        Table, model and facts.

    Raises
    ------
    DataError
        If the data cannot be harmonized as they are; the message says why.

    Examples
    --------
    >>> from isoscan.phantom import simulate_tables
    >>> cohort = simulate_tables(n_features=5, random_state=0)
    >>> done = harmonize(cohort.people.join(cohort.measures), preserve="age + C(sex)")
    >>> done.table.shape, done.features[0]
    ((159, 9), 'region001_thickness')
    """
    if method not in METHODS:
        raise DataError(f"method must be one of {tuple(METHODS)}, got {method!r}.")
    if site not in table.columns:
        raise MissingColumnError(
            f"there is no site column '{site}'. Columns: {name_some(table.columns, 8)}. "
            f"Name it: site=... (--site).",
            column=site,
        )
    chosen = choose_features(table, features, site, preserve, options.get("remove"))
    model = METHODS[method](preserve, **options)
    with warnings_noted() as notes:
        table = _without_single_scans(table, site, model)
        before = table[chosen]
        people = _people(table, chosen, _used(site, preserve, options.get("remove")))
        after = model.fit_transform(before, sites=people[site], covariates=people)
    facts = collect_facts(
        before,
        after,
        sites=people[site],
        covariates=people,
        model_facts=describe_model(model, notes),
        describe_facts=_describe(table, chosen, people, site, preserve, individuals=individuals),
        evaluate_facts=_evaluate(before, after, people, site, model),
        title=title,
        individuals=individuals,
    )
    result = table.copy()
    result[chosen] = after
    return Harmonized(result, model, facts, chosen)


def _without_single_scans(table: pd.DataFrame, site: str, model: ComBat) -> pd.DataFrame:
    """Leave out scans that a model which drops sites of one scan could not harmonize."""
    if model.small_sites != "drop" or model.mean_only:
        return table
    sites = pd.Series(as_labels(table[site], warn=False), index=table.index)
    single = ~sites.duplicated(keep=False)
    if single.any():
        warnings.warn(
            f"{count(int(single.sum()), 'scan')} left out, being the only one of its site: "
            f"{name_some(table.index[single])}, of {name_some(sites[single])}.",
            SmallSiteWarning,
            stacklevel=3,
        )
    return table[~single]


def _describe(
    table: pd.DataFrame,
    chosen: list[str],
    people: pd.DataFrame,
    site: str,
    preserve: str | None,
    *,
    individuals: bool,
) -> dict[str, Any]:
    totals = [name for name in _totals(table) if name not in chosen]
    if not individuals:
        people = people[[name for name in people.columns if str(name).lower() not in NAMES]]
    return describe(table[chosen + totals], sites=table[site], covariates=people, preserve=preserve)


def _evaluate(
    before: pd.DataFrame, after: pd.DataFrame, people: pd.DataFrame, site: str, model: ComBat
) -> dict[str, Any] | None:
    if len(model.sites_) < 2:
        return None
    return evaluate(
        before,
        after,
        sites=people[site],
        covariates=people,
        preserve=model.preserve,
        model=model,
    )


def _totals(table: pd.DataFrame) -> list[str]:
    """Numeric columns that sum up the brain: looked at, but not harmonized unless named."""
    return summary_columns([str(name) for name in table.select_dtypes("number").columns])


def _people(table: pd.DataFrame, features: list[str], used: set[str]) -> pd.DataFrame:
    """Columns that say who was scanned where: used by name, known by name, or words."""
    numeric = set(table.select_dtypes("number").columns)
    return table[
        [
            name
            for name in table.columns
            if name not in features
            and (name in used or str(name).lower() in PEOPLE or name not in numeric)
        ]
    ]


def _used(site: str, *formulas: str | None) -> set[str]:
    return {site}.union(*(variables(parse_formula(text)) for text in formulas if text))


def choose_features(
    table: pd.DataFrame,
    features: Sequence[str] | None,
    site: str,
    *formulas: str | None,
) -> list[str]:
    """Decide which columns are measures.

    Parameters
    ----------
    table : DataFrame
        One row per scan.
    features : sequence of str or None
        The user's choice; None to decide by type and name.
    site : str
        Column with the site.
    *formulas : str or None
        Formulas whose covariates are not measures.

    Returns
    -------
    list of str
        Columns in the order of the table.

    Raises
    ------
    MissingColumnError
        If a chosen column is absent.
    DataError
        If no column is left.
    """
    if features is not None:
        absent = [name for name in features if name not in table.columns]
        if absent:
            raise MissingColumnError(
                f"{count(absent, 'feature')} not in the table: {name_some(absent)}.",
                columns=absent,
            )
        return list(features)
    taken = _used(site, *formulas)
    numeric = [
        str(name)
        for name in table.select_dtypes("number").columns
        if name not in taken
        and str(name).lower() not in PEOPLE
        and not str(name).startswith(SETTINGS)
    ]
    totals = set(_totals(table))
    regions = [name for name in numeric if name not in totals] or numeric
    if not regions:
        raise DataError(
            f"no column to harmonize: none of {name_some(table.columns, 8)} is numeric and not "
            f"a covariate. Name the features."
        )
    return regions


@contextmanager
def warnings_noted() -> Iterator[list[dict[str, str]]]:
    """Let warnings pass, and note isoscan's sentences for the report.

    Yields
    ------
    list of dict
        Code (name of the warning) and sentence, filled when the block ends.
    """
    notes: list[dict[str, str]] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield notes
    for warning in caught:
        note = {"code": warning.category.__name__, "sentence": str(warning.message)}
        if issubclass(warning.category, IsoscanWarning) and note not in notes:
            notes.append(note)
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def require_free(folder: Path, names: Iterable[str], *, overwrite: bool) -> None:
    """Refuse to write where results exist already, before any work is done.

    Parameters
    ----------
    folder : Path
        Where results go.
    names : iterable of str
        Files that will be written.
    overwrite : bool
        Whether they may be replaced.

    Raises
    ------
    OutputExistsError
        If one exists and may not be replaced.
    """
    existing = [name for name in names if (folder / name).exists()]
    if existing and not overwrite:
        raise OutputExistsError(
            f"{folder} already holds {name_some(existing)}. Choose another folder, or pass "
            f"overwrite=True (--overwrite).",
            files=existing,
        )


def require_complete(table: pd.DataFrame, features: Sequence[str]) -> None:
    """Refuse missing measures, for users who expect none.

    Parameters
    ----------
    table : DataFrame
        One row per scan.
    features : sequence of str
        Columns to look at.

    Raises
    ------
    MissingValuesError
        If a value is missing.
    """
    missing = table[list(features)].isna()
    if missing.any(axis=None):
        incomplete = missing.sum()[missing.any()]
        raise MissingValuesError(
            f"{int(missing.sum().sum())} of {missing.size} values missing, in "
            f"{name_counts(incomplete.to_dict())}. Allow them (--missing keep), or correct them.",
            features=list(incomplete.index),
        )
