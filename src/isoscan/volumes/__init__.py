"""Maps on one grid, harmonized voxel by voxel, in a memory that their number does not change."""

from isoscan.volumes.harmonizing import fit_volumes, harmonize_volumes
from isoscan.volumes.model import VolumeModel

__all__ = ["VolumeModel", "fit_volumes", "harmonize_volumes"]
