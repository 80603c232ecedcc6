"""What a model sees of a scan besides its volumes: metrics and people, encoded once for all.

Categories are encoded by the levels of training, numbers stay as they are. A scan has the
same inputs whoever else is in the table.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.design.covariates import Covariate, learn_covariate
from isoscan.design.requirements import require_covariates
from isoscan.errors import ConstantFeatureWarning, DataError, MissingValuesError, count, name_some
from isoscan.tables.align import align_rows, require_unique
from isoscan.unseen.metrics import (
    choose_metrics,
    definition_of,
    match_images,
    metric_values,
    require_same_definition,
    unusable_metrics,
)
from isoscan.unseen.reading import as_measures

MOST_TIMES = 10.0
"""No brain is so many times as large or as small as those of training."""


@dataclass(frozen=True)
class InputEncoder:
    """How metrics and covariates become numbers; learned in training, never again.

    Attributes
    ----------
    metrics : list of str
        Metrics that vary in training.
    constant : list of str
        Metrics that do not, and are left out.
    people : tuple of Covariate
        Covariates with their levels.
    definition : str or None
        By which rules the metrics were computed, if known.
    """

    metrics: list[str]
    constant: list[str]
    people: tuple[Covariate, ...]
    definition: str | None

    @classmethod
    def learn(
        cls,
        quality: pd.DataFrame,
        covariates: pd.DataFrame | None,
        metrics: Sequence[str] | None,
        predictors: Sequence[str],
    ) -> InputEncoder:
        """Learn from the table of training.

        Parameters
        ----------
        quality : DataFrame of shape (n_scans, n_columns)
            Metrics, one row per scan.
        covariates : DataFrame or None
            Covariates, one row per scan.
        metrics : sequence of str or None
            Metrics to use; None for all that are known.
        predictors : sequence of str
            Covariates to use.

        Returns
        -------
        InputEncoder
            The encoding.

        Warns
        -----
        ConstantFeatureWarning
            If metrics do not vary.
        """
        names = choose_metrics(quality, None if metrics is None else tuple(metrics))
        values = metric_values(quality, names)
        constant = [name for name in names if values[name].nunique() < 2]
        if constant:
            warnings.warn(
                f"{count(constant, 'metric')} of {len(names)} do not vary in training and are "
                f"left out: {name_some(constant, 8)}.",
                ConstantFeatureWarning,
                stacklevel=4,
            )
        kept = [name for name in names if name not in constant]
        people = require_covariates(covariates, list(predictors)) if predictors else None
        learned = tuple(_learn(people[name]) for name in predictors) if people is not None else ()
        return cls(kept, constant, learned, definition_of(quality))

    @property
    def names(self) -> list[str]:
        """Names of the encoded columns."""
        people = [name for known in self.people for name in _columns(known)]
        return [*self.metrics, *people]

    def encode(self, quality: pd.DataFrame, covariates: pd.DataFrame | None) -> pd.DataFrame:
        """Turn metrics and covariates into numbers.

        Parameters
        ----------
        quality : DataFrame of shape (n_scans, n_columns)
            Metrics, one row per scan.
        covariates : DataFrame or None
            Covariates, matched by id.

        Returns
        -------
        DataFrame of float64, shape (n_scans, n_inputs)
            NaN where a metric is missing or failed.

        Raises
        ------
        FeatureMismatchError
            If the metrics are of another definition than those of training.
        UnseenLevelError
            If a category did not occur in training.
        """
        require_same_definition(self.definition, quality)
        parts = [metric_values(quality, self.metrics)]
        if self.people:
            table = require_covariates(covariates, [known.name for known in self.people])
            rows = align_rows(table, quality.index, extra="ignore")
            parts += [_encode(known, rows[known.name]) for known in self.people]
        return pd.concat(parts, axis=1)

    def to_json(self) -> dict[str, Any]:
        """Describe the encoding in plain types."""
        people = {known.name: known.to_json() for known in self.people}
        return {
            "metrics": self.metrics,
            "constant": self.constant,
            "people": people,
            "definition": self.definition,
        }

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> InputEncoder:
        """Read back what `to_json` wrote.

        Parameters
        ----------
        facts : dict
            Plain types.

        Returns
        -------
        InputEncoder
            The same encoding.
        """
        people = tuple(Covariate.from_json(name, own) for name, own in facts["people"].items())
        definition = facts["definition"]
        return cls(
            [str(name) for name in facts["metrics"]],
            [str(name) for name in facts["constant"]],
            people,
            None if definition is None else str(definition),
        )


def require_volumes(volumes: Any, trained: Any = None) -> pd.DataFrame:
    """Refuse volumes without ids, with other features than in training, or with gaps.

    Parameters
    ----------
    volumes : DataFrame of shape (n_scans, n_features)
        Relative volumes, indexed by scan.
    trained : ndarray of str, optional
        Features of training.

    Returns
    -------
    DataFrame
        Numbers, columns in the order of training.

    Raises
    ------
    DataError
        If `volumes` is no frame.
    MissingValuesError
        If a value is missing or infinite.
    """
    table = as_measures(volumes, None if trained is None else [str(name) for name in trained])
    require_unique(table.index, "volumes")
    gaps = ~np.isfinite(table.to_numpy(dtype=np.float64))
    if gaps.any():
        scans, columns = table.index[gaps.any(axis=1)], table.columns[gaps.any(axis=0)]
        raise MissingValuesError(
            f"volumes are missing or infinite for {count(scans, 'scan')} ({name_some(scans, 3)}) "
            f"in {count(columns, 'feature')} ({name_some(columns, 3)}). Leave these scans out, "
            f"select_sample does.",
            scans=list(scans),
            features=list(columns),
        )
    return table


def require_same_unit(
    volumes: pd.DataFrame, centre: NDArray[np.float64], spread: NDArray[np.float64]
) -> None:
    """Refuse volumes that are many times those of training: of another unit, or not relative.

    Parameters
    ----------
    volumes : DataFrame of shape (n_scans, n_features)
        New volumes, in the columns of training.
    centre, spread : ndarray of shape (n_features,)
        Mean and SD of training. Features whose mean is within 3 SD of 0 cannot tell.

    Raises
    ------
    DataError
        If the median feature of a scan is ten times as large or small as in training.
    """
    tells = np.abs(centre) > 3 * spread
    if not tells.any():
        return
    times = np.median(volumes.to_numpy(np.float64)[:, tells] / centre[tells], axis=1)
    odd = ~((times > 1 / MOST_TIMES) & (times < MOST_TIMES))
    if odd.any():
        scans = volumes.index[odd]
        raise DataError(
            f"volumes of {len(scans)} of {count(len(volumes), 'scan')} ({name_some(scans, 3)}) are "
            f"{np.median(times[odd]):.3g} times those of training: another unit, or not divided by "
            f"the intracranial volume? See relative_volumes.",
            scans=list(scans),
        )


def match_quality(quality: Any, scans: pd.Index) -> pd.DataFrame:
    """Bring metrics into the row order of the scans; keep what the table says of itself.

    Parameters
    ----------
    quality : DataFrame
        Metrics, see `match_images`.
    scans : Index
        Ids of the scans.

    Returns
    -------
    DataFrame
        One row per scan.

    Raises
    ------
    DataError
        If `quality` is no frame.
    """
    if not isinstance(quality, pd.DataFrame):
        raise DataError(
            f"quality must be a DataFrame of image quality metrics, got {type(quality).__name__}."
        )
    matched = match_images(quality, scans)
    matched.attrs = dict(quality.attrs)
    return matched


def incomplete_scans(inputs: pd.DataFrame) -> tuple[list[str], str]:
    """Name the scans whose inputs have gaps, and put it in words.

    Parameters
    ----------
    inputs : DataFrame of shape (n_scans, n_inputs)
        Encoded inputs.

    Returns
    -------
    scans : list of str
        Their ids.
    sentence : str
        What is missing where; empty if nothing is.
    """
    gaps = unusable_metrics(inputs)
    if not gaps:
        return [], ""
    shown = [f"'{scan}' ({name_some(names, 3)})" for scan, names in list(gaps.items())[:3]]
    more = f" and {len(gaps) - 3} more" if len(gaps) > 3 else ""
    sentence = (
        f"image quality metrics are missing, or hold the number that stands for a failure (-1; 0 "
        f"for fber and qi_2), in {len(gaps)} of {count(len(inputs), 'scan')}: "
        f"{', '.join(shown)}{more}"
    )
    return list(gaps), sentence


def _learn(values: pd.Series[Any]) -> Covariate:
    """Text and two codes are categories, other numbers are numbers."""
    return learn_covariate(values, is_category=values.nunique() <= 2)


def _columns(known: Covariate) -> list[str]:
    if known.levels is None:
        return [known.name]
    return [f"{known.name}[{level}]" for level in known.levels[1:]]


def _encode(known: Covariate, values: pd.Series[Any]) -> pd.DataFrame:
    encoded = known.encode(values)
    if known.levels is None:
        return encoded.to_frame(known.name)
    columns = {
        name: (encoded == level).astype(np.float64)
        for name, level in zip(_columns(known), known.levels[1:], strict=True)
    }
    return pd.DataFrame(columns, index=values.index)
