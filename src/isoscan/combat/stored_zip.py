"""Make zips of members that are stored as they are, copying large members only once.

The bytes are those that `zipfile` writes. Checksums come from python-isal if it is installed, which
is many times as fast as the standard library.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence

Parts = Sequence[bytes | memoryview]

MOST_BYTES = (1 << 31) - 1
"""Beyond this, zips need fields that are not written here."""
_MODE = 0o600 << 16
_ENTRY, _END = "<4s4B4HL2L5H2L", "<4s4H2LH"


def size_of(parts: Parts) -> int:
    """Bytes of several parts.

    Parameters
    ----------
    parts : sequence of bytes or memoryview
        Parts.

    Returns
    -------
    int
        Their sum.
    """
    return sum(map(len, parts))


def stored_zip(members: Mapping[str, Parts], stamp: tuple[int, int, int, int, int, int]) -> Parts:
    """Put members into a zip, in parts.

    Parameters
    ----------
    members : mapping of {str: sequence of bytes or memoryview}
        Contents in parts, by ASCII name; together less than 2 GB.
    stamp : tuple of int
        Year, month, day, hour, minute and second of all members.

    Returns
    -------
    sequence of bytes or memoryview
        To be joined, or written one after the other.

    Examples
    --------
    >>> content = b"".join(stored_zip({"a.txt": [b"alpha"]}, (1980, 1, 1, 0, 0, 0)))
    >>> import io
    >>> zipfile.ZipFile(io.BytesIO(content)).read("a.txt")
    b'alpha'
    """
    whole: list[bytes | memoryview] = []
    entries, start = [], 0
    for name, parts in members.items():
        info = zipfile.ZipInfo(name, date_time=stamp)
        info.file_size = info.compress_size = size_of(parts)
        info.CRC = _checksum(parts)
        header = info.FileHeader(zip64=False)
        whole += [header, *parts]
        entries.append(_entry(info, start))
        start += len(header) + info.file_size
    directory = b"".join(entries)
    n_entries = len(entries)
    end = struct.pack(_END, b"PK\5\6", 0, 0, n_entries, n_entries, len(directory), start, 0)
    return [*whole, directory, end]


def _entry(info: zipfile.ZipInfo, start: int) -> bytes:
    """What the directory at the end says of a member."""
    year, month, day, hour, minute, second = info.date_time
    name = info.filename.encode("ascii")
    made_by = (info.create_version, info.create_system)
    needs = (info.extract_version, info.reserved, info.flag_bits, info.compress_type)
    time = hour << 11 | minute << 5 | second // 2
    date = (year - 1980) << 9 | month << 5 | day
    sizes = (info.CRC, info.compress_size, info.file_size, len(name))
    rest = (0, 0, 0, info.internal_attr, _MODE, start)
    return struct.pack(_ENTRY, b"PK\1\2", *made_by, *needs, time, date, *sizes, *rest) + name


def _checksum(parts: Parts) -> int:
    crc32, value = _engine(), 0
    for part in parts:
        value = crc32(part, value)
    return value


def _engine() -> Callable[[bytes | memoryview, int], int]:
    try:
        from isal.isal_zlib import crc32
    except ImportError:
        return zlib.crc32
    found: Callable[[bytes | memoryview, int], int] = crc32
    return found
