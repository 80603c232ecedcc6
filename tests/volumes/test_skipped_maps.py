"""Maps that cannot be read: named all at once, or left out of everything and listed."""

import warnings

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from many_sites import AFFINE, make_study

import isoscan as iso
from isoscan.cli.main import main
from isoscan.errors import ImageFileError, ImageWarning, MissingFileError
from isoscan.volumes import apply_shard, combine_shards, gather_shard, plan_shards

BROKEN = {
    "sub-002": ("truncated, the end of the compressed data is missing", lambda p: cut(p)),
    "sub-005": ("an HTML page", lambda p: p.write_bytes(b"<!DOCTYPE html>")),
    "sub-011": ("the compressed data are damaged", lambda p: flip_a_bit(p)),
    "sub-013": ("there is no such file", lambda p: p.unlink()),
}


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-6] ^= 1  # of the checksum: only a whole pass finds it
    path.write_bytes(bytes(content))


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """Paths of 43 maps, four of which cannot be read, people and mask."""
    folder = tmp_path_factory.mktemp("job")
    study = make_study()
    paths = study.write(folder)
    mask = folder / "mask.nii.gz"
    nib.save(nib.Nifti1Image(study.mask, AFFINE), mask)
    for scan, (_, damage) in BROKEN.items():
        damage(paths[scan])
    table = study.people.assign(path=[path.name for path in paths.values()])
    table.to_csv(folder / "maps.tsv", sep="\t", index_label="participant_id")
    return paths, study.people, mask


def sound(paths):
    return {scan: path for scan, path in paths.items() if scan not in BROKEN}


def test_all_that_is_damaged_is_named_at_once(job):
    paths, people, mask = job
    with pytest.raises(ImageFileError, match=r"4 of 43 maps cannot be read.*--skip-bad") as caught:
        iso.harmonize_volumes(paths, people, mask=mask)
    assert sorted(caught.value.names) == sorted(f"{scan}_FA.nii.gz" for scan in BROKEN)
    for scan, (reason, _) in BROKEN.items():
        assert f"{paths[scan]}: {reason}" in str(caught.value)


@pytest.mark.parametrize("with_mask", [True, False])
def test_all_damage_that_only_a_whole_pass_finds_is_named_at_once(job, tmp_path, with_mask):
    paths, people, mask = job
    hidden = {s: path for s, path in paths.items() if s not in ("sub-005", "sub-013")}
    options = {"mask": mask} if with_mask else {}
    with pytest.raises(ImageFileError, match="2 of 41 maps cannot be read") as caught:
        iso.harmonize_volumes(hidden, people, output=tmp_path, **options)
    assert caught.value.names == ["sub-002_FA.nii.gz", "sub-011_FA.nii.gz"]
    assert not [*tmp_path.glob("sub-*")]
    model = iso.fit_volumes(sound(paths), people, mask=mask)
    with pytest.raises(ImageFileError, match="2 of 41 maps cannot be read"):
        model.transform(hidden, people)


def test_absent_files_are_counted(job):
    paths, people, mask = job
    some = {"sub-013": paths["sub-013"], "sub-000": paths["sub-000"]}
    with pytest.raises(MissingFileError, match=r"1 of 2 maps are not there: .*sub-013_FA"):
        iso.harmonize_volumes(some, people, mask=mask)


def test_the_rest_is_harmonized_as_if_the_damaged_had_not_been_given(job, tmp_path):
    paths, people, mask = job
    asked = {"mask": mask, "preserve": "age"}
    expected, one = iso.harmonize_volumes(sound(paths), people, output=tmp_path / "one", **asked)
    with pytest.warns(ImageWarning, match="4 of 43 maps left out") as caught:
        found, model = iso.harmonize_volumes(
            paths, people, output=tmp_path / "all", bad="skip", **asked
        )
    assert len(caught) == 1 and model.hash_ == one.hash_
    for mine, other in zip(found, expected, strict=True):
        assert mine.name == other.name and mine.read_bytes() == other.read_bytes()
    listed = pd.read_csv(tmp_path / "all" / "skipped.tsv", sep="\t", index_col="participant_id")
    assert sorted(listed.index) == sorted(BROKEN)
    for scan, (reason, _) in BROKEN.items():
        assert reason in listed.reason[scan] and listed.file[scan] == str(paths[scan])
    assert not (tmp_path / "one" / "skipped.tsv").exists()
    iso.harmonize_volumes(sound(paths), people, output=tmp_path / "all", overwrite=True, **asked)
    assert not (tmp_path / "all" / "skipped.tsv").exists()


def test_fitting_applying_and_adapting_can_skip_too(job, tmp_path):
    paths, people, mask = job
    with pytest.warns(ImageWarning, match="4 of 43"):
        model = iso.fit_volumes(paths, people, mask=mask, bad="skip", output=tmp_path / "fit")
    assert (tmp_path / "fit" / "skipped.tsv").exists()
    with pytest.warns(ImageWarning, match="4 of 43"):
        found = model.transform(paths, people, output=tmp_path / "new", bad="skip")
    assert len(found) == 39 and (tmp_path / "new" / "skipped.tsv").exists()
    with pytest.warns(ImageWarning, match="4 of 43"):
        adapted = model.adapt(paths, people.assign(site="XYZ"), bad="skip")
    assert adapted.estimator.scans_per_site_["XYZ"] == 39


def test_a_plan_skips_for_all_shards(job, tmp_path):
    paths, people, mask = job
    with pytest.warns(ImageWarning, match="4 of 43"):
        plan = plan_shards(paths, people, tmp_path, shards=2, mask=mask, bad="skip")
    assert sorted(plan.skipped) == sorted(BROKEN)
    for shard in (1, 2):
        gather_shard(tmp_path, paths, people, shard)
    combine_shards(tmp_path, paths, people)
    written = [path for shard in (1, 2) for path in apply_shard(tmp_path, paths, people, shard)]
    assert len(written) == 39 and (tmp_path / "skipped.tsv").exists()


def test_sites_that_become_too_small_are_refused_as_ever(job):
    paths, people, mask = job
    few = people.assign(site=np.where(people.index.isin(["sub-002", "sub-000"]), "LONE", "REST"))
    with (
        pytest.warns(ImageWarning, match="left out"),
        pytest.raises(iso.errors.TooFewScansError, match="LONE"),
    ):
        iso.harmonize_volumes(paths, few, mask=mask, bad="skip")


def test_nothing_left_is_refused(job):
    paths, people, mask = job
    broken = {scan: paths[scan] for scan in BROKEN}
    with pytest.raises(ImageFileError, match="4 of 4 maps cannot be read"):
        iso.harmonize_volumes(broken, people, mask=mask, bad="skip")
    with pytest.raises(iso.errors.DataError, match="bad must be"):
        iso.harmonize_volumes(broken, people, mask=mask, bad="drop")


def test_the_command_goes_on_and_says_so_everywhere(job, tmp_path, capsys):
    paths, _, mask = job
    table = str(paths["sub-000"].parent / "maps.tsv")
    words = ["volumes", "harmonize", table, "--mask", str(mask), "-o", str(tmp_path)]
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 1 and "4 of 43 maps cannot be read" in capsys.readouterr().err
    with warnings.catch_warnings():  # the command line sets filters of its own
        main([*words, "--skip-bad"])
    said = capsys.readouterr()
    assert "Note: " in said.err and "4 of 43 maps left out" in said.err
    assert "39 maps harmonized" in said.out and "skipped.tsv" in said.out
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "4 maps could not be read" in page and "sub-002_FA.nii.gz" in page
    assert "39 maps from 3 sites" in page
