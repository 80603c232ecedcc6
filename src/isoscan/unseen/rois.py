"""The 101 regions of Neuroharmony, under the names that any FreeSurfer gives them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import pandas as pd

from isoscan.errors import (
    DataError,
    MissingColumnError,
    MissingValuesError,
    MissingValuesWarning,
    count,
    name_counts,
    name_some,
)
from isoscan.tables.numbers import require_numbers

TOTAL = "EstimatedTotalIntraCranialVol"
_PAIRS = (
    "Cerebellum-Cortex", "Thalamus", "Caudate", "Putamen", "Pallidum", "Hippocampus", "Amygdala",
    "Accumbens-area", "VentralDC",
)  # fmt: skip
_CORTEX = (
    "bankssts", "caudalanteriorcingulate", "caudalmiddlefrontal", "cuneus", "entorhinal",
    "fusiform", "inferiorparietal", "inferiortemporal", "isthmuscingulate", "lateraloccipital",
    "lateralorbitofrontal", "lingual", "medialorbitofrontal", "middletemporal",
    "parahippocampal", "paracentral", "parsopercularis", "parsorbitalis", "parstriangularis",
    "pericalcarine", "postcentral", "posteriorcingulate", "precentral", "precuneus",
    "rostralanteriorcingulate", "rostralmiddlefrontal", "superiorfrontal", "superiorparietal",
    "superiortemporal", "supramarginal", "frontalpole", "temporalpole", "transversetemporal",
    "insula",
)  # fmt: skip
_VENTRICLES = ("Lateral-Ventricle", "Inf-Lat-Vent")
_CALLOSUM = ("Posterior", "Mid_Posterior", "Central", "Mid_Anterior", "Anterior")

WHITE_MATTER = (
    "Left-Cerebellum-White-Matter",
    "Right-Cerebellum-White-Matter",
    *(f"CC_{part}" for part in _CALLOSUM),
)
"""The 7 regions of white matter."""
NEITHER = (
    *(f"{side}-{name}" for side in ("Left", "Right") for name in _VENTRICLES),
    "3rd-Ventricle",
    "4th-Ventricle",
    "CSF",
    "Brain-Stem",
)  # fmt: skip
"""The 8 regions that are neither grey nor white matter."""
GREY_MATTER = (
    *(f"{side}-{name}" for side in ("Left", "Right") for name in _PAIRS),
    *(f"{side}_{name}_volume" for side in ("lh", "rh") for name in _CORTEX),
)
"""The 86 regions of grey matter."""
ROIS = (*WHITE_MATTER, *NEITHER, *GREY_MATTER)
"""All 101 regions: 33 of aseg, 68 of aparc; as FreeSurfer 7 names them."""
ROI_CLASS = {
    **dict.fromkeys(WHITE_MATTER, "white matter"),
    **dict.fromkeys(NEITHER, "neither"),
    **dict.fromkeys(GREY_MATTER, "grey matter"),
}
"""Class of each region."""

_TOTAL_NAMES = ("estimatedtotalintracranialvol", "intracranialvol", "etiv", "tiv", "icv", "stiv")
_SEGMENTED = "stiv"
_SAME = {"leftthalamusproper": "leftthalamus", "rightthalamusproper": "rightthalamus"}


def neuroharmony_rois(
    volumes: pd.DataFrame, *, zeros: Literal["error", "missing", "keep"] = "error"
) -> pd.DataFrame:
    """Take the 101 regions out of FreeSurfer's tables, under the names of FreeSurfer 7.

    Names of all versions are understood (Left-Thalamus-Proper, Left-Thalamus), with or
    without "_volume", and as R changes them (X3rd.Ventricle).

    Parameters
    ----------
    volumes : DataFrame of shape (n_scans, n_columns)
        Volumes of aseg and of both hemispheres of aparc, joined by subject.
    zeros : {"error", "missing", "keep"}
        FreeSurfer's tables say 0 for a region that was not found: refuse it, mark it as
        missing with a warning, or keep it.

    Returns
    -------
    DataFrame of float64, shape (n_scans, 101)
        In the order of `ROIS` and the unit of `volumes`.

    Raises
    ------
    MissingColumnError
        If a region is not there.
    DataError
        If two columns are the same region and differ.
    MissingValuesError
        If a region is 0 and `zeros` is "error".

    Examples
    --------
    >>> table = pd.DataFrame([[7.5] * 101], columns=list(ROIS), index=["sub-1"])
    >>> old = table.rename(columns={"Left-Thalamus": "Left-Thalamus-Proper"})
    >>> neuroharmony_rois(old).shape
    (1, 101)
    """
    found = _by_key(volumes.columns)
    absent = [roi for roi in ROIS if _key(roi) not in found]
    if absent:
        raise MissingColumnError(
            f"volumes lack {len(absent)} of the 101 regions: {name_some(absent)}. Read volumes "
            f"(not thickness) of aseg and of aparc of both hemispheres.",
            regions=absent,
        )
    table = pd.DataFrame({roi: _one_column(volumes, roi, found[_key(roi)]) for roi in ROIS})
    return _treat_zeros(table, zeros)


def intracranial_volume(volumes: pd.DataFrame, name: str | None = None) -> pd.Series[Any]:
    """Find the estimated total intracranial volume, whatever its column is called.

    Parameters
    ----------
    volumes : DataFrame of shape (n_scans, n_columns)
        FreeSurfer's tables. Several columns, such as those of a join, must agree.
    name : str, optional
        Column to take. Needed if there are different totals; FreeSurfer 8 writes eTIV (from
        registration) and sTIV (from segmentation), of which eTIV is taken by default.

    Returns
    -------
    Series
        Total of each scan, in the unit of the table.

    Raises
    ------
    MissingColumnError
        If there is none.
    DataError
        If columns differ.

    Examples
    --------
    >>> table = pd.DataFrame({"eTIV_x": [1.5e6], "eTIV_y": [1.5e6]}, index=["sub-1"])
    >>> intracranial_volume(table).tolist()
    [1500000.0]
    """
    if name is not None:
        named = [name]
    else:
        totals = _by_key(volumes.columns)
        keys = [key for key in _TOTAL_NAMES if key in totals]
        wanted = [key for key in keys if key != _SEGMENTED] or keys
        named = [column for key in wanted for column in totals[key]]
    if not named or any(column not in volumes.columns for column in named):
        raise MissingColumnError(
            f"there is no intracranial volume among {count(volumes.shape[1], 'column')}: "
            f"{name_some([name] if name else [TOTAL, 'IntraCranialVol', 'eTIV'])} would be one. "
            f"FastSurfer without surfaces writes none. Name the column, or add it.",
            columns=named,
        )
    return _one_column(volumes, TOTAL, named)


def sum_tissues(volumes: pd.DataFrame) -> pd.DataFrame:
    """Add up the regions of grey matter, of white matter, and all of them.

    Parameters
    ----------
    volumes : DataFrame of shape (n_scans, n_features)
        Has the 101 regions; other columns are left out.

    Returns
    -------
    DataFrame of shape (n_scans, 3)
        Columns grey matter, white matter, whole brain (all 101 regions, so without the white
        matter of the cerebrum).
    """
    rois = neuroharmony_rois(volumes, zeros="keep")
    groups = {"grey matter": GREY_MATTER, "white matter": WHITE_MATTER, "whole brain": ROIS}
    return pd.DataFrame({name: rois[list(group)].sum(axis=1) for name, group in groups.items()})


def _key(name: object) -> str:
    """Letters and digits that tell a region, whoever wrote its name."""
    text = re.sub(r"^x(?=\d)|(_x|_y|\.1)$", "", str(name).lower())
    text = re.sub(r"[^a-z0-9]", "", text).removesuffix("volume")
    return _SAME.get(text, text)


def _by_key(columns: Iterable[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for column in columns:
        known = found.setdefault(_key(column), [])
        if column not in known:
            known.append(column)
    return found


def _one_column(volumes: pd.DataFrame, what: str, columns: list[Any]) -> pd.Series[Any]:
    """Read one column as numbers; several must be copies of it."""
    same = volumes[columns]
    values = np.column_stack(
        [
            require_numbers(same.iloc[:, [position]], None, "volumes").to_numpy(np.float64)
            for position in range(same.shape[1])
        ]
    )
    agree = np.isclose(values, values[:, :1], rtol=1e-6, atol=0, equal_nan=True).all(axis=1)
    if not agree.all():
        raise DataError(
            f"'{what}' occurs {same.shape[1]} times ({name_some(same.columns)}) and differs in "
            f"{count(int((~agree).sum()), 'scan')}: {name_some(volumes.index[~agree], 3)}. Keep "
            f"one of the columns.",
            columns=list(same.columns),
        )
    return pd.Series(values[:, 0], index=volumes.index, name=what)


def _treat_zeros(table: pd.DataFrame, zeros: str) -> pd.DataFrame:
    if zeros not in ("error", "missing", "keep"):
        raise DataError(f"zeros must be 'error', 'missing' or 'keep', got {zeros!r}.")
    empty = table == 0
    if zeros == "keep" or not empty.to_numpy().any():
        return table
    numbers = empty.sum()[lambda per_region: per_region > 0].to_dict()
    scans = table.index[empty.any(axis=1)]
    sentence = (
        f"FreeSurfer found no {name_counts(numbers)} in {count(scans, 'scan')} "
        f"({name_some(scans, 3)}) and wrote 0, which is no volume"
    )
    if zeros == "error":
        raise MissingValuesError(
            f"{sentence}. Set zeros='missing', or leave these scans out.", regions=list(numbers)
        )
    warnings.warn(f"{sentence}; marked as missing.", MissingValuesWarning, stacklevel=3)
    return table.mask(empty)
