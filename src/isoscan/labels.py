"""Site and category labels: always text, compared exactly, sorted by code point."""

from __future__ import annotations

import unicodedata
import warnings
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.errors import SiteLabelError, SiteLabelWarning, count, name_some


def as_labels(
    values: Iterable[Any], what: str = "site", *, warn: bool = True
) -> NDArray[np.object_]:
    """Turn labels into text: 1, 1.0 and "1" become the same label.

    Parameters
    ----------
    values : iterable of shape (n_scans,)
        Labels as text, integers, whole floats, booleans or categories. The
        texts "NA" and "None" are ordinary labels.
    what : str
        What the labels stand for, used in messages.
    warn : bool
        Say so if labels were floating-point numbers.

    Returns
    -------
    ndarray of str objects, shape (n_scans,)
        Labels as NFC-normalized text.

    Raises
    ------
    SiteLabelError
        If a label is missing or blank, or if text and numbers are mixed.

    Examples
    --------
    >>> as_labels([1, 2, 10])
    array(['1', '2', '10'], dtype=object)
    """
    labels = values if isinstance(values, pd.Series) else pd.Series(list(values), dtype=object)
    _refuse_missing(labels, what)
    examples = {_kind(value): value for value in _one_of_each_type(labels)}
    if len(examples) > 1:
        kinds = sorted(examples)
        raise SiteLabelError(
            f"{what} labels mix {' and '.join(kinds)}, e.g. "
            f"{' and '.join(repr(examples[kind]) for kind in kinds)}: is 1 the same {what} as "
            f"'1'? Convert the column to text.",
            kinds=kinds,
        )
    if "floats" in examples and warn:
        warnings.warn(
            f"{what} labels are floating-point numbers; whole numbers are read without the "
            f"decimal point (1.0 as '1'). Store them as text.",
            SiteLabelWarning,
            stacklevel=3,
        )
    codes, distinct = pd.factorize(labels)
    texts = np.array([_as_text(value) for value in distinct], dtype=object)
    return np.asarray(texts[codes], dtype=object)


def _one_of_each_type(labels: pd.Series[Any]) -> list[Any]:
    values = labels.tolist()
    first = dict(zip(reversed(list(map(type, values))), reversed(values), strict=True))
    return list(first.values())


def find_lookalikes(labels: Iterable[str]) -> list[list[str]]:
    """Group labels that differ only by case, spaces or punctuation at the ends.

    Parameters
    ----------
    labels : iterable of str
        Labels, repeated or not.

    Returns
    -------
    list of list of str
        One sorted list per group of two or more look-alikes.

    Examples
    --------
    >>> find_lookalikes(["GE", "ge", "GE ", "Siemens"])
    [['GE', 'GE ', 'ge']]
    """
    groups: dict[str, set[str]] = defaultdict(set)
    for label in set(labels):
        groups[" ".join(label.casefold().split())].add(label)
    return sorted(sorted(group) for group in groups.values() if len(group) > 1)


def warn_of_lookalikes(labels: Iterable[str], what: str = "site") -> None:
    """Warn if labels differ only by case or space.

    Parameters
    ----------
    labels : iterable of str
        Labels, repeated or not.
    what : str
        What the labels stand for.
    """
    for group in find_lookalikes(labels):
        warnings.warn(
            f"{what} labels {name_some(group)} differ only by case or space and are kept apart. "
            f"If they are one {what}, rename them or use normalize_labels (--normalize-labels).",
            SiteLabelWarning,
            stacklevel=3,
        )


def normalize_labels(labels: Iterable[str]) -> NDArray[np.object_]:
    """Give labels that differ only by case or space the most frequent spelling.

    Parameters
    ----------
    labels : iterable of str
        One label per scan.

    Returns
    -------
    ndarray of str objects
        Labels without look-alikes, in the same order.

    Examples
    --------
    >>> normalize_labels(["GE", "ge ", "GE"])
    array(['GE', 'GE', 'GE'], dtype=object)
    """
    series = pd.Series(list(labels), dtype=object)
    frequency = series.value_counts()
    spelling = {
        variant: max(group, key=lambda label: (frequency[label], label))
        for group in find_lookalikes(series)
        for variant in group
    }
    return np.array([spelling.get(label, label) for label in series], dtype=object)


def _refuse_missing(labels: pd.Series[Any], what: str) -> None:
    blank = [value for value in labels.unique() if isinstance(value, str) and not value.strip()]
    missing = labels.isna()
    if blank:
        missing |= labels.isin(blank)
    if missing.any():
        rows = labels.index[missing]
        raise SiteLabelError(
            f"{what} is missing for {count(len(rows), 'scan')}: {name_some(rows)}. "
            f"Fill it in, or leave these rows out.",
            rows=list(rows),
        )


def _kind(value: object) -> str:
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool | np.bool_):
        return "booleans"
    if isinstance(value, int | np.integer):
        return "integers"
    if isinstance(value, float | np.floating):
        return "floats"
    return type(value).__name__


def _as_text(value: object) -> str:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return unicodedata.normalize("NFC", str(value))
