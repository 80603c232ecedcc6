"""Remove one batch variable after the other: sex, then age, then scanner."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted

from isoscan.combat.citing import methods_text
from isoscan.combat.estimators import ComBat
from isoscan.combat.fitted import FittedSites
from isoscan.combat.parts import from_parts, to_parts
from isoscan.design.covariates import as_numbers
from isoscan.design.requirements import require_covariates
from isoscan.errors import DataError, SiteLabelError

Step = str | tuple[str, ComBat]
SITES = "site"
_ROUNDED = re.compile(r"round\((.+)\)")


class StepwiseComBat(FittedSites, OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Remove several batch variables one after the other, each by a ComBat of its own.

    The order matters: what two variables share goes to the one removed first. A frame of
    batch columns given to `ComBat` removes them in one regression instead. Neuroharmony
    [1]_ removes sex, age and scanner in this order.

    Parameters
    ----------
    steps : sequence of str or (str, ComBat)
        What to remove, first to last: ``"site"`` for the labels given as `sites`, any
        other name for a column of the covariates (or of `sites`, if that is a frame), and
        ``"round(age)"`` for a number that is rounded into categories. With a ComBat, its
        options are used in that step.

    Attributes
    ----------
    models_ : list of ComBat
        The fitted steps; the attributes of this model are those of the last one.

    References
    ----------
    .. [1] Garcia-Dias et al. (2020), NeuroImage 220:117127,
       doi:10.1016/j.neuroimage.2020.117127.

    Examples
    --------
    >>> from isoscan.phantom import simulate_tables
    >>> cohort = simulate_tables(random_state=1)
    >>> model = StepwiseComBat(["sex", ("site", ComBat("age"))])
    >>> after = model.fit_transform(
    ...     cohort.measures, sites=cohort.people.site, covariates=cohort.people
    ... )
    >>> model.site_effects_.step.unique().tolist()
    ['sex', 'site']
    """

    preserve: str | None = None

    def __init__(self, steps: Sequence[Step] = (SITES,)) -> None:
        self.steps = steps

    def fit(
        self, X: Any, y: Any = None, *, sites: Any = None, covariates: pd.DataFrame | None = None
    ) -> Self:
        """Estimate all steps.

        Parameters
        ----------
        X : DataFrame or array of shape (n_scans, n_features)
            Measures; NaN where missing.
        y : array-like, optional
            What will be predicted from the measures; only compared with preserved covariates.
        sites : Series, sequence or DataFrame of shape (n_scans,) or (n_scans, n_variables)
            Site of each scan; needed if a step removes it.
        covariates : DataFrame of shape (n_scans, n_covariates), optional
            Columns that steps name, and those of their formulas.

        Returns
        -------
        StepwiseComBat
            The fitted model.

        Raises
        ------
        DataError
            If the data cannot be harmonized as they are; the message says in which step.
        """
        self.fit_transform(X, y, sites=sites, covariates=covariates)
        return self

    def fit_transform(
        self, X: Any, y: Any = None, *, sites: Any = None, covariates: pd.DataFrame | None = None
    ) -> Any:
        """Estimate all steps and take them out of the same measures.

        Parameters
        ----------
        X : DataFrame or array of shape (n_scans, n_features)
            Measures; NaN where missing.
        y : array-like, optional
            What will be predicted from the measures.
        sites : Series, sequence or DataFrame
            Site of each scan; needed if a step removes it.
        covariates : DataFrame of shape (n_scans, n_covariates), optional
            Columns that steps name, and those of their formulas.

        Returns
        -------
        DataFrame or ndarray of shape (n_scans, n_features)
            Harmonized measures.
        """
        current, self.models_ = _doubled(X), []
        for column, model in self._plan():
            with _in_step(column):
                labels = _labels(column, sites, covariates)
                fitted = clone(model)
                current = fitted.fit_transform(current, y, sites=labels, covariates=covariates)
            self.models_.append(fitted)
        self._show_last_step()
        return _as_given(current, X)

    def transform(
        self, X: Any, *, sites: Any = None, covariates: pd.DataFrame | None = None
    ) -> Any:
        """Take all steps out of measures.

        Parameters
        ----------
        X : DataFrame or array of shape (n_scans, n_features)
            Measures.
        sites : Series, sequence or DataFrame
            Site of each scan; needed if a step removes it.
        covariates : DataFrame of shape (n_scans, n_covariates), optional
            Columns that steps name, and those of their formulas.

        Returns
        -------
        DataFrame or ndarray of shape (n_scans, n_features)
            Harmonized measures.
        """
        check_is_fitted(self, "models_")
        current = _doubled(X)
        for (column, _), fitted in zip(self._plan(), self.models_, strict=True):
            with _in_step(column):
                labels = _labels(column, sites, covariates)
                current = fitted.transform(current, sites=labels, covariates=covariates)
        return _as_given(current, X)

    @property
    def site_effects_(self) -> pd.DataFrame:
        """Shift and scale of every group and feature, of all steps."""
        frames = [
            model.site_effects_.assign(step=column)
            for (column, _), model in zip(self._plan(), self.models_, strict=True)
        ]
        together = pd.concat(frames, ignore_index=True)
        return pd.DataFrame(together[["step", *together.columns[:-1]]])

    @property
    def methods_text_(self) -> list[str]:
        """Paragraphs for the methods section of a paper, one per step."""
        check_is_fitted(self, "models_")
        names = [column for column, _ in self._plan()]
        opening = (
            f"Effects were removed one after the other, each by a ComBat of its own: "
            f"{', then '.join(names)}."
        )
        texts = [
            methods_text(model, None if name == SITES else name)
            for name, model in zip(names, self.models_, strict=True)
        ]
        return [opening, *chain.from_iterable(texts)]

    def _plan(self) -> list[tuple[str, ComBat]]:
        steps = [self.steps] if isinstance(self.steps, str) else list(self.steps)
        if not steps:
            raise DataError("steps is empty: name at least one variable to remove.")
        plan = [(step, ComBat()) if isinstance(step, str) else (step[0], step[1]) for step in steps]
        names = [column for column, _ in plan]
        if len(set(names)) < len(names):
            raise DataError(f"a step occurs twice: {', '.join(names)}.")
        return plan

    def _show_last_step(self) -> None:
        """What a model tells about itself is that of its last step."""
        last = self.models_[-1]
        for name, value in vars(last).items():
            if name.endswith("_") and not name.startswith("_"):
                setattr(self, name, value)

    def _to_parts(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        facts: dict[str, Any] = {"method": type(self).__name__, "steps": []}
        arrays: dict[str, NDArray[Any]] = {}
        for number, ((column, _), model) in enumerate(zip(self._plan(), self.models_, strict=True)):
            own, numbers = to_parts(model)
            facts["steps"].append({"column": column, "model": own})
            arrays |= {f"step{number}.{name}": array for name, array in numbers.items()}
        return facts, arrays

    @classmethod
    def _from_parts(cls, facts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        models = []
        for number, step in enumerate(facts["steps"]):
            start = f"step{number}."
            own = {
                name.removeprefix(start): array
                for name, array in arrays.items()
                if name.startswith(start)
            }
            models.append(from_parts(ComBat, step["model"], own))
        columns = [str(step["column"]) for step in facts["steps"]]
        plan = [(column, clone(model)) for column, model in zip(columns, models, strict=True)]
        stepwise = cls(plan)
        stepwise.models_ = models
        stepwise._show_last_step()
        return stepwise


def _labels(column: str, sites: Any, covariates: pd.DataFrame | None) -> Any:
    """Batch labels of one step."""
    if isinstance(sites, pd.DataFrame) and column in sites.columns:
        return sites[column]
    if column == SITES:
        if sites is None:
            raise SiteLabelError("this step needs sites: one label per scan, fit(X, sites=...).")
        return sites
    rounded = _ROUNDED.fullmatch(column)
    if rounded is None:
        return require_covariates(covariates, [column])[column]
    name = rounded.group(1)
    values = as_numbers(require_covariates(covariates, [name])[name], name)
    return values.round().astype(int).astype(str)


@contextmanager
def _in_step(column: str) -> Iterator[None]:
    """Say in which step something is wrong."""
    try:
        yield
    except DataError as error:
        raise type(error)(f"step '{column}': {error}", **error.details) from None


def _doubled(X: Any) -> Any:
    """Double precision, so that no step rounds what the next one sees."""
    if isinstance(X, pd.DataFrame):
        single = X.columns[X.dtypes == np.float32]
        return X.astype(dict.fromkeys(single, np.float64)) if len(single) else X
    array = np.asarray(X)
    return array.astype(np.float64) if array.dtype == np.float32 else X


def _as_given(result: Any, X: Any) -> Any:
    if isinstance(X, pd.DataFrame):
        single = X.columns[X.dtypes == np.float32]
        return result.astype(dict.fromkeys(single, np.float32)) if len(single) else result
    return result.astype(np.float32) if np.asarray(X).dtype == np.float32 else result
