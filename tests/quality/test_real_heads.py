"""A real head with labels of FreeSurfer, from the image to the metrics."""

import warnings

import pytest
from known_truth import shared_folder

import isoscan as iso


def test_a_real_head_with_labels_of_freesurfer_is_measured():
    pytest.importorskip("SimpleITK")
    folder = shared_folder("data/images") / "t1_heads_2mm"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = iso.image_quality(
            folder / "mne_ecog_T1_conform.nii.gz",
            folder / "mne_ecog_aseg.nii.gz",
            brain_mask=folder / "mne_ecog_brainmask.nii.gz",
            register=False,
        )
    assert "labels of FreeSurfer" in found.attrs["provenance"]["tissues"]
    assert found.attrs["provenance"]["bias"] == "isoscan"
    assert found["summary_wm_median"] == pytest.approx(1000, abs=60)
    assert found["summary_csf_median"] < found["summary_gm_median"] < 850
    assert 1 < found["cnr"] < 5 and 0.2 < found["cjv"] < 1
    assert 0 < found["qi_1"] < 0.02 and found["fber"] > 1000
    missing = set(found.index[found.isna()])
    assert missing == {f"tpm_overlap_{tissue}" for tissue in ("csf", "gm", "wm")}
