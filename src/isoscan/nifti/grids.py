"""Where voxels lie: images can be compared voxel by voxel only on one grid."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from isoscan.errors import GridMismatchError, ImageFileError, count, name_some

TOLERANCE_MM = 1e-3
"""How far apart the same voxel of two images may lie."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Shape of an image and where its voxels lie in space.

    Attributes
    ----------
    shape : tuple of int
        Voxels along each of the three axes.
    affine : ndarray of shape (4, 4)
        From voxel numbers to millimetres.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]

    @property
    def n_voxels(self) -> int:
        """Number of voxels, in the mask or not."""
        return math.prod(self.shape)

    def places(self, positions: NDArray[np.intp]) -> list[tuple[int, int, int]]:
        """Turn positions in storage order (first axis fastest) into voxel coordinates.

        Parameters
        ----------
        positions : ndarray of int
            Positions.

        Returns
        -------
        list of tuple
            Coordinates along the three axes.
        """
        axes = np.unravel_index(positions, self.shape, order="F")
        return [(int(i), int(j), int(k)) for i, j, k in zip(*axes, strict=True)]

    def difference(self, other: Grid) -> str:
        """Say in words how another grid differs; nothing if it is the same.

        Parameters
        ----------
        other : Grid
            Another grid.

        Returns
        -------
        str
            Such as "x flipped"; empty if voxels lie within a thousandth of a millimetre.
        """
        if other.shape != self.shape:
            return f"shape {in_words(other.shape)}"
        corners = np.array([*product(*((0, n - 1) for n in self.shape))])
        own, their = (grid._millimetres(corners) for grid in (self, other))
        apart = np.abs(own - their).max(axis=0)
        if not (apart > TOLERANCE_MM).any():
            return ""
        flipped = self._flipped(other)
        if flipped:
            return f"{flipped} flipped"
        axis = int(apart.argmax())
        return f"voxels up to {apart[axis]:.3g} mm off in {'xyz'[axis]}"

    def _millimetres(self, voxels: NDArray[np.int_]) -> NDArray[np.float64]:
        return voxels @ self.affine[:3, :3].T + self.affine[:3, 3]

    def _flipped(self, other: Grid) -> str:
        """Axes that run the other way round."""
        turn = np.linalg.inv(self.affine[:3, :3]) @ other.affine[:3, :3]
        signs = np.sign(np.diag(turn))
        if not np.allclose(turn, np.diag(signs), atol=1e-3):
            return ""
        return " and ".join(axis for axis, sign in zip("xyz", signs, strict=True) if sign < 0)


def in_words(shape: tuple[int, ...]) -> str:
    """Write a shape as people say it.

    Parameters
    ----------
    shape : tuple of int
        Voxels along each axis.

    Returns
    -------
    str
        With multiplication signs.

    Examples
    --------
    >>> in_words((91, 109, 91))
    '91×109×91'
    """
    return "×".join(map(str, shape))


def make_grid(shape: tuple[int, ...], affine: NDArray[np.float64] | None, name: str) -> Grid:
    """Make a grid of a shape and an affine; refuse what cannot be one.

    Parameters
    ----------
    shape : tuple of int
        Of the image; trailing axes of length 1 are dropped.
    affine : ndarray of shape (4, 4) or None
        From voxel numbers to millimetres; None for the identity.
    name : str
        Name of the image in messages.

    Returns
    -------
    Grid
        Three axes and an affine that can be inverted.

    Raises
    ------
    GridMismatchError
        If the image has more than three axes.
    ImageFileError
        If the affine is not finite or maps space onto a plane.
    """
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3:
        raise GridMismatchError(
            f"{name} has {len(shape)} axes ({in_words(shape)}); maps have three. Choose one "
            f"volume, or make one map of the series.",
            names=[name],
        )
    matrix = np.eye(4) if affine is None else np.asarray(affine, dtype=float)
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:3, :3])) < 1e-12:
        raise ImageFileError(
            f"{name}: its affine maps space onto a plane or is not finite, so nobody knows where "
            f"its voxels lie. Write the image again with a valid sform or qform.",
            name=name,
        )
    return Grid((shape[0], shape[1], shape[2]), matrix)


def require_one_grid(grids: Mapping[str, Grid], expected: Grid, what: str) -> None:
    """Refuse images that do not lie on the expected grid, with counts.

    Parameters
    ----------
    grids : mapping of {str: Grid}
        Grid of each image, by its name.
    expected : Grid
        Where they should lie.
    what : str
        Whose grid that is, in messages.

    Raises
    ------
    GridMismatchError
        Naming how many images differ in which way.
    """
    different: dict[str, list[str]] = {}
    for name, grid in grids.items():
        words = expected.difference(grid)
        if words:
            different.setdefault(words, []).append(name)
    if not different:
        return
    parts = [
        f"{count(len(names), 'map')} with {words}: {name_some(names, 3)}"
        for words, names in sorted(different.items(), key=lambda item: -len(item[1]))
    ]
    rest = f"; and {len(parts) - 4} more kinds" if len(parts) > 4 else ""
    n_different = sum(map(len, different.values()))
    raise GridMismatchError(
        f"{n_different} of {count(len(grids), 'map')} do not lie on the grid of {what} "
        f"({in_words(expected.shape)}): {'; '.join(parts[:4])}{rest}. Voxel-wise harmonization "
        f"compares the same place of every brain: register all maps to one template and "
        f"resample them to one grid first. Nothing is resampled silently.",
        differences={words: len(names) for words, names in different.items()},
        names=[name for names in different.values() for name in names],
    )


def most_common(grids: Mapping[str, Grid]) -> tuple[str, Grid]:
    """Find the grid that most images lie on.

    Parameters
    ----------
    grids : mapping of {str: Grid}
        Grid of each image, by its name.

    Returns
    -------
    name : str
        The first image that lies on it.
    grid : Grid
        The grid.
    """
    kinds: list[list[str]] = []
    for name, grid in grids.items():
        for kind in kinds:
            if not grids[kind[0]].difference(grid):
                kind.append(name)
                break
        else:
            kinds.append([name])
    first = max(kinds, key=len)[0]
    return first, grids[first]
