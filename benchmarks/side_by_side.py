"""Let packages take turns on the same tables, and compare their results.

Every measurement is a fresh process (`measure.py`); packages take turns, so that a busy
minute hits all of them. Progress goes to stderr.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import asdict, astuple
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from cohort import Size
from comparison import Comparison, Package
from comparisons import COMPARISONS
from machine import describe_machine

Facts = dict[str, Any]


def run_comparison(part: str, *, quick: bool, rounds: int) -> Facts:
    """Measure all packages of a comparison on all its tables."""
    comparison = COMPARISONS[part]
    sizes = comparison.quick_sizes if quick else comparison.sizes
    tables = [compare(part, comparison, size, rounds) for size in sizes]
    versions = {
        package.distribution: _version(package, tables[0]["rows"][number]["runs"])
        for number, package in enumerate(comparison.packages.values())
        if package.is_available()
    }
    return {"rounds": rounds, "tables": tables, "versions": versions} | describe_machine()


def _version(package: Package, runs: list[Facts]) -> str:
    return runs[0]["version"] if package.script else version(package.distribution)


def compare(part: str, comparison: Comparison, size: Size, rounds: int) -> Facts:
    """Let the packages take turns on one table."""
    available = [name for name, package in comparison.packages.items() if package.is_available()]
    runs: dict[str, list[Facts]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        samples = {name: Path(folder, f"{i}.npy") for i, name in enumerate(available)}
        for turn in range(rounds):
            for name, sample in samples.items():
                runs[name].append(measure(part, name, size, sample))
                report_progress(size, turn + 1, rounds, name, runs[name][-1])
        ours = np.load(samples[available[0]])
        distances = {name: distance(np.load(samples[name]), ours) for name in available}
    rows = [
        {"name": name, "runs": runs[name], "distance": distances.get(name)}
        for name in comparison.packages
    ]
    require_same_job(comparison, rows)
    return {"size": asdict(size), "rows": rows}


def measure(part: str, name: str, size: Size, sample: Path) -> Facts:
    """Run one package once on one table."""
    script = Path(__file__).with_name("measure.py")
    command = [sys.executable, str(script), part, name, *map(str, astuple(size)), str(sample)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def report_progress(size: Size, turn: int, rounds: int, name: str, measured: Facts) -> None:
    """Say what was measured."""
    found = f"{measured['wall']:8.3f} s for {measured['features']} features"
    print(f"{size}, round {turn} of {rounds}: {name:20} {found}", file=sys.stderr)


def distance(theirs: np.ndarray, ours: np.ndarray) -> float:
    """Largest difference between two results, in standard deviations of the feature.

    On the features that both have; lost values are counted elsewhere.
    """
    n_features = min(theirs.shape[1], ours.shape[1])
    apart = np.abs(theirs[:, :n_features] - ours[:, :n_features])
    return float(np.nanmax(apart)) if np.isfinite(apart).any() else float("nan")


def require_same_job(comparison: Comparison, rows: list[Facts]) -> None:
    """Stop if a package does not agree that should: then times do not compare."""
    for row in rows:
        limit = comparison.packages[row["name"]].alike
        if limit is None or not row["runs"] or row["runs"][0].get("lost"):
            continue
        if not row["distance"] < limit:
            raise SystemExit(
                f"{comparison.title}: isoscan and {row['name']} are {row['distance']:.1e} SD "
                "apart; nothing to compare."
            )
