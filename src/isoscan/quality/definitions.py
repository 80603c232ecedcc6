"""How the metrics are defined: as MRIQC 24 does, as MRIQC 0.15 did, or without their errors."""

from __future__ import annotations

from dataclasses import dataclass

from isoscan.errors import DataError, name_some

TISSUES = ("csf", "gm", "wm")
REGIONS = ("bg", *TISSUES)
AXES = ("x", "y", "z")
SUMMARIES = ("k", "mad", "mean", "median", "n", "p05", "p95", "stdv")

METRICS: tuple[str, ...] = tuple(
    sorted(
        [
            *("cjv", "cnr", "efc", "fber", "wm2max", "qi_1", "qi_2", "inu_med", "inu_range"),
            *(f"fwhm_{axis}" for axis in (*AXES, "avg")),
            *(f"{what}_{axis}" for what in ("size", "spacing") for axis in AXES),
            *(f"{what}_{one}" for what in ("icvs", "rpve", "tpm_overlap") for one in TISSUES),
            *(f"{what}_{one}" for what in ("snr", "snrd") for one in (*TISSUES, "total")),
            *(f"summary_{region}_{what}" for region in REGIONS for what in SUMMARIES),
        ]
    )
)
"""The 68 metrics, in the order of MRIQC's tables."""


@dataclass(frozen=True)
class Definition:
    """One way to compute all metrics.

    Attributes
    ----------
    name : str
        Written into every result.
    like : str
        Whose numbers these are, in words.
    weighted : bool
        Voxels count by their tissue probability; else those above 0.85 count, eroded.
    rounded : bool
        Intensities, probabilities and results are rounded, as MRIQC 24 does.
    scaled_noise : bool
        Background intensities are divided by their 99th percentile before the noise fit.
    clean_noise : bool
        The noise fit leaves out voxels with artefacts.
    purity_in_tissue : bool
        ``rpve`` counts voxels that hold tissue, not the background too.
    honest_failures : bool
        What could not be measured is NaN, not -1 or 0.
    frame_is_air : bool
        Zeros around a rotated image count as air.
    distance_in_air : bool
        Artefacts near the head are left out by their distance from it; else all are lost.
    brain_is_head : bool
        The brain is part of the head; else two sagittal slices of the volume are.
    millimetres : bool
        Sizes of filters are in millimetres; else in voxels.
    centred_artefacts : bool
        Artefacts exceed the median of the air by 10 deviations, not zero.
    """

    name: str
    like: str
    weighted: bool = True
    rounded: bool = False
    scaled_noise: bool = True
    clean_noise: bool = True
    purity_in_tissue: bool = True
    honest_failures: bool = True
    frame_is_air: bool = False
    distance_in_air: bool = True
    brain_is_head: bool = True
    millimetres: bool = True
    centred_artefacts: bool = False


_DEFINITIONS = (
    Definition("corrected", "MRIQC 24 without its errors"),
    Definition(
        "mriqc-24",
        "MRIQC 23.1 to 24.0.2",
        rounded=True,
        clean_noise=False,
        purity_in_tissue=False,
        honest_failures=False,
        frame_is_air=True,
        distance_in_air=False,
        brain_is_head=False,
        millimetres=False,
    ),
    Definition(
        "mriqc-0.15",
        "MRIQC 0.15",
        weighted=False,
        scaled_noise=False,
        clean_noise=False,
        purity_in_tissue=False,
        honest_failures=False,
        millimetres=False,
        centred_artefacts=True,
    ),
)
DEFINITIONS = {definition.name: definition for definition in _DEFINITIONS}


def get_definition(definition: str | Definition) -> Definition:
    """Look up a definition by its name.

    Parameters
    ----------
    definition : str or Definition
        "corrected", "mriqc-24" or "mriqc-0.15".

    Returns
    -------
    Definition
        All its choices.

    Raises
    ------
    DataError
        If there is none of that name.

    Examples
    --------
    >>> get_definition("mriqc-24").like
    'MRIQC 23.1 to 24.0.2'
    """
    if isinstance(definition, Definition):
        return definition
    if definition not in DEFINITIONS:
        raise DataError(
            f"no definition '{definition}' of image quality metrics; there are "
            f"{name_some(DEFINITIONS)}.",
            definition=definition,
        )
    return DEFINITIONS[definition]
