"""The folder of results is a BIDS derivative: it says what it is, and where each map came from."""

import json

import nibabel as nib
import pytest
from many_sites import AFFINE, make_study

import isoscan as iso
from isoscan.volumes import apply_shard, combine_shards, gather_shard, plan_shards


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """Maps in a BIDS data set, some with sidecars; people and mask."""
    root = tmp_path_factory.mktemp("study") / "raw"
    study = make_study()
    root.mkdir()
    (root / "dataset_description.json").write_text('{"Name": "Raw", "BIDSVersion": "1.8.0"}')
    paths = {}
    for scan, path in study.write(root / "maps").items():
        folder = root / scan / "dwi"
        folder.mkdir(parents=True)
        paths[scan] = path.rename(folder / f"{scan}_space-MNI_desc-eddy_FA.nii.gz")
        sidecar = folder / f"{scan}_space-MNI_desc-eddy_FA.json"
        sidecar.write_text(json.dumps({"Units": "arbitrary", "RepetitionTime": 2}))
    nib.save(nib.Nifti1Image(study.mask, AFFINE), root / "mask.nii.gz")
    return paths, study.people, root / "mask.nii.gz"


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_folder_and_every_map_say_what_they_are(job, tmp_path):
    paths, people, mask = job
    root = mask.parent
    output = root / "derivatives" / "isoscan"
    written, model = iso.harmonize_volumes(paths, people, mask=mask, preserve="age", output=output)
    about = read(output / "dataset_description.json")
    assert about["BIDSVersion"] == "1.10.0" and about["DatasetType"] == "derivative"
    assert about["GeneratedBy"][0] | {"Version": 0} == {
        "Name": "isoscan",
        "Version": 0,
        "Description": "ComBat, preserving age",
    }
    assert about["DatasetLinks"] == {"input": "../.."}
    for (scan, _), path in zip(paths.items(), written, strict=True):
        assert path.name == f"{scan}_space-MNI_desc-harmonized_FA.nii.gz"
        assert read(path.with_name(path.name.replace(".nii.gz", ".json"))) == {
            "Description": "Harmonized across sites with ComBat, preserving age.",
            "Sources": [f"bids:input:{scan}/dwi/{scan}_space-MNI_desc-eddy_FA.nii.gz"],
            "Units": "arbitrary",
            "Harmonized": True,
            "ModelSHA256": model.hash_,
        }


def test_applying_and_shards_say_it_too(job, tmp_path):
    paths, people, mask = job
    model = iso.fit_volumes(paths, people, mask=mask)
    model.transform(paths, people, output=tmp_path / "new")
    plan_shards(paths, people, tmp_path / "shards", shards=2, mask=mask)
    for shard in (1, 2):
        gather_shard(tmp_path / "shards", paths, people, shard)
    combine_shards(tmp_path / "shards", paths, people)
    for shard in (1, 2):
        apply_shard(tmp_path / "shards", paths, people, shard)
    for folder in (tmp_path / "new", tmp_path / "shards"):
        assert read(folder / "dataset_description.json")["DatasetType"] == "derivative"
        sidecars = [read(path) for path in folder.glob("sub-*.json")]
        assert len(sidecars) == 43 == len({one["Sources"][0] for one in sidecars})
        assert all(one["Units"] == "arbitrary" and one["Harmonized"] for one in sidecars)


def test_outside_of_a_data_set_sources_are_paths(job, tmp_path):
    study = make_study()
    paths, (_, people, mask) = study.write(tmp_path / "in"), job
    iso.harmonize_volumes(paths, people, mask=mask, output=tmp_path / "out")
    sidecar = read(tmp_path / "out" / "sub-001_desc-harmonized_FA.json")
    assert sidecar["Sources"] == ["../in/sub-001_FA.nii.gz"] and "Units" not in sidecar
    assert "DatasetLinks" not in read(tmp_path / "out" / "dataset_description.json")
    images = {scan: nib.load(path) for scan, path in paths.items()}
    iso.harmonize_volumes(images, people, mask=mask, output=tmp_path / "images")
    assert "Sources" not in read(tmp_path / "images" / "sub-001_desc-harmonized.json")


def test_what_others_wrote_stays(job, tmp_path):
    paths, people, mask = job
    sidecar = tmp_path / "sub-004_space-MNI_desc-harmonized_FA.json"
    sidecar.write_text("{}")
    with pytest.raises(iso.errors.OutputExistsError, match=r"already holds .*sub-004.*\.json"):
        iso.harmonize_volumes(paths, people, mask=mask, output=tmp_path)
    assert sidecar.read_text() == "{}" and not (tmp_path / "journal.jsonl").exists()
    sidecar.unlink()
    (tmp_path / "dataset_description.json").write_text('{"Name": "Mine", "GeneratedBy": []}')
    iso.harmonize_volumes(paths, people, mask=mask, output=tmp_path)
    assert read(tmp_path / "dataset_description.json")["Name"] == "Mine"
    (tmp_path / "sub-004_space-MNI_desc-harmonized_FA.json").unlink()
    iso.harmonize_volumes(paths, people, mask=mask, output=tmp_path, resume=True)
    assert read(sidecar)["Harmonized"] is True


def test_sidecars_that_are_none_are_not_believed(job, tmp_path):
    _, people, mask = job
    paths = make_study().write(tmp_path / "in")
    for number, content in enumerate(["[1]", "{", '{"Units": 3}', "\xff"]):
        (tmp_path / "in" / f"sub-{number:03d}_FA.json").write_text(content, encoding="latin-1")
    iso.harmonize_volumes(paths, people, mask=mask, output=tmp_path / "out")
    found = [read(tmp_path / "out" / f"sub-{n:03d}_desc-harmonized_FA.json") for n in range(4)]
    assert [one.get("Units") for one in found] == [None, None, 3, None]


def test_harmonizing_twice_is_noticed(job, tmp_path):
    paths, people, mask = job
    written, _ = iso.harmonize_volumes(paths, people, mask=mask, output=tmp_path)
    with pytest.warns(iso.errors.HarmonizedBeforeWarning, match="43 maps such as sub-000_"):
        iso.harmonize_volumes(written, people, mask=mask)
