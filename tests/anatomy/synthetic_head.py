"""A head made of the template: brain, dark skull, bright scalp, noise and a bias field."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import nibabel as nib
import numpy as np
from scipy import ndimage

INTENSITIES = (0.30, 0.68, 1.0)  # csf, gm, wm
SIZE = 0.93  # of the template, whose brain is larger than most


@dataclass(frozen=True, eq=False)
class SyntheticHead:
    image: nib.Nifti1Image
    brain: np.ndarray
    tissues: np.ndarray
    log_bias: np.ndarray


@cache
def template(mm):
    """Brain, grey and white matter of MNI152 on cubic voxels, with air around."""
    from nilearn import datasets

    volumes = [
        datasets.load_mni152_brain_mask(resolution=mm),
        datasets.load_mni152_gm_template(resolution=mm),
        datasets.load_mni152_wm_template(resolution=mm),
    ]
    pad = int(np.ceil(36 / mm))
    affine = volumes[0].affine.copy()
    affine[:3, 3] -= pad * mm
    affine[:3] *= SIZE
    brain, gm, wm = (np.pad(np.asarray(v.dataobj, dtype=float), pad) for v in volumes)
    return brain > 0, np.clip(gm, 0, 1), np.clip(wm, 0, 1), affine


@cache
def synthetic_head(mm=4, *, seed=0, noise=0.02, bias=0.1, skull=True, gain=500.0):
    brain, gm, wm, affine = template(mm)
    excess = np.maximum(gm + wm, 1)
    gm, wm = gm / excess * brain, wm / excess * brain
    tissues = np.stack([(1 - gm - wm) * brain, gm, wm])
    signal = np.tensordot(INTENSITIES, tissues, 1)
    if skull:
        outside = ndimage.distance_transform_edt(~brain) * mm
        signal[(outside > 0) & (outside <= 8)] = 0.12
        signal[(outside > 8) & (outside <= 16)] = 1.3
    random = np.random.default_rng(seed)
    log_bias = _smooth(random, brain.shape, bias)
    signal = signal * np.exp(log_bias)
    if noise:
        parts = random.normal(scale=noise, size=(2, *signal.shape))
        signal = np.hypot(signal + parts[0], parts[1])
    image = nib.Nifti1Image((gain * signal).astype(np.float32), affine)
    return SyntheticHead(image, brain, tissues.astype(np.float32), log_bias)


def _smooth(random, shape, sd):
    knots = random.normal(size=(4, 4, 4))
    zoomed = ndimage.zoom(knots, [n / 4 for n in shape], order=3, grid_mode=False)
    return sd * (zoomed - zoomed.mean()) / zoomed.std()


def dice(one, other):
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))
