"""What stands for "could not be measured" in MRIQC's tables: -1, or 0."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import pandas as pd

from isoscan.quality.definitions import AXES, SUMMARIES, TISSUES

Table = TypeVar("Table", pd.DataFrame, "pd.Series[Any]")

NOISE = tuple(f"snrd_{name}" for name in (*TISSUES, "total"))
BACKGROUND = tuple(f"summary_bg_{what}" for what in SUMMARIES if what != "n")
WIDTHS = tuple(f"fwhm_{axis}" for axis in AXES)
_LOST_ARTIFACTS = re.compile(r"mriqc-24|MRIQC (23\.[1-9]|2[4-9]\.|[3-9]\d\.)")


def sentinels_to_missing(table: Table) -> Table:
    """Replace numbers that stand for failed measurements by NaN.

    These are: ``fber`` of -1 or 0, ``snrd_*`` and ``qi_1`` of -1, ``qi_2`` of 0, ``fwhm_*``
    below 0, and the summaries of a background that is zero everywhere, with ``snrd_*`` and
    ``cnr`` that rest on it. Since 23.1 MRIQC finds no artefact and writes 0 for ``qi_1``;
    these zeros are missing too, if ``attrs["definition"]`` names such a version.

    Parameters
    ----------
    table : DataFrame of shape (n_images, n_columns) or Series
        Metrics under MRIQC's names; other columns stay as they are.

    Returns
    -------
    DataFrame or Series
        A copy with the same index, columns and attrs.

    Examples
    --------
    >>> sentinels_to_missing(pd.Series({"cjv": 0.4, "fber": -1.0})).to_dict()
    {'cjv': 0.4, 'fber': nan}
    """
    if isinstance(table, pd.Series):
        row = sentinels_to_missing(_as_row(table)).iloc[0]
        clean = pd.Series(row.to_numpy(), index=table.index, name=table.name)
        clean.attrs = dict(table.attrs)
        return clean
    frame = table.copy()
    for name, failed in _failures(frame).items():
        if name in frame.columns:
            frame[name] = frame[name].mask(failed)
    return frame


def _as_row(series: pd.Series[Any]) -> pd.DataFrame:
    frame = pd.DataFrame([series.to_numpy()], columns=series.index)
    frame.attrs = dict(series.attrs)
    return frame


def _failures(frame: pd.DataFrame) -> dict[str, pd.Series[bool]]:
    """Rows in which each metric was not measured."""

    def column(name: str) -> pd.Series[float]:
        missing = pd.Series(float("nan"), index=frame.index)
        return frame[name] if name in frame.columns else missing

    artifacts, empty = column("qi_1"), column("summary_bg_mean") == 0
    lost = bool(_LOST_ARTIFACTS.match(str(frame.attrs.get("definition", ""))))
    failed = {
        "fber": column("fber").isin([-1.0, 0.0]),
        "qi_1": (artifacts < 0) | ((artifacts == 0) & lost),
        "qi_2": column("qi_2") == 0,
        "cnr": empty,
        **{name: (column(name) == -1) | empty for name in NOISE},
        **{name: column(name) < 0 for name in WIDTHS},
        **dict.fromkeys(BACKGROUND, empty),
    }
    widths = [failed[name] for name in WIDTHS]
    return failed | {"fwhm_avg": widths[0] | widths[1] | widths[2]}
