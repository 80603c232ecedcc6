"""Write metrics in MRIQC's layout: a group table, and one JSON file per image."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from isoscan.errors import DataError, MissingColumnError, name_counts, name_some
from isoscan.quality.definitions import DEFINITIONS, METRICS
from isoscan.quality.sentinels import sentinels_to_missing
from isoscan.tables.align import require_unique
from isoscan.tables.write import write_json, write_table

GROUP_TABLE = "group_T1w.tsv"


def gather_images(images: Sequence[pd.Series[float]]) -> pd.DataFrame:
    """Put the metrics of several images into one table.

    Parameters
    ----------
    images : sequence of Series of shape (68,)
        As `image_quality` gives them.

    Returns
    -------
    DataFrame of shape (n_images, 68)
        Indexed by bids_name, sorted; ``attrs`` holds definition, software, and the
        provenance of each image.

    Raises
    ------
    DataError
        If definitions are mixed.
    DuplicateIdsError
        If two images have the same name.
    """
    definition = _the_only([image.attrs.get("definition") for image in images])
    names = pd.Index([str(image.name) for image in images], dtype="str", name="bids_name")
    require_unique(names, "the images")
    rows = [image.to_numpy() for image in images]
    frame = pd.DataFrame(rows, index=names, columns=[*METRICS], dtype=np.float64).sort_index()
    software = sorted({str(image.attrs.get("software")) for image in images})
    frame.attrs = {
        "definition": definition,
        "software": ", ".join(software),
        "provenance": {str(image.name): _told(image) for image in images},
    }
    return frame


def write_group(
    frame: pd.DataFrame,
    path: str | os.PathLike[str],
    *,
    keep_sentinels: bool = False,
    overwrite: bool = False,
) -> None:
    """Write a group table as MRIQC does, and beside it how its metrics are defined.

    Parameters
    ----------
    frame : DataFrame of shape (n_images, 68)
        Metrics of images with ``attrs["definition"]``, indexed by bids_name.
    path : path-like
        A .tsv file; missing values are n/a. The sidecar has the suffix .json.
    keep_sentinels : bool
        Write -1 and 0 where MRIQC does for what it could not measure.
    overwrite : bool
        Replace files that exist.

    Raises
    ------
    DataError
        If nobody knows how the metrics are defined.
    MissingColumnError
        If a metric is not there.
    OutputExistsError
        If a file exists.
    """
    _the_only([frame.attrs.get("definition")])
    absent = [name for name in METRICS if name not in frame.columns]
    if absent:
        raise MissingColumnError(
            f"{len(absent)} of 68 metrics are not in the table: {name_some(absent)}.",
            columns=absent,
        )
    metrics = frame if keep_sentinels else sentinels_to_missing(frame)
    metrics = metrics[[*METRICS]].rename_axis("bids_name").sort_index()
    whole = {name: "Int64" for name in METRICS if name.startswith("size_")}
    write_table(metrics.astype(whole), path, sidecar=_sidecar(frame), overwrite=overwrite)


def write_image(
    metrics: pd.Series[float],
    path: str | os.PathLike[str],
    *,
    bids_meta: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
    keep_sentinels: bool = False,
    overwrite: bool = False,
) -> None:
    """Write the metrics of one image as MRIQC does.

    Parameters
    ----------
    metrics : Series of shape (68,)
        As `image_quality` gives them.
    path : path-like
        A .json file.
    bids_meta : mapping, optional
        Entities of its name, and what is known of its scanner.
    provenance : mapping, optional
        What else is known of its origin.
    keep_sentinels : bool
        Write -1 and 0 where MRIQC does for what it could not measure.
    overwrite : bool
        Replace a file that exists.

    Raises
    ------
    DataError
        If nobody knows how the metrics are defined.
    OutputExistsError
        If the file exists.
    """
    definition = _the_only([metrics.attrs.get("definition")])
    shown = metrics if keep_sentinels else sentinels_to_missing(metrics)
    values = {name: _plain(name, float(shown[name])) for name in METRICS}
    software, _, version = str(metrics.attrs.get("software", "isoscan")).partition(" ")
    origin = {
        "definition": definition,
        "software": software,
        "version": version,
        **_told(metrics),
        **(provenance or {}),
    }
    content = {**values, "bids_meta": dict(bids_meta or {}), "provenance": origin}
    write_json(path, content, overwrite=overwrite)


def read_image(path: Path, content: Mapping[str, Any]) -> pd.Series[float]:
    """Take metrics out of a JSON file that `write_image` wrote.

    Parameters
    ----------
    path : Path
        The file.
    content : mapping
        What it holds.

    Returns
    -------
    Series of shape (68,)
        As `image_quality` gave them.
    """
    origin = content["provenance"]
    values = [np.nan if content[name] is None else float(content[name]) for name in METRICS]
    found = pd.Series(values, index=[*METRICS], name=path.name.removesuffix(".json"), dtype=float)
    found.attrs = {
        "definition": origin["definition"],
        "software": f"{origin['software']} {origin['version']}",
        "provenance": origin["inputs"],
        "notes": origin["notes"],
    }
    return found


def _told(metrics: pd.Series[float]) -> dict[str, Any]:
    """What is known of the inputs of an image."""
    return {
        "inputs": metrics.attrs.get("provenance", {}),
        "notes": metrics.attrs.get("notes", []),
    }


def _the_only(definitions: Sequence[Any]) -> str:
    kinds = {str(name): definitions.count(name) for name in dict.fromkeys(definitions)}
    if len(kinds) != 1 or "None" in kinds:
        raise DataError(
            f"metrics of images must share one definition; these have {name_counts(kinds)}. "
            f"Compute all with one definition (attrs['definition'] tells which)."
        )
    return next(iter(kinds))


def _plain(name: str, value: float) -> float | int | None:
    """A number as JSON can hold it: sizes are whole, NaN is null."""
    if not np.isfinite(value):
        return None
    return int(value) if name.startswith("size_") else value


def _sidecar(frame: pd.DataFrame) -> dict[str, Any]:
    definition = str(frame.attrs["definition"])
    software, _, version = str(frame.attrs.get("software", "isoscan")).partition(" ")
    known = DEFINITIONS.get(definition)
    return {
        "definition": definition,
        "Description": f"Image quality metrics of {known.like if known else definition}",
        "GeneratedBy": [{"Name": software, "Version": version}],
        "provenance": frame.attrs.get("provenance", {}),
        "failed": frame.attrs.get("failed", {}),
    }
