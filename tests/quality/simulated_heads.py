"""Small heads whose tissues are known, as NIfTI images."""

from dataclasses import dataclass

import nibabel as nib
import numpy as np
from scipy.ndimage import gaussian_filter

SHAPE = (42, 48, 46)
AFFINE = np.array([[1.8, 0, 0, -38], [0, 1.6, 0, -40], [0, 0, 1.5, -30], [0, 0, 0, 1]])


@dataclass
class SimulatedHead:
    t1: nib.Nifti1Image
    tissues: list
    brain: nib.Nifti1Image
    bias: nib.Nifti1Image
    labels: np.ndarray
    head: nib.Nifti1Image

    def given(self, **other):
        return {"posteriors": self.tissues, "brain_mask": self.brain, "bias": self.bias} | other


def image(values):
    return nib.Nifti1Image(np.asarray(values, dtype=np.float32), AFFINE)


def simulate_head(seed=0, noise=20.0, ghost=0.0):
    """Ellipsoids of scalp, skull, fluid, grey and white matter in noisy air."""
    random = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    radius = np.sqrt(
        sum((axis / size) ** 2 for axis, size in zip(axes, (0.8, 0.85, 0.8), strict=True))
    )
    labels = np.select([radius < 0.45, radius < 0.63, radius < 0.72], [3, 2, 1], 0)
    tissues = [gaussian_filter((labels == kind).astype(float), 0.7) for kind in (1, 2, 3)]
    total = np.maximum(sum(tissues), 1e-6)
    tissues = [tissue / total * (labels > 0) for tissue in tissues]
    signal = sum(level * tissue for level, tissue in zip((300, 680, 1000), tissues, strict=True))
    signal = (
        signal + 900 * ((radius > 0.88) & (radius < 1)) + 60 * ((radius > 0.72) & (radius < 0.88))
    )
    bias = 1 + 0.15 * axes[0] - 0.1 * axes[1]
    signal = signal * bias
    signal[2:8, 2:8, 36:43] += ghost
    real, imaginary = random.normal(0, noise, (2, *SHAPE))
    t1 = np.hypot(signal + real, imaginary)
    return SimulatedHead(
        image(t1),
        [image(one) for one in tissues],
        image(labels > 0),
        image(bias),
        labels,
        image(radius < 1.05),
    )
