"""Images that are no heads are refused in words; odd ones are read as what they are."""

from __future__ import annotations

import sys

import nibabel as nib
import numpy as np
import pytest
from synthetic_head import dice, synthetic_head

from isoscan.errors import (
    GridMismatchError,
    ImageFileError,
    ImageWarning,
    MaskError,
    MissingPackageError,
    NoBrainError,
)

pytest.importorskip("nilearn")
pytest.importorskip("SimpleITK")

from isoscan.anatomy import prepare_t1


@pytest.fixture(scope="module")
def head():
    return synthetic_head(5)


def prepared(image, **options):
    return prepare_t1(image, register=False, **options)


def like(head, values):
    return nib.Nifti1Image(np.asarray(values, dtype=np.float32), head.image.affine)


def test_image_without_contrast_has_no_brain(head):
    with pytest.raises(NoBrainError, match=r"every voxel is 7"):
        prepared(like(head, np.full(head.brain.shape, 7)))


def test_ball_of_water_has_no_brain(head):
    axes = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in head.brain.shape)]
    ball = sum(axis**2 for axis in axes) < 0.8
    noise = np.random.default_rng(0).normal(scale=1e-3, size=ball.shape)
    with pytest.raises(NoBrainError, match="brain_mask"):
        prepared(like(head, 100 * ball + np.abs(noise)))


def test_small_thing_is_no_head(head):
    values = np.zeros(head.brain.shape)
    values[25:31, 25:31, 25:31] = 100
    values[0] = np.random.default_rng(0).uniform(0, 3, values[0].shape)
    with pytest.raises(NoBrainError, match="no head was found"):
        prepared(like(head, values))


def test_series_of_images_is_refused(head):
    with pytest.raises(GridMismatchError, match="4 axes"):
        prepared(like(head, np.stack([head.image.get_fdata()] * 2, axis=-1)))


@pytest.mark.parametrize("shape", [(5, 5, 5), (57, 64, 4)])
def test_slabs_and_tiny_images_are_refused(head, shape):
    with pytest.raises(ImageFileError, match="too few for a head"):
        prepared(like(head, np.random.default_rng(0).uniform(size=shape)))


def test_missing_voxel_sizes_are_noticed():
    values = synthetic_head().image.get_fdata(dtype=np.float32)
    with (
        pytest.warns(ImageWarning, match="identity"),
        pytest.raises(NoBrainError, match="no head was found"),
    ):
        prepared(nib.Nifti1Image(values, np.eye(4)))


def test_normalized_intensities_are_refused(head):
    values = head.image.get_fdata()
    with pytest.raises(ImageFileError, match="negative"):
        prepared(like(head, (values - values.mean()) / values.std()))


def test_array_does_not_know_its_axes(head):
    with pytest.raises(ImageFileError, match="nibabel image"):
        prepared(head.image.get_fdata())


def test_voxels_that_are_not_finite_count_as_air(head):
    values = np.array(head.image.dataobj)
    values[:2] = np.nan
    with pytest.warns(ImageWarning, match="not finite"):
        found = prepared(like(head, values))
    assert np.isfinite(found.corrected).all()


def test_mask_on_another_grid_is_refused(head):
    shifted = head.image.affine.copy()
    shifted[0, 3] += 2
    mask = nib.Nifti1Image(head.brain.astype(np.uint8), shifted)
    with pytest.raises(GridMismatchError, match="2 mm off in x"):
        prepared(head.image, brain_mask=mask)


def test_empty_mask_is_refused(head):
    with pytest.raises(MaskError, match="empty"):
        prepared(head.image, brain_mask=np.zeros(head.brain.shape))


@pytest.mark.parametrize(
    ("volumes", "words"),
    [
        ([0, 1], "three volumes"),
        ([0, 1, 2.5], "between 0 and 1"),
        ({"csf": 1, "gm": 1}, "three volumes"),
    ],
)
def test_odd_posteriors_are_refused(head, volumes, words):
    def volume(factor):
        return factor * head.brain.astype(np.float32) + (1 - head.brain) * 0.01

    if isinstance(volumes, dict):
        given = {name: volume(factor) for name, factor in volumes.items()}
    else:
        given = [volume(factor) for factor in volumes]
    with pytest.raises(MaskError, match=words):
        prepared(head.image, posteriors=given)


def test_brain_without_skull_is_its_own_mask():
    stripped = synthetic_head(skull=False, noise=0.0)
    found = prepared(stripped.image)
    assert dice(found.brain, stripped.brain) > 0.99
    assert any("skull was removed" in note for note in found.notes)


def test_large_and_small_brains_raise_a_doubt(head):
    affine = head.image.affine.copy()
    affine[:3] *= 0.75
    with pytest.warns(ImageWarning, match=r"has \d+ mL, most have 900 to 2000"):
        found = prepared(nib.Nifti1Image(head.image.get_fdata(dtype=np.float32), affine))
    assert any("most have" in note for note in found.notes)


def test_brain_of_one_tissue_raises_a_doubt(head):
    inner = head.tissues[2] > 0.9
    with pytest.warns(ImageWarning) as warned:
        prepared(head.image, brain_mask=inner, posteriors=[0.01 * inner, 0.01 * inner, inner])
    assert any("hardly any" in str(each.message) for each in warned)


def test_axes_and_types_of_storage_do_not_matter(head, tmp_path):
    values = head.image.get_fdata(dtype=np.float32)
    stored = np.round(values / values.max() * 255).astype(np.uint8)
    plain = prepared(like(head, stored * np.float32(3.0)))
    image = nib.Nifti1Image(stored, head.image.affine)
    image.header.set_slope_inter(3.0, 0.0)
    image = nib.as_closest_canonical(image)
    turn = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(image.affine),
        nib.orientations.axcodes2ornt(("L", "I", "A")),
    )
    turned = image.as_reoriented(turn)
    turned.header.set_slope_inter(3.0, 0.0)
    nib.save(turned, tmp_path / "lia.nii.gz")
    found = prepared(tmp_path / "lia.nii.gz")
    assert nib.aff2axcodes(found.image.affine) == ("R", "A", "S")
    assert np.allclose(found.image.affine, head.image.affine)
    assert np.array_equal(found.image.dataobj, plain.image.dataobj)
    assert np.array_equal(found.brain, plain.brain)
    assert np.array_equal(found.tissues, plain.tissues)


def test_missing_package_is_named(head, monkeypatch):
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(MissingPackageError, match=r'pip install "isoscan\[images\]"'):
        prepared(head.image)
