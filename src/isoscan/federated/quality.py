"""Batches side by side, before anything is fitted: other units and mix-ups stand out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.federated.merging import Combined, merged
from isoscan.federated.messages import Summary
from isoscan.federated.study import Study
from isoscan.federated.totals import Sums

Array = NDArray[np.float64]


def quality_table(study: Study, messages: Sequence[Summary | Sums]) -> pd.DataFrame:
    """Compare the batches of all messages.

    Parameters
    ----------
    study : Study
        What was agreed upon.
    messages : sequence of Summary or Sums
        Checked messages; of sums there is nothing to compare.

    Returns
    -------
    DataFrame
        One row per location and batch: scans; share of values missing; the measure whose mean
        is farthest from the typical batch, in SDs; the measure whose SD differs most, as a
        ratio; what looks odd.
    """
    summaries = [message for message in messages if isinstance(message, Summary)]
    if not summaries:
        return pd.DataFrame()
    data = merged(summaries)
    return pd.DataFrame(
        [row for one in summaries for row in _rows(one, data, list(study.features))]
    )


def _rows(summary: Summary, data: Combined, features: list[str]) -> list[dict[str, object]]:
    distance, ratio = _compared(summary, data)
    rows: list[dict[str, object]] = []
    share = (summary.moments.count / summary.scans[:, None]).mean(axis=1)
    for number, batch in enumerate(summary.batches):
        far = int(np.argmax(np.abs(distance[number])))
        wide = int(np.argmax(np.abs(ratio[number])))
        odd = [f"mean of {features[far]}: other unit?"] * int(abs(distance[number, far]) > 10)
        odd += [f"spread of {features[wide]}"] * int(abs(ratio[number, wide]) > 2)
        rows.append(
            {
                "location": summary.sender.label,
                "batch": batch,
                "scans": int(summary.scans[number]),
                "missing": float(1 - share[number]),
                "farthest": features[far],
                "distance": float(distance[number, far]),
                "widest": features[wide],
                "ratio": float(2 ** ratio[number, wide]),
                "odd": "; ".join(odd),
            }
        )
    return rows


def _compared(summary: Summary, data: Combined) -> tuple[Array, Array]:
    """Distance of each mean from the median batch, in SDs, and log ratio of each SD."""
    one, everyone = summary.moments, data.moments
    variance = everyone.feature_squares / np.maximum(everyone.count - 1, 1.0)
    seen = np.broadcast_to(everyone.count > 1, variance.shape)
    typical = np.sqrt(_median(variance, seen))
    centre = _median(everyone.feature_mean, seen)
    unit = np.where(typical > 0, typical, np.inf)
    distance = np.where(one.count > 0, (one.feature_mean - centre) / unit, 0.0)
    sd = np.sqrt(one.feature_squares / np.maximum(one.count - 1, 1.0))
    usable = (one.count > 1) & (sd > 0) & (typical > 0)
    safe = np.where(usable, sd / np.where(typical > 0, typical, 1.0), 1.0)
    return np.asarray(distance), np.asarray(np.log2(safe))


def _median(values: Array, seen: NDArray[np.bool_]) -> Array:
    """Median over batches that have the measure; 0 where none has."""
    nothing = ~seen.any(axis=0)
    kept = np.where(seen | nothing, np.where(nothing, 0.0, values), np.nan)
    return np.asarray(np.nanmedian(kept, axis=0))
