"""What description and evaluation adjust for, when a model expects curves."""

from __future__ import annotations

import re

from sklearn.base import clone

from isoscan.combat.base import SiteHarmonizer
from isoscan.harmonizing.methods import curves_of

DEGREE = 3
"""A curve of a covariate is evaluated as an orthogonal polynomial of this degree."""


def formula_to_describe(model: SiteHarmonizer) -> str | None:
    """Formula of everything that is preserved, with a straight line for each curve.

    Parameters
    ----------
    model : SiteHarmonizer
        Fitted or not.

    Returns
    -------
    str or None
        Formula; None if nothing is preserved.

    Examples
    --------
    >>> from isoscan.combat import ComBat
    >>> formula_to_describe(ComBat("C(sex)", smooth=["age"]))
    'C(sex) + age'
    """
    lines = [_quoted(name) for name, _ in curves_of(model)]
    return _sum(getattr(model, "preserve", None), lines)


def formula_to_evaluate(model: SiteHarmonizer) -> str | None:
    """Formula of everything that is preserved, with a polynomial for each curve.

    The columns of the polynomial are orthogonal: the first is the straight line, the
    others are what bends.

    Parameters
    ----------
    model : SiteHarmonizer
        Fitted or not.

    Returns
    -------
    str or None
        Formula; None if nothing is preserved.

    Examples
    --------
    >>> from isoscan.combat import ComBat
    >>> formula_to_evaluate(ComBat("C(sex)", smooth=["age:sex"]))
    'C(sex) + poly(age, 3):C(sex)'
    """
    bends = [
        f"poly({_quoted(name)}, {DEGREE})" + (f":C({_quoted(category)})" if category else "")
        for name, category in curves_of(model)
    ]
    return _sum(getattr(model, "preserve", None), bends)


def bounded_like(model: SiteHarmonizer) -> SiteHarmonizer:
    """Copy a model that is to be fitted to a part of the scans: curves keep their bounds.

    Parameters
    ----------
    model : SiteHarmonizer
        A fitted model.

    Returns
    -------
    SiteHarmonizer
        An unfitted copy.
    """
    copy: SiteHarmonizer = clone(model)
    design = getattr(model, "smooth_design_", None)
    if design is not None and design.splines:
        bounds = {spline.name: (spline.low, spline.high) for spline in design.splines}
        copy.set_params(smooth_bounds=bounds)
    return copy


def _sum(preserve: str | None, terms: list[str]) -> str | None:
    return " + ".join([*([preserve] if preserve else []), *dict.fromkeys(terms)]) or None


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[^\W\d]\w*", name) else f"`{name}`"
