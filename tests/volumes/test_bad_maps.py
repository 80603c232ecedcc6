"""Damaged, hostile and mismatched maps are refused with a sentence that says what to do."""

import gzip
import sys
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from many_sites import AFFINE, SHAPE, write_image

import isoscan as iso
from isoscan.errors import GridMismatchError, ImageFileError, MaskError
from isoscan.nifti import compression
from isoscan.nifti.headers import read_header
from isoscan.nifti.maps import map_bytes, read_flat


@pytest.fixture(params=["isal", "zlib"])
def compressor(request, monkeypatch):
    """Both compressors, whichever is installed."""
    if request.param == "zlib":
        for name in ("isal", "isal.igzip", "isal.isal_zlib"):
            monkeypatch.setitem(sys.modules, name, None)
    elif compression.compressor() != "isal":
        pytest.skip("isal is not installed")
    return request.param


@pytest.fixture
def image(tmp_path):
    values = np.random.default_rng(0).normal(size=SHAPE).astype("f4")
    return write_image(tmp_path / "sub-03_FA.nii.gz", values)


def read(path):
    return read_flat(path)


def test_values_are_those_nibabel_reads(tmp_path, image, compressor):
    values = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    for stored in ("i2", "u1", "f4", "f8", ">f4", ">i2"):
        for slope, intercept in ((np.nan, np.nan), (1, 0), (0.5, 3)):
            path = tmp_path / "map.nii"
            one = nib.Nifti1Image((values % 200).astype(stored), AFFINE)
            if stored.startswith(">"):
                one = nib.Nifti1Image(one.dataobj, AFFINE, nib.Nifti1Header(endianness=">"))
            one.set_data_dtype(stored)
            one.header.set_slope_inter(slope, intercept)
            nib.save(one, path)
            expected = nib.load(path).get_fdata().ravel("F")
            np.testing.assert_allclose(read(path), expected, rtol=1e-6)
    expected = nib.load(image).get_fdata(dtype=np.float32).ravel("F")
    np.testing.assert_array_equal(read(image), expected)


@pytest.mark.parametrize("missing", [1, 4, 8, 500])
def test_truncated_files_are_named(image, missing, compressor):
    image.write_bytes(image.read_bytes()[:-missing])
    with pytest.raises(ImageFileError, match=r"sub-03_FA.nii.gz: truncated.*Copy"):
        read(image)


def test_a_truncated_uncompressed_file_is_named(image, tmp_path):
    path = tmp_path / "plain.nii"
    path.write_bytes(gzip.decompress(image.read_bytes())[:-10])
    with pytest.raises(ImageFileError, match=r"plain.nii: truncated, 5,094 of 5,104 bytes"):
        read(path)


def test_no_flipped_bit_goes_unnoticed(image, compressor):
    content = image.read_bytes()
    good = read(image)
    random = np.random.default_rng(1)
    header = 10  # flags and time say nothing about the values
    for bit in random.integers(8 * header, 8 * len(content), 200):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << (bit % 8)
        image.write_bytes(bytes(damaged))
        try:
            found = read(image)
        except (ImageFileError, GridMismatchError):
            continue
        np.testing.assert_array_equal(found, good)


def test_wrong_checksum_is_found(image, compressor):
    damaged = bytearray(image.read_bytes())
    damaged[-6] ^= 1
    image.write_bytes(bytes(damaged))
    with pytest.raises(ImageFileError, match="damaged"):
        read(image)


def test_trailing_junk_is_ignored_with_a_warning(image, compressor):
    good = read(image)
    image.write_bytes(image.read_bytes() + b"junk")
    with pytest.warns(iso.errors.ImageWarning, match="4 bytes after the end"):
        np.testing.assert_array_equal(read(image), good)


def test_several_gzip_members_are_one_image(image, compressor):
    good, content = read(image), gzip.decompress(image.read_bytes())
    image.write_bytes(gzip.compress(content[:1000]) + gzip.compress(content[1000:]) + bytes(7))
    np.testing.assert_array_equal(read(image), good)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html>Log in", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"../../.git/annex/objects/aa/bb.nii.gz", "git annex get"),
        (b"\x5c\x01\x00\x00" + bytes(400), "rename it to .nii"),
        (b"sub\tage\n", "something other than its name says"),
    ],
)
def test_files_that_are_no_images_are_recognised(image, content, words):
    image.write_bytes(content)
    with pytest.raises(ImageFileError, match=words):
        read(image)


