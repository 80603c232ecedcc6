"""Take the effect of one site out of a few of its maps, in place.

The numbers are those of `isoscan.combat.apply`. What is expected of a scan is a matrix product,
four times as fast as element by element, and the same for all sites. Linear algebra libraries round
it in a way that may depend on the number of rows, so that number is always the same: places
without a map are zero. A run that was stopped gives every map the place that it would have had, and
so the same bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.model import SiteModel
from isoscan.nifti.scratch import Scratch

PLACES = 16
"""Maps that are corrected together."""
STRIP = 1 << 15
"""Voxels that are corrected in one step. Threads wait for each other after every step, so that
smaller ones take longer."""

Array = NDArray[np.float64]


class SiteCorrection:
    """What harmonizing does to the maps of one site, one site after the other.

    Parameters
    ----------
    model : SiteModel
        Fitted numbers.
    """

    def __init__(self, model: SiteModel) -> None:
        self.model, self.scratch = model, Scratch()
        self._site, n_strips = -1, -(-len(model.sd) // STRIP)
        self._expected = np.zeros((n_strips, 1 + len(model.slopes), STRIP))
        for strip in range(n_strips):
            block = self._block(strip)
            self._expected[strip, 0, : block.stop - block.start] = model.intercept[block]
            self._expected[strip, 1:, : block.stop - block.start] = model.slopes[:, block]

    @property
    def strips(self) -> range:
        """Numbers of the strips of voxels; each may be corrected in another thread."""
        return range(len(self._expected))

    def turn_to(self, site: int) -> None:
        """Go on with the maps of another site.

        Parameters
        ----------
        site : int
            Number of the site; not that of the reference.
        """
        if site == self._site:
            return
        effects, self._site = self.model.effects, site
        self._factor = 1.0 / np.sqrt(effects.variance[site])
        self._shift = self.model.sd * effects.shift[site]
        self._shift *= self._factor

    def correct(
        self, strip: int, table: NDArray[Any], places: list[int], covariates: Array
    ) -> None:
        """Correct a strip of some maps.

        Parameters
        ----------
        strip : int
            Number of the strip.
        table : ndarray of shape (n_maps, n_voxels)
            Measured values; changed. NaN stays NaN.
        places : list of int
            Place of each map; ascending, below 16.
        covariates : ndarray of shape (16, n_columns)
            Design row of each place; anything where there is no map.
        """
        block, follow = self._block(strip), places[-1] == len(places) - 1
        of_maps = slice(len(places)) if follow else places
        width = block.stop - block.start
        measured = table[:, block]
        constant = np.flatnonzero(self.model.sd[block] == 0)
        unchanged = measured[:, constant]
        expected = self._expect("expected", strip, covariates)[of_maps, :width]
        values = self._room("values", measured.shape)
        values[...] = measured
        values -= expected
        values *= self._factor[block]
        values -= self._shift[block]
        if self.model.removed.any():
            kept = self.model.kept(covariates)
            expected = self._expect("kept", strip, kept)[of_maps, :width]
        values += expected
        measured[...] = values
        measured[:, constant] = unchanged

    def _block(self, strip: int) -> slice:
        return slice(strip * STRIP, min((strip + 1) * STRIP, len(self.model.sd)))

    def _expect(self, purpose: str, strip: int, covariates: Array) -> Array:
        """What is expected of all places, without site effects."""
        rows = np.column_stack([np.ones(PLACES), covariates])
        found = self._room(purpose, (PLACES, STRIP))
        return np.matmul(rows, self._expected[strip], out=found)

    def _room(self, purpose: str, shape: tuple[int, int]) -> Array:
        room = self.scratch.room(purpose, 8 * shape[0] * shape[1])
        return np.frombuffer(room, np.float64).reshape(shape)
