"""The moments of a shard in a file, as they are: the sum of all shards is the whole job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.container import Container
from isoscan.combat.moments import Moments
from isoscan.errors import ModelFileError
from isoscan.tables.write import write_atomically
from isoscan.volumes.full_disk import told_if_full
from isoscan.volumes.stream import Gathered
from isoscan.volumes.voxel_moments import VoxelMoments

MOMENTS = Container("isoscan-moments", 1, "moments", "moments")

_PARTS = tuple(Moments.__dataclass_fields__)


def write_shard(path: Path, gathered: Gathered, plan: str, shard: int) -> None:
    """Write what a pass over the maps of a shard left.

    Parameters
    ----------
    path : Path
        Where to write; a file that exists is replaced.
    gathered : Gathered
        Moments, and the values of a few voxels.
    plan : str
        SHA-256 of the plan.
    shard : int
        Number of the shard.
    """
    moments = gathered.moments
    sites = np.flatnonzero(moments.scans[:, 0])
    arrays: dict[str, NDArray[Any]] = {
        "sites": sites.astype(np.int64),
        "scans": moments.scans[sites],
        "zeros": moments.zeros[sites],
        "rows": gathered.rows.astype(np.int64),
        "sample": gathered.sample[gathered.rows],
    }
    for (tile, site), of_tile in moments.tiles.items():
        arrays |= {f"{tile}-{site}-{name}": getattr(of_tile, name) for name in _PARTS}
    facts = {
        "plan": plan,
        "shard": shard,
        "n_sites": moments.n_sites,
        "n_voxels": moments.n_voxels,
        "tiles": [list(place) for place in moments.tiles],
    }
    with told_if_full(path.parent):
        write_atomically(path, MOMENTS.pack(facts, arrays), overwrite=True)


def read_shard(path: Path, plan: str, sampled: NDArray[np.intp], n_scans: int) -> Gathered:
    """Read the moments of a shard; every checksum is verified.

    Parameters
    ----------
    path : Path
        A file of `write_shard`.
    plan : str
        SHA-256 of the plan it must belong to.
    sampled : ndarray of int
        Numbers of the voxels whose values are kept.
    n_scans : int
        Scans of the whole job.

    Returns
    -------
    Gathered
        As it was written.

    Raises
    ------
    ModelFileError
        If the file is damaged, or belongs to another plan.
    """
    facts, arrays = MOMENTS.read(path)
    if facts.get("plan") != plan:
        raise ModelFileError(
            f"{path.name} holds moments of another plan. Make it again: isoscan volumes moments."
        )
    moments = VoxelMoments(int(facts["n_sites"]), int(facts["n_voxels"]))
    sites, rows = arrays["sites"], arrays["rows"]
    moments.scans[sites], moments.zeros[sites] = arrays["scans"], arrays["zeros"]
    for tile, site in facts["tiles"]:
        parts = {name: arrays[f"{tile}-{site}-{name}"] for name in _PARTS}
        moments.put(tile, site, Moments(**parts))
    sample = np.zeros((n_scans, len(sampled)), dtype=arrays["sample"].dtype)
    sample[rows] = arrays["sample"]
    return Gathered(moments, sampled, sample, rows)


def is_finished(path: Path, plan: str) -> bool:
    """Whether the moments of a shard are there, undamaged, and of this plan.

    Parameters
    ----------
    path : Path
        Where they would be.
    plan : str
        SHA-256 of the plan.

    Returns
    -------
    bool
        False if they must be gathered.
    """
    if not path.is_file():
        return False
    try:
        return bool(MOMENTS.read(path)[0].get("plan") == plan)
    except ModelFileError:
        return False