def test_links_without_content_and_loops_are_named(tmp_path):
    link = tmp_path / "a.nii.gz"
    link.symlink_to(".git/annex/objects/xx")
    with pytest.raises(ImageFileError, match="git annex get"):
        read(link)
    loop = tmp_path / "loop.nii.gz"
    loop.symlink_to(loop)
    with pytest.raises(ImageFileError, match=r"loop.nii.gz"):
        read(loop)
    with pytest.raises(iso.errors.MissingFileError, match="there is no file"):
        read(tmp_path / "absent.nii.gz")
    with pytest.raises(ImageFileError, match="mri_convert"):
        read(tmp_path / "brain.mgz")


def with_header(path, **fields):
    header = nib.Nifti1Header()
    header.set_data_shape(SHAPE)
    header.set_data_dtype("f4")
    header.set_sform(AFFINE, code=4)
    header["magic"], header["vox_offset"] = b"n+1", 352
    for name, value in fields.items():
        header[name] = value
    return header.binaryblock + bytes(4)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"dim": [3, 30000, 30000, 30000, 1, 1, 1, 1]}, "30000×30000×30000 voxels, 108 TB. Ref"),
        ({"dim": [3, -5, 4, 4, 1, 1, 1, 1]}, "impossible dimensions"),
        ({"dim": [99, 5, 4, 4, 1, 1, 1, 1]}, "impossible dimensions"),
        ({"vox_offset": 1e20}, "cannot begin at byte 1e"),
        ({"vox_offset": np.nan}, "cannot begin at byte nan"),
        ({"vox_offset": 8}, "cannot begin at byte 8"),
        ({"datatype": 128}, "not one real number per voxel"),
        ({"datatype": 77}, "not one real number per voxel"),
        ({"magic": b"ni1"}, "not a NIfTI image in one file"),
        ({"srow_x": 0, "srow_y": 0, "srow_z": 0}, "onto a plane"),
        ({"scl_slope": 2, "scl_inter": np.inf}, "scl_inter is not finite"),
    ],
)
def test_impossible_headers_are_refused_before_reading(tmp_path, fields, words):
    path = tmp_path / "map.nii.gz"
    path.write_bytes(gzip.compress(with_header(path, **fields) + bytes(100)))
    with pytest.raises(ImageFileError, match=words):
        read(path)


def test_gzip_bombs_are_not_inflated(tmp_path, compressor):
    path = tmp_path / "map.nii.gz"
    path.write_bytes(gzip.compress(with_header(path) + bytes(8 << 20)))
    with pytest.raises(ImageFileError, match="holds more than the"):
        read(path)
    path.write_bytes(gzip.compress(with_header(path) + bytes(300 << 20), 1))
    with pytest.raises(ImageFileError, match="its header says 5,104"):
        read(path)


def test_random_headers_never_crash(tmp_path):
    random = np.random.default_rng(3)
    path = tmp_path / "map.nii"
    for _ in range(300):
        content = bytearray(with_header(path) + bytes(4752))
        for place in random.integers(4, 348, 6):
            content[place] = random.integers(256)
        path.write_bytes(bytes(content))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", iso.errors.ImageWarning)
            try:
                read(path)
            except (ImageFileError, GridMismatchError):
                continue


def harmonize(study, tmp_path, change=None, **options):
    """Harmonize the maps of the study as files, after a change of some."""
    paths = study.write(tmp_path / "in")
    if change:
        for scan in list(paths)[:3]:
            change(paths[scan])
    return iso.harmonize_volumes(paths, study.people, **{"mask": study.mask, **options})


def flip(path):
    image = nib.load(path)
    affine = image.affine @ np.diag([-1, 1, 1, 1])
    write_image(path, np.asarray(image.dataobj), affine)


def shift(path):
    affine = AFFINE.copy()
    affine[0, 3] += 1.5
    write_image(path, np.asarray(nib.load(path).dataobj), affine)


