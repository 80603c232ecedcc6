"""Compare ComBat of several packages side by side: time, memory, result.

    python benchmarks/run.py [--quick] [--rounds N] [--markdown docs/benchmarks.md]

Every measurement is a fresh process (`measure.py`); packages take turns, so that a busy
minute hits all of them. Prints the page, or writes it; progress goes to stderr.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from cohort import Size
from packages import PACKAGES
from page import Row, write_page

SIZES = (Size(200_000, 300, 10), Size(200, 20_000, 60))
QUICK_SIZES = (Size(2_000, 300, 10), Size(200, 1_200, 60))
SAME = 1e-6
"""Results further apart than this, in SD, are not the same job."""


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    quick: bool
    rounds: int
    markdown: Path | None


def measure(name: str, size: Size, sample: Path) -> dict[str, float]:
    """Run one package once on one table."""
    script = Path(__file__).with_name("measure.py")
    extent = (size.features, size.scans, size.sites)
    command = [sys.executable, str(script), name, *map(str, extent), str(sample)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def compare(size: Size, rounds: int) -> list[Row]:
    """Let the packages take turns on one table."""
    runs: dict[str, list[dict[str, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        samples = {name: Path(folder, f"{i}.npy") for i, name in enumerate(PACKAGES)}
        for turn in range(rounds):
            for name, sample in samples.items():
                runs[name].append(measure(name, size, sample))
                report_progress(size, turn + 1, rounds, name, runs[name][-1])
        distances = {name: distance(samples[name], samples["isoscan"]) for name in PACKAGES}
    require_same_job(distances["neuroCombat"])
    return [Row(name, runs[name], distances[name]) for name in PACKAGES]


def report_progress(
    size: Size, turn: int, rounds: int, name: str, measured: dict[str, float]
) -> None:
    """Say what was measured."""
    found = f"{measured['wall']:8.3f} s, {measured['extra'] / 1e6:8.1f} MB extra"
    print(f"{size}, round {turn} of {rounds}: {name:20} {found}", file=sys.stderr)


def distance(sample: Path, reference: Path) -> float:
    """Largest difference between two results, in standard deviations of the feature."""
    theirs, ours = np.load(sample), np.load(reference)
    return float((np.abs(theirs - ours) / ours.std(axis=0)).max())


def require_same_job(apart: float) -> None:
    """Stop if isoscan and neuroCombat do not agree: then their times do not compare."""
    if not apart < SAME:
        raise SystemExit(f"isoscan and neuroCombat are {apart:.1e} SD apart; nothing to compare.")


def parse(arguments: list[str] | None = None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small tables: a smoke test")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each package (3)")
    parser.add_argument("--markdown", type=Path, metavar="PAGE", help="write the page there")
    return Options(**vars(parser.parse_args(arguments)))


def main() -> int:
    """Measure all sizes and show the page."""
    options = parse()
    sizes = QUICK_SIZES if options.quick else SIZES
    page = write_page({size: compare(size, options.rounds) for size in sizes})
    if options.markdown:
        options.markdown.write_text(page, encoding="utf-8")
    else:
        print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
