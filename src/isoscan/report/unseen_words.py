"""Say in words what was compared when scanners were left out, and how it ended."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from isoscan.errors import count
from isoscan.report.wording import NO_BREAK, is_number, number, percent

Facts = Mapping[str, Any]

NOTHING, NEAREST, BLIND, KNOWN = "nothing", "nearest scanner", "no image quality", "known scanner"
UNSEEN = "0 scans"
_FEW = re.compile(r"(\d+) scans?")
_WORDS = {
    NOTHING: "no correction",
    NEAREST: "as the most similar known scanner",
    BLIND: "{own} without image quality",
    UNSEEN: "{own}, no scan of the scanner",
    KNOWN: "ComBat that knows all its scans",
}
COLUMNS = {
    "shift_left": (
        "Shift left",
        "mean absolute shift of the scanner that is left, in residual standard deviations",
    ),
    "error_ratio": (
        "Error left",
        "sum of the distances to the correction that knows the scanner, relative to no correction",
    ),
    "worsened": ("Scanners made worse", "error at least 10 % larger than without correction"),
    "coverage": ("Intervals hold", "share of corrections inside their interval"),
    "correlation of people": (
        "Order of people",
        "correlation of people of one scanner, before and after",
    ),
    "spread of people": (
        "Spread of people",
        "standard deviation of people of one scanner, after divided by before",
    ),
}
"""What is told of every correction: heading, and its meaning."""


def row_of(facts: Facts, model: str) -> Facts | None:
    """Find one row of the comparison.

    Parameters
    ----------
    facts : mapping
        From `collect_unseen_facts`.
    model : str
        Name of the row.

    Returns
    -------
    mapping or None
        None if it is not there.
    """
    return next((row for row in facts["baselines"] if row["model"] == model), None)


def transfer_of(facts: Facts) -> str:
    """Tell whether anything was learned that holds for unknown scanners.

    Parameters
    ----------
    facts : mapping
        From `collect_unseen_facts`.

    Returns
    -------
    str
        "none" if the model leaves scans as they are; "not shown" if the error might as well be
        that of no correction, judged by how scanners differ; "unknown" without a check; else
        "shown".
    """
    if facts["training"]["strength"] == 0:
        return "none"
    own = row_of(facts, facts["row"])
    if own is None:
        return "unknown"
    return "shown" if is_number(own["high"]) and own["high"] < 1 else "not shown"


def n_scans_of(model: str) -> int | None:
    """Number of scans a row of the comparison was calibrated with.

    Parameters
    ----------
    model : str
        Name in the table of `leave_one_scanner_out`.

    Returns
    -------
    int or None
        None if it is no calibration; 0 for the model that saw none.

    Examples
    --------
    >>> n_scans_of("3 scans"), n_scans_of("0 scans"), n_scans_of("nearest scanner")
    (3, 0, None)
    """
    found = _FEW.fullmatch(model)
    return int(found[1]) if found else None


def label_of(model: str, own: str = "this model") -> str:
    """Say what a row of the comparison did.

    Parameters
    ----------
    model : str
        Name in the table of `leave_one_scanner_out`.
    own : str
        What the model that was asked for is called.

    Returns
    -------
    str
        A few words.

    Examples
    --------
    >>> label_of("nothing"), label_of("3 scans"), label_of("0 scans")
    ('no correction', 'calibrated with 3 scans', 'this model, no scan of the scanner')
    """
    scans = n_scans_of(model)
    if scans:
        return f"calibrated with {count(scans, 'scan')}"
    return _WORDS.get(model, model).format(own=own)


def plain_kept(what: str) -> str:
    """Name what is kept of people, as a heading.

    Parameters
    ----------
    what : str
        Row of `biology_`, or column of the comparison.

    Returns
    -------
    str
        Words.

    Examples
    --------
    >>> plain_kept("effect of age"), plain_kept("spread of people")
    ('Effect of age', 'Spread of people')
    """
    heading = COLUMNS[what][0] if what in COLUMNS else what
    return heading[:1].upper() + heading[1:]


def write_score(name: str, value: Any, scanners: int | None = None) -> str:
    """Write one cell of the comparison.

    Parameters
    ----------
    name : str
        Column.
    value : float or None
        Its value.
    scanners : int, optional
        How many scanners there are.

    Returns
    -------
    str
        A dash if there is no number.

    Examples
    --------
    >>> write_score("shift_left", 0.2726), write_score("worsened", 2, 16)
    ('0.27', '2 of 16')
    """
    if not is_number(value):
        return number(None)
    if name == "worsened":
        return f"{int(value)} of {scanners}" if scanners else str(int(value))
    if name in ("shift_left", "correlation of people"):
        return f"{value:.2f}".replace("-", "−")
    return percent(float(value))


def write_interval(low: Any, high: Any) -> str:
    """Write an interval of shares.

    Parameters
    ----------
    low, high : float or None
        Limits.

    Returns
    -------
    str
        Both in percent; empty if there are none.

    Examples
    --------
    >>> write_interval(0.55, 0.731).replace(NO_BREAK, " ")
    '55 to 73 %'
    """
    if not (is_number(low) and is_number(high)):
        return ""
    return f"{100 * low:.0f} to {100 * high:.0f}{NO_BREAK}%"
