"""Zips that are not copied together by the standard library are those of the standard library."""

import io
import sys
import zipfile

import pytest

from isoscan.combat.stored_zip import stored_zip

STAMP = (1980, 1, 1, 0, 0, 0)


@pytest.mark.parametrize("compressor", ["isal", "zlib"])
def test_bytes_are_those_of_the_standard_library(monkeypatch, compressor):
    if compressor == "zlib":
        monkeypatch.setitem(sys.modules, "isal.isal_zlib", None)
    members = {"a.txt": [b"alpha", memoryview(b"bet")], "empty": [], "b/c.npy": [bytes(5000)]}
    expected = io.BytesIO()
    with zipfile.ZipFile(expected, "w", zipfile.ZIP_STORED) as archive:
        for name, parts in members.items():
            archive.writestr(zipfile.ZipInfo(name, date_time=STAMP), b"".join(parts))
    assert b"".join(stored_zip(members, STAMP)) == expected.getvalue()
