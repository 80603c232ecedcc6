"""Results do not depend on threads, on memory, or on what else is harmonized in the same call."""

import nibabel as nib
import numpy as np
import pytest
from many_sites import AFFINE, hashes, make_study

import isoscan as iso
from isoscan.volumes import kept_maps, reading


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Maps of single precision in files, one with a voxel that a whole site lacks."""
    folder, study = tmp_path_factory.mktemp("maps"), make_study({"KCL": 35, "MUC": 13, "OSL": 14})
    for scan in study.people.index[study.people.site == "MUC"]:
        study.arrays[scan][4, 4, 4] = 0
    paths = study.write(folder)
    mask = folder / "mask.nii.gz"
    nib.save(nib.Nifti1Image(study.mask, AFFINE), mask)
    return paths, study.people, mask


def harmonize(prepared, output, **options):
    paths, people, mask = prepared
    with pytest.warns(iso.errors.CoverageWarning):
        _, model = iso.harmonize_volumes(
            paths, people, preserve="age + C(sex)", mask=mask, output=output, **options
        )
    return model


def maps(folder):
    return {name: sha256 for name, sha256 in hashes(folder).items() if name.endswith("FA.nii.gz")}


def test_the_number_of_threads_changes_no_bit_of_a_map(prepared, tmp_path):
    for n_jobs in (1, 3):
        harmonize(prepared, tmp_path / str(n_jobs), n_jobs=n_jobs)
    assert maps(tmp_path / "1") == maps(tmp_path / "3")


@pytest.mark.parametrize("outside", ["zero", "keep", "nan"])
def test_maps_are_read_once_if_they_fit_and_the_bits_are_the_same(
    prepared, tmp_path, monkeypatch, outside
):
    read, read_flat = [], reading.read_flat
    monkeypatch.setattr(
        reading,
        "read_flat",
        lambda path, *rest, **how: read.append(path) or read_flat(path, *rest, **how),
    )
    most = {}
    for most_bytes in (1 << 28, 70_000, 0):
        read.clear()
        monkeypatch.setattr(kept_maps, "MOST_BYTES", most_bytes)
        harmonize(prepared, tmp_path / str(most_bytes), outside=outside)
        most[most_bytes] = len(read)
    if outside != "keep":
        assert most[1 << 28] == 62 and most[0] == 124 and 62 < most[70_000] < 124
    assert maps(tmp_path / "0") == maps(tmp_path / "70000") == maps(tmp_path / str(1 << 28))


def test_a_map_gets_the_same_bits_whoever_comes_with_it(prepared, tmp_path):
    paths, people, _ = prepared
    model = harmonize(prepared, tmp_path / "all")
    together = maps(tmp_path / "all")
    for number in (0, 7, 40):
        scan = people.index[number]
        output = tmp_path / scan
        model.transform({scan: paths[scan]}, people.loc[[scan]], output=output)
        assert maps(output).items() <= together.items()
    values = model.transform({scan: nib.load(paths[scan])}, people.loc[[scan]])[0].get_fdata()
    assert np.isnan(values[4, 4, 4])
