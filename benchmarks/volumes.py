"""Maps from files to files, beside what reading and writing them takes.

    python benchmarks/volumes.py JOB FOLDER N_MAPS SAMPLE.npy

measures one job on the first maps of a folder, in a process of its own, prints a JSON object, and
saves a sample of the result for comparison.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from comparison import count_cores
from machine import describe_machine, write_versions
from maps import NUMBERS, Maps, Shape, write_maps
from measure import resident, settle_memory, timed
from numpy.typing import NDArray

Facts = dict[str, Any]

SHAPE: Shape = (91, 109, 91)
WARM_UP, TIMED, SAMPLED_MAPS, SAMPLED_VOXELS = 24, 3, 10, 1000
ALIKE = 1e-4
"""SD that results, written in single precision, may be apart."""
KEEPING = {"MALLOC_MMAP_THRESHOLD_": str(1 << 32), "MALLOC_TRIM_THRESHOLD_": str(1 << 34)}
"""Let processes keep memory that they have freed."""

INTRODUCTION = """\
## Maps

ComBat of every voxel, from files to files: maps of {shape} voxels (2 mm), {voxels} of them in the
mask, float32 and compressed, from 8 sites, with ten covariates. **{limit}** does no arithmetic: it
reads every map twice and writes it once, with isoscan's own functions and as many threads. Files
are inflated whole and their checksums verified, compressed at the same level, written under
another name, synchronized and renamed. × is how many times as much as that, by medians, and in
brackets in single rounds. Where other programs want the processors or the disk, wall time says
little and CPU time is longer: only ratios compare. Every map must be known before the first can be
corrected; isoscan keeps up to 256 MB of them, so that of {kept} maps none is read twice. **Peak
memory** is that of the whole process.

A process does the job {calls} times and keeps the memory that it has freed; time is the median
without the first. The other programs do it once. Memory that was not touched for a while costs more
than the work where a host takes it back, as the one of this computer does: touching 512 MB took
1.19 s there, and 0.06 s when repeated at once.

