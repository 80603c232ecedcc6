"""Brain, bias field, tissues and template of a head whose truth is known."""

from __future__ import annotations

import dataclasses
import hashlib

import nibabel as nib
import numpy as np
import pytest
from synthetic_head import SIZE, dice, synthetic_head

pytest.importorskip("nilearn")
pytest.importorskip("SimpleITK")
pytest.importorskip("dipy")

from isoscan.anatomy import prepare_t1
from isoscan.anatomy.bias import log_bias_field
from isoscan.anatomy.consensus import register_brain
from isoscan.anatomy.pose import find_pose
from isoscan.anatomy.registration import Placed
from isoscan.anatomy.resampling import resample
from isoscan.anatomy.template import mni152
from isoscan.errors import ImageWarning
from isoscan.nifti.grids import Grid


@pytest.fixture(scope="module")
def head():
    return synthetic_head()


@pytest.fixture(scope="module")
def rough(head):
    return prepare_t1(head.image, register=False)


@pytest.fixture(scope="module")
def coarse():
    """Larger voxels, where registration takes less time."""
    return synthetic_head(5)


@pytest.fixture(scope="module")
def whole(coarse):
    return prepare_t1(coarse.image)


def test_rough_brain_is_the_brain(head, rough):
    assert dice(rough.brain, head.brain) > 0.94


def test_template_corrects_the_rough_brain(coarse, whole):
    rough = prepare_t1(coarse.image, register=False)
    assert dice(whole.brain, coarse.brain) > max(0.97, dice(rough.brain, coarse.brain))


def test_bias_field_is_found(head, rough):
    found = np.log(rough.bias[head.brain])
    assert np.corrcoef(found, head.log_bias[head.brain])[0, 1] > 0.9
    values = np.asarray(rough.image.dataobj)
    assert np.allclose(rough.corrected * rough.bias, values, rtol=1e-5)


def test_tissues_are_those_of_the_truth(coarse, whole):
    found = _overlaps(whole.tissues, coarse.tissues)
    assert min(found[1:]) > 0.9 and found[0] > 0.5


def test_posteriors_sum_to_one_in_the_brain_and_to_nothing_outside(whole):
    sums = whole.tissues.sum(axis=0)
    assert np.allclose(sums[whole.brain], 1, atol=1e-5)
    assert not sums[~whole.brain].any()


def test_template_comes_to_the_head(coarse, whole):
    expected = np.diag([1 / SIZE] * 3 + [1])
    corners = np.array([[60.0, -80, 60, 1], [-60, 60, -40, 1], [0, 0, 0, 1]])
    assert np.abs((corners @ (whole.to_template - expected).T)[:, :3]).max() < 2.0
    assert min(_overlaps(whole.template_tissues, coarse.tissues)[1:]) > 0.8


def test_maps_of_the_head_come_to_the_template(coarse, whole):
    template = mni152(5 * SIZE)
    own = Grid(coarse.brain.shape, coarse.image.affine)
    carried = whole.warp.to_template(Placed(coarse.tissues[2], own), template.grid)
    assert dice(carried > 0.5, template.tissues[2] > 0.5) > 0.8


def test_second_run_gives_the_same_bytes(coarse, whole):
    assert _digest(prepare_t1(coarse.image)) == _digest(whole)


def test_number_of_threads_does_not_matter(coarse):
    process = pytest.importorskip("SimpleITK").ProcessObject
    before, fields = process.GetGlobalDefaultNumberOfThreads(), []
    for threads in (1, 3):
        process.SetGlobalDefaultNumberOfThreads(threads)
        fields.append(log_bias_field(np.asarray(coarse.image.dataobj), coarse.brain, 5 * SIZE))
        assert process.GetGlobalDefaultNumberOfThreads() == threads
    process.SetGlobalDefaultNumberOfThreads(before)
    assert np.array_equal(*fields)


def _overlaps(found, truth):
    return [dice(one > 0.5, other > 0.5) for one, other in zip(found, truth, strict=True)]


