"""Maps read into, and made in, memory that is used again are the same maps."""

import gzip
import sys
import warnings

import nibabel as nib
import numpy as np
import pytest

from isoscan.errors import ImageFileError, ImageWarning
from isoscan.nifti import compression
from isoscan.nifti.frames import Frame
from isoscan.nifti.headers import read_header
from isoscan.nifti.maps import map_bytes, read_flat
from isoscan.nifti.scratch import Scratch

SHAPE = (12, 11, 9)
AFFINE = np.diag([2.0, 2, 2, 1])


@pytest.fixture(params=["isal", "zlib"])
def compressor(request, monkeypatch):
    """Both compressors, whichever is installed."""
    if request.param == "zlib":
        for name in ("isal", "isal.igzip", "isal.isal_zlib"):
            monkeypatch.setitem(sys.modules, name, None)
    elif compression.compressor() != "isal":
        pytest.skip("isal is not installed")
    return request.param


def write(path, stored="f4", scaling=(np.nan, np.nan), header=nib.Nifti1Header):
    values = np.random.default_rng(0).integers(0, 200, SHAPE)
    image = nib.Nifti1Image(values.astype(stored), AFFINE)
    image.set_data_dtype(stored)
    image.header.set_slope_inter(*scaling)
    nib.save(image, path)
    return path


def outcome(path, **options):
    """Values and warnings, or the error in words."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", ImageWarning)
        try:
            values = read_flat(path, **options).copy()
        except ImageFileError as error:
            return str(error)
    return values.dtype, values.tobytes(), [str(warning.message) for warning in said]


@pytest.mark.parametrize("name", ["map.nii", "map.nii.gz"])
@pytest.mark.parametrize("stored", ["f4", ">f4", "i2", "f8"])
def test_maps_of_all_types_are_read_the_same(tmp_path, compressor, name, stored):
    scratch = Scratch()
    for scaling in ((np.nan, np.nan), (0.5, 3)):
        path = write(tmp_path / name, stored, scaling)
        assert outcome(path, scratch=scratch) == outcome(path)


def test_damage_is_found_the_same(tmp_path, compressor):
    scratch, path = Scratch(), write(tmp_path / "map.nii.gz")
    sound = path.read_bytes()
    whole = gzip.decompress(sound)
    contents = [sound[:-1], sound[:-6], sound[:2000], sound + b"junk", sound + bytes(9), whole, b""]
    contents += [gzip.compress(whole[:900]) + gzip.compress(whole[900:])]
    contents += [gzip.compress(whole + bytes(5)), gzip.compress(whole + bytes(1 << 20))]
    contents += [gzip.compress(whole[:-5]), gzip.compress(whole[5:])]
    for bit in np.random.default_rng(1).integers(80, 8 * len(sound), 150):
        damaged = bytearray(sound)
        damaged[bit // 8] ^= 1 << (bit % 8)
        contents.append(bytes(damaged))
    header = read_header(path)
    for content in contents:
        path.write_bytes(content)
        assert outcome(path, header=header, scratch=scratch) == outcome(path, header=header)


def test_a_map_stays_until_the_next_is_read(tmp_path):
    path = write(tmp_path / "map.nii.gz")
    kept, lent = read_flat(path), read_flat(path, scratch=Scratch())
    np.testing.assert_array_equal(lent, kept)


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_frames_make_the_bytes_of_whole_maps(tmp_path, compressor, kind):
    path = tmp_path / "map.nii"
    nib.save(kind(np.zeros(SHAPE, np.float32), AFFINE), path)
    header = read_header(path)
    voxels = np.arange(100, 900, 3)
    around = np.where(np.arange(np.prod(SHAPE)) < 50, np.nan, 0.0)
    frame = Frame(voxels, around)
    for seed in range(2):
        inside = np.random.default_rng(seed).normal(size=len(voxels))
        flat = around.copy()
        flat[voxels] = inside
        for compressed in (False, True):
            expected = map_bytes(flat, header, compressed=compressed)
            assert frame.map_bytes(inside, header, compressed=compressed) == expected
