"""Image quality metrics of one T1-weighted image."""

from __future__ import annotations

import warnings
from typing import Any

import pandas as pd

from isoscan.errors import MissingValuesWarning, name_some
from isoscan.quality.definitions import Definition, get_definition
from isoscan.quality.metrics import measure
from isoscan.quality.missing import find_unmeasurable
from isoscan.quality.prepare import Prepared, Progress, prepare_inputs
from isoscan.quality.reading import stem
from isoscan.quality.version import own_version


def image_quality(
    t1: Any,
    segmentation: Any = None,
    *,
    brain_mask: Any = None,
    posteriors: Any = None,
    bias: Any = None,
    corrected: Any = None,
    template_tissues: Any = None,
    head: Any = None,
    hat: Any = None,
    artifacts: Any = None,
    frame: Any = None,
    definition: str = "corrected",
    register: bool = True,
    progress: Progress | None = None,
) -> pd.Series[float]:
    """Measure the quality of a T1-weighted image under MRIQC's names.

    What is not given is made from the image: brain, bias field and tissues by
    `isoscan.anatomy`, masks of head and air as MRIQC makes them. Volumes are paths, nibabel
    images, or arrays that lie as the image does.

    Parameters
    ----------
    t1 : path-like, nibabel image or ndarray of shape (x, y, z)
        T1-weighted head, not defaced and with its skull if the air shall be measured.
    segmentation : path-like, nibabel image or ndarray of shape (x, y, z), optional
        Labels of FreeSurfer (aseg, aparc+aseg, wmparc; .mgz on its own grid too), fMRIPrep
        (dseg) or FAST.
    brain_mask : path-like, nibabel image or ndarray of shape (x, y, z), optional
        Mask of the brain.
    posteriors : sequence or mapping of three volumes, optional
        Probabilities of csf, gm and wm; preferred to `segmentation`.
    bias : path-like, nibabel image or ndarray of shape (x, y, z), optional
        Bias field; the image divided by it has none.
    corrected : path-like, nibabel image or ndarray of shape (x, y, z), optional
        The image without bias field, in any unit.
    template_tissues : sequence or mapping of three volumes, optional
        Probabilities of a template, warped to the image.
    head, hat, artifacts, frame : path-like, nibabel image or ndarray, optional
        Masks: the head, the air around its top, artefacts in this air, and the empty frame
        of a rotated image.
    definition : str
        "corrected", "mriqc-24" or "mriqc-0.15".
    register : bool
        Bring a template to the head. Without it ``tpm_overlap_*`` is missing, and the air is
        cut at a height that the brain tells, not the brows.
    progress : callable, optional
        Told the stage, how many are done, and of how many.

    Returns
    -------
    Series of shape (68,)
        Metrics, sorted by name; NaN where they cannot be measured (in the definitions of
        MRIQC: what it writes then). ``attrs`` holds definition, software, provenance and
        notes.

    Raises
    ------
    GridMismatchError
        If the image has more than three axes, or a volume does not lie on its grid.
    ImageFileError
        If a file is damaged or the image cannot be a head.
    MaskError
        If a mask is empty, or tissues or labels are not what they should be.
    NoBrainError
        If no brain is found.
    DataError
        If there is no such definition.
    MissingPackageError
        If something must be made and the extra [images] is not installed.

    Warns
    -----
    MissingValuesWarning
        If metrics cannot be measured, with their names.

    References
    ----------
    .. [1] Esteban et al. (2017), PLoS ONE 12:e0184661, doi:10.1371/journal.pone.0184661.

    Examples
    --------
    >>> import nibabel as nib
    >>> import numpy as np
    >>> x, y, z = np.ogrid[-40:41, -40:41, -40:41]
    >>> radius = np.sqrt(x**2 + y**2 + z**2)
    >>> white, grey, fluid = (abs(radius - middle) < 4 for middle in (12, 20, 28))
    >>> noise = np.random.default_rng(1).rayleigh(20, radius.shape)
    >>> signal = 1000 * white + 700 * grey + 300 * fluid + noise
    >>> t1 = nib.Nifti1Image(signal, np.diag([1.0, 1, 1, 1]) - 40 * np.eye(4, k=3))
    >>> found = image_quality(
    ...     t1, posteriors=[fluid, grey, white], corrected=signal, register=False
    ... )
    >>> found[["cjv", "icvs_gm", "size_x"]].round(2).to_dict()
    {'cjv': 0.09, 'icvs_gm': 0.3, 'size_x': 81.0}
    """
    chosen = get_definition(definition)
    given = {
        "segmentation": segmentation,
        "brain_mask": brain_mask,
        "posteriors": posteriors,
        "bias": bias,
        "corrected": corrected,
        "template_tissues": template_tissues,
        "head": head,
        "hat": hat,
        "artifacts": artifacts,
        "frame": frame,
    }
    prepared = prepare_inputs(t1, given, chosen, register=register, progress=progress)
    return measure_prepared(prepared, chosen, stem(t1))


def measure_prepared(prepared: Prepared, definition: Definition, name: str) -> pd.Series[float]:
    """Measure what was prepared, and warn of what cannot be measured.

    Parameters
    ----------
    prepared : Prepared
        Images and masks.
    definition : Definition
        How metrics are defined.
    name : str
        Name of the image.

    Returns
    -------
    Series of shape (68,)
        As `image_quality` gives it.
    """
    notes = list(prepared.notes)
    for lack in find_unmeasurable(prepared.inputs):
        words = f"{name}: {lack.reason}. Missing: {name_some(lack.metrics, 6)}."
        if not definition.honest_failures:
            words = f"{name}: {lack.reason}. Without meaning: {name_some(lack.metrics, 6)}."
        warnings.warn(words, MissingValuesWarning, stacklevel=3)
        notes.append(words)
    found = pd.Series(measure(prepared.inputs, definition), name=name, dtype=float)
    found.attrs = {
        "definition": definition.name,
        "software": f"isoscan {own_version()}",
        "provenance": dict(prepared.provenance),
        "notes": notes,
    }
    return found
