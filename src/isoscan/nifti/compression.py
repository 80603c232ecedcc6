"""Inflate and deflate whole gzip files, with limits, and with their checksums verified.

A flipped bit in a ``.nii.gz`` goes unnoticed if only a part is inflated: the checksum stands
at the end. Whole files are as fast to inflate with python-isal as to copy; without that
package the standard library does the same, more slowly.
"""

from __future__ import annotations

import gzip
import zlib
from types import ModuleType

from isoscan.errors import ImageFileError

LEVEL = 1
_MAGIC = b"\x1f\x8b"
_KINDS = (
    (b"<!doctype", "an HTML page: was a login page downloaded instead?"),
    (b"<html", "an HTML page: was a login page downloaded instead?"),
    (b"<?xml", "an XML file"),
    (b"version https://git-lfs", "a Git LFS pointer whose content was not fetched: git lfs pull"),
    (b"../", "a git-annex pointer whose content was not fetched: git annex get"),
    (b"/annex/objects", "a git-annex pointer whose content was not fetched: git annex get"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x5c\x01\x00\x00", "an uncompressed NIfTI image: rename it to .nii"),
    (b"\x00\x00\x01\x5c", "an uncompressed NIfTI image: rename it to .nii"),
)


def inflate(content: bytes, name: str, limit: int) -> tuple[bytes, bytes]:
    """Inflate a gzip file and verify length and checksum.

    Parameters
    ----------
    content : bytes
        The whole file.
    name : str
        Name in messages.
    limit : int
        Most bytes it may hold; more are refused before they are inflated.

    Returns
    -------
    inflated : bytes
        What it holds.
    rest : bytes
        What follows the end of the last gzip member, without padding.

    Raises
    ------
    ImageFileError
        If it is no gzip file, cut off, damaged, or holds more than `limit`.
    """
    require_gzip(content, name)
    parts: list[bytes] = []
    size = 0
    while content[:2] == _MAGIC:
        part, content = _inflate_member(content, name, limit - size)
        parts.append(part)
        size += len(part)
        content = content.lstrip(b"\0")
    return (parts[0] if len(parts) == 1 else b"".join(parts)), content


def _inflate_member(content: bytes, name: str, limit: int) -> tuple[bytes, bytes]:
    engine = _engine()
    member = engine.decompressobj(wbits=31)
    try:
        part = member.decompress(content, limit + 1)
    except (engine.error, zlib.error) as error:
        raise ImageFileError(
            f"{name}: the compressed data are damaged ({error}). Copy the file again from its "
            f"source.",
            name=name,
        ) from None
    if len(part) > limit:
        raise ImageFileError(
            f"{name}: holds more than the {limit:,} bytes that its header says. Refused.",
            name=name,
        )
    if not member.eof:
        raise ImageFileError(
            f"{name}: truncated, the end of the compressed data is missing. Copy the file again "
            f"from its source.",
            name=name,
        )
    return bytes(part), bytes(member.unused_data)


def inflate_into(content: bytes | memoryview, room: memoryview) -> int | None:
    """Inflate a sound gzip file into memory that is there already.

    New memory for every map costs as much as inflating it does.

    Parameters
    ----------
    content : bytes
        The whole file.
    room : memoryview
        Where to put what it holds; it must have more bytes than that.

    Returns
    -------
    int or None
        Bytes that were inflated and verified; None if anything is unusual, or python-isal is
        not installed: `inflate` does the same and says what is wrong.
    """
    reader_of = getattr(_engine(), "_GzipReader", None)  # what its IGzipFile reads with
    if reader_of is None:
        return None
    reader, size = reader_of(content), 0
    try:
        while size < len(room):
            more = reader.readinto(room[size:])
            if not more:
                return size
            size += more
    except (EOFError, OSError, ValueError, zlib.error, _engine().error):
        pass
    return None


def inflate_start(content: bytes, name: str, n_bytes: int) -> bytes:
    """Inflate only the beginning, such as a header; nothing is verified.

    Parameters
    ----------
    content : bytes
        The file, or its first part.
    name : str
        Name in messages.
    n_bytes : int
        How much to inflate at most.

    Returns
    -------
    bytes
        The beginning of what the file holds.

    Raises
    ------
    ImageFileError
        If it is no gzip file, or damaged.
    """
    require_gzip(content, name)
    try:
        return zlib.decompressobj(wbits=31).decompress(content, n_bytes)
    except zlib.error as error:
        raise ImageFileError(
            f"{name}: the compressed data are damaged ({error}). Copy the file again from its "
            f"source.",
            name=name,
        ) from None


def deflate(content: bytes | memoryview) -> bytes:
    """Compress into the bytes of a gzip file without time and name.

    Parameters
    ----------
    content : bytes or memoryview
        What to compress.

    Returns
    -------
    bytes
        The same for the same content, as long as the compressor is the same.
    """
    try:
        from isal import igzip
    except ImportError:
        return gzip.compress(content, compresslevel=LEVEL, mtime=0)
    return bytes(igzip.compress(content, LEVEL, mtime=0))


def compressor() -> str:
    """Name what compresses; other compressors give other bytes for the same image."""
    engine = _engine()
    return "isal" if engine is not zlib else "zlib"


def require_gzip(content: bytes, name: str) -> None:
    """Refuse what is not a gzip file, saying what it is.

    Parameters
    ----------
    content : bytes
        The file, or its beginning.
    name : str
        Name in messages.

    Raises
    ------
    ImageFileError
        If it does not begin like a gzip file.
    """
    if content[:2] == _MAGIC:
        return
    raise ImageFileError(f"{name}: {what_it_is(content)}. Not a gzip file.", name=name)


def what_it_is(content: bytes) -> str:
    """Guess from its first bytes what a file is that should have been an image.

    Parameters
    ----------
    content : bytes
        The file, or its beginning.

    Returns
    -------
    str
        In words.

    Examples
    --------
    >>> what_it_is(b"<html><body>Please log in")
    'an HTML page: was a login page downloaded instead?'
    """
    if not content:
        return "an empty file"
    start = content[:512].lstrip().lower()
    for signature, words in _KINDS:
        if start.startswith(signature) or content.startswith(signature):
            return words
    if b"/annex/objects/" in start:
        return "a git-annex pointer whose content was not fetched: git annex get"
    return "something other than its name says"


def _engine() -> ModuleType:
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib
    return isal_zlib
