"""Stacks of maps in Zarr give the numbers of the same maps as files."""

import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from many_sites import AFFINE, SHAPE, inside, make_study

import isoscan as iso
from isoscan.errors import DataError, ImageFileError, OutputExistsError
from isoscan.volumes import stack_pieces

zarr = pytest.importorskip("zarr")

pytestmark = pytest.mark.filterwarnings("ignore::isoscan.errors.IsoscanWarning")
LAYOUTS = {
    "one map per chunk": (1, *SHAPE),
    "columns": (43, 4, 3, 5),
    "a few of both": (8, 6, 11, 3),
    "everything": (43, *SHAPE),
}


def write_stack(
    path, study, chunks=(8, 6, 11, 3), *, last=False, dtype="f8", group=True, mask=True, **about
):
    """Write the maps of a study as a stack, with everything that describes it."""
    values = np.array([*study.arrays.values()], dtype=dtype)
    about = {"ids": [*study.arrays], "affine": AFFINE.tolist()} | about
    if last:
        values, chunks = np.moveaxis(values, 0, -1), (*chunks[1:], chunks[0])
    if not group:
        array = zarr.create_array(path, data=values, chunks=chunks)
        array.attrs.update(about)
        return array
    root = zarr.open_group(path, mode="w")
    root.attrs.update(about)
    root.create_array("maps", data=values, chunks=chunks)
    if mask:
        root.create_array("mask", data=study.mask)
    return root


def values_of(path, study):
    """Read a store of results: scans times voxels in the mask, scans in the order of the study."""
    root = zarr.open_group(path, mode="r")
    values = np.moveaxis(root["maps"][:], root.attrs["scan_axis"], 0)
    order = pd.Index(root.attrs["ids"]).get_indexer([*study.arrays])
    return inside(values[order], study.mask)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout_gives_the_numbers_of_files(study, tmp_path, monkeypatch, layout, last):
    monkeypatch.setattr(stack_pieces, "BYTES_AT_A_TIME", 100_000)
    expected, one = iso.harmonize_volumes(
        study.arrays, study.people, mask=study.mask, preserve="age + C(sex)"
    )
    write_stack(tmp_path / "fa.zarr", study, LAYOUTS[layout], last=last)
    shuffled = study.people.sample(frac=1, random_state=1)
    found, model = iso.harmonize_volumes(
        tmp_path / "fa.zarr", shuffled, preserve="age + C(sex)", output=tmp_path / "out.zarr"
    )
    assert found == tmp_path / "out.zarr"
    expected = inside(expected, study.mask)
    assert np.abs(values_of(found, study) - expected).max() < 1e-10
    assert np.abs(model.site_f - one.site_f).max() < 1e-6
    noise = one.estimator.model_.shared_noise
    assert model.estimator.model_.shared_noise == pytest.approx(noise, abs=1e-10)
    root = zarr.open_group(found, mode="r")
    assert root.attrs["scan_axis"] == (3 if last else 0) and root["maps"].dtype == np.float64
    assert root["maps"].chunks == zarr.open_group(tmp_path / "fa.zarr")["maps"].chunks
    np.testing.assert_allclose(root.attrs["affine"], AFFINE)
    np.testing.assert_array_equal(root["mask"][:], study.mask)
    shift = one.effect_maps()["site-MUC_shift"].get_fdata()
    np.testing.assert_allclose(root["effects/site-MUC_shift"][:], shift, atol=1e-6)
    saved = iso.VolumeModel.load(tmp_path / "out.isoscan")
    assert saved.hash_ == model.hash_ == root.attrs["isoscan"]["model"]
    assert {path.name for path in tmp_path.iterdir()} == {"fa.zarr", "out.isoscan", "out.zarr"}


