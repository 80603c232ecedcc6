"""What a comparison consists of: tables of some sizes, and packages that do the same job.

Every package says how it wants the table and returns the job to be timed. Covariates are
put in the package's form before the clock starts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from cohort import Size, simulate_people
from numpy.typing import NDArray

Table = NDArray[np.float64]
Call = Callable[[Table], Any]

ALIKE = 1e-6
"""Results further apart than this, in SD, are not the same job."""


@dataclass(frozen=True)
class Job:
    """A call to be timed, and the part of its result that is compared.

    `compared` turns the result into rows by features; without it, the result itself, one
    row per scan, is compared.
    """

    call: Call
    compared: Callable[[Any], Table] | None = None


@dataclass(frozen=True)
class Package:
    """A way to do the job.

    Attributes
    ----------
    distribution : str
        Name of the Python distribution, or of the R package.
    prepare : callable or None
        Takes the people, gives the job; None for R.
    script : str
        R script that does the job.
    scans_first : bool
        Whether the package wants scans in rows.
    features : int or None
        How many of the features it is given; None for all. Slow packages that treat every
        feature on its own are measured on a few.
    timed : int
        Calls that are timed after the first; 0 to time the first.
    alike : float or None
        Stop if its result is further away from isoscan's than this.
    same_job : bool
        Whether its result should be that of isoscan at all.
    """

    distribution: str
    prepare: Callable[[pd.DataFrame], Job] | None = None
    script: str = ""
    scans_first: bool = True
    features: int | None = None
    timed: int = 3
    alike: float | None = None
    same_job: bool = True

    def is_available(self) -> bool:
        """Whether it can be called here; R need not be."""
        return self.prepare is not None or has_r_package(self.distribution)


@dataclass(frozen=True)
class Comparison:
    """Packages that do the same job on the same tables.

    Attributes
    ----------
    title, introduction : str
        What is compared; Markdown.
    packages : dict of {str: Package}
        By the name on the page; the first is isoscan, the others are measured by it.
    sizes, quick_sizes : tuple of Size
        Tables, and small ones for a smoke test.
    people : callable
        Simulates the people of a table.
    by_feature : bool
        Show the time per feature, because packages are given different numbers of them.
    """

    title: str
    introduction: str
    packages: dict[str, Package]
    sizes: tuple[Size, ...]
    quick_sizes: tuple[Size, ...]
    people: Callable[[Size], pd.DataFrame] = simulate_people
    by_feature: bool = False


@cache
def has_r_package(name: str) -> bool:
    """Whether Rscript is there and finds a package."""
    if not name or shutil.which("Rscript") is None:
        return False
    question = f"quit(status = !requireNamespace('{name}', quietly = TRUE))"
    return subprocess.run(["Rscript", "-e", question], check=False).returncode == 0


def count_cores() -> int:
    """Count the processors this process may use."""
    return len(os.sched_getaffinity(0))