def _digest(anatomy):
    arrays = (getattr(anatomy, field.name) for field in dataclasses.fields(anatomy)[1:-2])
    digest = hashlib.sha256()
    for array in (np.asarray(anatomy.image.dataobj), *arrays):
        digest.update(array.tobytes())
    return digest.hexdigest(), anatomy.notes


def test_nothing_of_the_template_without_registration(rough):
    assert rough.template_tissues is None
    assert rough.to_template is None
    assert rough.warp is None


def test_given_mask_stays_as_it_is(coarse):
    mask = coarse.brain.copy()
    mask[:20] = False
    found = prepare_t1(coarse.image, brain_mask=mask, register=False)
    assert np.array_equal(found.brain, mask)
    assert "brain: given" in found.notes


def test_given_posteriors_stay_as_they_are(coarse):
    given = dict(zip(("wm", "gm", "csf"), coarse.tissues[::-1], strict=True))
    found = prepare_t1(coarse.image, posteriors=given, register=False)
    assert np.allclose(found.tissues, coarse.tissues, atol=1e-6)
    assert dice(found.brain, coarse.brain) > 0.999
    assert any(note.startswith("tissues: given") for note in found.notes)


def test_image_is_not_changed_and_stages_are_told(coarse):
    before, told = coarse.image.get_fdata(), []
    prepare_t1(
        coarse.image,
        brain_mask=coarse.brain,
        register=False,
        progress=lambda *words: told.append(words),
    )
    assert np.array_equal(coarse.image.get_fdata(), before)
    assert [stage for stage, _, _ in told] == [
        "brain",
        "registration",
        "bias field",
        "tissues",
        "done",
    ]
    assert told[-1][1] == told[-1][2]


def test_wrong_axes_are_noticed_by_what_the_brain_looks_like(coarse):
    turned = coarse.image.get_fdata(dtype=np.float32)[:, :, ::-1].swapaxes(1, 2)
    brain = coarse.brain[:, :, ::-1].swapaxes(1, 2)
    upside_down = nib.Nifti1Image(np.ascontiguousarray(turned), coarse.image.affine)
    with pytest.warns(ImageWarning, match=r"if its axes are RIA .* than if they are RAS"):
        found = prepare_t1(upside_down, brain_mask=brain)
    assert any("axes are RIA" in note for note in found.notes)


def test_tilt_of_a_head_is_found(coarse):
    tilt = np.eye(4)
    tilt[1:3, 1:3] = [[np.cos(0.5), -np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]]
    grid = Grid(coarse.brain.shape, coarse.image.affine)
    brain = resample(coarse.brain.astype(np.float32), grid, grid, tilt) > 0.5
    values = resample(np.asarray(coarse.image.dataobj), grid, grid, tilt) * brain
    template = mni152(5 * SIZE)
    pose = find_pose(Placed(template.t1, template.grid), Placed(values, grid), brain)
    assert pose.correlation > 0.95 and not pose.doubtful
    turned = pose.to_template[:3, :3] @ np.linalg.inv(tilt[:3, :3])
    cosine = (np.trace(turned) / np.cbrt(np.linalg.det(turned)) - 1) / 2
    assert np.degrees(np.arccos(min(cosine, 1))) < 10


def test_another_engine_can_register(coarse):
    class Straight:
        def affine(self, template, head, start):
            return start

        def warp(self, template, head, to_template):
            return AffineOnly(to_template)

    class AffineOnly:
        def __init__(self, to_template):
            self.to_template_ = to_template

        def to_head(self, template, grid):
            return resample(template.values, template.grid, grid, self.to_template_)

    template = mni152(5 * SIZE)
    grid = Grid(coarse.brain.shape, coarse.image.affine)
    values = np.asarray(coarse.image.dataobj)
    found = register_brain(Placed(values, grid), coarse.brain, template, 5 * SIZE, Straight())
    assert found.overlap > 0.95 and found.correlation > 0.8