OPTIONS = {
    "curves": {"smooth": ["age"], "reference": "MUC", "outside": "keep"},
    "removed": {"preserve": "age", "remove": "C(sex)", "outside": "nan"},
    "some scans": {"preserve": "C(sex)", "fit_on": "age > 30"},
    "missing voxels": {"preserve": "age", "missing": "exclude"},
    "covbat": {"method": "covbat", "preserve": "age"},
    "robust": {"preserve": "age", "robust": True},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_and_methods_mean_the_same(study, tmp_path, name):
    arrays = {scan: array.copy() for scan, array in study.arrays.items()}
    for scan in study.people.index[study.people.site == "OSL"]:
        arrays[scan][4, 4, 2:4] = 0.0
    if name not in ("covbat", "robust"):
        arrays["sub-003"][5, 4, 4], arrays["sub-010"][6, 4, 4] = np.nan, np.inf
    changed = make_study()
    changed.arrays = arrays
    options = OPTIONS[name]
    expected, one = iso.harmonize_volumes(arrays, study.people, mask=study.mask, **options)
    write_stack(tmp_path / "fa.zarr", changed)
    found, model = iso.harmonize_volumes(tmp_path / "fa.zarr", study.people, **options)
    np.testing.assert_allclose(np.array(found), np.array(expected), rtol=0, atol=1e-10)
    np.testing.assert_array_equal(model.mask.voxels, one.mask.voxels)
    np.testing.assert_array_equal(model.left_out, one.left_out)


def test_arrays_groups_and_paths_are_stacks(study, tmp_path):
    arrays = {scan: array.astype("f4") for scan, array in study.arrays.items()}
    expected, _ = iso.harmonize_volumes(arrays, study.people, mask=study.mask)
    group = write_stack(tmp_path / "group.zarr", study, dtype="f4")
    array = write_stack(tmp_path / "array.zarr", study, dtype="f4", group=False)
    memory = zarr.create_array({}, data=np.array([*arrays.values()]), chunks=(9, 5, 5, 5))
    for stack in (group, group["maps"], array, memory, str(tmp_path / "array.zarr")):
        found, _ = iso.harmonize_volumes(stack, study.people, mask=study.mask)
        assert found[0].dtype == np.float32
        np.testing.assert_allclose(np.array(found), np.array(expected), rtol=2e-7, atol=1e-10)


def test_without_any_mask_voxels_that_all_maps_have_are_harmonized(study, tmp_path):
    masked = make_study()
    masked.arrays = {scan: array * study.mask for scan, array in study.arrays.items()}
    masked.arrays["sub-001"][3, 3, 3] = np.nan
    stack = write_stack(tmp_path / "fa.zarr", masked, mask=False)
    model = iso.fit_volumes(stack, study.people, output=tmp_path / "fit")
    assert len(model.mask.voxels) == 391
    assert iso.VolumeModel.load(tmp_path / "fit" / "model.isoscan").hash_ == model.hash_


def test_files_become_a_stack_and_back(study, tmp_path):
    paths, mask = study.write(tmp_path / "in"), nib.Nifti1Image(study.mask, AFFINE)
    asked = {"mask": mask, "preserve": "age"}
    written, one = iso.harmonize_volumes(paths, study.people, output=tmp_path / "out", **asked)
    store, model = iso.harmonize_volumes(paths, study.people, output=tmp_path / "o.zarr", **asked)
    assert model.hash_ == one.hash_
    root = zarr.open_group(store, mode="r")
    assert root.attrs["ids"] == [*paths] and root["maps"].dtype == np.float32
    assert root.attrs["sform_code"] == 4 and root.attrs["xyzt_units"] == 2
    for values, path in zip(root["maps"][:], written, strict=True):
        np.testing.assert_allclose(values, nib.load(path).get_fdata(), rtol=2e-7, atol=1e-10)
    again = model.transform(paths, study.people, output=tmp_path / "applied.zarr")
    np.testing.assert_array_equal(zarr.open_group(again)["maps"][:], root["maps"][:])
    assert not (tmp_path / "applied.isoscan").exists()


def test_a_model_meets_new_sites_in_a_stack(study, tmp_path):
    mask = nib.Nifti1Image(study.mask, AFFINE)
    model = iso.fit_volumes(study.arrays, study.people, mask=mask, preserve="age")
    new = make_study({"KCL": 3, "XYZ": 12}, seed=9, ages=(35, 65))
    stack = write_stack(tmp_path / "new.zarr", new, (4, 6, 11, 3))
    with pytest.raises(iso.errors.UnknownSiteError, match="XYZ"):
        model.transform(stack, new.people)
    for answer in ("estimate", "skip"):
        expected = model.transform(new.arrays, new.people, unknown_sites=answer)
        found = model.transform(stack, new.people, unknown_sites=answer)
        np.testing.assert_allclose(np.array(found), np.array(expected), rtol=0, atol=1e-10)
    only = make_study({"XYZ": 12}, seed=9)
    stack = write_stack(tmp_path / "only.zarr", only, (4, 6, 11, 3))
    expected, found = (model.adapt(maps, only.people) for maps in (only.arrays, stack))
    effects = [one.estimator.model_.effects.shift for one in (expected, found)]
    assert np.abs(effects[0] - effects[1]).max() < 1e-10


def test_scans_that_are_left_out_are_missing_in_the_store(study, tmp_path):
    people = study.people.copy()
    people.loc["sub-000", "site"] = "LONE"
    write_stack(tmp_path / "fa.zarr", study)
    options = {"small_sites": "drop", "mask": study.mask}
    expected, _ = iso.harmonize_volumes(study.arrays, people, **options)
    with pytest.warns(iso.errors.SmallSiteWarning, match="1 map left out"):
        store, _ = iso.harmonize_volumes(
            tmp_path / "fa.zarr", people, output=tmp_path / "out.zarr", **options
        )
    found = values_of(store, study)
    assert np.isnan(found[0]).all()
    np.testing.assert_allclose(found[1:], inside(expected, study.mask), rtol=0, atol=1e-10)


def test_stacks_that_are_none_are_refused(study, tmp_path):
    people, empty = study.people, tmp_path / "empty.zarr"
    with pytest.raises(iso.errors.MissingFileError, match="there is no Zarr store"):
        iso.fit_volumes(empty, people)
    empty.mkdir()
    with pytest.raises(ImageFileError, match="cannot be opened as a Zarr store"):
        iso.fit_volumes(empty, people)
    with pytest.raises(ImageFileError, match="a group without an array 'maps'"):
        iso.fit_volumes(zarr.open_group(tmp_path / "g.zarr", mode="w"), people)
    with pytest.raises(ImageFileError, match="with 3 axes; a stack has four"):
        iso.fit_volumes(zarr.create_array({}, data=np.ones((3, 3, 3))), people)
    cube = zarr.create_array({}, data=np.ones((43, 4, 4, 43)))
    with pytest.raises(ImageFileError, match="scan_axis = 0 or 3"):
        iso.fit_volumes(cube, people)
    cube.attrs["scan_axis"] = 1
    with pytest.raises(ImageFileError, match="scan_axis is 1"):
        iso.fit_volumes(cube, people)
    cube.attrs.update({"scan_axis": 0, "ids": ["a"]})
    with pytest.raises(DataError, match="names 1 scans, but holds 43"):
        iso.fit_volumes(cube, people)
    with pytest.raises(iso.errors.UnmatchedRowsError, match=r"43 maps, there are 42 rows"):
        array = zarr.create_array({}, data=np.ones((43, 4, 4, 4)))
        array.attrs["scan_axis"] = 0
        iso.fit_volumes(array, people.iloc[1:])
    stack = write_stack(tmp_path / "fa.zarr", study)
    with pytest.raises(iso.errors.UnmatchedRowsError, match="sub-000"):
        iso.fit_volumes(stack, people.drop("sub-000"))
    turned = nib.Nifti1Image(study.mask, AFFINE @ np.diag([-1, 1, 1, 1]))
    with pytest.raises(iso.errors.GridMismatchError, match="x flipped"):
        iso.fit_volumes(stack, people, mask=turned)
    with pytest.raises(DataError, match=r"ends in \.zarr, not out"):
        iso.harmonize_volumes(stack, people, output=tmp_path / "out")
    with pytest.raises(DataError, match="no single map can be damaged"):
        iso.harmonize_volumes(stack, people, bad="skip")
    with pytest.raises(OutputExistsError, match="the stack that is read"):
        iso.harmonize_volumes(stack, people, output=tmp_path / "fa.zarr", overwrite=True)


def test_a_damaged_chunk_is_named(study, tmp_path):
    store, _ = iso.harmonize_volumes(
        study.arrays, study.people, mask=study.mask, output=tmp_path / "fa.zarr"
    )
    chunk = next(path for path in Path(store, "maps", "c").rglob("0") if path.is_file())
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 4
    chunk.write_bytes(bytes(content))
    with pytest.raises(ImageFileError, match=r"fa.zarr: the chunk at scans \d+ to \d+ cannot be"):
        iso.fit_volumes(store, study.people)


def test_zarr_may_be_absent(study, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    for maps, output in (("fa.zarr", None), (study.arrays, tmp_path / "out.zarr")):
        with pytest.raises(iso.errors.MissingPackageError, match=r"isoscan\[volumes\]"):
            iso.harmonize_volumes(maps, study.people, mask=study.mask, output=output)
    assert not [*tmp_path.iterdir()]
