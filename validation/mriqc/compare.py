"""Compare metrics with what MRIQC computed on the same masks; print the largest differences.

Needs the reference values (ISOSCAN_SHARED) and, for the template, nilearn:
``ISOSCAN_SHARED=folder python validation/mriqc/compare.py``
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

TESTS = Path(__file__).resolve().parents[2] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "quality")]

from reference_volumes import expected, mni_brain, phantom, volumes  # noqa: E402

from isoscan.quality import measure  # noqa: E402

GROUPS = {
    "summaries": ("summary_",),
    "snr, snrd, cnr, cjv, wm2max": ("snr", "cnr", "cjv", "wm2max"),
    "fber, efc": ("fber", "efc"),
    "qi_1": ("qi_1",),
    "qi_2": ("qi_2",),
    "icvs, rpve, tpm_overlap, inu": ("icvs", "rpve", "tpm_overlap", "inu"),
    "fwhm": ("fwhm",),
    "size, spacing": ("size", "spacing"),
}


def difference(found: float, wanted: float) -> float:
    """Relative difference; two missing values are equal."""
    if np.isnan(found) and np.isnan(wanted):
        return 0.0
    return abs(found - wanted) / abs(wanted) if wanted else abs(found)


def compare(definition: str) -> None:
    """Print one line per group of metrics: the largest difference over all cases."""
    cases = {
        "phantom_A": (phantom("A"), volumes("A")["zooms"]),
        "phantom_B": (phantom("B"), volumes("B")["zooms"]),
        "mni152_nilearn": (mni_brain(), (1.0, 1.0, 1.0)),
    }
    worst: dict[str, float] = {}
    for case, (inputs, zooms) in cases.items():
        found, wanted = measure(inputs, definition), expected(case, definition)
        for metric, value in wanted.items():
            mine = found[metric]
            if metric in ("fwhm_x", "fwhm_y", "fwhm_z"):  # the file holds float32 voxel sizes
                axis = "xyz".index(metric[-1])
                mine *= zooms[axis] / inputs.zooms[axis]
            if metric == "fwhm_avg" and case == "phantom_B":
                continue
            group = next(name for name, starts in GROUPS.items() if metric.startswith(starts))
            worst[group] = max(worst.get(group, 0.0), difference(mine, value))
    print(definition)
    for group in GROUPS:
        if group in worst:
            print(f"  {group:32} {worst[group]:.1e}")


if __name__ == "__main__":
    for name in ("mriqc-24", "mriqc-0.15"):
        compare(name)
