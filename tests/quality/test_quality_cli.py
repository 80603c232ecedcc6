"""Images of a study, measured on the command line: one file each, and no image lost."""

import json
import shutil
import warnings

import nibabel as nib
import numpy as np
import pytest
from simulated_heads import image, simulate_head

from isoscan.anatomy import Anatomy
from isoscan.cli.main import main
from isoscan.errors import DuplicateIdsError, MissingFileError
from isoscan.quality.cohort import StudyImage, find_companions, find_images
from isoscan.tables import read_mriqc

HEAD = simulate_head(7)


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Three images of two people, one of them in two sessions; anatomy is known, not searched."""

    def known(t1, **_):
        head = nib.load(t1)
        tissues = np.stack([one.get_fdata(dtype=np.float32) for one in HEAD.tissues])
        bias = HEAD.bias.get_fdata(dtype=np.float32)
        values = head.get_fdata(dtype=np.float32)
        brain = HEAD.labels > 0
        return Anatomy(head, brain, values / bias, bias, tissues, None, None, ["brain: known"])

    monkeypatch.setattr("isoscan.quality.prepare.prepare_t1", known)
    folder = tmp_path / "study"
    for number, name in enumerate(("sub-01", "sub-02_ses-1", "sub-02_ses-2")):
        anat = folder.joinpath(*name.split("_"), "anat")
        anat.mkdir(parents=True)
        nib.save(simulate_head(number).t1, anat / f"{name}_T1w.nii.gz")
    sidecar = {"Manufacturer": "Siemens", "PatientName": "hidden", "MagneticFieldStrength": 3}
    (folder / "sub-01" / "anat" / "sub-01_T1w.json").write_text(json.dumps(sidecar))
    return folder


@pytest.fixture
def quality(capsys):
    def run(*words, code=0):
        got = 0
        with warnings.catch_warnings():
            try:
                main(["quality", *map(str, words)])
            except SystemExit as stop:
                got = stop.code
        said = capsys.readouterr()
        assert got == code, said
        return said

    return run


def test_a_study_gives_one_file_per_image_and_a_table(quality, study, tmp_path):
    out = tmp_path / "out"
    said = quality(study, "-o", out, "--no-register", "--figures")
    assert "3 of 3 images measured" in said.out
    frame = read_mriqc(out)
    assert frame.index.tolist() == ["sub-01_T1w", "sub-02_ses-1_T1w", "sub-02_ses-2_T1w"]
    assert frame.attrs["definition"] == "corrected"
    assert frame["session"].tolist()[1:] == ["1", "2"]
    np.testing.assert_array_equal(frame["snr_wm"], read_mriqc(out / "group_T1w.tsv")["snr_wm"])
    content = json.loads((out / "sub-01" / "anat" / "sub-01_T1w.json").read_text())
    meta = {"subject_id": "01", "modality": "T1w", "Manufacturer": "Siemens"}
    assert content["bids_meta"] == meta | {"MagneticFieldStrength": 3}
    assert content["provenance"]["notes"] == ["brain: known"]
    assert (out / "figures" / "sub-02_ses-1_T1w.png").read_bytes().startswith(b"\x89PNG")


def test_a_broken_image_is_named_and_the_others_go_on(quality, study, tmp_path):
    broken = study / "sub-02" / "ses-1" / "anat" / "sub-02_ses-1_T1w.nii.gz"
    broken.write_bytes(broken.read_bytes()[:20_000])
    out = tmp_path / "out"
    said = quality(study, "-o", out, "--no-register", code=1)
    assert "2 of 3 images measured" in said.out
    assert "sub-02_ses-1_T1w.nii.gz: truncated" in said.err
    assert "1 image could not be measured" in said.err
    assert read_mriqc(out / "group_T1w.tsv").index.tolist() == ["sub-01_T1w", "sub-02_ses-2_T1w"]
    failed = json.loads((out / "group_T1w.json").read_text())["failed"]
    assert [*failed] == ["sub-02_ses-1_T1w"]


def test_an_error_of_another_kind_does_not_end_the_run(quality, study, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError("odd")

    monkeypatch.setattr("isoscan.quality.job.measure_prepared", fail)
    said = quality(study, "-o", tmp_path / "out", "--no-register", code=1)
    assert said.err.count("ZeroDivisionError: odd") == 3
    assert not (tmp_path / "out" / "group_T1w.tsv").exists()


def test_a_stopped_run_goes_on_where_it_was(quality, study, tmp_path):
    out = tmp_path / "out"
    quality(study, "-o", out, "--no-register")
    kept = out / "sub-01" / "anat" / "sub-01_T1w.json"
    lost = out / "sub-02" / "ses-2" / "anat" / "sub-02_ses-2_T1w.json"
    before, again = kept.stat().st_mtime_ns, lost.read_text()
    lost.unlink()
    assert "holds results already" in quality(study, "-o", out, "--no-register", code=1).err
    assert "3 of 3" in quality(study, "-o", out, "--no-register", "--resume").out
    assert kept.stat().st_mtime_ns == before
    assert lost.read_text() == again


def test_results_of_other_images_or_options_are_not_taken_for_these(quality, study, tmp_path):
    out, words = tmp_path / "out", ("--no-register", "--resume")
    quality(study, "-o", out, "--no-register")
    said = quality(study, "-o", out, *words, "--definition", "mriqc-24", code=1)
    assert "3 images from other files, settings" in said.err
    shutil.copy(
        study / "sub-02" / "ses-1" / "anat" / "sub-02_ses-1_T1w.nii.gz",
        study / "sub-01" / "anat" / "sub-01_T1w.nii.gz",
    )
    assert "1 image from other files" in quality(study, "-o", out, *words, code=1).err
    quality(study, "-o", out, *words, "--overwrite")
    frame = read_mriqc(out)
    assert frame.loc["sub-01_T1w", "snr_wm"] == frame.loc["sub-02_ses-1_T1w", "snr_wm"]


def test_one_image_outside_a_study_is_measured(quality, study, tmp_path):
    lone = tmp_path / "head.nii"
    nib.save(simulate_head(0).t1, lone)
    said = quality(lone, "-o", tmp_path / "out", "--no-register", "--definition", "mriqc-24")
    assert "1 of 1 image measured" in said.out
    table = read_mriqc(tmp_path / "out" / "group_T1w.tsv")
    assert table.index.tolist() == ["head"] and table["qi_1"].isna().all()
    assert (tmp_path / "out" / "head.json").exists()
    kept = tmp_path / "kept"
    quality(lone, "-o", kept, "--no-register", "--definition", "mriqc-24", "--keep-sentinels")
    assert read_mriqc(kept / "group_T1w.tsv")["qi_1"].tolist() == [0.0]


def test_masks_of_other_programs_are_found(tmp_path):
    folder = tmp_path / "derivatives"
    first = StudyImage(tmp_path / "a.nii", "sub-01_ses-2_run-1_T1w", tmp_path / "sub-01")
    with pytest.raises(MissingFileError, match=r"neither masks of fMRIPrep.*sub-01_ses-2_run-1"):
        find_companions(first, str(folder))
    labels = folder / "sub-01_ses-2" / "mri" / "aseg.mgz"
    labels.parent.mkdir(parents=True)
    labels.touch()
    assert find_companions(first, str(folder)) == {"segmentation": labels}
    anat = folder / "sub-01" / "anat"
    anat.mkdir(parents=True)
    names = ["desc-brain_mask", *(f"label-{one}_probseg" for one in ("CSF", "GM", "WM"))]
    for name in names:
        (anat / f"sub-01_ses-2_run-1_{name}.nii.gz").touch()
    found = find_companions(first, str(folder))
    assert found["brain_mask"].name == "sub-01_ses-2_run-1_desc-brain_mask.nii.gz"
    assert [path.name.split("_")[-2] for path in found["posteriors"]] == [
        "label-CSF",
        "label-GM",
        "label-WM",
    ]
    pattern = str(anat / "{subject}_{session}_run-1_desc-brain_mask.nii.gz")
    assert find_companions(first, pattern) == {"brain_mask": found["brain_mask"]}
    with pytest.raises(MissingFileError, match="no brain mask"):
        find_companions(first, str(anat / "{name}_mask.nii.gz"))


def test_masks_are_used_and_an_image_without_them_is_named(quality, study, tmp_path):
    masks = tmp_path / "masks"
    masks.mkdir()
    for name in ("sub-01_T1w", "sub-02_ses-2_T1w"):
        nib.save(image(HEAD.labels > 0), masks / f"{name}_mask.nii.gz")
    out = tmp_path / "out"
    words = "-o", out, "--masks", str(masks / "{name}_mask.nii.gz"), "--no-register"
    said = quality(study, *words, code=1)
    assert "there is no brain mask" in said.err and "2 of 3 images" in said.out
    content = json.loads((out / "sub-01" / "anat" / "sub-01_T1w.json").read_text())
    assert content["provenance"]["inputs"]["brain"] == "given: sub-01_T1w_mask.nii.gz"


def test_a_folder_without_images_and_equal_names_are_refused(study, tmp_path):
    with pytest.raises(MissingFileError, match="no T1-weighted image"):
        find_images([tmp_path / "study" / "sub-01"])
    copy = tmp_path / "sub-01_T1w.nii"
    copy.touch()
    with pytest.raises(DuplicateIdsError, match="sub-01_T1w"):
        find_images([study, copy])


def test_processes_give_the_same_numbers(tmp_path):
    """In processes of their own, with nothing replaced."""
    pytest.importorskip("SimpleITK")
    from isoscan.quality.job import Settings, measure_images

    folder = tmp_path / "study"
    for name in ("sub-01", "sub-02"):
        (folder / name / "anat").mkdir(parents=True)
        nib.save(HEAD.t1, folder / name / "anat" / f"{name}_T1w.nii.gz")
    for part, values in zip(("CSF", "GM", "WM"), HEAD.tissues, strict=True):
        nib.save(values, folder / f"sub-01_label-{part}_probseg.nii.gz")
        nib.save(values, folder / f"sub-02_label-{part}_probseg.nii.gz")
    for name in ("sub-01", "sub-02"):
        nib.save(HEAD.brain, folder / f"{name}_desc-brain_mask.nii.gz")
    settings = Settings(register=False, masks=str(folder))
    outcome = measure_images(find_images([folder]), tmp_path / "out", settings, n_jobs=2)
    assert not outcome.failed
    first, second = outcome.table.to_numpy()
    np.testing.assert_array_equal(first, second)
    assert any("mL" in words for words in outcome.warned["sub-01_T1w"])
