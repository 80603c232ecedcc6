"""Do maps lie over each other? What is not registered cannot be compared voxel by voxel.

Of maps of brains that were registered, however roughly, either the filled voxels overlap or the
coarse structure is the same; of brains where the scanner left them, neither. Measured on maps of
eight kinds made of T1w images of twelve adults: sums over blocks of 16 mm correlated by 0.74 or
more after a rough affine registration, and by 0.16 to 0.56 before, but for whole heads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.blocks import run_parallel
from isoscan.errors import GridMismatchError
from isoscan.nifti.sources import ArrayMap, Source

MOST_LOOKED_AT, FEWEST = 8, 4
BLOCK_MM, LEAST_LITRES = 16.0, 0.2
LEAST_CORRELATION, LEAST_OVERLAP = 0.65, 0.8

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Look:
    """What is kept of a map.

    Attributes
    ----------
    filled : ndarray of bool, shape (n_voxels,)
        Voxels with a finite value other than 0.
    coarse : ndarray
        Sums of the values over blocks of 16 mm.
    litres : float
        Volume of the filled voxels.
    """

    filled: NDArray[np.bool_]
    coarse: Array
    litres: float

    @classmethod
    def at(cls, source: Source) -> Look:
        """Read a map.

        Parameters
        ----------
        source : Source
            Any map.

        Returns
        -------
        Look
            Of the whole grid.
        """
        flat = source.flat()
        finite = np.isfinite(flat)
        if not finite.all():
            flat = np.where(finite, flat, 0)
        sizes = np.linalg.norm(source.grid.affine[:3, :3], axis=0)
        sums = flat.reshape(source.grid.shape, order="F")
        for axis, size in enumerate(sizes):
            starts = np.arange(0, sums.shape[axis], max(round(BLOCK_MM / size), 1))
            sums = np.add.reduceat(sums, starts, axis=axis, dtype=float)
        filled = flat != 0
        litres = np.count_nonzero(filled) * np.prod(sizes) / 1e6
        return cls(filled, sums.ravel(), float(litres))


def likeness(looks: Sequence[Look]) -> tuple[float, float]:
    """How far maps lie over each other.

    Parameters
    ----------
    looks : sequence of Look
        At least two maps on one grid.

    Returns
    -------
    overlap : float
        Dice coefficient of the filled voxels, median over pairs of maps.
    correlation : float
        Of the coarse structure, where one of a pair has any; median over pairs.
    """
    overlaps, correlations = [], []
    for one, other in combinations(looks, 2):
        shared, *each = map(np.count_nonzero, (one.filled & other.filled, one.filled, other.filled))
        overlaps.append(2 * shared / max(sum(each), 1))
        either = (one.coarse != 0) | (other.coarse != 0)
        pair = one.coarse[either], other.coarse[either]
        varies = either.sum() > 2 and all(np.ptp(values) > 0 for values in pair)
        correlations.append(np.corrcoef(*pair)[0, 1] if varies else 1.0)
    return float(np.median(overlaps)), float(np.median(correlations))


def require_overlap(sources: Sequence[Source], scans: Iterable[object]) -> None:
    """Refuse maps of brains that do not lie over each other.

    A few maps are read, spread over the list. Maps that fill less than a brain does (lesions,
    small animals) and arrays without an affine are not judged.

    Parameters
    ----------
    sources : sequence of Source
        Maps on one grid.
    scans : iterable
        Whose they are.

    Raises
    ------
    GridMismatchError
        If neither filled voxels nor coarse structure agree.
    """
    rows = np.unique(np.linspace(0, len(sources) - 1, MOST_LOOKED_AT).astype(int))
    if len(rows) < FEWEST or any(isinstance(sources[row], ArrayMap) for row in rows):
        return
    looks = run_parallel(lambda row: Look.at(sources[row]), rows)
    if np.median([look.litres for look in looks]) < LEAST_LITRES:
        return
    overlap, correlation = likeness(looks)
    if overlap >= LEAST_OVERLAP or correlation >= LEAST_CORRELATION:
        return
    raise GridMismatchError(
        f"the maps lie on one grid, but not over each other: of {len(rows)} that were looked at, "
        f"two share {100 * overlap:.0f} % of their filled voxels, and their coarse structure "
        f"correlates by {correlation:.2f}; registered maps share 80 %, or correlate by 0.65. "
        f"Voxel-wise harmonization compares the same place of every brain: register all maps to "
        f"one template first. If they are registered, say so: registered=True (--registered).",
        scans=[scan for row, scan in enumerate(scans) if row in rows],
        overlap=overlap,
        correlation=correlation,
    )
