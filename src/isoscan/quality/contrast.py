"""Signal, contrast and spread: what a few summaries of tissues and air say together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoscan.quality.definitions import TISSUES
from isoscan.quality.summaries import RAYLEIGH, Summary

Array = NDArray[Any]
Summaries = dict[str, Summary]

_QUIET = 1e-3


def signal_to_noise(summaries: Summaries) -> dict[str, float]:
    """Median of each tissue over its own spread.

    Parameters
    ----------
    summaries : dict of {str: dict}
        Summaries of the tissues.

    Returns
    -------
    dict of {str: float}
        csf, gm, wm, and total: their mean.
    """
    found = {}
    for tissue in TISSUES:
        of = summaries[tissue]
        with np.errstate(divide="ignore", invalid="ignore"):
            n = np.float64(of["n"])
            found[tissue] = float(of["median"] / (of["stdv"] * np.sqrt(n / (n - 1))))
    return found | {"total": _mean(found)}


def signal_to_air_noise(
    summaries: Summaries, *, rounded: bool = False, old: bool = False
) -> dict[str, float]:
    """Median of each tissue over the noise in the air [1]_.

    Parameters
    ----------
    summaries : dict of {str: dict}
        Summaries of the tissues and of the air, bg.
    rounded : bool
        Round the factor between noise with and without signal to 7 decimals, as MRIQC 24.
    old : bool
        As MRIQC 0.15: add 1 to a noise below 1.

    Returns
    -------
    dict of {str: float}
        csf, gm, wm, and total: their mean; -1 if the air holds no noise.

    References
    ----------
    .. [1] Dietrich et al. (2007), J Magn Reson Imaging 26:375, doi:10.1002/jmri.20969.
    """
    noise = summaries["bg"]["mad"]
    if old:
        noise += noise < 1
    elif not noise > 1:
        noise = summaries["bg"]["stdv"]
    if not old and not noise > _QUIET:
        return dict.fromkeys((*TISSUES, "total"), -1.0)
    factor = round(RAYLEIGH, 7) if rounded else RAYLEIGH
    found = {tissue: factor * summaries[tissue]["median"] / noise for tissue in TISSUES}
    return found | {"total": _mean(found)}


def contrast_to_noise(summaries: Summaries) -> float:
    """Difference of white and grey matter over the noise of both and of the air.

    Parameters
    ----------
    summaries : dict of {str: dict}
        Summaries of the tissues and of the air, bg.

    Returns
    -------
    float
        Higher is better.
    """
    spread = sum(summaries[region]["stdv"] ** 2 for region in ("bg", "gm", "wm")) ** 0.5
    return _ratio(_contrast(summaries), spread)


def joint_variation(summaries: Summaries) -> float:
    """Spread of white and grey matter over their difference [1]_.

    Parameters
    ----------
    summaries : dict of {str: dict}
        Summaries of the tissues.

    Returns
    -------
    float
        Lower is better.

    References
    ----------
    .. [1] Ganzetti et al. (2016), Front Neuroinform 10:10, doi:10.3389/fninf.2016.00010.
    """
    return _ratio(summaries["wm"]["mad"] + summaries["gm"]["mad"], _contrast(summaries))


def white_to_brightest(values: Array, white: float) -> float:
    """Median of white matter over the brightest voxels.

    Parameters
    ----------
    values : ndarray
        Intensities of the whole volume.
    white : float
        Median of white matter.

    Returns
    -------
    float
        About 0.6 to 0.8; lower where fat or vessels outshine the brain.
    """
    return _ratio(white, float(np.percentile(values, 99.95)))


def head_to_air_energy(values: Array, head: Array, air: Array) -> float:
    """Energy of the head over that of the air.

    Parameters
    ----------
    values : ndarray
        Intensities.
    head, air : ndarray of bool
        Masks.

    Returns
    -------
    float
        Higher is better; -1 if half of the air is empty, or there is none.
    """
    outside = values[air].astype(np.float64)
    energy = float(np.median(outside**2)) if outside.size else 0.0
    if energy < _QUIET:
        return -1.0
    return float(np.median(values[head].astype(np.float64) ** 2)) / energy


def _contrast(summaries: Summaries) -> float:
    return abs(summaries["wm"]["median"] - summaries["gm"]["median"])


def _mean(found: dict[str, float]) -> float:
    return float(np.mean(list(found.values())))


def _ratio(above: float, below: float) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.float64(above) / below)
