"""Clients of Dask: connect to one, work on pieces, and say why workers die."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from isoscan.errors import MissingPackageError, OutOfSpaceError
from isoscan.volumes.stack_moments import Run


def import_distributed() -> Any:
    """Import the package distributed.

    Returns
    -------
    module
        The package.

    Raises
    ------
    MissingPackageError
        If it is not installed.
    """
    try:
        return import_module("distributed")
    except ImportError:
        raise MissingPackageError(
            "clusters need the package dask with distributed. Install it: "
            "pip install 'isoscan[volumes]'."
        ) from None


@contextmanager
def connected(client: Any) -> Iterator[Any]:
    """Use a client, or start processes of this computer.

    Parameters
    ----------
    client : distributed.Client or None
        The cluster.

    Yields
    ------
    distributed.Client
        The same, or a new one.

    Raises
    ------
    OutOfSpaceError
        If a task was given up because every worker that tried it died.
    """
    distributed = import_distributed()
    try:
        if client is not None:
            yield client
            return
        with distributed.Client(processes=True, dashboard_address=None) as own:
            yield own
    except distributed.KilledWorker as death:
        raise OutOfSpaceError(
            f"task '{death.task}' was given up: {death.allowed_failures + 1} workers died on it, "
            f"most often because memory ran out. Give workers more memory, or let fewer work on "
            f"one computer, and take the run up with resume=True (--resume).",
            task=str(death.task),
        ) from None


def share(client: Any, value: Any) -> Any:
    """Hand something to the workers that many tasks need.

    It becomes a task itself: what a client scatters is lost for good when the workers that hold
    it die, and everything that needs it is cancelled.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    value : object
        What tasks need.

    Returns
    -------
    distributed.Future
        To be given to tasks.
    """
    config = import_module("dask.config")
    with config.set({"distributed.admin.large-graph-warning-threshold": "1 TiB"}):
        return client.submit(_itself, value, pure=False)


def _itself(value: Any) -> Any:
    return value


def on_workers(client: Any) -> Run:
    """Make what works on pieces of a stack on the workers.

    Parameters
    ----------
    client : distributed.Client
        The cluster.

    Returns
    -------
    callable
        Calls a function on items and gives results in order.
    """

    def run(work: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
        shared = share(client, work)
        tasks = [client.submit(_call, shared, item, pure=False) for item in items]
        for task in tasks:
            yield task.result()
            task.release()

    return run


def _call(work: Callable[[Any], Any], item: Any) -> Any:
    return work(item)
