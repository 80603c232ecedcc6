"""Take the effect of one site out of a few of its maps, in place.

The numbers are those of `isoscan.combat.apply`. What is added for the covariates is a matrix
product, four times as fast as element by element. Linear algebra libraries round it in a way that
may depend on the number of rows, so that number is always the same: places without a map are
zero. A run that was stopped gives every map the place that it would have had, and so the same bits.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoscan.combat.apply import affine_maps
from isoscan.combat.model import SiteModel
from isoscan.nifti.scratch import Scratch

PLACES = 16
"""Maps that are corrected together."""
STRIP = 4096
"""Voxels that are corrected in one step; what is known about them stays in the cache."""

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
        n_strips, n_columns = -(-len(model.sd) // STRIP), len(model.slopes)
        self._factor = np.zeros((n_strips, STRIP))
        self._lines = np.zeros((n_strips, 1 + n_columns, STRIP))
        self._known = np.zeros(n_strips, dtype=bool)
        self._site, self._one = -1, model

    @property
    def strips(self) -> range:
        """Numbers of the strips of voxels; each may be corrected in another thread."""
        return range(len(self._known))

    def turn_to(self, site: int) -> None:
        """Go on with the maps of another site.

        Parameters
        ----------
        site : int
            Number of the site; not that of the reference.
        """
        if site != self._site:
            self._site, self._one = site, only_site(self.model, site)
            self._known[:] = False

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
        covariates : ndarray of shape (16, 1 + n_columns)
            A one and the design row of each place; zeros where there is no map.
        """
        if not self._known[strip]:
            self._learn(strip)
        measured = table[:, strip * STRIP : (strip + 1) * STRIP]
        added = self._room("added", (PLACES, STRIP))
        np.matmul(covariates, self._lines[strip], out=added)
        values = self._room("values", measured.shape)
        values[...] = measured
        width = measured.shape[1]
        values *= self._factor[strip, :width]
        follow = places[-1] == len(places) - 1
        values += (added[: len(places)] if follow else added[places])[:, :width]
        measured[...] = values

    def _learn(self, strip: int) -> None:
        block = slice(strip * STRIP, min((strip + 1) * STRIP, len(self.model.sd)))
        factor, lines = affine_maps(self._one, block)
        constant = self.model.sd[block] == 0
        factor[:, constant], lines[..., constant] = 1.0, 0.0
        self._factor[strip, : factor.shape[1]] = factor[0]
        self._lines[strip, :, : factor.shape[1]] = lines[:, 0]
        self._known[strip] = True

    def _room(self, purpose: str, shape: tuple[int, int]) -> Array:
        room = self.scratch.room(purpose, 8 * shape[0] * shape[1])
        return np.frombuffer(room, np.float64).reshape(shape)


def only_site(model: SiteModel, site: int) -> SiteModel:
    """The same model without the other sites.

    Parameters
    ----------
    model : SiteModel
        Fitted numbers.
    site : int
        Number of the site.

    Returns
    -------
    SiteModel
        Of one site; what need not be known need not be computed.
    """
    part, fields = slice(site, site + 1), vars(model.effects).items()
    arrays: dict[str, Any] = {
        name: value[part] for name, value in fields if isinstance(value, np.ndarray | list)
    }
    reference = 0 if model.reference == site else None
    return replace(model, effects=replace(model.effects, **arrays), reference=reference)
