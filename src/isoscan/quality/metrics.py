"""All 68 metrics of one image from its masks, in any of the definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.quality.contrast import (
    Summaries,
    contrast_to_noise,
    head_to_air_energy,
    joint_variation,
    signal_to_air_noise,
    signal_to_noise,
    white_to_brightest,
)
from isoscan.quality.definitions import METRICS, TISSUES, Definition, get_definition
from isoscan.quality.inputs import QualityInputs
from isoscan.quality.missing import find_unmeasurable
from isoscan.quality.noise import artifact_share, focus, noise_misfit
from isoscan.quality.sentinels import sentinels_to_missing
from isoscan.quality.shape import (
    bias_summary,
    sharpness,
    sizes,
    template_overlap,
    tissue_purity,
    volume_fractions,
)
from isoscan.quality.summaries import background_of_old, eroded_summary, weighted_summary

Array = NDArray[Any]
Metrics = dict[str, float]

_FINE = 1.9


def measure(inputs: QualityInputs, definition: str | Definition = "corrected") -> Metrics:
    """Compute all metrics.

    Parameters
    ----------
    inputs : QualityInputs
        Images and masks.
    definition : str or Definition
        "corrected", "mriqc-24" or "mriqc-0.15".

    Returns
    -------
    dict of {str: float}
        68 metrics, sorted by name. What could not be measured is NaN in the corrected
        definition, and what MRIQC writes in the others.
    """
    chosen = get_definition(definition)
    summaries = summarize_regions(inputs, chosen)
    found = {
        f"summary_{region}_{name}": value
        for region, summary in summaries.items()
        for name, value in summary.items()
    }
    found |= _from_summaries(inputs, summaries, chosen)
    found |= _of_volumes(inputs, chosen)
    found |= _of_noise(inputs, chosen)
    if chosen.honest_failures:
        unknown = {name for one in find_unmeasurable(inputs) for name in one.metrics}
        found = without_sentinels(found) | dict.fromkeys(unknown, float("nan"))
    return {name: float(found[name]) for name in METRICS}


def without_sentinels(found: Metrics) -> Metrics:
    """Replace -1 and 0 that stand for failed measurements by NaN.

    Parameters
    ----------
    found : dict of {str: float}
        Metrics.

    Returns
    -------
    dict of {str: float}
        The same, with NaN.
    """
    clean = sentinels_to_missing(pd.Series(found))
    return dict(zip(found, clean.tolist(), strict=True))


def summarize_regions(inputs: QualityInputs, definition: Definition) -> Summaries:
    """Summarize the intensities of the tissues and of the air.

    Parameters
    ----------
    inputs : QualityInputs
        Images and masks.
    definition : Definition
        How voxels count.

    Returns
    -------
    dict of {str: dict}
        bg, csf, gm and wm.
    """
    regions = {"bg": inputs.air, **dict(zip(TISSUES, inputs.tissues, strict=True))}
    if definition.weighted:
        return {
            region: weighted_summary(inputs.corrected, weights, rounded=definition.rounded)
            for region, weights in regions.items()
        }
    fine = all(np.float32(mm) < _FINE for mm in inputs.zooms)
    found = {
        region: eroded_summary(inputs.corrected, weights, erode=fine)
        for region, weights in regions.items()
    }
    return found | {"bg": background_of_old(found["bg"], [found[one] for one in TISSUES])}


def _from_summaries(inputs: QualityInputs, summaries: Summaries, chosen: Definition) -> Metrics:
    signal = signal_to_noise(summaries)
    in_air = signal_to_air_noise(summaries, rounded=chosen.rounded, old=not chosen.weighted)
    return {
        **{f"snr_{name}": value for name, value in signal.items()},
        **{f"snrd_{name}": value for name, value in in_air.items()},
        "cnr": contrast_to_noise(summaries),
        "cjv": joint_variation(summaries),
        "wm2max": white_to_brightest(inputs.corrected, summaries["wm"]["median"]),
    }


def _of_volumes(inputs: QualityInputs, chosen: Definition) -> Metrics:
    widths = sharpness(inputs.raw, inputs.brain, inputs.zooms)
    fractions = volume_fractions(inputs.tissues)
    template = inputs.template_tissues
    overlap = dict.fromkeys(TISSUES, float("nan"))
    if template is not None:
        overlap = template_overlap(inputs.tissues, template)
    purity = {
        f"rpve_{name}": tissue_purity(tissue, in_tissue=chosen.purity_in_tissue)
        for name, tissue in zip(TISSUES, inputs.tissues, strict=True)
    }
    return {
        **sizes(inputs.raw.shape, inputs.zooms),
        **{f"fwhm_{axis}": width for axis, width in widths.items()},
        **{f"icvs_{name}": share for name, share in fractions.items()},
        **{f"tpm_overlap_{name}": shared for name, shared in overlap.items()},
        **purity,
        **bias_summary(inputs.bias, inputs.brain),
    }


def _of_noise(inputs: QualityInputs, chosen: Definition) -> Metrics:
    region = inputs.air if chosen.clean_noise else inputs.hat
    energy = head_to_air_energy(
        inputs.corrected, inputs.head, np.asarray(~inputs.head & ~inputs.frame)
    )
    entropy = focus(inputs.corrected[~inputs.frame])
    if chosen.rounded:
        energy, entropy = round(energy, 4), round(entropy, 4)
    if not chosen.weighted and energy == -1:
        energy = 0.0
    return {
        "fber": energy,
        "efc": entropy,
        "qi_1": artifact_share(inputs.air, inputs.artifacts),
        "qi_2": noise_misfit(inputs.raw[region], scaled=chosen.scaled_noise),
    }
