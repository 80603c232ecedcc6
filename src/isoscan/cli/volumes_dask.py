"""Workers of Dask for the work on maps: those of a cluster, or processes of this computer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from isoscan.cli.sections import under

SECONDS_TO_WAIT = 15

dask = under("Results")(
    "--dask",
    metavar="ADDRESS",
    help="Let the workers of Dask do it: address of the scheduler, such as tcp://host:8786, or "
    "local:N for N processes of this computer. All must reach the maps and the results.",
)


def require_usable(method: str, sites: tuple[str, ...]) -> None:
    """Refuse what moments do not suffice for."""
    if method != "combat" or len(sites) > 1:
        raise click.UsageError("--dask needs --method combat and one --site.")


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Connect to a scheduler, or start one and its workers."""
    from isoscan.volumes.cluster import import_distributed

    distributed = import_distributed()
    if not address.startswith("local:"):
        with _client(distributed, address) as client:
            yield client
        return
    number = address.removeprefix("local:")
    if not number.isdigit() or int(number) < 1:
        raise click.BadParameter(
            f"'{address}': give the number of processes, such as local:4.", param_hint="--dask"
        )
    with (
        distributed.LocalCluster(
            n_workers=int(number), threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def _client(distributed: Any, address: str) -> Any:
    from isoscan.errors import DataError

    try:
        return distributed.Client(address, timeout=SECONDS_TO_WAIT)
    except (OSError, ValueError) as error:
        raise DataError(
            f"no scheduler of Dask answers at '{address}' ({error}). Start one with dask "
            f"scheduler, or use processes of this computer: --dask local:4.",
            address=address,
        ) from None
