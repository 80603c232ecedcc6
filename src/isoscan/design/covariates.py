"""What a design remembers about each covariate: numbers with a range, or categories."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from isoscan.errors import (
    InfiniteValuesError,
    MissingValuesError,
    NotNumericError,
    UnseenLevelError,
    count,
    name_some,
)
from isoscan.labels import as_labels


@dataclass(frozen=True)
class Covariate:
    """One covariate as seen in training.

    Attributes
    ----------
    name : str
        Column name.
    levels : tuple of str or None
        Sorted categories; None for numbers.
    low, high : float
        Range of the numbers seen in training, rounded outward so that it shows nobody's
        exact value; NaN for categories.
    """

    name: str
    levels: tuple[str, ...] | None = None
    low: float = np.nan
    high: float = np.nan

    def to_json(self) -> dict[str, Any]:
        """Describe the covariate in plain types."""
        if self.levels is not None:
            return {"levels": list(self.levels)}
        return {"low": self.low, "high": self.high}

    @classmethod
    def from_json(cls, name: str, facts: Mapping[str, Any]) -> Covariate:
        """Read back what `to_json` wrote.

        Parameters
        ----------
        name : str
            Column name.
        facts : dict
            Levels, or low and high.

        Returns
        -------
        Covariate
            The same covariate.
        """
        if "levels" in facts:
            return cls(name, levels=tuple(str(level) for level in facts["levels"]))
        return cls(name, low=float(facts["low"]), high=float(facts["high"]))

    def encode(self, values: pd.Series[Any]) -> pd.Series[Any]:
        """Turn values into what the formula works on.

        Parameters
        ----------
        values : Series
            One column of covariates.

        Returns
        -------
        Series
            Floats, or categories with the levels of training.

        Raises
        ------
        UnseenLevelError
            If a category did not occur in training.
        """
        if self.levels is None:
            return as_numbers(values, self.name)
        labels = _category_labels(values, self.name)
        unseen = ~labels.isin(self.levels)
        if unseen.any():
            raise UnseenLevelError(
                f"'{self.name}' is {name_some(labels[unseen].unique())} for "
                f"{count(int(unseen.sum()), 'scan')} ({name_some(values.index[unseen], 3)}), "
                f"which did not occur in training. Known levels: {name_some(self.levels, 20)}.",
                covariate=self.name,
                levels=list(labels[unseen].unique()),
            )
        return pd.Series(
            pd.Categorical(labels, categories=list(self.levels)), index=values.index, name=self.name
        )

    def outside_range(self, values: pd.Series[Any]) -> pd.Series[Any]:
        """Mark the values beyond the range seen in training.

        Parameters
        ----------
        values : Series of float
            Encoded values.

        Returns
        -------
        Series of bool
            True where outside.
        """
        return (values < self.low) | (values > self.high)


def learn_covariate(values: pd.Series[Any], *, is_category: bool) -> Covariate:
    """Decide whether a column holds numbers or categories, and remember which.

    Parameters
    ----------
    values : Series
        One column of covariates.
    is_category : bool
        True if the formula declares the column a category, ``C(...)``.

    Returns
    -------
    Covariate
        The remembered covariate.

    Raises
    ------
    MissingValuesError
        If a value is missing.
    NotNumericError
        If most, but not all, values are numbers.
    InfiniteValuesError
        If a number is infinite.

    Examples
    --------
    >>> learn_covariate(pd.Series(["M", "F"], name="sex"), is_category=False).levels
    ('F', 'M')
    """
    name = str(values.name)
    if is_category or _holds_categories(values):
        return Covariate(name, levels=tuple(sorted(set(_category_labels(values, name)))))
    numbers = as_numbers(values, name)
    return Covariate(name, None, *_round_outward(float(numbers.min()), float(numbers.max())))


def _round_outward(low: float, high: float) -> tuple[float, float]:
    """Widen a range to a grid of about a hundredth to a tenth of its width."""
    if low == high:
        return low, high
    step = 10.0 ** (math.floor(math.log10(high - low)) - 1)
    return math.floor(low / step) * step, math.ceil(high / step) * step


def as_numbers(values: pd.Series[Any], name: str) -> pd.Series[Any]:
    """Read a column as finite floats.

    Parameters
    ----------
    values : Series
        Numbers, or text that looks like numbers.
    name : str
        Name used in messages.

    Returns
    -------
    Series of float
        The numbers.

    Raises
    ------
    MissingValuesError, NotNumericError, InfiniteValuesError
        If a value is missing, not a number, or infinite.
    """
    _refuse_missing(values, name)
    numbers = _to_numeric(values)
    wrong = numbers.isna()
    if wrong.any():
        first = values.index[wrong][0]
        comma = "," in str(values[wrong].iloc[0])
        raise NotNumericError(
            f"{name}: {count(int(wrong.sum()), 'value')} not a number, e.g. "
            f"'{values[wrong].iloc[0]}' (row {first})"
            + ("; decimal comma? Use decimal=',' (--decimal ,)." if comma else ".")
            + ("" if comma else f" Correct it, or declare a category: C({name})."),
            covariate=name,
            rows=list(values.index[wrong]),
        )
    infinite = np.isinf(numbers.to_numpy())
    if infinite.any():
        raise InfiniteValuesError(
            f"'{name}' is infinite for {count(int(infinite.sum()), 'scan')}: "
            f"{name_some(values.index[infinite])}. Correct it, or leave these scans out.",
            covariate=name,
        )
    return numbers


def _to_numeric(values: pd.Series[Any]) -> pd.Series[Any]:
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(object)
    return pd.to_numeric(values, errors="coerce").astype(float)


def _holds_categories(values: pd.Series[Any]) -> bool:
    """Text, booleans and categories are categories, unless the text spells numbers."""
    if isinstance(values.dtype, pd.CategoricalDtype) or pd.api.types.is_bool_dtype(values):
        return True
    if pd.api.types.is_numeric_dtype(values):
        return False
    texts = values.dropna().astype(str).str.replace(",", ".", regex=False)
    spells_number = pd.to_numeric(texts, errors="coerce").notna()
    return bool(spells_number.mean() < 0.5) if len(texts) else True


def _category_labels(values: pd.Series[Any], name: str) -> pd.Series[Any]:
    _refuse_missing(values, name)
    labels = as_labels(values, what=name, warn=False)
    return pd.Series(labels, index=values.index, name=name, dtype=object)


def _refuse_missing(values: pd.Series[Any], name: str) -> None:
    missing = values.isna()
    if missing.any():
        raise MissingValuesError(
            f"'{name}' is missing for {int(missing.sum())} of {count(len(values), 'scan')}: "
            f"{name_some(values.index[missing])}. Fill it in, or leave these scans out "
            f"(drop_incomplete=True, --drop-incomplete).",
            covariate=name,
            rows=list(values.index[missing]),
        )
