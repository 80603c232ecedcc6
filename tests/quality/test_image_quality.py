"""What is given is used and said so; what is wrong is said in one sentence."""

import warnings

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import binary_erosion
from simulated_heads import AFFINE, SHAPE, image, simulate_head

import isoscan as iso
from isoscan.errors import (
    DataError,
    GridMismatchError,
    ImageFileError,
    MaskError,
    MissingFileError,
    MissingValuesWarning,
)
from isoscan.quality.air import find_hat
from isoscan.quality.definitions import METRICS, get_definition
from isoscan.quality.missing import AIR_METRICS

HEAD = simulate_head(5)


def measured(**options):
    return iso.image_quality(HEAD.t1, **HEAD.given(), **{"register": False} | options)


def test_all_metrics_come_with_definition_and_provenance():
    found = measured()
    assert found.index.tolist() == [*METRICS] and len(found) == 68
    assert found.attrs["definition"] == "corrected"
    assert found.attrs["software"].startswith("isoscan ")
    told = found.attrs["provenance"]
    assert told["tissues"] == told["brain"] == told["bias"] == "given"
    assert told["head"] == "isoscan" and told["template_tissues"] == "none"
    assert found.drop([f"tpm_overlap_{one}" for one in ("csf", "gm", "wm")]).notna().all()


def test_files_are_named_in_the_provenance(tmp_path):
    nib.save(HEAD.t1, tmp_path / "sub-01_T1w.nii.gz")
    nib.save(HEAD.brain, tmp_path / "sub-01_mask.nii.gz")
    options = HEAD.given(brain_mask=tmp_path / "sub-01_mask.nii.gz")
    found = iso.image_quality(tmp_path / "sub-01_T1w.nii.gz", **options, register=False)
    assert found.name == "sub-01_T1w"
    assert found.attrs["provenance"]["brain"] == "given: sub-01_mask.nii.gz"


def test_template_tissues_give_overlaps():
    found = measured(template_tissues=HEAD.tissues)
    assert found[[f"tpm_overlap_{one}" for one in ("csf", "gm", "wm")]].tolist() == [1, 1, 1]


def test_given_masks_are_taken():
    hat = np.zeros(SHAPE, dtype=np.uint8)
    hat[1:7, 1:11] = 1
    artifacts = np.zeros_like(hat)
    artifacts[1:7, 1:3] = 1
    found = measured(hat=hat, artifacts=artifacts, frame=image(np.zeros(SHAPE)))
    assert found["summary_bg_n"] == (hat - artifacts).sum()
    assert found["qi_1"] == pytest.approx(0.2)


def test_corrected_image_tells_the_bias_field():
    first = measured()
    corrected = HEAD.t1.get_fdata() / HEAD.bias.get_fdata()
    given = HEAD.given(bias=None, corrected=corrected.astype(np.float32) * 3)
    second = iso.image_quality(HEAD.t1, **given, register=False)
    bias = ["inu_range", "inu_med"]
    pd.testing.assert_series_equal(
        first.drop(bias), second.drop(bias), rtol=1e-3, check_names=False
    )
    np.testing.assert_allclose(second[bias] * 3, first[bias], rtol=1e-3)


FREESURFER = {1: 24, 2: 1012, 3: 41}


@pytest.mark.parametrize("kind", ["fMRIPrep", "FAST", "FreeSurfer"])
def test_labels_of_several_programs_mean_the_same(kind):
    numbers = {"fMRIPrep": {1: 3, 2: 1, 3: 2}, "FAST": {1: 1, 2: 2, 3: 3}, "FreeSurfer": FREESURFER}
    labels = np.zeros(SHAPE)
    for own, number in numbers[kind].items():
        labels[HEAD.labels == own] = number
    found = iso.image_quality(HEAD.t1, image(labels), bias=HEAD.bias, register=False)
    for number, name in enumerate(("csf", "gm", "wm"), start=1):
        assert found[f"summary_{name}_n"] == (HEAD.labels == number).sum()
    assert kind in found.attrs["provenance"]["tissues"]


def test_labels_of_freesurfer_are_brought_from_their_own_grid(tmp_path):
    shift = np.eye(4)
    shift[:3, 3] = 6
    labels = np.zeros((90, 90, 90), dtype=np.int32)
    for own, number in FREESURFER.items():
        labels[6 : 6 + SHAPE[0], 6 : 6 + SHAPE[1], 6 : 6 + SHAPE[2]][HEAD.labels == own] = number
    path = tmp_path / "aseg.mgz"
    nib.save(nib.MGHImage(labels, AFFINE @ np.linalg.inv(shift)), path)
    found = iso.image_quality(HEAD.t1, path, bias=HEAD.bias, register=False)
    assert found["summary_gm_n"] == pytest.approx((HEAD.labels == 2).sum(), rel=0.01)
    assert "aseg.mgz, labels of FreeSurfer" in found.attrs["provenance"]["tissues"]


def without_air(values):
    values = values.copy()
    values[HEAD.labels == 0] = 0
    return values


def test_an_image_without_air_lacks_the_metrics_of_air():
    stripped = image(without_air(HEAD.t1.get_fdata()))
    with pytest.warns(MissingValuesWarning, match="no noise around the head.*'cnr', 'efc', 'fber'"):
        found = iso.image_quality(stripped, **HEAD.given(), register=False)
    assert found[[*AIR_METRICS]].isna().all()
    assert found[["cjv", "snr_wm", "fwhm_avg", "icvs_gm", "summary_wm_median"]].notna().all()
    with pytest.warns(MissingValuesWarning, match="Without meaning"):
        old = iso.image_quality(stripped, **HEAD.given(), definition="mriqc-24", register=False)
    assert old["fber"] == old["snrd_gm"] == -1 and old["qi_2"] == 0


