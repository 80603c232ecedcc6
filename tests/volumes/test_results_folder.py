"""Results are complete or not there; a stopped run can be taken up; two runs do not mix."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from many_sites import AFFINE, hashes, write_image

import isoscan as iso
from isoscan.nifti.sources import as_source
from isoscan.volumes.journal import Journal, only_run_in
from isoscan.volumes.outputs import output_names


def harmonize(study, folder, **options):
    output = folder / "out"
    if not (folder / "in").exists():
        study.write(folder / "in")
    paths = {scan: folder / "in" / f"{scan}_FA.nii.gz" for scan in study.arrays}
    mask = nib.Nifti1Image(study.mask, AFFINE)
    return iso.harmonize_volumes(paths, study.people, mask=mask, output=output, **options)


def test_results_are_named_and_complete(study, tmp_path):
    paths, model = harmonize(study, tmp_path)
    assert paths[0] == tmp_path / "out" / "sub-000_desc-harmonized_FA.nii.gz"
    names = set(hashes(tmp_path / "out"))
    assert {"journal.jsonl", "mask.nii.gz", "model.isoscan"} <= names
    assert {"effects/site-MUC_shift.nii.gz", "effects/site_f_after.nii.gz"} <= names
    assert not any(Path(name).name.startswith(".") for name in names)
    assert iso.VolumeModel.load(tmp_path / "out" / "model.isoscan").hash_ == model.hash_
    image = nib.load(paths[0])
    assert image.get_data_dtype() == np.float32 and image.header["sform_code"] == 4
    mask = nib.load(tmp_path / "out" / "mask.nii.gz").get_fdata()
    np.testing.assert_array_equal(mask, study.mask)


def test_the_same_job_gives_the_same_bytes(study, tmp_path):
    harmonize(study, tmp_path)
    first = hashes(tmp_path / "out")
    harmonize(study, tmp_path, overwrite=True)
    assert hashes(tmp_path / "out") == first


def test_results_that_exist_are_not_replaced(study, tmp_path):
    harmonize(study, tmp_path)
    before = hashes(tmp_path / "out")
    with pytest.raises(iso.errors.OutputExistsError, match=r"holds results already.*--resume"):
        harmonize(study, tmp_path)
    with pytest.raises(iso.errors.OutputExistsError, match="other maps, covariates, options"):
        harmonize(study, tmp_path, resume=True, preserve="age")
    assert hashes(tmp_path / "out") == before
    (tmp_path / "out" / "journal.jsonl").unlink()
    with pytest.raises(iso.errors.OutputExistsError, match="85 more"):
        harmonize(study, tmp_path)
    with pytest.raises(iso.errors.OutputExistsError, match="85 more"):
        harmonize(study, tmp_path, resume=True)  # nothing says that these are of a stopped run


@pytest.mark.parametrize("name", ["out", "out.zarr"])
def test_a_run_that_was_refused_is_in_nobodys_way(study, tmp_path, name):
    if name.endswith(".zarr"):
        pytest.importorskip("zarr")
    people = study.people.assign(arm=np.where(study.people.site == "KCL", "a", "b"))
    paths = study.write(tmp_path / "in")
    asked = {"mask": nib.Nifti1Image(study.mask, AFFINE), "output": tmp_path / name}
    with pytest.raises(iso.errors.ConfoundedDesignError):
        iso.harmonize_volumes(paths, people, preserve="C(arm)", **asked)
    iso.harmonize_volumes(paths, people, preserve="age", **asked)


def test_results_changed_by_others_are_made_again(study, tmp_path):
    paths, _ = harmonize(study, tmp_path)
    before = hashes(tmp_path / "out")
    paths[3].write_bytes(b"damaged")
    paths[5].unlink()
    harmonize(study, tmp_path, resume=True)
    after = hashes(tmp_path / "out")
    assert {name for name in after if name != "journal.jsonl"} == {
        name for name in before if name != "journal.jsonl"
    }
    assert all(after[name] == before[name] for name in after if name != "journal.jsonl")


@pytest.mark.filterwarnings("ignore::isoscan.errors.HarmonizedBeforeWarning")
def test_inputs_are_never_replaced(study, tmp_path):
    folder = tmp_path / "in"
    paths = study.write(folder)
    named = {
        scan: path.rename(folder / path.name.replace("_FA", "_desc-harmonized"))
        for scan, path in paths.items()
    }
    before = hashes(folder)
    mask = nib.Nifti1Image(study.mask, AFFINE)
    twin = folder / "sub-000.nii.gz"
    twin.write_bytes(named["sub-000"].read_bytes())
    with pytest.raises(iso.errors.OutputExistsError, match="one of the maps that are read"):
        iso.harmonize_volumes(
            {**named, "sub-001": named["sub-000"], "sub-000": twin},
            study.people,
            mask=mask,
            output=folder,
            overwrite=True,
        )
    assert all(hashes(folder)[name] == value for name, value in before.items())


def test_two_runs_into_one_folder_are_refused(study, tmp_path):
    with (
        only_run_in(tmp_path / "out"),
        pytest.raises(iso.errors.FolderInUseError, match=r"process \d+ on"),
    ):
        harmonize(study, tmp_path)
    harmonize(study, tmp_path)


def test_maps_of_one_name_are_named_after_their_scans(study, tmp_path):
    paths = {}
    for scan, path in study.write(tmp_path / "in").items():
        (tmp_path / "in" / scan).mkdir()
        paths[scan] = path.rename(tmp_path / "in" / scan / "FA.nii.gz")
    mask = nib.Nifti1Image(study.mask, AFFINE)
    found, _ = iso.harmonize_volumes(paths, study.people, mask=mask, output=tmp_path / "out")
    assert found[1].name == "sub-001_desc-harmonized_FA.nii.gz"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["sub-1_FA.nii.gz"], ["sub-1_desc-harmonized_FA.nii.gz"]),
        (["sub-1_space-MNI_desc-eddy_FA.nii"], ["sub-1_space-MNI_desc-harmonized_FA.nii"]),
        (["FA.nii.gz", "MD.nii.gz"], ["FA_desc-harmonized.nii.gz", "MD_desc-harmonized.nii.gz"]),
        (["a/FA.nii", "b/FA.nii"], [f"sub-1_ses-{n}_desc-harmonized_FA.nii.gz" for n in (1, 2)]),
        (["a/1.2.nii", "b/1.2.nii"], [f"sub-1_ses-{n}_desc-harmonized.nii.gz" for n in (1, 2)]),
    ],
)
def test_names_follow_bids(tmp_path, names, expected):
    paths = [tmp_path / name for name in names]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        write_image(path, np.ones((3, 3, 3), dtype="f4"))
    scans = pd.Index([f"sub-1_ses-{n + 1}" for n in range(len(paths))])
    sources = [as_source(path, "map") for path in paths]
    assert output_names(sources, pd.DataFrame(index=scans)) == expected


def test_arrays_without_an_affine_are_not_written(study, tmp_path):
    with pytest.raises(iso.errors.DataError, match="do not know where their voxels lie"):
        iso.harmonize_volumes(study.arrays, study.people, mask=study.mask, output=tmp_path / "o")
    mask = nib.Nifti1Image(study.mask, AFFINE)
    found, _ = iso.harmonize_volumes(study.arrays, study.people, mask=mask, output=tmp_path / "p")
    np.testing.assert_allclose(nib.load(found[0]).affine, AFFINE)


def test_a_full_disk_is_foreseen(study, tmp_path, monkeypatch):
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(1, 1, 1000))
    with pytest.raises(iso.errors.OutOfSpaceError, match=r"43 maps need up to .* are free"):
        harmonize(study, tmp_path)
    assert not [*(tmp_path / "out").glob("*.nii.gz")]


def test_a_disk_that_fills_leaves_no_stump(study, tmp_path, monkeypatch):
    journal = Journal(tmp_path, "run", resume=False, overwrite=False)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(iso.errors.OutOfSpaceError, match="make room and take the run up"):
        journal.write("map.nii.gz", b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["journal.jsonl"]


def test_a_line_cut_off_in_the_journal_is_dropped(tmp_path):
    journal = Journal(tmp_path, "run", resume=False, overwrite=False)
    for name in ("a", "b"):
        journal.write(name, name.encode())
        journal.note(name, name.encode())
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole[:-20])
    again = Journal(tmp_path, "run", resume=True, overwrite=False)
    assert again.is_done("a") and not again.is_done("b")
    again.note("b", b"b")
    assert journal.path.read_bytes() == whole
    assert next(map(json.loads, whole.splitlines())) == {"run": "run"}


def test_a_model_is_applied_into_a_folder_and_taken_up(study, tmp_path):
    _, model = harmonize(study, tmp_path)
    paths = {scan: tmp_path / "in" / f"{scan}_FA.nii.gz" for scan in study.arrays}
    found = model.transform(paths, study.people, output=tmp_path / "again")
    for path in found:
        assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes()
    found[2].unlink()
    model.transform(paths, study.people, output=tmp_path / "again", resume=True)
    assert found[2].exists()
    with pytest.raises(iso.errors.OutputExistsError):
        model.transform(paths, study.people, output=tmp_path / "again")
