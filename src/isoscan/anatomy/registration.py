"""Bring a head and a template together: an affine map, then a smooth warp.

Mutual information finds the affine map at 4 mm, cross-correlation the warp (symmetric
normalization [1]_) at the resolution of what is given, both without anything random. Another
engine needs no more than the two methods of `Engine`.

References
----------
.. [1] Avants et al. (2008), Med. Image Anal. 12:26, doi:10.1016/j.media.2007.06.004.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from isoscan.anatomy.packages import require_package
from isoscan.anatomy.resampling import Working
from isoscan.nifti.grids import Grid

_RIGID_AND_AFFINE_ITERATIONS = (100, 50, 10)
_FACTORS, _SMOOTHING = (4, 2, 1), (3.0, 1.0, 0.0)
_BINS = 32
_AFFINE_MM = 4.0  # at 2 mm, the map takes six times as long and is not better
_WARP_ITERATIONS = (10, 10, 5)
_PURPOSE = "registration to the template"

Array = NDArray[np.float32]
Affine = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Placed:
    """Values, and where they lie.

    Attributes
    ----------
    values : ndarray of float32 of shape (x, y, z)
        Intensities.
    grid : Grid
        Of the values.
    """

    values: Array
    grid: Grid


class Warp(Protocol):
    """A smooth map between a head and a template, in both directions."""

    def to_head(self, template: Placed, grid: Grid) -> Array:
        """Carry values of the template to a grid of the head.

        Parameters
        ----------
        template : Placed
            Values in template space.
        grid : Grid
            Of the head, at any resolution.

        Returns
        -------
        ndarray of float32 of shape (x, y, z)
            Interpolated linearly; 0 outside the template.
        """

    def to_template(self, head: Placed, grid: Grid) -> Array:
        """Carry values of the head to a grid of the template.

        Parameters
        ----------
        head : Placed
            Values in the space of the head.
        grid : Grid
            Of the template, at any resolution.

        Returns
        -------
        ndarray of float32 of shape (x, y, z)
            Interpolated linearly; 0 outside the image.
        """


class Engine(Protocol):
    """Something that registers."""

    def affine(self, template: Placed, head: Placed, start: Affine) -> Affine:
        """Find the affine map.

        Parameters
        ----------
        template, head : Placed
            Brains without skull.
        start : ndarray of shape (4, 4)
            Where to begin, from millimetres of the head to those of the template.

        Returns
        -------
        ndarray of shape (4, 4)
            From millimetres of the head to those of the template.
        """

    def warp(self, template: Placed, head: Placed, to_template: Affine) -> Warp:
        """Find the warp.

        Parameters
        ----------
        template, head : Placed
            Brains without skull.
        to_template : ndarray of shape (4, 4)
            Where to begin.

        Returns
        -------
        Warp
            Includes the affine map.
        """


class Dipy:
    """Registration by the package dipy."""

    def affine(self, template: Placed, head: Placed, start: Affine) -> Affine:
        """Match by six, then by twelve parameters.

        Parameters
        ----------
        template, head : Placed
            Brains without skull.
        start : ndarray of shape (4, 4)
            Where to begin, from millimetres of the head to those of the template.

        Returns
        -------
        ndarray of shape (4, 4)
            From millimetres of the head to those of the template.
        """
        imaffine = require_package("dipy.align.imaffine", _PURPOSE)
        transforms = require_package("dipy.align.transforms", _PURPOSE)
        template, head = _coarser(template), _coarser(head)
        grids = (template.grid.affine, head.grid.affine)
        found = np.linalg.inv(start)
        for transform in (transforms.RigidTransform3D(), transforms.AffineTransform3D()):
            search = imaffine.AffineRegistration(
                metric=imaffine.MutualInformationMetric(nbins=_BINS),
                level_iters=list(_RIGID_AND_AFFINE_ITERATIONS),
                sigmas=list(_SMOOTHING),
                factors=list(_FACTORS),
                verbosity=0,
            )
            found = search.optimize(
                template.values,
                head.values,
                transform,
                None,
                static_grid2world=grids[0],
                moving_grid2world=grids[1],
                starting_affine=found,
            ).affine
        return np.asarray(np.linalg.inv(found))

    def warp(self, template: Placed, head: Placed, to_template: Affine) -> Warp:
        """Normalize symmetrically, in the space of the template.

        Parameters
        ----------
        template, head : Placed
            Brains without skull.
        to_template : ndarray of shape (4, 4)
            Where to begin.

        Returns
        -------
        Warp
            Includes the affine map.
        """
        imwarp = require_package("dipy.align.imwarp", _PURPOSE)
        metrics = require_package("dipy.align.metrics", _PURPOSE)
        search = imwarp.SymmetricDiffeomorphicRegistration(
            metrics.CCMetric(3), level_iters=list(_WARP_ITERATIONS)
        )
        search.verbosity = 0
        mapping = search.optimize(
            template.values,
            head.values,
            static_grid2world=template.grid.affine,
            moving_grid2world=to_template @ head.grid.affine,
        )
        return _DipyWarp(mapping, to_template)


def _coarser(placed: Placed) -> Placed:
    working = Working.of(placed.grid, _AFFINE_MM)
    return Placed(working.to_coarse(placed.values), working.coarse)


class _DipyWarp:
    """A displacement field in the space of the template, after the affine map."""

    def __init__(self, mapping: Any, to_template: Affine) -> None:
        self._mapping, self._affine = mapping, to_template

    def to_head(self, template: Placed, grid: Grid) -> Array:
        return np.asarray(
            self._mapping.transform_inverse(
                np.ascontiguousarray(template.values),
                image_world2grid=np.linalg.inv(template.grid.affine),
                out_shape=np.array(grid.shape, dtype=np.int32),
                out_grid2world=self._affine @ grid.affine,
            )
        )

    def to_template(self, head: Placed, grid: Grid) -> Array:
        return np.asarray(
            self._mapping.transform(
                np.ascontiguousarray(head.values),
                image_world2grid=np.linalg.inv(self._affine @ head.grid.affine),
                out_shape=np.array(grid.shape, dtype=np.int32),
                out_grid2world=grid.affine,
            )
        )
