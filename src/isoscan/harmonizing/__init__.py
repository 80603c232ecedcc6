"""The whole job on one table: describe, fit, apply, evaluate, report."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from isoscan.combat.methods import METHODS
from isoscan.description import describe
from isoscan.errors import IsoscanWarning, SmallSiteWarning, count, name_some
from isoscan.evaluation import evaluate
from isoscan.harmonizing.choice import (
    Choice,
    choose_features,
    numbers_of,
    say_reasons,
    warn_of_choice,
)
from isoscan.harmonizing.columns import (
    NAMES,
    advise_site,
    one_label,
    people_of,
    require_site,
    sites_of,
    totals_of,
)
from isoscan.harmonizing.folder import FILES, require_complete, require_free
from isoscan.harmonizing.looking import bounded_like, formula_to_describe, formula_to_evaluate
from isoscan.harmonizing.methods import (
    Method,
    columns_of,
    covariates_of,
    make_model,
    methods_with,
    named_in,
    unknown_options,
)
from isoscan.harmonizing.repeats import find_subjects, warn_of_repeats
from isoscan.labels import as_labels
from isoscan.report import collect_facts, describe_columns, describe_model, write_report
from isoscan.tables import write_json, write_table
from isoscan.tables.names import is_person_name

__all__ = [
    "FILES",
    "METHODS",
    "Choice",
    "Harmonized",
    "advise_site",
    "choose_features",
    "columns_of",
    "covariates_of",
    "harmonize",
    "make_model",
    "methods_with",
    "named_in",
    "one_label",
    "require_complete",
    "require_free",
    "say_reasons",
    "sites_of",
    "unknown_options",
]


@dataclass(frozen=True)
class Harmonized:
    """A harmonized table, the model that made it, and what was found on the way.

    Attributes
    ----------
    table : DataFrame
        All columns of the input in the same order; features harmonized, others untouched.
    model : ComBat, CovBat, ...
        The fitted model, to be applied to new scans.
    facts : dict
        What the report says, in plain types.
    features : list of str
        Columns that were harmonized.
    """

    table: pd.DataFrame
    model: Method
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
    site: str | Sequence[str] = "site",
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
        Columns to harmonize. By default all numeric columns but the site, the columns that
        formulas and options name, columns whose names are about people, clinics or scanners
        (age, MMSE, years, MRIQC's size_*, ...), codes (at most 10 different whole numbers) and
        running numbers, and totals (intracranial volume, ...). A warning names columns that
        were left out and may be measures; ``facts["columns"]`` says why.
    site : str or sequence of str
        Column with the site, or several columns of batch variables.
    preserve : str, optional
        Formula of what must survive, such as ``"age + C(sex)"``.
    method : {"combat", "covbat", "combat-ls", "longitudinal", "stepwise"}
        Method: `ComBat`, `CovBat`, `ComBatLS`, `LongitudinalComBat` or `StepwiseComBat`.
    title : str
        Heading of the report.
    individuals : bool
        Whether the facts and the report may name single scans.
    **options : object
        Further options of the method, such as ``smooth=["age"]`` or ``subject="person"``;
        those of `ComBat` go to every step of `StepwiseComBat`. With ``small_sites="drop"``,
        scans of sites of one scan are left out of everything, the table included.

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
    given = options if preserve is None else {"preserve": preserve, **options}
    model = make_model(method, given)
    batches = [site] if isinstance(site, str) else list(site)
    require_site(table, batches)
    used = {*batches, *columns_of(model)}
    choice = choose_features(table, features, used)
    chosen = choice.features
    with warnings_noted() as notes:
        warn_of_choice(choice)
        table = _without_single_scans(table, batches, model)
        subject = find_subjects(table, model)
        warn_of_repeats(table, subject, model)
        before = numbers_of(table, chosen)
        people = people_of(table, chosen, used if subject is None else {*used, subject})
        after = model.fit_transform(before, sites=sites_of(table, batches), covariates=people)
    facts = collect_facts(
        before,
        after,
        sites=one_label(table, batches),
        covariates=people,
        model_facts=describe_model(model, notes),
        describe_facts=_describe(table, chosen, people, batches, model, individuals=individuals),
        evaluate_facts=_evaluate(before, after, people, batches, model, subject),
        title=title,
        individuals=individuals,
    )
    result = table.copy()
    result[chosen] = after
    return Harmonized(result, model, facts | {"columns": choice.as_facts()}, chosen)


def _without_single_scans(table: pd.DataFrame, batches: list[str], model: Method) -> pd.DataFrame:
    """Leave out scans that a model which drops sites of one scan could not harmonize."""
    parts = [step[1] for step in getattr(model, "steps", ())] or [model]
    if not any(part.small_sites == "drop" and not part.mean_only for part in parts):
        return table
    single = pd.Series(False, index=table.index)
    for name in batches:
        sites = pd.Series(as_labels(table[name], name, warn=False), index=table.index)
        single |= ~sites.duplicated(keep=False)
    if single.any():
        alone = one_label(table[single], batches)
        warnings.warn(
            f"{count(int(single.sum()), 'scan')} left out, being the only one of its site: "
            f"{name_some(table.index[single])}, of {name_some(alone)}.",
            SmallSiteWarning,
            stacklevel=3,
        )
    return table[~single]


def _describe(
    table: pd.DataFrame,
    chosen: list[str],
    people: pd.DataFrame,
    batches: list[str],
    model: Method,
    *,
    individuals: bool,
) -> dict[str, Any]:
    totals = [name for name in totals_of(table) if name not in {*chosen, *people.columns}]
    if not individuals:
        named = NAMES | {str(getattr(model, "subject", "subject")).lower()}
        people = people[
            [
                name
                for name in people.columns
                if str(name).lower() not in named and not is_person_name(str(name))
            ]
        ]
    return describe(
        table[chosen + totals],
        sites=one_label(table, batches),
        covariates=people,
        preserve=formula_to_describe(model),
    )


def _evaluate(
    before: pd.DataFrame,
    after: pd.DataFrame,
    people: pd.DataFrame,
    batches: list[str],
    model: Method,
    subject: str | None,
) -> dict[str, Any] | None:
    sites = one_label(people, batches)
    if sites.nunique() < 2:
        return None
    return evaluate(
        before,
        after,
        sites=sites,
        covariates=people,
        preserve=formula_to_evaluate(model),
        subject=subject,
        model=bounded_like(model) if len(batches) == 1 else None,
    )


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
