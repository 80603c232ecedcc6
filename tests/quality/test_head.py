"""Masks grow by millimetres, not by voxels."""

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from isoscan.quality.definitions import get_definition
from isoscan.quality.head import close_edges, find_changes, grown, largest_parts


@pytest.mark.parametrize("zooms", [(1.0, 1.0, 1.0), (1.8, 1.6, 1.5), (0.9, 1.1, 3.3), (6, 1, 0.7)])
@pytest.mark.parametrize("by", [3.0, 4.0, 5.5])
def test_a_mask_grows_by_a_distance(zooms, by):
    mask = np.random.default_rng(1).random((21, 31, 26)) < 0.002
    near = distance_transform_edt(~mask, sampling=zooms) <= by + 1e-9
    np.testing.assert_array_equal(grown(mask, zooms, by), near)


def test_the_largest_parts_are_kept():
    mask = np.zeros((9, 9, 9), dtype=bool)
    mask[0, 0, :2] = mask[4, 4, :5] = mask[8, 8, :] = True
    assert largest_parts(mask, 1).sum() == 9
    assert largest_parts(mask, 2).sum() == 14
    assert largest_parts(mask, 3).sum() == 16


def test_a_head_that_the_volume_cuts_off_is_filled_and_not_enlarged():
    """A tube that leaves the volume at both ends, with a gap in its wall."""
    x, y, _ = np.ogrid[-30:31, -30:31, -20:21]
    radius = np.sqrt(x**2 + y**2) + np.zeros((1, 1, 41))
    wall = abs(radius - 20) < 4
    wall[28:33, :, 18:22] = False
    brain = radius < 5
    head = close_edges(wall, brain, (1.0, 1.0, 1.0), get_definition("corrected"))
    assert head[radius < 22].all() and not head[radius > 24].any()


def test_long_voxels_are_smoothed_by_millimetres():
    """MRIQC's own rule gives no smoothing along voxels twice as long as the shortest."""
    values = np.random.default_rng(2).normal(100, 20, (40, 40, 20))
    values[10:30, 10:30, 5:15] += 900
    none = np.zeros(values.shape, dtype=bool)
    zooms = (1.0, 1.0, 2.0)
    for name in ("corrected", "mriqc-24"):
        changes = find_changes(values, none, zooms, get_definition(name))
        assert np.isfinite(changes).all()
        assert np.percentile(changes, 99.5) == pytest.approx(100, rel=1e-3)
