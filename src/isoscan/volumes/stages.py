"""Maps go through three stages in blocks: one block is read, one harmonized, one written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isoscan.nifti.frames import Frame
from isoscan.nifti.maps import map_bytes
from isoscan.nifti.scratch import Scratch
from isoscan.nifti.sources import Source
from isoscan.volumes.correction import PLACES, SiteCorrection
from isoscan.volumes.kept_maps import KeptMaps
from isoscan.volumes.outputs import Results
from isoscan.volumes.reading import Reading, ahead, start_reading

if TYPE_CHECKING:
    from isoscan.volumes.model import VolumeModel

Table = NDArray[Any]


@dataclass(frozen=True)
class Block:
    """Maps that are harmonized together.

    Attributes
    ----------
    rows : list of int
        Maps to be made.
    taken : list of int
        Maps to be read.
    site : int or None
        Number of their site, if all are of one site that a plain ComBat knows.
    places : list of int
        Place of each among the maps of the whole job that are harmonized together.
    """

    rows: list[int]
    taken: list[int]
    site: int | None = None
    places: list[int] = field(default_factory=list)


class Reader:
    """The first stage: voxels of the mask, as a table.

    Parameters
    ----------
    pool : Executor
        Threads.
    sources : sequence of Source
        Maps.
    voxels : ndarray of int
        Positions of the voxels in storage order.
    dtype : dtype
        Of the tables.
    kept : KeptMaps or None
        Maps that need not be read again.
    whole : bool
        Whether to keep what lies around the voxels.
    """

    def __init__(
        self,
        pool: Executor,
        sources: Sequence[Source],
        voxels: NDArray[np.intp],
        dtype: np.dtype[Any],
        kept: KeptMaps | None,
        *,
        whole: bool,
    ) -> None:
        self.pool, self.sources, self.voxels, self.dtype = pool, sources, voxels, dtype
        self.kept, self.whole, self.scratch = kept, whole, Scratch()

    def ahead(self, blocks: Sequence[Block]) -> Iterator[tuple[Block, Reading]]:
        """Read blocks, always one further than asked for.

        Parameters
        ----------
        blocks : sequence of Block
            Which maps.

        Yields
        ------
        tuple of Block and Reading
            The table may be changed; it is used again for the third block after.
        """
        most = max((len(block.taken) for block in blocks), default=0)
        tables = cycle(np.empty((min(len(blocks), 3), most, len(self.voxels)), self.dtype))

        def start(block: Block) -> Reading:
            maps = [self.sources[row] for row in block.taken]
            return start_reading(
                self.pool,
                maps,
                self.voxels,
                next(tables),
                self.scratch,
                whole=self.whole,
                kept=self.kept,
            )

        return ahead(blocks, start)


class Corrector:
    """The second stage: takes site effects out of tables.

    Parameters
    ----------
    pool : Executor
        Threads.
    estimator : SiteHarmonizer
        Fitted.
    design : ndarray of shape (n_maps, n_columns), or None
        Design rows of all maps, for maps of sites that a plain ComBat knows.
    otherwise : callable
        Harmonizes a table of other maps, given their numbers.
    """

    def __init__(
        self,
        pool: Executor,
        estimator: Any,
        design: NDArray[np.float64] | None,
        otherwise: Callable[[Table, list[int]], Table],
    ) -> None:
        self.pool, self.estimator, self.design = pool, estimator, design
        self.otherwise = otherwise

    def harmonized(self, table: Table, block: Block) -> Table:
        """Harmonize a block.

        Parameters
        ----------
        table : ndarray of shape (n_maps, n_voxels)
            Measured values; may be changed.
        block : Block
            Which maps these are.

        Returns
        -------
        ndarray of shape (n_maps, n_voxels)
            Harmonized values; may be `table`.
        """
        if block.site is None:
            return self.otherwise(table, block.taken)
        if block.site == self.estimator.model_.reference:
            return table
        assert self.design is not None  # a plain ComBat has one
        covariates = np.zeros((PLACES, self.design.shape[1]))
        covariates[block.places] = self.design[block.taken]
        correct = partial(
            self.correction.correct,
            block.site,
            table=table,
            places=block.places,
            covariates=covariates,
        )
        list(self.pool.map(correct, self.correction.strips))
        return table

    @cached_property
    def correction(self) -> SiteCorrection:
        """Made when the first map is to be corrected."""
        return SiteCorrection(self.estimator.model_)


class Writer:
    """The third stage: files, or maps in the form they came in.

    Parameters
    ----------
    pool : Executor
        Threads.
    sources : sequence of Source
        Maps.
    model : VolumeModel
        Says which voxels are harmonized, and which left out.
    outside : {"zero", "keep", "nan"}
        What voxels outside the mask become.
    results : Results or None
        Where maps are written; None to give them back.
    """

    def __init__(
        self,
        pool: Executor,
        sources: Sequence[Source],
        model: VolumeModel,
        outside: str,
        results: Results | None,
    ) -> None:
        self.pool, self.sources, self.results = pool, sources, results
        self.voxels, self.left_out = model.mask.voxels, model.left_out
        self.around = np.full(model.grid.n_voxels, 0.0 if outside == "zero" else np.nan)
        self.around[self.left_out] = np.nan
        self.frame = Frame(self.voxels, self.around)

    def start(self, block: Block, table: Table, reading: Reading) -> dict[int, Future[Any]]:
        """Begin to write a block.

        Parameters
        ----------
        block : Block
            Which maps these are.
        table : ndarray of shape (n_maps, n_voxels)
            Harmonized values.
        reading : Reading
            What was read.

        Returns
        -------
        dict of {int: Future}
            By number of the map.
        """
        made = {}
        for row in block.rows:
            place = block.taken.index(row)
            made[row] = self.pool.submit(self._make, row, table[place], reading.whole[place])
        return made

    def finish(self, making: dict[int, Future[Any]]) -> dict[int, Any]:
        """Wait until a block is written, and note it.

        Parameters
        ----------
        making : dict of {int: Future}
            What `start` gave.

        Returns
        -------
        dict of {int: object}
            Paths or maps, by number of the map.
        """
        made = {row: future.result() for row, future in making.items()}
        if self.results is None:
            return made
        self.results.note(made)
        return {row: self.results.path(row) for row in made}

    def _make(self, row: int, values: NDArray[Any], before: NDArray[Any] | None) -> Any:
        """Write a map and give its hash; or give the map."""
        source = self.sources[row]
        if self.results is None:
            return source.like(self._whole(values, before))
        compressed = self.results.is_compressed(row)
        if before is None:
            content = self.frame.map_bytes(values, source.header(), compressed=compressed)
        else:
            flat = self._whole(values, before)
            content = map_bytes(flat, source.header(), compressed=compressed)
        return self.results.write(row, content)

    def _whole(self, values: NDArray[Any], before: NDArray[Any] | None) -> NDArray[Any]:
        flat = (self.around if before is None else before).astype(values.dtype)
        flat[self.left_out] = np.nan
        flat[self.voxels] = values
        return flat


@dataclass(frozen=True)
class Stages:
    """All three.

    Attributes
    ----------
    reader : Reader
        Reads.
    corrector : Corrector
        Harmonizes.
    writer : Writer
        Writes.
    """

    reader: Reader
    corrector: Corrector
    writer: Writer

    def through(self, blocks: Sequence[Block]) -> Iterator[dict[int, Any]]:
        """Send blocks through the stages.

        Parameters
        ----------
        blocks : sequence of Block
            Which maps.

        Yields
        ------
        dict of {int: object}
            Paths or maps of a block, by number of the map.
        """
        making: dict[int, Future[Any]] | None = None
        for block, reading in self.reader.ahead(blocks):
            reading.wait()
            table = self.corrector.harmonized(reading.table, block)
            before, making = making, self.writer.start(block, table, reading)
            if before is not None:
                yield self.writer.finish(before)
        if making is not None:
            yield self.writer.finish(making)
