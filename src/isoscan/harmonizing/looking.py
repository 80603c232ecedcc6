"""What description and evaluation adjust for, when a model expects curves."""

from __future__ import annotations

import re

from sklearn.base import clone

from isoscan.harmonizing.methods import Method, curves_of, last_of

DEGREE = 3
"""A curve of a covariate is evaluated as an orthogonal polynomial of this degree."""


def formula_to_describe(model: Method) -> str | None:
    """Formula of everything that is preserved, with a straight line for each curve.

    Parameters
    ----------
    model : estimator
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
    lines = [_quoted(name) for name, _ in curves_of(last_of(model))]
    return _sum(last_of(model).preserve, lines)


def formula_to_evaluate(model: Method) -> str | None:
    """Formula of everything that is preserved, with a polynomial for each curve.

    The columns of the polynomial are orthogonal: the first is the straight line, the
    others are what bends.

    Parameters
    ----------
    model : estimator
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
        for name, category in curves_of(last_of(model))
    ]
    return _sum(last_of(model).preserve, bends)


def bounded_like(model: Method) -> Method:
    """Copy a model that is to be fitted to a part of the scans: curves keep their bounds.

    Parameters
    ----------
    model : estimator
        A fitted model.

    Returns
    -------
    SiteHarmonizer or StepwiseComBat
        An unfitted copy.
    """
    copy: Method = clone(model)
    design = getattr(model, "smooth_design_", None)
    if design is not None and design.splines and "smooth_bounds" in copy.get_params(deep=False):
        bounds = {spline.name: (spline.low, spline.high) for spline in design.splines}
        copy.set_params(smooth_bounds=bounds)
    return copy


def _sum(preserve: str | None, terms: list[str]) -> str | None:
    return " + ".join([*([preserve] if preserve else []), *dict.fromkeys(terms)]) or None


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[^\W\d]\w*", name) else f"`{name}`"