isoscan also writes the model and maps of the site effects. neuroHarmonize (its functions for NIfTI
images) also writes the expected map beside every map. neuroCombat has no functions for images:
nibabel reads and writes them. Both hold all maps in memory several times, and are measured on
{peers} maps only.
"""


def limit(maps: Maps, output: Path) -> list[Path]:
    """Read every map twice and write it once."""
    from isoscan.nifti.compression import deflate
    from isoscan.nifti.headers import read_header
    from isoscan.nifti.maps import read_flat
    from isoscan.nifti.scratch import Scratch
    from isoscan.tables.write import write_atomically

    paths, scratch = maps.paths, Scratch()
    headers = [read_header(path) for path in paths]

    def read(row: int) -> NDArray[np.float32]:
        return read_flat(paths[row], headers[row], scratch=scratch)

    def read_and_write(row: int) -> Path:
        values, offset = read(row), headers[row].offset
        content = scratch.room("content of the result", offset + values.nbytes)
        content[:offset] = bytes(headers[row].fields.binaryblock).ljust(offset, b"\0")
        content[offset:] = values.view(np.uint8).data
        path = output / paths[row].name
        write_atomically(path, deflate(content))
        return path

    with ThreadPoolExecutor(count_cores()) as pool:
        for _ in pool.map(read, range(len(headers))):
            pass
        return list(pool.map(read_and_write, range(len(headers))))


def isoscan(maps: Maps, output: Path) -> list[Path]:
    """Call `harmonize_volumes`."""
    from isoscan.volumes import harmonize_volumes

    formula = " + ".join(["age", "C(sex)", *NUMBERS])
    paths = dict(zip(maps.people.index, maps.paths, strict=True))
    return harmonize_volumes(paths, maps.people, preserve=formula, mask=maps.mask, output=output)[0]


def neuroharmonize(maps: Maps, output: Path) -> list[Path]:
    """Call the functions for NIfTI images in the documented order."""
    from neuroHarmonize import harmonizationLearn
    from neuroHarmonize.harmonizationNIFTI import applyModelNIFTIs, flattenNIFTIs

    output.mkdir()
    people = maps.people
    coded = people[["age", *NUMBERS]].assign(SITE=people.site, male=(people.sex == "M") * 1)
    results = [output / path.name.replace(".nii.gz", "_harmonized.nii.gz") for path in maps.paths]
    files = pd.DataFrame({"PATH": map(str, maps.paths), "PATH_NEW": map(str, results)})
    table = flattenNIFTIs(files, str(maps.mask), str(output / "flattened.npy"))
    model, _ = harmonizationLearn(table, coded)
    applyModelNIFTIs(coded, model, files, str(maps.mask))
    return results


def neurocombat(maps: Maps, output: Path) -> list[Path]:
    """Read with nibabel, harmonize the table, write with nibabel."""
    from neuroCombat import neuroCombat

    output.mkdir()
    inside = nib.load(maps.mask).get_fdata() > 0
    table = np.array([nib.load(path).get_fdata()[inside] for path in maps.paths])
    covariates = maps.people.drop(columns="path")
    harmonized = neuroCombat(
        dat=table.T,
        covars=covariates,
        batch_col="site",
        categorical_cols=["sex"],
        continuous_cols=["age", *NUMBERS],
    )["data"]
    results = [output / path.name for path in maps.paths]
    for path, result, values in zip(maps.paths, results, harmonized.T, strict=True):
        whole = np.zeros(inside.shape, np.float32)
        whole[inside] = values
        nib.save(nib.Nifti1Image(whole, nib.load(path).affine), result)
    return results


LIMIT, OURS = "read twice, write once", "isoscan"
JOBS: dict[str, Callable[[Maps, Path], list[Path]]] = {
    LIMIT: limit,
    OURS: isoscan,
    "neuroHarmonize": neuroharmonize,
    "nibabel and neuroCombat": neurocombat,
}
DISTRIBUTIONS = ("isoscan", "neuroHarmonize", "neuroCombat", "nibabel", "isal", "numpy")


def run_volumes(*, quick: bool, rounds: int) -> Facts:
    """Let the jobs take turns on the same maps."""
    shape, sizes = ((24, 28, 24), (24, 32)) if quick else (SHAPE, (200, 1000))
    with tempfile.TemporaryDirectory() as folder:
        maps = write_maps(Path(folder), max(sizes), shape)
        tables = [compare(maps, n_maps, rounds, peers=n_maps == sizes[0]) for n_maps in sizes]
        runs = [run for table in tables for row in table["rows"] for run in row["runs"]]
        loads = [run["load"] for run in runs]
        voxels = int(nib.load(maps.mask).get_fdata().sum())
    return {
        "rounds": rounds,
        "shape": shape,
        "voxels": voxels,
        "tables": tables,
        "load": [min(loads), median(loads), max(loads)],
        "versions": {name: version(name) for name in DISTRIBUTIONS},
    } | describe_machine()


def compare(maps: Maps, n_maps: int, rounds: int, *, peers: bool) -> Facts:
    """Let the jobs take turns on some of the maps."""
    jobs = list(JOBS) if peers else [LIMIT, OURS]
    runs: dict[str, list[Facts]] = defaultdict(list)
    samples: dict[str, NDArray[np.float64]] = {}
    with tempfile.TemporaryDirectory() as folder:
        sample = Path(folder, "sample.npy")
        for turn in range(rounds):
            for name in jobs:
                arguments = [name, str(maps.folder), str(n_maps), str(sample)]
                command = [sys.executable, __file__, *arguments]
                done = subprocess.run(
                    command,
                    stdout=subprocess.PIPE,
                    text=True,
                    check=True,
                    env=os.environ | KEEPING,
                )
                runs[name].append(json.loads(done.stdout))
                samples[name] = np.load(sample)
                print(
                    f"{n_maps} maps, round {turn + 1}: {name:24} {runs[name][-1]}", file=sys.stderr
                )
    apart = {name: distance(samples[name], samples[OURS]) for name in jobs}
    for name, gap in apart.items():
        if (gap < ALIKE) == (name == LIMIT):  # maps that were only copied must be found to differ
            raise SystemExit(f"maps: isoscan and {name} are {gap:.1e} SD apart.")
    rows = [{"name": name, "runs": runs[name], "distance": apart.get(name)} for name in jobs]
    compressed = sum(path.stat().st_size for path in maps.paths[:n_maps])
    return {"maps": n_maps, "bytes": compressed, "rows": rows}


def distance(theirs: NDArray[np.float64], ours: NDArray[np.float64]) -> float:
    """Largest difference, in standard deviations over maps of the voxel."""
    return float((np.abs(theirs - ours) / ours.std(axis=0)).max())


def measure(name: str, maps: Maps, folder: Path) -> Facts:
    """Do a job on a few maps, then on all; several times, if it does not take long."""
    job, calls = JOBS[name], 1 + TIMED if name in (LIMIT, OURS) else 1
    job(Maps(maps.folder, maps.people.head(WARM_UP)), folder / "few")
    settle_memory()
    runs = [timed(job, maps, folder / f"all-{turn}")[1:] for turn in range(calls)]
    walls, cpus = zip(*(runs[1:] or runs), strict=True)
    times = {"wall": median(walls), "cpu": median(cpus), "first": runs[0][0]}
    return times | {"peak": resident("VmHWM"), "load": os.getloadavg()[0]}


def sample_of(results: list[Path], mask: Path) -> NDArray[np.float64]:
    """Some voxels of some maps."""
    voxels = np.flatnonzero(nib.load(mask).get_fdata())
    voxels = voxels[:: max(1, len(voxels) // SAMPLED_VOXELS)]
    some = results[:: max(1, len(results) // SAMPLED_MAPS)]
    return np.array([nib.load(path).get_fdata().ravel()[voxels] for path in some])


def write_volumes(facts: Facts) -> str:
    """Write the section: one table per number of maps."""
    few = facts["tables"][0]["maps"]
    heading = INTRODUCTION.format(
        shape=" × ".join(map(str, facts["shape"])),
        voxels=spaced(facts["voxels"]),
        limit=LIMIT.capitalize(),
        kept=few,
        calls=1 + TIMED,
        peers=few,
    )
    tables = [
        f"### {spaced(table['maps'])} maps, {table['bytes'] / 1e6:.0f} MB\n\n{write_rows(table)}"
        for table in facts["tables"]
    ]
    low, middle, high = (f"{load:.1f}" for load in facts["load"])
    busy = f"*Load of the computer meanwhile: {low} to {high}, median {middle}.*\n"
    return "\n".join([heading, *tables, busy, write_versions(facts)])


def write_rows(table: Facts) -> str:
    """Write time, memory and distance of every job."""
    lines = [
        "| | wall, s | × | CPU, s | × | peak memory, MB | distance, SD |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    least = table["rows"][0]["runs"]
    for row in table["rows"]:
        cells = [row["name"]]
        for field in ("wall", "cpu"):
            values = [run[field] for run in row["runs"]]
            spread = f" ({min(values):.3g} to {max(values):.3g})" if len(values) > 1 else ""
            cells += [f"{median(values):.3g}{spread}", write_ratios(row["runs"], least, field)]
        cells.append(f"{max(run['peak'] for run in row['runs']) / 1e6:.0f}")
        compared = row["name"] not in (LIMIT, OURS)
        cells.append(f"{row['distance']:.0e}" if compared else "")
        lines.append(f"| {' | '.join(cells)} |")
    firsts = [median(run["first"] for run in row["runs"]) for row in table["rows"][:2]]
    note = f"In the first calls, isoscan took {firsts[1] / firsts[0]:.3g}× as long."
    return "\n".join([*lines, "", note, ""])


def write_ratios(runs: list[Facts], least: list[Facts], field: str) -> str:
    """Ratio of the medians; and of the runs of the same round, from the lowest to the highest."""
    ratio = median(run[field] for run in runs) / median(run[field] for run in least)
    by_round = [run[field] / other[field] for run, other in zip(runs, least, strict=True)]
    if runs is least or len(by_round) == 1:
        return f"{ratio:.3g}"
    return f"{ratio:.3g} ({min(by_round):.3g} to {max(by_round):.3g})"


def spaced(number: int) -> str:
    """Write thousands apart."""
    return f"{number:,}".replace(",", " ")


def main() -> int:
    """Measure what the command line names."""
    name, folder, n_maps, sample = sys.argv[1:]
    maps = Maps.read(Path(folder), int(n_maps))
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as output, contextlib.redirect_stdout(io.StringIO()):
        found = measure(name, maps, Path(output))
        results = sorted(Path(output, "all-0").glob("sub-*.nii.gz"))
        results = [path for path in results if "reference_mean" not in path.name]
        np.save(sample, sample_of(results, maps.mask))
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
