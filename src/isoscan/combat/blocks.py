"""Walk over blocks of columns with a pool of threads.

Blocks are small enough to stay in the processor's cache. Each worker computes with
one thread; the pool is the only parallelism.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

from threadpoolctl import ThreadpoolController

CELLS_AT_A_TIME = 1 << 18
"""Cells that are worked on in one step: 2 MB of float64. Smaller
steps make threads wait for each other, larger ones wait for memory."""


SHARES = 8
"""Number of blocks is a multiple of this."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def column_blocks(rows_at_a_time: float, n_features: int) -> Iterator[slice]:
    """Cut the columns into blocks of a size that suits the cache.

    Parameters
    ----------
    rows_at_a_time : float
        Rows that are worked on in one step, usually the scans of one site.
    n_features : int
        Columns of the table.

    Yields
    ------
    slice
        Consecutive columns.

    Examples
    --------
    >>> list(column_blocks(10, 3))
    [slice(0, 3, None)]
    """
    width = max(64, int(CELLS_AT_A_TIME / max(rows_at_a_time, 1.0)))
    if n_features > width * SHARES:  # the same work for every thread
        width = -(-n_features // (SHARES * -(-n_features // (SHARES * width))))
    for start in range(0, n_features, width):
        yield slice(start, min(start + width, n_features))


def for_each_block(
    work: Callable[[slice], Result],
    rows_at_a_time: float,
    n_features: int,
    n_jobs: int | None = None,
) -> list[Result]:
    """Call `work` on every block of columns, in parallel; results keep the block order.

    Parameters
    ----------
    work : callable
        Takes a slice of columns.
    rows_at_a_time : float
        Rows that are worked on in one step.
    n_features : int
        Columns of the table.
    n_jobs : int, optional
        Number of threads; None or -1 for all processors this process may use.

    Returns
    -------
    list
        What `work` returned for each block.
    """
    return run_parallel(work, column_blocks(rows_at_a_time, n_features), n_jobs)


def run_parallel(
    work: Callable[[Item], Result], items: Iterable[Item], n_jobs: int | None = None
) -> list[Result]:
    """Call `work` on every item with a pool of threads; results keep the order.

    Parameters
    ----------
    work : callable
        Takes one item.
    items : iterable
        What to work on.
    n_jobs : int, optional
        Number of threads; None or -1 for all processors this process may use.

    Returns
    -------
    list
        What `work` returned for each item.
    """
    items = list(items)
    workers = min(count_workers(n_jobs), len(items))
    with _threadpools().limit(limits=1, user_api="blas"):
        if workers <= 1:
            return [work(item) for item in items]
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(work, items))


@contextmanager
def thread_pool(n_jobs: int | None = None) -> Iterator[ThreadPoolExecutor]:
    """Threads for work that is handed out piece by piece.

    Parameters
    ----------
    n_jobs : int, optional
        Number of threads; None or -1 for all processors this process may use.

    Yields
    ------
    ThreadPoolExecutor
        Each of its threads computes with one thread. After an error, what has not begun is
        not done.
    """
    with _threadpools().limit(limits=1, user_api="blas"):
        pool = ThreadPoolExecutor(count_workers(n_jobs))
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


@cache
def _threadpools() -> ThreadpoolController:
    """Handles on the linear algebra libraries; finding them takes longer than a small fit."""
    return ThreadpoolController()


def count_workers(n_jobs: int | None) -> int:
    """Number of threads to use.

    Parameters
    ----------
    n_jobs : int or None
        What the user asked for.

    Returns
    -------
    int
        At least one.
    """
    if n_jobs is None or n_jobs < 0:
        if hasattr(os, "sched_getaffinity"):  # not on every system
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1
    return max(1, n_jobs)
