"""Measure one package on one table in a process of its own.

    python benchmarks/measure.py PACKAGE FEATURES SCANS SITES SAMPLE.npy

Prints a JSON object and saves part of the result for comparison. Memory is what the
call needs on top of the table, its result, and the imported packages. Linux only:
memory is read from /proc.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import io
import json
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
from cohort import Size, simulate_measures, simulate_people
from packages import PACKAGES, Call, Package

TIMED = 3
"""Calls that are timed in each process."""
SAMPLED = 1000
"""Features of the result that are saved, evenly spaced."""


def resident(field: str) -> int:
    """Bytes in memory: VmRSS now, or VmHWM at most so far."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")


def settle_memory() -> int:
    """Give back what is free, restart the count of the peak, and return what is in use."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return resident("VmRSS")


def warm_up(package: Package, n_sites: int) -> None:
    """Run once on a small table, so that imports and thread pools are not timed."""
    size = Size(features=64, scans=10 * n_sites, sites=n_sites)
    people = simulate_people(size)
    package.prepare(people)(simulate_measures(size, people, scans_first=package.scans_first))


def measure(package: Package, size: Size) -> tuple[dict[str, float], np.ndarray]:
    """Make the call four times: memory is that of the first, time the median of the others.

    The first also pays for memory that the process has never touched, which says more about
    the operating system than about the package.
    """
    people = simulate_people(size)
    call: Call = package.prepare(people)
    table = simulate_measures(size, people, scans_first=package.scans_first)
    baseline = settle_memory()
    result = np.asarray(call(table))
    extra = resident("VmHWM") - baseline - result.nbytes
    walls, cpus = [], []
    for _ in range(TIMED):
        del result
        cpu, wall = time.process_time(), time.perf_counter()
        result = np.asarray(call(table))
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    by_scan = result if package.scans_first else result.T
    return (
        {"wall": median(walls), "cpu": median(cpus), "extra": extra, "input": table.nbytes},
        by_scan[:, sampled_features(size)],
    )


def sampled_features(size: Size) -> slice:
    """Every so many features."""
    return slice(None, None, max(1, size.features // SAMPLED))


def main() -> int:
    """Measure what the command line names."""
    name, features, scans, sites, path = sys.argv[1:]
    package, size = PACKAGES[name], Size(int(features), int(scans), int(sites))
    with contextlib.redirect_stdout(io.StringIO()):
        warm_up(package, size.sites)
        measured, sample = measure(package, size)
    np.save(path, sample)
    print(json.dumps(measured))
    return 0


if __name__ == "__main__":
    sys.exit(main())
