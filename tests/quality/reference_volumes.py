"""Phantoms whose metrics MRIQC computed, and what it found."""

import importlib.util
import json
from functools import cache

import numpy as np
import pytest
from known_truth import shared_folder

from isoscan.quality.inputs import QualityInputs

TISSUES = ("csf", "gm", "wm")
MNI = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"


@cache
def golden():
    return json.loads((shared_folder("golden/unseen") / "iqm" / "golden_iqm.json").read_text())


@cache
def volumes(name):
    path = shared_folder("golden/unseen") / "iqm" / "make_volumes.py"
    spec = importlib.util.spec_from_file_location("make_volumes", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.case(name)


@cache
def phantom(name):
    found = volumes(name)
    return QualityInputs(
        raw=found["raw"],
        corrected=found["noinu"],
        bias=found["bias"],
        tissues=np.stack([found[f"pvm_{one}"] for one in TISSUES]),
        template_tissues=np.stack([found[f"tpm_{one}"] for one in TISSUES]),
        brain=found["brain"] > 0,
        head=found["head"] > 0,
        hat=found["hat"] > 0,
        artifacts=found["art"] > 0,
        frame=found["rot"] > 0,
        zooms=tuple(float(mm) for mm in np.float32(found["zooms"])),
    )


@cache
def mni_brain():
    """The brain of nilearn's template: no skull, no background."""
    import nibabel as nib
    from scipy.ndimage import binary_erosion, generate_binary_structure

    datasets = pytest.importorskip("nilearn.datasets")
    from pathlib import Path

    folder = Path(datasets.__file__).parent / "data"
    raw, gm, wm = (nib.load(folder / MNI.format(name)).get_fdata() for name in ("t1", "gm", "wm"))
    gm, wm, brain = gm / 255, wm / 255, raw > 0
    csf = np.clip(1 - gm - wm, 0, 1) * brain
    core = binary_erosion(wm > 0.9, generate_binary_structure(3, 2))
    tissues = np.round(np.stack([csf, gm, wm]), 4).astype(np.float32).astype(float)
    none = np.zeros_like(brain)
    return QualityInputs(
        raw=raw,
        corrected=(raw * 1000.0 / np.median(raw[core])).astype(np.float32).astype(float),
        bias=np.ones_like(raw),
        tissues=tissues,
        template_tissues=np.roll(tissues, 2, axis=1),
        brain=brain,
        head=brain,
        hat=~brain,
        artifacts=none,
        frame=none,
        zooms=(1.0, 1.0, 1.0),
    )


def expected(case, definition):
    """What MRIQC found, under the names of its tables."""
    found = golden()[case]
    if definition == "mriqc-24":
        noise = found["functions"]["qi_2"]["hat (what the 24.0.2 workflow feeds)"]
        return found["StructuralQC.out_qc"] | {"qi_2": noise}
    old = found["legacy_0.15.1"]
    flat = {
        f"{what}_{name}": value for what in ("snr", "snrd") for name, value in old[what].items()
    }
    for region, summary in old["summary_stats"].items():
        flat |= {f"summary_{region}_{name}": value for name, value in summary.items()}
    return flat | {name: old[name] for name in ("cnr", "cjv", "wm2max", "efc", "fber", "qi_1")}