def crop(path):
    write_image(path, np.asarray(nib.load(path).dataobj)[:-1])


def stack(path):
    values = np.asarray(nib.load(path).dataobj)
    write_image(path, np.stack([values, values], axis=-1))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (flip, r"3 of 43 maps do not lie .* 3 maps with x flipped: 'sub-000_FA.nii.gz'"),
        (shift, r"3 maps with voxels up to 1.5 mm off in x: .* resample them to one grid first"),
        (crop, r"3 maps with shape 11×11×9"),
        (stack, r"sub-000_FA.nii.gz has 4 axes \(12×11×9×2\); maps have three"),
    ],
)
def test_maps_on_other_grids_are_counted_and_refused(study, tmp_path, change, words):
    with pytest.raises(GridMismatchError, match=words):
        harmonize(study, tmp_path, change)


def test_maps_of_one_file_name_are_all_checked(study, tmp_path):
    paths = {}
    for scan, path in study.write(tmp_path / "in").items():
        (tmp_path / scan).mkdir()
        paths[scan] = path.rename(tmp_path / scan / "FA.nii.gz")
    shift(paths["sub-007"])
    with pytest.raises(GridMismatchError, match=r"1 of 43 maps .*sub-007.FA.nii.gz"):
        iso.harmonize_volumes(paths, study.people, mask=study.mask)


def test_a_fourth_axis_of_length_one_is_dropped(study, tmp_path):
    def add_axis(path):
        write_image(path, np.asarray(nib.load(path).dataobj)[..., None])

    expected, _ = harmonize(study, tmp_path / "plain")
    found, _ = harmonize(study, tmp_path / "four", add_axis)
    np.testing.assert_array_equal(found[0].get_fdata(), expected[0].get_fdata())


def test_affines_may_differ_by_rounding(study, tmp_path):
    def nudge(path):
        affine = AFFINE.copy()
        affine[0, 3] += 5e-4
        write_image(path, np.asarray(nib.load(path).dataobj), affine)

    harmonize(study, tmp_path, nudge)


def test_weighted_images_in_their_own_space_are_refused(study, tmp_path):
    paths = study.write(tmp_path)
    renamed = {scan: path.rename(tmp_path / f"{scan}_T1w.nii.gz") for scan, path in paths.items()}
    with pytest.raises(GridMismatchError, match=r"weighted images in their own space.*Harmonize m"):
        iso.harmonize_volumes(renamed, study.people, mask=study.mask)


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.zeros(SHAPE), "the mask is empty"),
        (np.full(SHAPE, np.nan), "the mask is empty"),
        (-np.ones(SHAPE), "positive inside"),
        (np.linspace(0, 1, np.prod(SHAPE)).reshape(SHAPE), "probabilities.*mask_threshold"),
        (np.arange(np.prod(SHAPE)).reshape(SHAPE) % 9, "labels.*mask_threshold"),
    ],
)
def test_masks_that_hold_no_brain_are_refused(study, mask, words):
    with pytest.raises(MaskError, match=words):
        iso.harmonize_volumes(study.arrays, study.people, mask=mask)


def test_a_probability_mask_needs_a_threshold(study):
    _, model = iso.harmonize_volumes(
        study.arrays, study.people, mask=study.mask * 0.7, mask_threshold=0.5
    )
    assert len(model.mask.voxels) == 392
    with pytest.raises(MaskError, match=r"no voxel above 0.9"):
        iso.harmonize_volumes(study.arrays, study.people, mask=study.mask * 0.7, mask_threshold=0.9)


def test_a_mask_on_another_grid_is_refused(study, tmp_path):
    affine = AFFINE @ np.diag([-1, 1, 1, 1])
    mask = write_image(tmp_path / "brain.nii.gz", study.mask, affine)
    with pytest.raises(GridMismatchError, match=r"the mask|brain.nii.gz.*x flipped.*Resample"):
        harmonize(study, tmp_path, mask=mask)
    with pytest.raises(GridMismatchError, match="shape 5×5×5"):
        harmonize(study, tmp_path, mask=np.ones((5, 5, 5)))


