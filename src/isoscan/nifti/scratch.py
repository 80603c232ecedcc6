"""Memory that every thread uses again for the next map.

New memory for every map costs the operating system as much work as inflating a map does.
"""

from __future__ import annotations

import math
import threading

import numpy as np
from numpy.typing import NDArray


class Scratch(threading.local):
    """Memory of one thread, by purpose; what lies there is valid until it is asked for again."""

    def __init__(self) -> None:
        self._parts: dict[str, bytearray] = {}

    def room(self, purpose: str, n_bytes: int) -> memoryview:
        """Memory of the calling thread.

        Parameters
        ----------
        purpose : str
            What it is for; different purposes do not share memory.
        n_bytes : int
            How much.

        Returns
        -------
        memoryview
            Of `n_bytes` bytes, with whatever was there before.

        Examples
        --------
        >>> scratch = Scratch()
        >>> scratch.room("file", 3)[:] = b"abc"
        >>> bytes(scratch.room("file", 2))
        b'ab'
        """
        part = self._parts.get(purpose)
        if part is None or len(part) < n_bytes:
            part = self._parts[purpose] = bytearray(n_bytes)
        return memoryview(part)[:n_bytes]

    def array(self, purpose: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Memory of the calling thread, for numbers in double precision.

        Parameters
        ----------
        purpose : str
            What it is for.
        shape : tuple of int
            How many.

        Returns
        -------
        ndarray
            With whatever was there before.
        """
        return np.frombuffer(self.room(purpose, 8 * math.prod(shape))).reshape(shape)
