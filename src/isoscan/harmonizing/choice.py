"""Choose which columns of a table are measures, and say why others are not."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from isoscan.errors import (
    ColumnChoiceWarning,
    DataError,
    MissingColumnError,
    NotNumericError,
    count,
    name_some,
)
from isoscan.harmonizing.words import PEOPLE, SETTINGS, named_like_measure, word_for_people
from isoscan.tables import require_numbers, summary_columns
from isoscan.tables.names import is_label_name
from isoscan.tables.numbers import is_mostly_numbers

MOST_CODES = 10
"""A column of so many different whole numbers, or fewer, holds codes."""


@dataclass(frozen=True)
class Choice:
    """Columns of a table that are measures, and numeric columns that are not.

    Attributes
    ----------
    features : list of str
        Measures, in the order of the table.
    left_out : dict of {str: str}
        Numeric columns that were taken for no measures, each with the reason.
    totals : list of str
        Columns that sum up the brain; they are looked at, not harmonized.
    """

    features: list[str]
    left_out: dict[str, str] = field(default_factory=dict)
    totals: list[str] = field(default_factory=list)

    def as_facts(self) -> dict[str, Any]:
        """Say in plain types what was chosen.

        Returns
        -------
        dict
            Measures, left_out with reasons, totals.
        """
        return {"measures": self.features, "left_out": self.left_out, "totals": self.totals}

    @property
    def doubtful(self) -> dict[str, str]:
        """Columns left out that their users might have meant as measures."""
        return {
            name: reason
            for name, reason in self.left_out.items()
            if not (name.lower() in PEOPLE or is_label_name(name) or name.startswith(SETTINGS))
        }


def choose_features(
    table: pd.DataFrame, features: Sequence[str] | None, used: Iterable[str]
) -> Choice:
    """Decide which columns are measures.

    Parameters
    ----------
    table : DataFrame
        One row per scan.
    features : sequence of str or None
        The user's choice; None to decide by type, name and values.
    used : iterable of str
        Columns with sites and covariates, which are not measures.

    Returns
    -------
    Choice
        Measures, and what was left out.

    Raises
    ------
    MissingColumnError
        If a chosen column is absent.
    NotNumericError
        If a column holds mostly numbers, but not only.
    DataError
        If no column is left, or a chosen one is used as site or covariate.
    """
    taken = set(used)
    if features is not None:
        return Choice(_named(table, features, taken))
    free = [str(name) for name in table.columns if name not in taken]
    numeric = [name for name in free if holds_numbers(table[name])]
    _refuse_broken(table, [name for name in free if name not in numeric])
    totals = summary_columns(numeric)
    reasons = {name: _reason_against(name, table[name]) for name in numeric if name not in totals}
    left_out = {name: reason for name, reason in reasons.items() if reason}
    measures = [name for name in numeric if name not in left_out]
    regions = [name for name in measures if name not in totals]
    if not measures:
        raise DataError(
            f"no column to harmonize: none of {name_some(table.columns, 8)} is numeric and not "
            f"a covariate. {_left_out_sentence(left_out)}Name the features."
        )
    return Choice(regions, left_out, totals) if regions else Choice(measures, left_out)


def warn_of_choice(choice: Choice) -> None:
    """Warn of columns that were left out though they may be measures.

    Parameters
    ----------
    choice : Choice
        What `choose_features` decided.
    """
    if choice.doubtful:
        warnings.warn(
            f"{_left_out_sentence(choice.doubtful)}If one is a measure, name all features "
            f"(features=, --feature); if it must survive, name it in preserve.",
            ColumnChoiceWarning,
            stacklevel=3,
        )


def say_reasons(left_out: Mapping[str, str], limit: int = 8) -> str:
    """List columns, each with the reason why it is no measure.

    Parameters
    ----------
    left_out : mapping of {str: str}
        Columns and reasons.
    limit : int
        How many to spell out.

    Returns
    -------
    str
        Columns and reasons, separated by commas.

    Examples
    --------
    >>> say_reasons({"MMSE": "its name", "arm": "3 different whole numbers"})
    "'MMSE' (its name), 'arm' (3 different whole numbers)"
    """
    said = [f"'{name}' ({reason})" for name, reason in left_out.items()]
    rest = len(said) - limit
    return ", ".join(said) if rest <= 1 else f"{', '.join(said[:limit])} and {rest} more"


def numbers_of(table: pd.DataFrame, features: Sequence[str]) -> pd.DataFrame:
    """Take the measures of a table, numbers in columns of objects as numbers.

    Parameters
    ----------
    table : DataFrame
        One row per scan.
    features : sequence of str
        Columns that are measures.

    Returns
    -------
    DataFrame
        Measures.
    """
    objects = [name for name in features if table[name].dtype == object]
    return table[list(features)].assign(**require_numbers(table, objects))


def holds_numbers(column: pd.Series[Any]) -> bool:
    """Tell whether every value of a column is a number, whatever its dtype.

    Parameters
    ----------
    column : Series
        A column of a table.

    Returns
    -------
    bool
        False for text, even if it spells numbers, and for true and false.
    """
    if pd.api.types.is_bool_dtype(column.dtype):
        return False
    if column.dtype != object:
        return bool(pd.api.types.is_numeric_dtype(column.dtype))
    values = [value for value in column.tolist() if value is not None and value == value]
    return bool(values) and all(
        isinstance(value, int | float | np.number) and not isinstance(value, bool)
        for value in values
    )


def _left_out_sentence(left_out: Mapping[str, str]) -> str:
    if not left_out:
        return ""
    number_of = count(
        left_out, "numeric column is taken for no measure and stays as it is",
        "numeric columns are taken for no measures and stay as they are",
    )  # fmt: skip
    return f"{number_of}: {say_reasons(left_out)}. "


def _reason_against(name: str, column: pd.Series[Any]) -> str:
    if name.startswith(SETTINGS):
        return "how the image was taken or rated"
    word = word_for_people(name)
    if word is not None:
        return "its name" if word == name.lower() else f"'{word}' in its name"
    return "" if named_like_measure(name) else _look_of_codes(column)


def _look_of_codes(column: pd.Series[Any]) -> str:
    """Few different whole numbers are codes; consecutive ones, each once, are a count of rows."""
    values = column.dropna().to_numpy(np.float64)
    if not np.isfinite(values).all() or (values % 1).any():
        return ""
    levels = np.unique(values)
    if 1 < len(levels) <= MOST_CODES and 2 * len(levels) <= len(values):
        return f"{len(levels)} different whole numbers"
    if len(levels) == len(values) > 2 and levels[-1] - levels[0] == len(levels) - 1:
        return "running numbers"
    return ""


def _refuse_broken(table: pd.DataFrame, names: Iterable[str]) -> None:
    """Refuse columns of text that would be numbers but for a few cells."""
    for name in names:
        if word_for_people(name) is None and is_mostly_numbers(table[name]):
            try:
                require_numbers(table, [name])
            except NotNumericError as error:
                raise NotNumericError(
                    f"{error} If {name} is no measure, name the features (--feature).",
                    **error.details,
                ) from None


def _named(table: pd.DataFrame, features: Sequence[str], taken: set[str]) -> list[str]:
    absent = [name for name in features if name not in table.columns]
    if absent:
        raise MissingColumnError(
            f"{count(absent, 'feature')} not in the table: {name_some(absent)}.",
            columns=absent,
        )
    both = [name for name in features if name in taken]
    if both:
        raise DataError(
            f"{name_some(both)} cannot be a feature: it is used as site or covariate.",
            columns=both,
        )
    return list(features)
