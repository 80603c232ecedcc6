"""How much memory and disk the work needs, said before it begins."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from isoscan.errors import OutOfSpaceError

logger = logging.getLogger(__name__)
_PROGRAM = 150 << 20
_MAPS_IN_WORK = 48  # a block is read, one is worked on, one is written
_COMPRESSED = 1.05
"""Values inside the mask can hardly be compressed; zeros around it take no room."""
_BESIDES = 3 * 4096
"""The header of a map, its sidecar, and its line in the journal."""


def bytes_to_stream(n_voxels: int, n_grid: int, n_sites: int, n_columns: int) -> int:
    """Memory to fit and apply a model to a stream of maps, however many they are.

    Parameters
    ----------
    n_voxels : int
        Voxels in the mask.
    n_grid : int
        Voxels of the grid.
    n_sites : int
        Sites.
    n_columns : int
        Design columns.

    Returns
    -------
    int
        Bytes: moments, estimates, and the block of maps in work.
    """
    moments = 8 * n_voxels * n_sites * (n_columns + 2)
    estimates = 8 * n_voxels * (8 * n_sites + 2 * n_columns + 8)
    block = _MAPS_IN_WORK * (8 * n_voxels + 4 * n_grid)
    return _PROGRAM + moments + estimates + block


def bytes_in_memory(n_scans: int, n_voxels: int, n_grid: int) -> int:
    """Memory for methods that need all subjects at once.

    Parameters
    ----------
    n_scans : int
        Maps.
    n_voxels : int
        Voxels in the mask.
    n_grid : int
        Voxels of the grid.

    Returns
    -------
    int
        Bytes: the table, its residuals, the result, and one working copy.
    """
    return _PROGRAM + 4 * 8 * n_scans * n_voxels + _MAPS_IN_WORK * 4 * n_grid


def require_memory(needed: int, what: str) -> None:
    """State how much memory will be needed; refuse if that is more than there is.

    Parameters
    ----------
    needed : int
        Bytes.
    what : str
        Who needs it, and why, in words.

    Raises
    ------
    OutOfSpaceError
        If less is free.
    """
    free = free_memory()
    there = "" if free is None else f", {in_gigabytes(free)} free"
    logger.info("%s needs about %s of memory%s.", what, in_gigabytes(needed), there)
    if free is not None and needed > free:
        raise OutOfSpaceError(
            f"{what} needs about {in_gigabytes(needed)} of memory; {in_gigabytes(free)} are free. "
            f"Use a smaller mask, coarser maps or a larger computer.",
            needed=needed,
            free=free,
        )


def require_disk(folder: Path, n_maps: int, n_voxels: int, *, more: int = 0) -> None:
    """State how much room the results may take; refuse if that is more than there is.

    Parameters
    ----------
    folder : Path
        Where results go.
    n_maps : int
        Maps to write.
    n_voxels : int
        Voxels of each that are not 0.
    more : int
        Bytes of everything else: model and maps of the site effects.

    Raises
    ------
    OutOfSpaceError
        If less is free.
    """
    needed = int(n_maps * (4 * n_voxels * _COMPRESSED + _BESIDES)) + more
    free = shutil.disk_usage(folder).free
    logger.info(
        "%d maps need up to %s of disk, %s free.", n_maps, in_gigabytes(needed), in_gigabytes(free)
    )
    if needed > free:
        raise OutOfSpaceError(
            f"{n_maps} maps need up to {in_gigabytes(needed)} in {folder}; {in_gigabytes(free)} "
            f"are free. Choose another folder, or make room.",
            needed=needed,
            free=free,
        )


def free_memory() -> int | None:
    """Memory that this process may still take; None where the system does not say."""
    free = _from_proc(Path("/proc/meminfo"))
    limit = _number_in(Path("/sys/fs/cgroup/memory.max"))
    used = _number_in(Path("/sys/fs/cgroup/memory.current"))
    if limit is not None and used is not None:
        left = max(limit - used, 0)
        return left if free is None else min(free, left)
    return free


def _from_proc(path: Path) -> int | None:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) << 10 if found else None


def _number_in(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def in_gigabytes(n_bytes: int) -> str:
    """Write a size as people say it.

    Parameters
    ----------
    n_bytes : int
        Bytes.

    Returns
    -------
    str
        Gigabytes, or megabytes, with two digits.

    Examples
    --------
    >>> in_gigabytes(876_543_210), in_gigabytes(421_000)
    ('0.88 GB', '0.42 MB')
    """
    if n_bytes < 9.9e7:
        return f"{n_bytes / 1e6:.2g} MB"
    return f"{n_bytes / 1e9:.2g} GB" if n_bytes < 1e11 else f"{n_bytes / 1e9:.0f} GB"
