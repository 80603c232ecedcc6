"""What all shards of a job must agree on, in one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np

from isoscan.combat.container import Container
from isoscan.errors import DataError
from isoscan.nifti.grids import make_grid
from isoscan.tables.write import write_atomically
from isoscan.volumes.apply import Outside, Site
from isoscan.volumes.coverage import Missing
from isoscan.volumes.masks import Mask

PLAN = Container("isoscan-plan", 1, "plan", "plans")
FILE, SHARDS = "plan.isoscan", "shards"

Item = TypeVar("Item")


def cut(items: Sequence[Item], number: int, n_shards: int) -> list[Item]:
    """Items of one shard: neighbours, and as many as in others, or one more or less.

    Parameters
    ----------
    items : sequence
        Those of the whole job, in order.
    number : int
        Number of the shard, from 0.
    n_shards : int
        Number of shards.

    Returns
    -------
    list
        A part of them.
    """
    first, last = (len(items) * end // n_shards for end in (number, number + 1))
    return list(items[first:last])


@dataclass(frozen=True, eq=False)
class Plan:
    """A job cut into shards that different computers may work on.

    Attributes
    ----------
    folder : Path
        Where the plan, moments and results are.
    mask : Mask
        Voxels to harmonize.
    n_shards : int
        Number of shards.
    options : dict
        Options of ComBat.
    site : str
        Column with the site.
    missing : {"keep", "exclude", "error"}
        What to do with voxels that lack a value at some scan.
    outside : {"zero", "keep", "nan"}
        What voxels outside the mask become.
    run : str
        Fingerprint of maps, covariates, options and versions.
    table : dict
        Where the maps are listed, if the command line made the plan.
    skipped : list of str
        Scans that are left out because their maps cannot be read.
    """

    folder: Path
    mask: Mask
    n_shards: int
    options: dict[str, Any]
    site: Site
    missing: Missing
    outside: Outside
    run: str
    table: dict[str, Any]
    skipped: list[str]

    def moments_path(self, shard: int) -> Path:
        """File with the moments of a shard.

        Parameters
        ----------
        shard : int
            Number of the shard, from 1.

        Returns
        -------
        Path
            In the folder of the plan.
        """
        return self.folder / SHARDS / f"moments-{shard:04d}.isoscan"

    def part(self, items: Sequence[Item], shard: int) -> list[Item]:
        """Items that a shard works on.

        Parameters
        ----------
        items : sequence
            Those of the whole job, in order.
        shard : int
            Number of the shard, from 1.

        Returns
        -------
        list
            Neighbours; shards differ by one item at most.

        Raises
        ------
        DataError
            If there is no such shard.
        """
        if not 1 <= shard <= self.n_shards:
            raise DataError(f"there is no shard {shard}: the plan has shards 1 to {self.n_shards}.")
        return cut(items, shard - 1, self.n_shards)

    def save(self) -> None:
        """Write the plan into its folder."""
        facts = {
            "n_shards": self.n_shards,
            "options": self.options,
            "site": self.site,
            "missing": self.missing,
            "outside": self.outside,
            "run": self.run,
            "table": self.table,
            "skipped": self.skipped,
            "shape": list(self.mask.grid.shape),
            "affine": self.mask.grid.affine.tolist(),
        }
        content = PLAN.pack(facts, {"voxels": self.mask.voxels.astype(np.int64)})
        write_atomically(self.folder / FILE, content, overwrite=True)

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """Read the plan in a folder.

        Parameters
        ----------
        folder : path-like
            Where it is.

        Returns
        -------
        Plan
            As it was made.

        Raises
        ------
        MissingFileError
            If there is none.
        ModelFileError
            If it is damaged.
        """
        folder = Path(folder)
        facts, arrays = PLAN.read(folder / FILE)
        shape = tuple(int(n) for n in facts["shape"])
        mask = Mask(make_grid(shape, np.array(facts["affine"]), "the plan"), arrays["voxels"])
        options = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in facts["options"].items()
        }
        names = "n_shards site missing outside run table skipped".split()
        return cls(folder, mask, options=options, **{name: facts[name] for name in names})
