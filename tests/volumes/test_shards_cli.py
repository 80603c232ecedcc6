"""Shards from the command line: the files that one command leaves, the next one takes up."""

import nibabel as nib
import pytest
from many_sites import AFFINE, make_study

from isoscan.cli.main import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write maps, mask and the table that lists them."""
    folder = tmp_path_factory.mktemp("study")
    study = make_study({"KCL": 30, "OSL": 22}, seed=5)
    paths = study.write(folder / "fa")
    nib.save(nib.Nifti1Image(study.mask, AFFINE), folder / "mask.nii.gz")
    table = study.people.assign(path=[f"fa/{path.name}" for path in paths.values()])
    table.to_csv(folder / "maps.tsv", sep="\t", index_label="participant_id")
    return folder


def run(*words):
    try:
        main([str(word) for word in ("volumes", *words)])
    except SystemExit as stop:
        return stop.code
    return 0


def test_commands_hand_on_files_and_end_like_one_run(folder, tmp_path, capsys):
    asked = folder / "maps.tsv", "--preserve", "age", "--mask", folder / "mask.nii.gz"
    assert run("harmonize", *asked, "--no-figures", "-o", tmp_path / "one") == 0
    many = tmp_path / "many"
    assert run("plan", *asked, "--shards", 3, "-o", many) == 0
    assert "52 maps, 392 voxels, 3 shards" in capsys.readouterr().out
    assert run("combine", many) == 1
    assert "3 of 3 shards have no moments yet: 1, 2, 3" in capsys.readouterr().err
    for shard in (2, 1, 3):
        assert run("moments", many, "--shard", shard) == 0
    assert run("moments", many, "--shard", 2) == 0
    assert "Shard 2: was finished already." in capsys.readouterr().out
    assert run("combine", many) == 0
    assert "F of the median voxel" in capsys.readouterr().out
    for shard in (1, 2, 3):
        assert run("apply", many, "--shard", shard) == 0
    written = {path.name for path in many.glob("sub-*.nii.gz")}
    assert written == {path.name for path in (tmp_path / "one").glob("sub-*.nii.gz")}
    for name in written:
        found, expected = (nib.load(tmp_path / run / name).get_fdata() for run in ("many", "one"))
        assert abs(found - expected).max() < 2e-7


def test_wrong_use_is_refused(folder, tmp_path, capsys):
    asked = folder / "maps.tsv", "-o", tmp_path / "out"
    assert run("plan", *asked, "--shards", 2, "--method", "covbat") == 2
    assert "--method combat" in capsys.readouterr().err
    assert run("apply", folder) == 2
    assert "TABLE and --output are needed, or --shard" in capsys.readouterr().err
