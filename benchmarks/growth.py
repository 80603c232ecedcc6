"""How the time of every method grows with features, scans and sites; isoscan alone."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import longitudinal
import pandas as pd
from cohort import (
    Size,
    simulate_ages_that_bend,
    simulate_measures,
    simulate_people,
    simulate_visits,
)
from comparison import Job
from machine import describe_machine, write_versions

Facts = dict[str, Any]

BASE = Size(2_000, 300, 5)
STEPS = (1, 3, 10)
AXES = ("features", "scans", "sites")
LONG = 1.0
"""Seconds; what takes longer is timed once."""
FIGURE = Path("docs", "images", "growth.svg")

INTRODUCTION = """\
## How time grows

Fitting and applying in one call, from {base},
then three and ten times as many features, scans or sites. Longitudinal is for people who come
three times. The non-parametric prior compares every feature with every other one; CovBat compares
every scan with every other one, or every feature, if these are fewer.

```{{image}} images/growth.svg
:alt: Time of six methods against features, scans and sites, on logarithmic axes
```

*Dotted: ten times as long for ten times as many.*

Seconds for the smallest table, and × for ten times as many features, scans or sites:

| | s | × features | × scans | × sites |
|---|---:|---:|---:|---:|
"""


@dataclass(frozen=True)
class Method:
    """A method, and people that it suits."""

    prepare: Callable[[pd.DataFrame], Job]
    people: Callable[[Size], pd.DataFrame] = simulate_people


def harmonizer(class_name: str, preserve: str, **options: Any) -> Callable[[pd.DataFrame], Job]:
    """Give the job of an estimator of isoscan."""

    def prepare(people: pd.DataFrame) -> Job:
        import isoscan as iso

        model, sites = getattr(iso, class_name)(preserve, **options), people.site.to_numpy()
        return Job(lambda table: model.fit_transform(table, sites=sites, covariates=people))

    return prepare


def simulate_returns(size: Size) -> pd.DataFrame:
    """People who come three times."""
    return simulate_visits(replace(size, subjects=size.scans // 3))


METHODS = {
    "ComBat": Method(harmonizer("ComBat", "age + C(sex)")),
    "splines": Method(harmonizer("ComBat", "C(sex)", smooth=["age"]), simulate_ages_that_bend),
    "CovBat": Method(harmonizer("CovBat", "age + C(sex)")),
    "ComBatLS": Method(harmonizer("ComBatLS", "age + C(sex)")),
    "non-parametric": Method(harmonizer("ComBat", "age + C(sex)", prior="nonparametric")),
    "longitudinal": Method(longitudinal.isoscan, simulate_returns),
}


def run_growth(*, quick: bool) -> Facts:
    """Measure every method in a process of its own."""
    base = Size(200, 90, 3) if quick else BASE
    extent = [str(getattr(base, axis)) for axis in AXES]
    methods = {}
    for name in METHODS:
        command = [sys.executable, __file__, name, *extent]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        methods[name] = json.loads(done.stdout)
        print(f"growth: {name:20} {methods[name]}", file=sys.stderr)
    return {
        "base": {axis: getattr(base, axis) for axis in AXES},
        "steps": STEPS,
        "methods": methods,
        "rounds": 1,
        "versions": {"isoscan": version("isoscan")},
    } | describe_machine()


def time_method(method: Method, base: Size) -> dict[str, list[float]]:
    """Time one method along every axis; the smallest table is the same."""
    time_job(method, base)
    smallest = time_job(method, base)
    times = {axis: [smallest] for axis in AXES}
    for axis, step in product(AXES, STEPS[1:]):
        size = replace(base, **{axis: step * getattr(base, axis)})
        times[axis].append(time_job(method, size))
    return times


def time_job(method: Method, size: Size) -> float:
    """Give the median of three calls, or the first if that is long."""
    people = method.people(size)
    job, table = method.prepare(people), simulate_measures(size, people, scans_first=True)
    walls: list[float] = []
    while len(walls) < 3:
        start = time.perf_counter()
        job.call(table)
        walls.append(time.perf_counter() - start)
        if walls[-1] > LONG:
            return walls[-1]
    return median(walls)


def write_growth(facts: Facts) -> str:
    """Write the section: figure, and how many times as long ten times as much takes."""
    lines = [
        f"| {name} | {times['features'][0]:.2g} | "
        + " | ".join(f"{times[axis][-1] / times[axis][0]:.2g}" for axis in AXES)
        + " |"
        for name, times in facts["methods"].items()
    ]
    heading = INTRODUCTION.format(base=Size(**facts["base"]))
    return heading + "\n".join([*lines, "", write_versions(facts)])


def draw_growth(facts: Facts, path: Path) -> None:
    """Draw time against features, scans and sites, one line per method."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "growth", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(8.5, 3.2), layout="constrained")
        panels = figure.subplots(1, len(AXES), sharey=True)
        for axis, panel in zip(AXES, panels, strict=True):
            extent = [step * facts["base"][axis] for step in facts["steps"]]
            for times in facts["methods"].values():
                panel.plot(extent, times[axis], marker="o", markersize=3)
            start = min(times[axis][0] for times in facts["methods"].values())
            line = [0.5 * start * step for step in facts["steps"]]
            panel.plot(extent, line, color="0.6", linestyle=":")
            panel.set(xscale="log", yscale="log", xlabel=axis, xticks=extent)
            panel.set_xticks([], minor=True)
            panel.set_xticklabels([f"{number:,}".replace(",", " ") for number in extent])
            panel.spines[["top", "right"]].set_visible(False)
        panels[0].set_ylabel("seconds")
        names = [*facts["methods"], "in proportion"]
        figure.legend(panels[0].lines, names, loc="outside right center", frameon=False)
        figure.savefig(path, metadata={"Date": None})


def main() -> int:
    """Measure the method that the command line names."""
    name, *extent = sys.argv[1:]
    warnings.simplefilter("ignore")
    print(json.dumps(time_method(METHODS[name], Size(*map(int, extent)))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
