"""Measure one package on one table in a process of its own.

    python benchmarks/measure.py COMPARISON PACKAGE FEATURES SCANS SITES SUBJECTS SAMPLE.npy

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
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
from cohort import Size, simulate_measures
from comparison import Comparison, Job, Package, Table
from comparisons import COMPARISONS

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


def make_table(package: Package, size: Size, people: pd.DataFrame) -> Table:
    """Simulate the features that the package is given, in its orientation."""
    table = simulate_measures(size, people, scans_first=package.scans_first)
    if package.features is None or package.features >= size.features:
        return table
    few = table[:, : package.features] if package.scans_first else table[: package.features]
    return few.copy()


def warm_up(comparison: Comparison, package: Package, size: Size) -> None:
    """Run once on a small table, so that imports and thread pools are not timed."""
    n_scans = 10 * size.sites
    small = Size(64, n_scans, size.sites, int(n_scans * size.subjects / size.scans))
    people = comparison.people(small)
    package.prepare(people).call(make_table(package, small, people))


def measure(comparison: Comparison, package: Package, size: Size) -> tuple[dict[str, float], Table]:
    """Make the call several times: memory is that of the first, time the median of the others.

    The first also pays for memory that the process has never touched, which says more about
    the operating system than about the package.
    """
    people = comparison.people(size)
    job = package.prepare(people)
    table = make_table(package, size, people)
    baseline = settle_memory()
    result, wall, cpu = timed(job.call, table)
    extra = resident("VmHWM") - baseline - getattr(result, "nbytes", 0)
    walls, cpus = [wall], [cpu]
    for _ in range(package.timed):
        del result
        result, wall, cpu = timed(job.call, table)
        walls.append(wall)
        cpus.append(cpu)
    if package.timed:
        del walls[0], cpus[0]
    measured = {
        "wall": median(walls),
        "cpu": median(cpus),
        "extra": extra,
        "input": table.nbytes,
        "features": table.shape[1 if package.scans_first else 0],
    }
    found = compared(job, result, package)
    measured["lost"] = float(np.isnan(found).mean())
    features = sampled_features(found.shape[1])
    by_scan = table if package.scans_first else table.T
    return measured, found[:, features] / by_scan[:, : found.shape[1]][:, features].std(axis=0)


def timed(call: Callable[..., Any], *arguments: Any) -> tuple[Any, float, float]:
    """Make the call; return its result, wall time and processor time."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = call(*arguments)
    return result, time.perf_counter() - wall, time.process_time() - cpu


def compared(job: Job, result: Any, package: Package) -> Table:
    """Turn the result into rows by features."""
    if job.compared is not None:
        return job.compared(result)
    array = np.asarray(result)
    return array if package.scans_first else array.T


def sampled_features(n_features: int) -> slice:
    """Every so many features."""
    return slice(None, None, max(1, n_features // SAMPLED))


def measure_r(comparison: Comparison, package: Package, size: Size) -> tuple[dict[str, Any], Table]:
    """Let a script in R time itself."""
    people = comparison.people(size)
    table = make_table(package, size, people)
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder, name)) for name in ("people.csv", "measures.csv", "found.csv")]
        people.to_csv(paths[0], index=False)
        pd.DataFrame(table).to_csv(paths[1], index=False)
        script = str(Path(__file__).with_name(package.script))
        done = subprocess.run(
            ["Rscript", script, *paths], stdout=subprocess.PIPE, text=True, check=True
        )
        found = pd.read_csv(paths[2]).to_numpy()
    measured = json.loads(done.stdout) | {"features": table.shape[1]}
    return measured, found / table.std(axis=0)


def main() -> int:
    """Measure what the command line names."""
    part, name, features, scans, sites, subjects, path = sys.argv[1:]
    comparison = COMPARISONS[part]
    package = comparison.packages[name]
    size = Size(int(features), int(scans), int(sites), int(subjects))
    warnings.simplefilter("ignore")
    with contextlib.redirect_stdout(io.StringIO()):
        if package.script:
            measured, sample = measure_r(comparison, package, size)
        else:
            warm_up(comparison, package, size)
            measured, sample = measure(comparison, package, size)
    np.save(path, sample)
    print(json.dumps(measured))
    return 0


if __name__ == "__main__":
    sys.exit(main())
