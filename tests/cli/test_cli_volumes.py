"""Maps listed in a table: fit, apply, harmonize."""

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

import isoscan as iso

SHAPE = (7, 8, 6)
AFFINE = np.diag([2.0, 2, 2, 1])


@pytest.fixture
def maps(tmp_path):
    """Write 24 maps, a mask, and the table that lists them."""
    random = np.random.default_rng(0)
    folder = tmp_path / "study"
    (folder / "fa").mkdir(parents=True)
    people = pd.DataFrame(
        {
            "participant_id": [f"sub-{n:02d}" for n in range(24)],
            "site": ["KCL", "OSL"] * 12,
            "age": random.uniform(20, 80, 24).round(1),
        }
    )
    people["path"] = [f"fa/{scan}_FA.nii.gz" for scan in people.participant_id]
    for row in people.itertuples():
        noise = random.normal(0.5 + 0.3 * (row.site == "OSL") + row.age / 500, 0.05, SHAPE)
        nib.save(nib.Nifti1Image(noise.astype("f4"), AFFINE), folder / row.path)
    mask = np.ones(SHAPE, dtype="u1")
    mask[0] = 0
    nib.save(nib.Nifti1Image(mask, AFFINE), folder / "mask.nii.gz")
    people.to_csv(folder / "maps.tsv", sep="\t", index=False)
    return folder


def test_harmonize_writes_maps_model_and_effects(isoscan, maps, tmp_path):
    out = tmp_path / "out"
    words = "volumes", "harmonize", maps / "maps.tsv", "--mask", maps / "mask.nii.gz", "-o", out
    words += ("--no-figures",)
    said = isoscan(*words, "--preserve", "age")
    assert "24 maps harmonized in 288 voxels" in said.out
    assert "needs about" in said.err and "24 maps need up to" in said.err
    people = pd.read_csv(maps / "maps.tsv", sep="\t", index_col=0)
    paths = {scan: maps / path for scan, path in people.path.items()}
    expected, _ = iso.harmonize_volumes(paths, people, preserve="age", mask=maps / "mask.nii.gz")
    for scan, image in zip(paths, expected, strict=True):
        found = nib.load(out / f"{scan}_desc-harmonized_FA.nii.gz")
        np.testing.assert_array_equal(found.get_fdata(), image.get_fdata())
    assert (out / "effects" / "site-OSL_shift.nii.gz").exists()
    assert "holds results already" in isoscan(*words, "--preserve", "age", code=1).err
    assert "24 maps harmonized" in isoscan(*words, "--preserve", "age", "--resume").out


def test_fit_then_apply_equals_harmonize(isoscan, maps, tmp_path):
    table, mask = maps / "maps.tsv", ("--mask", maps / "mask.nii.gz", "--preserve", "age")
    isoscan("volumes", "harmonize", table, *mask, "-o", tmp_path / "one", "--no-figures")
    said = isoscan("volumes", "fit", table, *mask, "-o", tmp_path / "fit")
    assert "F of the median voxel" in said.out
    model = tmp_path / "fit" / "model.isoscan"
    said = isoscan("volumes", "apply", model, table, "-o", tmp_path / "two")
    assert "24 maps harmonized" in said.out
    for path in (tmp_path / "one").glob("sub-*.nii.gz"):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    assert (
        "--overwrite" in isoscan("volumes", "fit", table, *mask, "-o", tmp_path / "fit", code=1).err
    )


def test_new_sites_need_an_answer(isoscan, maps, tmp_path):
    table, mask = maps / "maps.tsv", ("--mask", maps / "mask.nii.gz")
    isoscan("volumes", "fit", table, *mask, "-o", tmp_path / "fit")
    model = tmp_path / "fit" / "model.isoscan"
    people = pd.read_csv(table, sep="\t").assign(site="XYZ")
    people.to_csv(maps / "new.tsv", sep="\t", index=False)
    words = "volumes", "apply", model, maps / "new.tsv", "-o", tmp_path / "new"
    assert "XYZ" in isoscan(*words, code=1).err
    assert "24 maps harmonized" in isoscan(*words, "--new-site", "estimate").out


def test_repeated_scans_belong_to_their_participants(isoscan, maps, tmp_path):
    table = pd.read_csv(maps / "maps.tsv", sep="\t")
    table["participant_id"] = [f"sub-{n // 2:02d}" for n in range(24)]
    table.insert(1, "session_id", ["ses-1", "ses-2"] * 12)
    table.to_csv(maps / "visits.tsv", sep="\t", index=False)
    words = "volumes", "harmonize", maps / "visits.tsv", "--method", "longitudinal", "--no-figures"
    said = isoscan(*words, "--mask", maps / "mask.nii.gz", "-o", tmp_path / "out")
    assert "24 maps harmonized" in said.out


def test_wrong_tables_are_named(isoscan, maps, tmp_path):
    out = "-o", tmp_path / "out"
    assert (
        "--path" in isoscan("volumes", "fit", maps / "maps.tsv", "--path", "file", *out, code=1).err
    )
    (maps / "fa" / "sub-03_FA.nii.gz").unlink()
    assert (
        "1 of 24 maps are not there"
        in isoscan("volumes", "fit", maps / "maps.tsv", *out, code=1).err
    )
    isoscan("volumes", "fit", maps / "maps.tsv", "--method", "covbat", "--robust", *out, code=2)
