"""Notice that people were scanned repeatedly, whatever method is asked for."""

from __future__ import annotations

import warnings
from typing import Any

import pandas as pd

from isoscan.errors import RepeatedScansWarning, count
from isoscan.harmonizing.methods import Method
from isoscan.tables.names import is_person_name


def find_subjects(table: pd.DataFrame, model: Method) -> str | None:
    """Find the column that says whose scans these are, if somebody was scanned twice.

    Parameters
    ----------
    table : DataFrame
        One row per scan.
    model : estimator
        Its subjects come first, then columns called participant_id, SubjID and the like.

    Returns
    -------
    str or None
        Column; None if nobody was scanned twice, or a scan does not say whose it is.

    Examples
    --------
    >>> from isoscan.combat import ComBat
    >>> table = pd.DataFrame({"SubjID": ["ann", "ben", "ann"], "site": ["A", "A", "B"]})
    >>> find_subjects(table, ComBat())
    'SubjID'
    """
    own = getattr(model, "subject", None)
    named = [str(name) for name in table.columns if is_person_name(str(name))]
    for name in [own] if own in table.columns else named:
        column: pd.Series[Any] = table[name]
        if column.duplicated().any() and not column.isna().any():
            return str(name)
    return None


def warn_of_repeats(table: pd.DataFrame, subject: str | None, model: Method) -> None:
    """Warn if scans of a person are treated as those of strangers.

    Parameters
    ----------
    table : DataFrame
        One row per scan.
    subject : str or None
        Column that says whose scans they are; None if nobody was scanned twice.
    model : estimator
        The method.
    """
    if subject is None or hasattr(model, "subject") or hasattr(model, "steps"):
        return
    scans = table[subject].value_counts()
    several = int((scans > 1).sum())
    warnings.warn(
        f"{count(several, 'person was', 'people were')} scanned repeatedly "
        f"({int(scans[scans > 1].sum())} of {count(len(table), 'scan')}, by '{subject}'), but "
        f"{type(model).__name__} treats their scans as independent. Use "
        f"method='longitudinal' (--method longitudinal). Tests and folds keep people together.",
        RepeatedScansWarning,
        stacklevel=3,
    )
