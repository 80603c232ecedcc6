"""What a run has finished, so that it can be taken up again after it was stopped.

The folder of results holds ``journal.jsonl``: first what the run is (a fingerprint of inputs,
covariates and options), then one line per finished file with its SHA-256. A lock keeps a
second run out.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from isoscan.errors import FolderInUseError, OutputExistsError
from isoscan.tables.write import Content, write_atomically
from isoscan.volumes.full_disk import told_if_full

NAME, LOCK = "journal.jsonl", ".isoscan.lock"
_PART = "." + 16 * "[0-9a-f]" + ".part"


class Journal:
    """Finished files of one run.

    Parameters
    ----------
    folder : Path
        Where results go.
    run : str
        Fingerprint of everything the results depend on.
    resume : bool
        Take up a run that was stopped.
    overwrite : bool
        Start anew over results that exist.
    name : str
        Name of the journal in the folder; every shard of a run has its own.
    """

    def __init__(
        self, folder: Path, run: str, *, resume: bool, overwrite: bool, name: str = NAME
    ) -> None:
        self.folder, self.run = folder, run
        self.path = folder / name
        lines = _read(self.path)
        before = lines[0].get("run") if len(lines) > 1 else None  # nothing was finished
        self.finished: dict[str, str] = {}
        if resume and before is not None:
            if before != run:
                raise OutputExistsError(
                    f"{folder} holds results of a run with other maps, covariates, options or "
                    f"versions; it cannot be resumed. Choose another folder, or start anew with "
                    f"overwrite=True (--overwrite).",
                    path=folder,
                )
            self.finished = {line["file"]: line["sha256"] for line in lines[1:] if "file" in line}
        elif before is not None and not overwrite:
            raise OutputExistsError(
                f"{folder} holds results already. Choose another folder, take up a stopped run "
                f"with resume=True (--resume), or start anew with overwrite=True (--overwrite).",
                path=folder,
            )
        self.overwrite = overwrite or bool(lines)
        if not self.finished:
            write_atomically(self.path, _line({"run": run}), overwrite=True)

    def is_done(self, name: str) -> bool:
        """Whether a file was finished and is still what it was.

        Parameters
        ----------
        name : str
            Name of the file in the folder.

        Returns
        -------
        bool
            False if it must be made.
        """
        known, path = self.finished.get(name), self.folder / name
        return known is not None and path.is_file() and hash_file(path) == known

    def write(self, name: str, content: Content) -> None:
        """Write a file that is complete or not there.

        Parameters
        ----------
        name : str
            Name of the file in the folder.
        content : bytes, or sequence of bytes or memoryview
            Its content, whole or in parts.

        Raises
        ------
        OutOfSpaceError
            If the disk is full.
        """
        path = self.folder / name
        with told_if_full(self.folder):
            write_atomically(path, content, overwrite=self.overwrite or name in self.finished)

    def note(self, name: str, content: bytes) -> None:
        """Note that a file is finished; not from several threads at once.

        Parameters
        ----------
        name : str
            Name of the file in the folder.
        content : bytes
            Its content.
        """
        self.note_hash(name, hashlib.sha256(content).hexdigest())

    def note_hash(self, name: str, sha256: str) -> None:
        """Note that a file is finished that was written elsewhere.

        Parameters
        ----------
        name : str
            Name of the file in the folder.
        sha256 : str
            Hash of its content.
        """
        self.note_hashes({name: sha256})

    def note_hashes(self, hashes: Mapping[str, str]) -> None:
        """Note several files at once.

        Parameters
        ----------
        hashes : mapping of {str: str}
            SHA-256 by name.
        """
        self.finished |= hashes
        lines = [_line({"file": name, "sha256": sha256}) for name, sha256 in hashes.items()]
        with self.path.open("ab") as file:
            file.write(b"".join(lines))
            file.flush()
            os.fsync(file.fileno())


def _line(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, sort_keys=True) + "\n").encode()


def _read(path: Path) -> list[dict[str, Any]]:
    """Lines of a journal; one that was cut off ends it."""
    found: list[dict[str, Any]] = []
    if not path.is_file():
        return found
    for text in path.read_bytes().split(b"\n")[:-1]:
        try:
            line = json.loads(text)
        except ValueError:
            break
        found.append(line)
    complete = b"".join(map(_line, found))
    if found and path.stat().st_size != len(complete):
        write_atomically(path, complete, overwrite=True)
    return found


def fingerprint(content: Mapping[str, Any]) -> str:
    """Hash what results depend on.

    Parameters
    ----------
    content : mapping
        Plain types.

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> fingerprint({"method": "combat"})[:8]
    'd71fc4dd'
    """
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def hash_file(path: Path) -> str:
    """SHA-256 of a file.

    Parameters
    ----------
    path : Path
        File.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def only_run_in(folder: Path, lock: str = LOCK) -> Iterator[None]:
    """Keep other runs out of a folder; the system lifts the lock if the run is killed.

    Parameters
    ----------
    folder : Path
        Where results go; made if it does not exist.
    lock : str
        Name of the lock; those who hold another one may write there meanwhile.

    Yields
    ------
    None
        Control to the run.

    Raises
    ------
    FolderInUseError
        If another run holds the folder.
    OutOfSpaceError
        If the disk of the folder is full before the work is done.
    """
    with told_if_full(folder):
        folder.mkdir(parents=True, exist_ok=True)
    path = folder / lock
    path.parent.mkdir(exist_ok=True)
    with told_if_full(folder), path.open("a+b") as file:
        try:
            _lock(file.fileno())
        except OSError:
            raise FolderInUseError(
                f"another run is writing into {folder} ({_holder(path)}). Wait for it, or choose "
                f"another folder.",
                path=folder,
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
        file.flush()
        if lock == LOCK:
            _sweep(folder)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Remove what a run that was killed had begun to write."""
    for part in [*folder.glob(_PART), *folder.glob(f"*/{_PART}")]:
        part.unlink()


def _holder(path: Path) -> str:
    try:
        return path.read_text() or "unknown"
    except OSError:
        return "unknown"


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, 4096, os.SEEK_SET)  # beyond the text, which others may read
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        return
    import fcntl

    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
