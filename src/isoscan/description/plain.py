"""Numbers as JSON and as people know them."""

from __future__ import annotations

import math
from typing import Any

Facts = dict[str, Any]
"""Nested dict of str, int, float, None, list and dict; nothing else."""


def plain(value: Any) -> float | None:
    """Turn a number into a float, and what is not finite into None.

    Parameters
    ----------
    value : number
        Any real number.

    Returns
    -------
    float or None
        The number; None for NaN and infinities.

    Examples
    --------
    >>> plain(2), plain(float("nan"))
    (2.0, None)
    """
    number = float(value)
    return number if math.isfinite(number) else None


def in_words(value: float) -> str:
    """Write a number with as many digits as a reader needs.

    Parameters
    ----------
    value : float
        The number.

    Returns
    -------
    str
        About three significant digits; thousands separated from 10 000 on.

    Examples
    --------
    >>> in_words(12.7700), in_words(9999), in_words(1184828.2), in_words(0.04512)
    ('12.8', '9999', '1,184,828', '0.0451')
    """
    if abs(value) >= 1e15 or (value != 0 and abs(value) < 1e-4):
        return f"{value:.2e}"
    if abs(value) >= 1e4:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def percent(share: float) -> str:
    """Write a share in percent, without claiming 0 or 100 unless it is exact.

    Parameters
    ----------
    share : float
        Between 0 and 1.

    Returns
    -------
    str
        Percentage with a space before the sign.

    Examples
    --------
    >>> percent(0.123), percent(0.0001), percent(0.9999), percent(1.0)
    ('12 %', '< 1 %', '> 99 %', '100 %')
    """
    if 0 < share < 0.01:
        return "< 1 %"
    if 0.99 < share < 1:
        return "> 99 %"
    return f"{100 * share:.0f} %"
