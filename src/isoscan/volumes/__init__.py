"""Maps on one grid, harmonized voxel by voxel, in a memory that their number does not change."""

from isoscan.volumes.harmonizing import fit_volumes, harmonize_volumes
from isoscan.volumes.model import VolumeModel
from isoscan.volumes.shards import apply_shard, combine_shards, gather_shard, plan_shards
from isoscan.volumes.workers import harmonize_with_dask

__all__ = [
    "VolumeModel",
    "apply_shard",
    "combine_shards",
    "fit_volumes",
    "gather_shard",
    "harmonize_volumes",
    "harmonize_with_dask",
    "plan_shards",
]