def test_nan_background_is_no_obstacle(study):
    arrays = {scan: np.where(study.mask, array, np.nan) for scan, array in study.arrays.items()}
    expected, _ = iso.harmonize_volumes(study.arrays, study.people, mask=study.mask)
    for options in ({"mask": study.mask}, {}):
        found, _ = iso.harmonize_volumes(arrays, study.people, **options)
        np.testing.assert_allclose(found, expected, atol=1e-10)


def test_written_bytes_are_the_same_and_keep_space_and_units(tmp_path, compressor):
    values = np.arange(np.prod(SHAPE), dtype="i2").reshape(SHAPE)
    image = nib.Nifti1Image(values, AFFINE)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_qform(AFFINE, code=1)
    image.header.set_sform(AFFINE, code=4)
    image.header.set_slope_inter(0.5, 1)
    nib.save(image, tmp_path / "map.nii.gz")
    header = read_header(tmp_path / "map.nii.gz")
    flat = read_flat(tmp_path / "map.nii.gz", header)
    content = map_bytes(flat, header)
    assert content == map_bytes(flat.copy(), read_header(tmp_path / "map.nii.gz"))
    assert content[3:8] == bytes(5)  # no name, no time
    (tmp_path / "out.nii.gz").write_bytes(content)
    again = nib.load(tmp_path / "out.nii.gz")
    assert again.get_data_dtype() == np.float32
    np.testing.assert_allclose(again.get_fdata().ravel("F"), flat)
    np.testing.assert_allclose(again.affine, AFFINE)
    for field in ("sform_code", "qform_code", "xyzt_units", "pixdim", "quatern_b"):
        np.testing.assert_array_equal(again.header[field], image.header[field])


def test_memory_is_stated_and_too_little_is_refused(study, monkeypatch, caplog):
    from isoscan.volumes import space_needed

    with caplog.at_level("INFO", logger="isoscan.volumes"):
        iso.harmonize_volumes(study.arrays, study.people, mask=study.mask)
    assert "ComBat of 392 voxels and 3 sites needs about 0.16 GB of memory" in caplog.text
    monkeypatch.setattr(space_needed, "free_memory", lambda: 1 << 20)
    with pytest.raises(iso.errors.OutOfSpaceError, match=r"needs about .* are free"):
        iso.harmonize_volumes(study.arrays, study.people, mask=study.mask)


def test_memory_does_not_grow_with_the_number_of_maps():
    from isoscan.volumes.space_needed import bytes_to_stream

    assert bytes_to_stream(228_816, 902_629, 8, 10) < 1 << 30


def test_volumes_that_are_none_are_refused(study):
    people = study.people
    with pytest.raises(iso.errors.DataError, match="one map per scan"):
        iso.harmonize_volumes("maps", people)
    with pytest.raises(ImageFileError, match="give paths of NIfTI files"):
        iso.harmonize_volumes(["a"] and [np.zeros(3)] * len(people), people)
    with pytest.raises(iso.errors.DataError, match="DataFrame"):
        iso.harmonize_volumes(study.arrays, dict(people))
    with pytest.raises(iso.errors.MissingColumnError, match="no column 'scanner'"):
        iso.harmonize_volumes(study.arrays, people, site="scanner", mask=study.mask)
    with pytest.raises(iso.errors.DataError, match="method must be one of"):
        iso.harmonize_volumes(study.arrays, people, mask=study.mask, method="kombat")
    with pytest.raises(iso.errors.DataError, match="scael"):
        iso.harmonize_volumes(study.arrays, people, mask=study.mask, scael=1)
    with pytest.raises(iso.errors.DataError, match="outside must be"):
        iso.harmonize_volumes(study.arrays, people, mask=study.mask, outside="black")
    twice = pd.concat([people, people.iloc[:1]])
    with pytest.raises(iso.errors.DuplicateIdsError):
        iso.harmonize_volumes([*study.arrays.values(), np.ones(SHAPE)], twice)


def test_unreadable_files_are_named(image, monkeypatch):
    def refuse(*words, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # the superuser can read everything
    with pytest.raises(ImageFileError, match=r"sub-03_FA.nii.gz cannot be read: Permission denied"):
        read(image)
