"""Take the effect of one site out of a few of its maps, in place.

The algebra is that of `isoscan.combat.apply`. What is added to a map is a matrix product, four
times as fast as element by element. Linear algebra libraries round it in a way that may depend on
the number of rows, so that number is always the same: places without a map are zero. A run that was
stopped gives every map the place that it would have had, and so the same bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.apply import affine_maps
from isoscan.combat.model import SiteModel
from isoscan.nifti.scratch import Scratch

PLACES = 16
"""Maps that are corrected together."""
STRIP = 1 << 15
"""Voxels that are corrected in one step. Threads wait for each other after every step, so that
smaller ones take longer."""

Array = NDArray[np.float64]


class SiteCorrection:
    """What harmonizing does to maps; those of one site should follow each other.

    Parameters
    ----------
    model : SiteModel
        Fitted numbers.
    """

    def __init__(self, model: SiteModel) -> None:
        self.model, self.scratch = model, Scratch()
        n_strips = -(-len(model.sd) // STRIP)
        self._sites = [-1] * n_strips
        self._factor = np.ones((n_strips, STRIP))
        self._lines = np.zeros((n_strips, 1 + len(model.slopes), STRIP))

    @property
    def strips(self) -> range:
        """Numbers of the strips of voxels; each may be corrected in another thread."""
        return range(len(self._lines))

    def correct(
        self, site: int, strip: int, table: NDArray[Any], places: list[int], covariates: Array
    ) -> None:
        """Correct a strip of some maps.

        Parameters
        ----------
        site : int
            Number of their site; not that of the reference.
        strip : int
            Number of the strip.
        table : ndarray of shape (n_maps, n_voxels)
            Measured values; changed. NaN stays NaN.
        places : list of int
            Place of each map; ascending, below 16.
        covariates : ndarray of shape (16, n_columns)
            Design row of each place; anything where there is no map.
        """
        if self._sites[strip] != site:
            self._turn(strip, site)
        measured = table[:, self._block(strip)]
        rows = np.column_stack([np.ones(PLACES), covariates])
        added = np.matmul(
            rows, self._lines[strip], out=self.scratch.array("added", (PLACES, STRIP))
        )
        follow = places[-1] == len(places) - 1
        added = added[slice(len(places)) if follow else places, : measured.shape[1]]
        values = self.scratch.array("values", measured.shape)
        values[...] = measured
        values *= self._factor[strip, : measured.shape[1]]
        values += added
        measured[...] = values

    def _turn(self, strip: int, site: int) -> None:
        block = self._block(strip)
        factor, lines = affine_maps(self.model, block, slice(site, site + 1))
        constant = self.model.passed_through[block]
        factor[:, constant], lines[..., constant] = 1.0, 0.0
        width = factor.shape[1]
        self._factor[strip, :width], self._lines[strip, :, :width] = factor[0], lines[:, 0]
        self._sites[strip] = site

    def _block(self, strip: int) -> slice:
        return slice(strip * STRIP, min((strip + 1) * STRIP, len(self.model.sd)))
