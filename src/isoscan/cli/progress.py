"""Progress on a terminal, silence elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def steps(names: Sequence[str]) -> Iterator[Callable[[], None]]:
    """Show which of a few steps is under way; call what this yields to begin the next."""
    from tqdm import tqdm

    remaining = iter(names)
    with tqdm(
        total=len(names),
        disable=not sys.stderr.isatty(),
        leave=False,
        bar_format="{desc} {bar} {elapsed}",
    ) as bar:
        started = False

        def begin() -> None:
            nonlocal started
            if started:
                bar.update()
            started = True
            bar.set_description(next(remaining, ""))

        yield begin
        bar.update()
