"""Write the page of benchmarks as Markdown, from what was measured."""

from __future__ import annotations

from math import isnan
from statistics import median
from typing import Any

from cohort import Size
from comparison import Comparison
from comparisons import COMPARISONS
from growth import write_growth
from machine import write_versions
from volumes import write_volumes

Facts = dict[str, Any]

INTRODUCTION = """\
# Benchmarks

isoscan beside other packages, on simulated float64 tables. Every measurement is a process of its
own, in which the call is made several times after a call on a small table; time is the median of
the calls after the first. Figures are medians over such processes, in which the packages take
turns; where there are several processes, the fastest and the slowest stand in brackets. × is how
many times as much as isoscan.

- **Wall, CPU**: seconds for the call; making the table and importing are not counted.
- **Extra memory**: peak of the first call beyond the imported packages, the table and the result,
  also as a share of the table.
- **Distance**: largest difference from isoscan's result, in standard deviations of the feature, on
  a sample of features.
"""

LIMITS = """\
## What limits isoscan

Almost half of the time of ComBat goes into correcting the table, a third into its moments, a sixth
into the priors. numpy makes one pass over the cache for every arithmetic operation, some ten over
the whole table, and Python lets one thread at a time start an operation, so that a second processor
saves about a third of the wall time, not half. In a process that has not yet touched the memory of
the result, the first call also waits for the operating system to provide it.
"""

RERUN = """\
## Run it again

```console
$ make bench
```

builds a virtual environment of its own in `benchmarks/.venv` (the packages need versions of
numpy that isoscan does not), measures everything, and writes this page and its figure. One part
alone, a smoke test of two minutes that only prints, and the page from what was measured last:

```console
$ python3 benchmarks/run.py splines --rounds 3
$ python3 benchmarks/run.py --quick
$ python3 benchmarks/run.py --page
```

The parts are {parts}.
mgcv and lme4 are measured if `Rscript` finds them. Linux only: peak memory is read from `/proc`.
Leave the machine alone meanwhile.
"""


def write_page(results: dict[str, Facts]) -> str:
    """Put introduction, one section per part that was measured, and instructions together."""
    sections = [
        write_comparison(comparison, results[part])
        for part, comparison in COMPARISONS.items()
        if part in results
    ]
    others = {"volumes": write_volumes, "growth": write_growth}
    sections += [write(results[part]) for part, write in others.items() if part in results]
    parts = ", ".join(f"`{part}`" for part in [*COMPARISONS, *others])
    return "\n".join([INTRODUCTION, *sections, LIMITS, RERUN.format(parts=parts)])


def write_comparison(comparison: Comparison, facts: Facts) -> str:
    """Write one section: what is compared, a table per size, versions."""
    write_rows = write_rows_by_feature if comparison.by_feature else write_rows_of_whole_tables
    tables = [
        f"### {Size(**table['size'])}\n\n{write_rows(comparison, table['rows'])}"
        for table in facts["tables"]
    ]
    heading = f"## {comparison.title}\n\n{comparison.introduction}"
    return "\n".join([heading, *tables, write_versions(facts)])


def write_rows_of_whole_tables(comparison: Comparison, rows: list[Facts]) -> str:
    """Write time, memory and distance of packages that were given the same table."""
    lost = any(run.get("lost") for row in rows for run in row["runs"])
    lines = [
        "| | wall, s | × | CPU, s | × | extra memory, MB | of the table | distance, SD |"
        + " lost |" * lost,
        "|---|---:|---:|---:|---:|---:|---:|---:|" + "---:|" * lost,
    ]
    ours = rows[0]
    for row in rows:
        if not row["runs"]:
            lines.append(f"| {row['name']} | not available |" + " |" * (6 + lost))
            continue
        cells = [
            row["name"],
            write_times(row, "wall"),
            write_ratio(_median(row, "wall") / _median(ours, "wall")),
            f"{_median(row, 'cpu'):.3g}",
            write_ratio(_median(row, "cpu") / _median(ours, "cpu")),
            f"{_median(row, 'extra') / 1e6:.0f}",
            f"{_median(row, 'extra') / row['runs'][0]['input']:.0%}",
            write_distance(comparison, row),
        ]
        cells += [f"{row['runs'][0]['lost']:.0%}"] * lost
        lines.append(f"| {' | '.join(cells)} |")
    size = ours["runs"][0]["input"] / 1e6
    return "\n".join([*lines, "", f"The table has {size:.0f} MB.", ""])


def write_rows_by_feature(comparison: Comparison, rows: list[Facts]) -> str:
    """Write time per feature of packages that were given different numbers of features."""
    lines = [
        "| | features | wall, s | wall per feature, ms | × | CPU per feature, ms | × "
        "| distance, SD |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    ours = rows[0]
    for row in rows:
        if not row["runs"]:
            lines.append(f"| {row['name']} | not available |" + " |" * 6)
            continue
        cells = [
            row["name"],
            f"{row['runs'][0]['features']}",
            write_times(row, "wall"),
            *_write_per_feature(row, ours, "wall"),
            *_write_per_feature(row, ours, "cpu"),
            write_distance(comparison, row),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _write_per_feature(row: Facts, ours: Facts, field: str) -> list[str]:
    each, our_each = (_median(one, field) / one["runs"][0]["features"] for one in (row, ours))
    return [f"{1e3 * each:.3g}", write_ratio(each / our_each)]


def _median(row: Facts, field: str) -> float:
    return median(run[field] for run in row["runs"])


def write_times(row: Facts, field: str) -> str:
    """Write the median, with the range if there are several measurements."""
    values = [run[field] for run in row["runs"]]
    if len(values) == 1:
        return f"{values[0]:.3g}"
    return f"{median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def write_ratio(ratio: float) -> str:
    """Write two digits, never as a power of ten."""
    return f"{float(f'{ratio:.2g}'):,.6g}".replace(",", " ")


def write_distance(comparison: Comparison, row: Facts) -> str:
    """Write how far results are apart, where they should not be."""
    first = next(iter(comparison.packages))
    if row["name"] == first or not comparison.packages[row["name"]].same_job:
        return ""
    return "" if isnan(row["distance"]) else f"{row['distance']:.0e}"
