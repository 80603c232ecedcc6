"""A run may be killed at any moment: no file is ever half there, and resuming gives the same."""

import subprocess
import sys
import textwrap
import time

import nibabel as nib
import numpy as np
import pytest
from many_sites import AFFINE, hashes, noted, results

KILLS = 20
COMMAND = [sys.executable, "-c", "from isoscan.cli.main import main; main()"]


@pytest.fixture
def words(study, tmp_path):
    """Command that harmonizes the maps of the study, but for the folder of results."""
    paths = study.write(tmp_path / "in")
    nib.save(nib.Nifti1Image(study.mask, AFFINE), tmp_path / "mask.nii.gz")
    table = study.people.assign(path=[f"in/{path.name}" for path in paths.values()])
    table.to_csv(tmp_path / "maps.tsv", sep="\t", index_label="participant_id")
    asked = "volumes harmonize --preserve age --no-figures --resume --mask".split()
    return [*asked, str(tmp_path / "mask.nii.gz"), str(tmp_path / "maps.tsv"), "-o"]


def finished(folder):
    """Files at their final names, but for the journal and the lock."""
    return {
        name: sha256
        for name, sha256 in hashes(folder).items()
        if not name.endswith((".part", "journal.jsonl", ".lock"))
    }


def test_kills_at_random_moments_leave_no_trace(preloaded, words, tmp_path):
    whole = tmp_path / "whole"
    subprocess.run([*COMMAND, *words, str(whole)], check=True, capture_output=True)
    expected = finished(whole)
    began = time.perf_counter()
    assert preloaded.run([*words, tmp_path / "timed"]) == 0
    seconds = time.perf_counter() - began
    random, killed, progress, folders = np.random.default_rng(20), 0, set(), [tmp_path / "killed"]
    while killed < KILLS:
        status = preloaded.run_for(random.uniform(0, seconds), [*words, folders[-1]])
        assert status in (0, -9), preloaded.said
        there = finished(folders[-1]) if folders[-1].exists() else {}
        assert there.items() <= expected.items()  # whole and right, or not there
        progress.add(len(there))
        killed += status == -9
        if status == 0:
            folders.append(tmp_path / f"killed-{len(folders)}")
    assert len(progress) > 2  # kills came early and late
    assert preloaded.run([*words, folders[-1]]) == 0
    for folder in folders:
        assert results(folder) == results(whole)
        assert not [path for path in folder.rglob(".*") if path.is_file()]


STOPPED = textwrap.dedent(
    """
    import os, signal, warnings
    import pandas as pd
    import isoscan as iso

    warnings.simplefilter("ignore")
    folder, output, stage, limit = arguments
    people = pd.read_csv(folder + "/maps.tsv", sep="\\t", index_col=0)
    paths = {scan: f"{folder}/{path}" for scan, path in people.path.items()}

    def progress(now, done, total):
        if now == stage and done >= int(limit):
            os.kill(os.getpid(), signal.SIGKILL)

    def fsync(descriptor, calls=[], wait=os.fsync):
        calls.append(descriptor)
        if stage == "writing" and len(calls) >= int(limit):
            os.kill(os.getpid(), signal.SIGKILL)
        wait(descriptor)

    os.fsync = fsync

    iso.harmonize_volumes(
        paths, people, preserve="age", mask=folder + "/mask.nii.gz", output=output,
        resume=True, progress=progress,
    )
    """
)


@pytest.mark.parametrize(
    ("stage", "limit"), [("fit", 16), ("apply", 16), ("writing", 20), ("writing", 45)]
)
def test_what_a_killed_run_finished_is_kept(preloaded, words, tmp_path, stage, limit):
    def run(name, stage="never", limit=0):
        return preloaded.run([tmp_path, tmp_path / name, stage, limit], STOPPED)

    assert run("whole") == 0
    assert run("killed", stage, limit) == -9
    maps = [*(tmp_path / "killed").glob("sub-*.nii.gz")]
    assert len(maps) < 43 and not (maps and stage == "fit")
    assert maps or stage == "fit" or limit < 45
    times = {path: path.stat().st_mtime_ns for path in maps if path.name in noted(path.parent)}
    assert not times or "model.isoscan" in noted(tmp_path / "killed")  # never before the model
    assert run("killed") == 0
    assert results(tmp_path / "killed") == results(tmp_path / "whole")
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
