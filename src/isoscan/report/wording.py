"""Write numbers the way people read them: few digits, no false precision."""

from __future__ import annotations

import math
import re
from itertools import accumulate, pairwise
from typing import Any, TypeGuard

NONE = "–"
NO_BREAK = "\u00a0"
_CODED = re.compile(r"(?:C\()?([^(),\[\]:]+)(?:,[^)]*)?\)?\[(?:T\.)?([^\]]*)\]")
_POLYNOMIAL = re.compile(r"poly\(([^(),]+),[^()]*\)\[(\d+)\]")
_DEGREES = {1: "linear", 2: "quadratic", 3: "cubic"}


def percent(share: float | None) -> str:
    """Write a share as a percentage with two sensible digits and a no-break space.

    Parameters
    ----------
    share : float or None
        Share between 0 and 1.

    Returns
    -------
    str
        Percentage; a dash when there is no number.

    Examples
    --------
    >>> texts = percent(0.4567), percent(0.0312), percent(0.00001), percent(0), percent(None)
    >>> [text.replace(NO_BREAK, " ") for text in texts]
    ['46 %', '3.1 %', '<0.1 %', '0 %', '–']
    """
    if not is_number(share):
        return NONE
    value = 100 * float(share)
    if 0 < abs(value) < 0.1:
        return f"<0.1{NO_BREAK}%"
    text = f"{value:.1f}" if 0 < abs(value) < 9.95 else f"{value:.0f}"
    return f"{text}{NO_BREAK}%"


def p_value(value: float | None) -> str:
    """Write a p value with at most two significant digits.

    Parameters
    ----------
    value : float or None
        P value.

    Returns
    -------
    str
        The value, or "<0.001".

    Examples
    --------
    >>> p_value(0.0432), p_value(1e-9), p_value(0.51)
    ('0.043', '<0.001', '0.51')
    """
    if not is_number(value):
        return NONE
    return "<0.001" if float(value) < 0.001 else f"{float(value):.2g}"


def number(value: float | None, digits: int = 3) -> str:
    """Write a number with a few significant digits and a true minus sign.

    Parameters
    ----------
    value : float or None
        Number.
    digits : int
        Significant digits; whole numbers keep all of theirs.

    Returns
    -------
    str
        The number; a dash when there is none.

    Examples
    --------
    >>> number(0.123456), number(-12.3456), number(15234.0), number(1e-7)
    ('0.123', '−12.3', '15,234', '1e−07')
    """
    if not is_number(value):
        return NONE
    size = abs(float(value))
    text = f"{value:,.0f}" if 10**digits <= size < 1e9 else f"{value:.{digits}g}"
    return text.replace("-", "−")


def plain_term(term: str) -> str:
    """Write a term of a formula the way people say it.

    Parameters
    ----------
    term : str
        Column of a design matrix.

    Returns
    -------
    str
        Name of the covariate and, after a colon, its level; the parts of an interaction
        are separated by a comma.

    Examples
    --------
    >>> plain_term("C(sex)[T.M]"), plain_term("age"), plain_term("diagnosis[patient]")
    ('sex: M', 'age', 'diagnosis: patient')
    >>> plain_term("poly(age, 3)[1]"), plain_term("poly(age, 3)[2]:C(sex)[F]")
    ('age (linear)', 'age (quadratic), sex: F')
    """
    return ", ".join(_plain_factor(factor) for factor in _factors(term))


def _factors(term: str) -> list[str]:
    """Parts of an interaction: what stands between colons outside brackets."""
    depth = list(accumulate((sign in "([") - (sign in ")]") for sign in term))
    ends = [at for at, sign in enumerate(term) if sign == ":" and depth[at] == 0]
    edges = [-1, *ends, len(term)]
    return [term[start + 1 : stop] for start, stop in pairwise(edges)]


def _plain_factor(factor: str) -> str:
    bend = _POLYNOMIAL.fullmatch(factor)
    if bend:
        degree = int(bend[2])
        return f"{bend[1].strip('` ')} ({_DEGREES.get(degree, f'degree {degree}')})"
    coded = _CODED.fullmatch(factor)
    return f"{coded[1].strip()}: {coded[2]}" if coded else factor


def plain_levels(name: str, by: tuple[str, str] | None) -> str:
    """Name a curve by its covariate, and by the level it is for.

    Parameters
    ----------
    name : str
        Covariate.
    by : tuple of (str, str) or None
        Category and level.

    Returns
    -------
    str
        As `plain_term` writes interactions.

    Examples
    --------
    >>> plain_levels("age", None), plain_levels("age", ("sex", "F"))
    ('age', 'age, sex: F')
    """
    return name if by is None else f"{name}, {by[0]}: {by[1]}"


def is_number(value: Any) -> TypeGuard[float]:
    """Tell numbers from gaps.

    Parameters
    ----------
    value : object
        Anything.

    Returns
    -------
    bool
        True for a finite number.

    Examples
    --------
    >>> is_number(1.5), is_number(None), is_number(float("nan"))
    (True, False, False)
    """
    return isinstance(value, int | float) and math.isfinite(value)
