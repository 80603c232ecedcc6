"""Remove one variable after the other, and keep what each step changed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
from sklearn.base import clone

from isoscan.combat import ComBat, StepwiseComBat
from isoscan.combat.stepwise import Step
from isoscan.errors import DataError, IsoscanWarning

SmallGroups = Literal["error", "mean-only"]


@dataclass(frozen=True)
class StepCorrections:
    """What each step added to each measure.

    Attributes
    ----------
    models : dict of {str: StepwiseComBat}
        The fitted steps by name, first to last.
    corrections : dict of {str: DataFrame of shape (n_scans, n_features)}
        After minus before of each step, in the unit of the measures.
    """

    models: dict[str, StepwiseComBat]
    corrections: dict[str, pd.DataFrame]

    @property
    def total(self) -> pd.DataFrame:
        """Whole correction of every measure."""
        parts = list(self.corrections.values())
        return sum(parts[1:], start=parts[0])


def remove_in_steps(
    measures: pd.DataFrame,
    steps: Sequence[Step],
    *,
    sites: Any,
    covariates: pd.DataFrame | None = None,
    small_groups: SmallGroups = "error",
) -> StepCorrections:
    """Fit a ComBat for each variable to what the one before has left.

    Parameters
    ----------
    measures : DataFrame of shape (n_scans, n_features)
        Measures, complete.
    steps : sequence of str or (str, ComBat)
        As for `StepwiseComBat`: "site", the name of a covariate, or "round(age)".
    sites : Series or sequence of shape (n_scans,)
        Scanner of each scan.
    covariates : DataFrame, optional
        Columns that steps name, and those of their formulas.
    small_groups : {"error", "mean-only"}
        What steps without a ComBat of their own do with a group of one scan, such as the
        only person of an age: refuse it, or correct its shift only.

    Returns
    -------
    StepCorrections
        Models and corrections.

    Raises
    ------
    DataError
        If a step is not possible; the message says which.

    Examples
    --------
    >>> from isoscan.phantom import simulate_tables
    >>> cohort = simulate_tables(4, random_state=1)
    >>> people = cohort.people
    >>> parts = remove_in_steps(
    ...     cohort.measures, ["sex", "site"], sites=people.site, covariates=people
    ... )
    >>> list(parts.corrections), parts.total.shape == cohort.measures.shape
    (['sex', 'site'], True)
    """
    if small_groups not in ("error", "mean-only"):
        raise DataError(f"small_groups must be 'error' or 'mean-only', got {small_groups!r}.")
    current, models, corrections = measures, {}, {}
    for name, combat in _plan(steps, small_groups):
        model = StepwiseComBat([(name, combat)])
        with _warnings_of(name):
            after = model.fit_transform(current, sites=sites, covariates=covariates)
        models[name], corrections[name] = model, after - current
        current = after
    return StepCorrections(models, corrections)


def _plan(steps: Sequence[Step], small_groups: SmallGroups) -> list[tuple[str, ComBat]]:
    listed = [steps] if isinstance(steps, str) else list(steps)
    if not listed:
        raise DataError("steps is empty: name at least one variable to remove, such as 'site'.")
    plan = [
        (step, ComBat(small_sites=small_groups)) if isinstance(step, str)
        else (step[0], clone(step[1]))
        for step in listed
    ]  # fmt: skip
    names = [name for name, _ in plan]
    if len(set(names)) < len(names):
        raise DataError(f"a step occurs twice: {', '.join(names)}.")
    return plan


@contextmanager
def _warnings_of(step: str) -> Iterator[None]:
    """Say in which step something is worth a warning."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", IsoscanWarning)
            yield
    finally:
        for warning in caught:
            message = warning.message
            if isinstance(message, IsoscanWarning):
                message = type(message)(f"step '{step}': {message}")
            warnings.warn(message, warning.category, stacklevel=5)
