"""A disk that is too small is refused beforehand; one that fills leaves nothing half there."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import nibabel as nib
import pytest
from many_sites import AFFINE, results

SETUP = textwrap.dedent(
    """
    import sys, warnings
    from pathlib import Path
    import pandas as pd
    import isoscan as iso

    warnings.simplefilter("ignore")
    folder, output = map(Path, arguments)
    people = pd.read_csv(folder / "maps.tsv", sep="\\t", index_col=0)
    paths = {scan: folder / path for scan, path in people.path.items()}

    def harmonize(output, **options):
        return iso.harmonize_volumes(
            paths, people, preserve="age", mask=folder / "mask.nii.gz", output=output, **options
        )

    def refused(*words, **options):
        try:
            harmonize(output, **options)
        except iso.errors.OutOfSpaceError as error:
            assert all(word in str(error) for word in words), error
        else:
            raise AssertionError("not refused")
        assert not [path for path in output.rglob("*.part")]
        return [path for path in output.glob("sub-*.nii.gz")]
    """
)

FILLED = SETUP + textwrap.dedent(
    """
    from many_sites import results

    whole = folder / "calm" / "out"
    harmonize(whole)
    filler = output.parent / "filler"

    def fill(leave=0):
        with filler.open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                file.truncate(file.tell() - leave)

    fill(leave=102_400)
    assert not refused("43 maps need up to 0.7", "MB are free. Choose another folder")
    assert not [*output.iterdir()]
    filler.unlink()

    def progress(stage, done, total):
        if stage == "apply" and not filler.exists():
            fill()

    finished = refused("is full (No space left", "--resume", progress=progress)
    assert 0 < len(finished) < 43
    assert all(p.read_bytes() == (whole / p.name).read_bytes() for p in finished)
    filler.unlink()
    harmonize(output, resume=True)
    assert results(output) == results(whole)
    """
)

LIMITED = SETUP + textwrap.dedent(
    """
    import resource

    harmonize(folder / "whole")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def progress(stage, done, total):
        if stage == "apply":
            resource.setrlimit(resource.RLIMIT_FSIZE, (1500, limits[1]))

    finished = refused("is full (File too large)", "--resume", progress=progress)
    assert 0 < len(finished) < 43
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    harmonize(output, resume=True)
    """
)

ON_SMALL_DISK = """
mount -t tmpfs -o size=2m tmpfs "$1" || exit 99
shift
exec "$@"
"""


@pytest.fixture
def folder(study, tmp_path):
    """Write maps, mask and table."""
    paths = study.write(tmp_path / "in")
    nib.save(nib.Nifti1Image(study.mask, AFFINE), tmp_path / "mask.nii.gz")
    table = study.people.assign(path=[f"in/{path.name}" for path in paths.values()])
    table.to_csv(tmp_path / "maps.tsv", sep="\t", index_label="participant_id")
    return tmp_path


def test_a_small_disk_is_refused_and_a_full_one_is_taken_up(folder, tmp_path):
    if sys.platform != "linux" or shutil.which("unshare") is None:
        pytest.skip("needs Linux and unshare")
    disk = tmp_path / "disk"
    disk.mkdir()
    script = "import sys\narguments = sys.argv[1:]\n" + FILLED
    words = ["unshare", "-Ur", "-m", "sh", "-c", ON_SMALL_DISK, "sh", str(disk)]
    words += [sys.executable, "-c", script, str(folder), str(disk / "out")]
    here = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=here)
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()[-200:]}")
    assert done.returncode == 0, done.stderr


def test_a_limit_on_files_is_told_and_taken_up(folder, tmp_path, preloaded):
    assert preloaded.run([folder, tmp_path / "out"], LIMITED) == 0, preloaded.said
    assert results(tmp_path / "out") == results(tmp_path / "whole")
