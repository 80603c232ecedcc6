"""Which image quality metrics a model learns from, and which values of them are none.

Names are those of MRIQC. A metric that could not be computed is written as a number by
MRIQC (-1, or 0 where no measurement can be 0); such a number must not enter a regression.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.errors import (
    ColumnChoiceWarning,
    DuplicateIdsError,
    FeatureMismatchError,
    MissingColumnError,
    MissingValuesWarning,
    count,
    name_some,
)
from isoscan.quality.definitions import AXES, TISSUES
from isoscan.quality.definitions import METRICS as METRICS
from isoscan.tables.align import align_rows
from isoscan.tables.numbers import require_numbers

FAILURES: dict[str, tuple[float, ...]] = {
    "fber": (-1.0, 0.0),
    "qi_1": (-1.0,),
    "qi_2": (-1.0, 0.0),
    **{f"fwhm_{axis}": (-1.0,) for axis in (*AXES, "avg")},
    **{f"snrd_{tissue}": (-1.0,) for tissue in (*TISSUES, "total")},
}
"""Numbers that stand for a metric which could not be computed.

Some scanners write a background of zeros. Its summaries are kept as they are: they tell
scanners apart, and most scans of such a scanner would be lost.
`isoscan.quality.sentinels_to_missing` marks them as missing too.
"""


def choose_metrics(quality: pd.DataFrame, metrics: tuple[str, ...] | None) -> list[str]:
    """Decide which metrics a model learns from.

    Parameters
    ----------
    quality : DataFrame of shape (n_images, n_columns)
        Metrics and whatever else the table holds.
    metrics : tuple of str or None
        Names asked for; None for all of the 68 that are there.

    Returns
    -------
    list of str
        Names, in the order of MRIQC's tables or as asked for.

    Raises
    ------
    MissingColumnError
        If a metric that is asked for is not there, or none is.

    Warns
    -----
    ColumnChoiceWarning
        If some of the 68 are not there.
    """
    wanted = METRICS if metrics is None else metrics
    absent = [name for name in wanted if name not in quality.columns]
    if absent and (metrics is not None or len(absent) == len(METRICS)):
        raise MissingColumnError(
            f"quality lacks {count(absent, 'metric')}: {name_some(absent)}. Give MRIQC's group "
            f"table as read_mriqc reads it, or name the metrics you have with metrics=.",
            metrics=absent,
        )
    if absent:
        warnings.warn(
            f"quality has {len(METRICS) - len(absent)} of the 68 metrics of MRIQC; absent: "
            f"{name_some(absent, 8)}. The model learns without them and will not use them later.",
            ColumnChoiceWarning,
            stacklevel=3,
        )
    return [name for name in wanted if name in quality.columns]


def match_images(quality: pd.DataFrame, scans: pd.Index) -> pd.DataFrame:
    """Bring metrics into the row order of the scans, by id or by participant.

    Parameters
    ----------
    quality : DataFrame of shape (n_images, n_columns)
        Indexed by the ids of the scans; or, as `read_mriqc` gives it, by image with a column
        participant_id that holds these ids.
    scans : Index
        Ids of the scans.

    Returns
    -------
    DataFrame
        One row per scan, indexed by `scans`.

    Raises
    ------
    UnmatchedRowsError
        If a scan has no image.
    DuplicateIdsError
        If a participant has several images.
    """
    table = images_by_scan(quality, scans)
    return pd.DataFrame(align_rows(table, scans, what="image quality metrics", extra="ignore"))


def images_by_scan(quality: pd.DataFrame, scans: pd.Index) -> pd.DataFrame:
    """Index metrics by scan, whether they are indexed so already or by image.

    Parameters
    ----------
    quality : DataFrame of shape (n_images, n_columns)
        As for `match_images`.
    scans : Index
        Ids of the scans; some may have no image.

    Returns
    -------
    DataFrame
        Indexed by scan, in the order of `quality`.

    Raises
    ------
    DuplicateIdsError
        If a participant has several images.
    """
    if scans.isin(quality.index).any() or "participant_id" not in quality.columns:
        return quality
    people = quality.set_index("participant_id")
    several = people.index[people.index.duplicated()].unique().intersection(scans)
    if len(several):
        raise DuplicateIdsError(
            f"several images of {count(several, 'participant')}: {name_some(several)}. Keep one "
            f"row of quality per scan, indexed by the ids of the volumes.",
            ids=list(several),
        )
    return people.loc[people.index.isin(scans)]


def metric_values(quality: pd.DataFrame, metrics: list[str]) -> pd.DataFrame:
    """Take metrics out of a table as numbers; what stands for a failure becomes NaN.

    Parameters
    ----------
    quality : DataFrame of shape (n_images, n_columns)
        Metrics and whatever else the table holds.
    metrics : list of str
        Columns to take.

    Returns
    -------
    DataFrame of float64, shape (n_images, n_metrics)
        NaN where a metric is missing, infinite or a failure code.

    Raises
    ------
    MissingColumnError
        If a metric is not there.

    Examples
    --------
    >>> quality = pd.DataFrame({"fber": [-1.0, 2500.0], "cnr": [3.1, 2.9]})
    >>> metric_values(quality, ["cnr", "fber"]).fber.tolist()
    [nan, 2500.0]
    """
    absent = [name for name in metrics if name not in quality.columns]
    if absent:
        raise MissingColumnError(
            f"quality lacks {count(absent, 'metric')} that the model learned from: "
            f"{name_some(absent)}. Compute them with the software used in training.",
            metrics=absent,
        )
    values = require_numbers(quality[metrics], metrics, "quality").astype(np.float64)
    failed = {name: values[name].isin(FAILURES.get(name, ())) for name in metrics}
    return values.mask(pd.DataFrame(failed) | np.isinf(values))


def unusable_metrics(values: pd.DataFrame) -> dict[str, list[str]]:
    """Name the metrics that are missing or failed, scan by scan.

    Parameters
    ----------
    values : DataFrame of shape (n_scans, n_metrics)
        From `metric_values`.

    Returns
    -------
    dict of {str: list of str}
        Only scans with such metrics.
    """
    absent: NDArray[np.bool_] = values.isna().to_numpy()
    rows = np.flatnonzero(absent.any(axis=1)).tolist()
    return {values.index[row]: list(values.columns[absent[row]]) for row in rows}


def require_same_definition(trained: str | None, quality: pd.DataFrame) -> None:
    """Refuse metrics that were computed by other rules than those of training.

    Parameters
    ----------
    trained : str or None
        Definition of training, None if unknown.
    quality : DataFrame
        New metrics; ``quality.attrs["definition"]`` says by which rules, if known.

    Raises
    ------
    FeatureMismatchError
        If both are known and differ.
    """
    given = definition_of(quality)
    if trained is not None and given is not None and given != trained:
        raise FeatureMismatchError(
            f"the metrics are of definition '{given}', the model learned from '{trained}': the "
            f"same image has other numbers under both (CNR and SNR differ fourfold between MRIQC "
            f"0.15 and 24). Compute them with the definition of training.",
            given=given,
            trained=trained,
        )


def definition_of(quality: pd.DataFrame) -> str | None:
    """Say by which rules metrics were computed, if the table tells.

    Parameters
    ----------
    quality : DataFrame
        Metrics.

    Returns
    -------
    str or None
        ``quality.attrs["definition"]``.
    """
    found = quality.attrs.get("definition")
    return None if found is None else str(found)


def warn_of_unusable(values: pd.DataFrame) -> None:
    """Name the scans and metrics that have no value.

    Parameters
    ----------
    values : DataFrame of shape (n_scans, n_metrics)
        From `metric_values`.

    Warns
    -----
    MissingValuesWarning
        If there are any.
    """
    gaps = values.isna()
    if not gaps.to_numpy().any():
        return
    scans, columns = values.index[gaps.any(axis=1)], values.columns[gaps.any(axis=0)]
    warnings.warn(
        f"image quality metrics are missing, or hold the number of a failure, for "
        f"{count(scans, 'scan')} ({name_some(scans, 3)}) in {count(columns, 'metric')} "
        f"({name_some(columns, 3)}); they count as usual for such a person.",
        MissingValuesWarning,
        stacklevel=5,
    )