@pytest.mark.parametrize("definition", ["corrected", "mriqc-24", "mriqc-0.15"])
def test_a_frame_around_a_rotated_image_is_not_taken_for_missing_noise(definition):
    inside = np.zeros(SHAPE, dtype=bool)
    inside[3:-3, 3:-3, 3:-3] = True
    inside |= HEAD.head.get_fdata() > 0
    t1 = image(np.where(inside, HEAD.t1.get_fdata(), 0))
    found = iso.image_quality(t1, **HEAD.given(), definition=definition, register=False)
    assert found["snrd_wm"] > 0


def test_a_rim_left_around_the_head_is_no_air():
    inside = HEAD.head.get_fdata() > 0
    given = HEAD.given(head=image(binary_erosion(inside)))
    with pytest.warns(MissingValuesWarning, match="no noise around the head"):
        found = iso.image_quality(
            image(np.where(inside, HEAD.t1.get_fdata(), 0)), **given, register=False
        )
    assert found[[*AIR_METRICS]].isna().all()


def test_a_tissue_that_nothing_holds_is_named():
    tissues = [image(np.zeros(SHAPE)), *HEAD.tissues[1:]]
    options = HEAD.given(posteriors=tissues)
    with pytest.raises(MaskError, match="csf"):
        iso.image_quality(HEAD.t1, **options, register=False)
    labels = np.array([0, 0, 1012, 41])[HEAD.labels]
    with pytest.warns(MissingValuesWarning, match="no voxel holds csf"):
        found = iso.image_quality(HEAD.t1, image(labels), bias=HEAD.bias, register=False)
    assert found[["snr_csf", "snr_total", "summary_csf_median"]].isna().all()
    assert found[["snr_wm", "cnr", "cjv"]].notna().all()


def test_air_is_cut_between_brows_and_back_of_the_head():
    head, none = np.zeros((60, 60, 60), dtype=bool), np.zeros((60, 60, 60), dtype=bool)
    affine = np.diag([4.0, 4, 4, 1])
    affine[:3, 3] = -120, -120, -80
    chosen = get_definition("corrected")
    hat = find_hat(head, none, ~head, affine, np.eye(4), chosen)
    assert not hat[:, :, :16].any() and hat[:, :, 16:].all()
    tilted = np.eye(4)
    tilted[2, 1] = 0.2  # the back of the head is lower in the image
    hat = find_hat(head, none, ~head, affine, np.linalg.inv(tilted), chosen)
    assert not hat[:, :30, 9].any() and hat[:, :30, 10].all()
    assert not hat[:, 30:, 20].any() and hat[:, 30:, 21].all()
    above = affine.copy()
    above[2, 3] = 100  # the volume begins above the brows
    assert find_hat(head, none, ~head, above, np.eye(4), chosen).all()


FAULTS = {
    "4-D": (lambda: {"t1": np.ones((*SHAPE, 2))}, GridMismatchError, "4 axes"),
    "grid": (
        lambda: {"brain_mask": nib.Nifti1Image(np.ones((42, 48, 45), "u1"), AFFINE)},
        GridMismatchError,
        "does not lie on the grid of .*42×48×46.*shape 42×48×45",
    ),
    "shifted": (
        lambda: {"bias": nib.Nifti1Image(np.ones(SHAPE, "f4"), AFFINE + 0.5 * np.eye(4, k=3))},
        GridMismatchError,
        "0.5 mm off",
    ),
    "empty": (lambda: {"brain_mask": image(np.zeros(SHAPE))}, MaskError, "brain mask.* is empty"),
    "constant": (lambda: {"t1": image(np.ones(SHAPE))}, DataError, "every voxel is 1"),
    "percent": (
        lambda: {"posteriors": [image(100 * one.get_fdata()) for one in HEAD.tissues]},
        MaskError,
        "between 0 and 1",
    ),
    "two": (lambda: {"posteriors": HEAD.tissues[:2]}, MaskError, "three volumes"),
    "definition": (lambda: {"definition": "mriqc-99"}, DataError, "'corrected', 'mriqc-24'"),
    "labels": (
        lambda: {"posteriors": None, "segmentation": image(HEAD.labels * 77777 % 60000)},
        MaskError,
        "labels that FreeSurfer",
    ),
    "fractions": (
        lambda: {"posteriors": None, "segmentation": HEAD.tissues[0]},
        MaskError,
        "no labels.*posteriors",
    ),
    "order": (
        lambda: {"posteriors": None, "segmentation": image((3, 2, 1)[0] - HEAD.labels)},
        MaskError,
        "median intensities",
    ),
    "no file": (lambda: {"t1": "nowhere.nii.gz"}, MissingFileError, "no file"),
    "no mgz": (lambda: {"brain_mask": "nowhere.mgz"}, MissingFileError, "no file"),
    "white": (
        lambda: {"posteriors": [HEAD.tissues[0], HEAD.tissues[1], image(0.1 * HEAD.labels)]},
        MaskError,
        "no white matter",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_said_in_one_sentence(fault):
    change, error, sentence = FAULTS[fault]
    options = HEAD.given() | {"register": False, "t1": HEAD.t1} | change()
    with pytest.raises(error, match=sentence), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an array does not know its voxel sizes
        iso.image_quality(options.pop("t1"), **options)


def test_a_damaged_file_of_freesurfer_is_named(tmp_path):
    path = tmp_path / "aseg.mgz"
    path.write_bytes(b"nothing")
    with pytest.raises(ImageFileError, match=r"aseg.mgz cannot be read"):
        iso.image_quality(HEAD.t1, path, bias=HEAD.bias, register=False)
