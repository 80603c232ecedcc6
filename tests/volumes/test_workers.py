"""Tasks of Dask give what one process gives, even if a worker dies."""

import os
import signal
import sys

import nibabel as nib
import numpy as np
import pytest
from many_sites import AFFINE, make_study

import isoscan as iso
from isoscan.volumes import workers
from isoscan.volumes.workers import harmonize_with_dask

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(sys.platform == "win32", reason="kills a process by a signal"),
]


@pytest.fixture(scope="module")
def client():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """Paths, people and mask of 150 maps from three sites."""
    folder = tmp_path_factory.mktemp("job")
    study = make_study({"KCL": 70, "MUC": 30, "OSL": 50}, seed=3)
    paths = study.write(folder)
    mask = folder / "mask.nii.gz"
    nib.save(nib.Nifti1Image(study.mask, AFFINE), mask)
    return paths, study.people, mask


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.*z")} | {
        "model": (folder / "model.isoscan").read_bytes()
    }


@pytest.fixture(scope="module")
def calm(client, job, tmp_path_factory):
    """What one process gives, and what workers give of which none dies."""
    folder = tmp_path_factory.mktemp("calm")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "BLOCKS_PER_TASK", 1)  # many tasks, so that most are not done
        patch.setattr(workers, "MAPS_PER_TASK", 8)
        paths, people, mask = job
        asked = {"mask": mask, "preserve": "age + C(sex)"}
        whole, one = iso.harmonize_volumes(paths, people, output=folder / "one", **asked)
        written, model = harmonize_with_dask(
            paths, people, folder / "many", client=client, **asked
        )  # fmt: skip
        effects, found = one.estimator.model_.effects, model.estimator.model_.effects
        for name in ("shift", "variance"):
            assert np.abs(getattr(effects, name) - getattr(found, name)).max() < 1e-10
        for mine, expected in zip(written, whole, strict=True):
            assert mine.name == expected.name
            np.testing.assert_allclose(
                nib.load(mine).get_fdata(), nib.load(expected).get_fdata(), rtol=2e-7, atol=1e-10
            )
        yield folder / "many"


@pytest.mark.parametrize("stage", ["fit", "apply"])
def test_a_worker_may_die(client, job, calm, tmp_path, stage):
    paths, people, mask = job
    left = []

    def progress(now, done, total):
        if now == stage and done == 1 and not left:
            os.kill(min(client.run(os.getpid).values()), signal.SIGKILL)
            left.append(total - done)

    asked = {"mask": mask, "preserve": "age + C(sex)", "progress": progress}
    harmonize_with_dask(paths, people, tmp_path, client=client, **asked)
    assert left[0] >= 9 and contents(tmp_path) == contents(calm)


@pytest.mark.parametrize("stage", ["fit", "apply"])
def test_the_only_worker_may_be_replaced(job, calm, tmp_path, stage):
    distributed = pytest.importorskip("distributed")
    paths, people, mask = job
    replaced = []
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):

        def progress(now, done, total):
            if now == stage and done == 1 and not replaced:
                replaced.extend(client.run(os.getpid).values())
                cluster.scale(2)
                client.wait_for_workers(2)
                os.kill(replaced[0], signal.SIGKILL)

        asked = {"mask": mask, "preserve": "age + C(sex)", "progress": progress}
        harmonize_with_dask(paths, people, tmp_path, client=client, **asked)
    assert len(replaced) == 1 and contents(tmp_path) == contents(calm)


def test_a_stopped_run_is_taken_up(client, job, tmp_path):
    paths, people, mask = job
    written, _ = harmonize_with_dask(paths, people, tmp_path, client=client, mask=mask)
    before = contents(tmp_path)
    times = {path: path.stat().st_mtime_ns for path in written}
    written[5].unlink()
    with pytest.raises(iso.errors.OutputExistsError):
        harmonize_with_dask(paths, people, tmp_path, client=client, mask=mask)
    harmonize_with_dask(paths, people, tmp_path, client=client, mask=mask, resume=True)
    assert contents(tmp_path) == before
    assert [path for path in written if path.stat().st_mtime_ns != times[path]] == [written[5]]


def test_methods_that_need_all_maps_are_refused(client, job, tmp_path):
    paths, people, mask = job
    with pytest.raises(iso.errors.DataError, match="moments suffice"):
        harmonize_with_dask(paths, people, tmp_path, client=client, mask=mask, robust=True)


def test_dask_may_be_absent(job, tmp_path, monkeypatch):
    paths, people, mask = job
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(iso.errors.MissingPackageError, match=r"isoscan\[volumes\]"):
        harmonize_with_dask(paths, people, tmp_path, mask=mask)


def test_workers_that_die_again_and_again_are_told(client):
    import distributed

    from isoscan.volumes.cluster import connected

    with (
        pytest.raises(iso.errors.OutOfSpaceError, match=r"'gather-7' was given up: 4 workers died"),
        connected(client),
    ):
        raise distributed.KilledWorker("gather-7", None, 3)
