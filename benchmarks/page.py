"""Write the page of benchmarks as Markdown."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import version
from statistics import median

from cohort import Size
from packages import PACKAGES, count_cores

LIMIT = "read once, copy once"
"""The row that shows what memory alone costs."""

INTRODUCTION = """\
# Benchmarks

ComBat with age and sex, fitted and applied in one call, beside other Python packages on
simulated float64 tables. Figures are medians over processes ({runs} of each package), with the
fastest and the slowest wall time in brackets; × is how many times as much as isoscan. Every
process makes the call four times; memory is that of the first call, time the median of the
other three. The packages take turns.

- **Wall, CPU**: seconds for the call; making the table and importing are not counted.
- **Extra memory**: peak beyond the imported packages, the table and the result, also as a
  share of the table.
- **Distance**: largest difference from isoscan's result, in standard deviations of the
  feature, on a sample of features evenly spread (on all, where there are few). inmoose divides
  the variances of sites by n, the others by n - 1.
- **{limit}**: numpy reads the table and copies it, in blocks, with as many
  threads as there are processors. All scans must be read before the first can be corrected,
  so this is about the least that any ComBat in memory can take.
"""

LIMITS = """\
## What limits isoscan

Two fifths of the time go into correcting the table, a third into its moments, a sixth into the
priors. numpy makes one pass over the cache for every arithmetic operation (some twenty in all),
and Python lets one thread at a time start an operation, so that a second processor saves about a
third of the wall time, not half. In a process that has not yet touched the memory of the result,
the first call also waits for the operating system to provide it.

"""

RERUN = """\
## Run it again

```console
$ make bench
```

builds a virtual environment of its own in `benchmarks/.venv` (the packages need versions of
numpy that isoscan does not), measures, and prints this page; it takes about half an hour. To
rewrite the page, or for a smoke test of a minute:

```console
$ python3 benchmarks/run.py --markdown docs/benchmarks.md
$ python3 benchmarks/run.py --quick --rounds 1
```

Linux only: peak memory is read from `/proc`. Leave the machine alone meanwhile.
"""


@dataclass(frozen=True)
class Row:
    """What was measured of one package on one table."""

    name: str
    runs: list[dict[str, float]]
    distance: float

    def median(self, field: str) -> float:
        """Give the median over runs."""
        return median(run[field] for run in self.runs)


def write_page(results: dict[Size, list[Row]]) -> str:
    """Put introduction, one table per size, versions and instructions together."""
    runs = len(next(iter(results.values()))[0].runs)
    sections = [INTRODUCTION.format(runs=runs, limit=LIMIT.capitalize())]
    sections += [write_section(size, rows) for size, rows in results.items()]
    return "\n".join([*sections, write_versions(), LIMITS + RERUN])


def write_section(size: Size, rows: list[Row]) -> str:
    """Write the table of one size, and how far isoscan is from the limit."""
    by_name = {row.name: row for row in rows}
    ours, limit = by_name["isoscan"], by_name[LIMIT]
    times = ours.median("wall") / limit.median("wall")
    lines = [
        f"## {size}",
        "",
        "| | wall, s | × | CPU, s | × | extra memory, MB | of the table | distance, SD |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
        *[write_row(row, ours) for row in rows],
        "",
        f"The table has {ours.runs[0]['input'] / 1e6:.0f} MB. "
        f"isoscan takes {times:.1f} times as long as reading it and copying it.",
        "",
    ]
    return "\n".join(lines)


def write_row(row: Row, ours: Row) -> str:
    """Write one line of the table."""
    wall, cpu, extra = row.median("wall"), row.median("cpu"), row.median("extra")
    walls = [run["wall"] for run in row.runs]
    cells = [
        row.name,
        f"{wall:.3g} ({min(walls):.3g} to {max(walls):.3g})",
        f"{wall / ours.median('wall'):.2g}",
        f"{cpu:.3g}",
        f"{cpu / ours.median('cpu'):.2g}",
        f"{extra / 1e6:.0f}",
        f"{extra / row.runs[0]['input']:.0%}",
        "" if row.name in (LIMIT, "isoscan") else f"{row.distance:.0e}",
    ]
    return f"| {' | '.join(cells)} |"


def write_versions() -> str:
    """Say what ran on what."""
    distributions = dict.fromkeys([*(p.distribution for p in PACKAGES.values()), "pandas"])
    listed = ", ".join(f"{name} {version(name)}" for name in distributions)
    return (
        f"Measured with {listed}, Python {platform.python_version()} on "
        f"{count_cores()} processors ({platform.machine()}, {platform.system()}).\n"
    )
