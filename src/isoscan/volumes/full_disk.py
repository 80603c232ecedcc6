"""Say what to do when a disk is full; what was finished before that is complete."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from isoscan.errors import IsoscanError, OutOfSpaceError

_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


@contextmanager
def told_if_full(folder: Path) -> Iterator[None]:
    """Turn errors of a full disk, a quota, or a limit on files into a sentence.

    Parameters
    ----------
    folder : Path
        Where results go.

    Yields
    ------
    None
        Control to what writes.

    Raises
    ------
    OutOfSpaceError
        If there was no room.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, IsoscanError) or error.errno not in _FULL:
            raise
        raise OutOfSpaceError(
            f"the disk of {folder} is full ({error.strerror}). What is written there is complete: "
            f"make room and take the run up with resume=True (--resume).",
            path=error.filename,
        ) from None
