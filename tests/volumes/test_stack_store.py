"""A store of results is complete at its name or not there; a stopped run is taken up."""

import textwrap

import nibabel as nib
import numpy as np
import pytest
from many_sites import AFFINE, hashes
from test_stacks import write_stack

import isoscan as iso
from isoscan.errors import OutputExistsError
from isoscan.volumes import stack_pieces

zarr = pytest.importorskip("zarr")
pytestmark = pytest.mark.filterwarnings("ignore::isoscan.errors.IsoscanWarning")

RUN = textwrap.dedent(
    """
    import os, signal, warnings
    import pandas as pd
    import isoscan as iso
    from isoscan.volumes import stack_pieces

    warnings.simplefilter("ignore")
    stack_pieces.BYTES_AT_A_TIME = 40_000
    folder, output, stage, limit = arguments
    people = pd.read_csv(folder + "/people.csv", index_col=0)

    def progress(now, done, total):
        if now == stage and done >= int(limit):
            os.kill(os.getpid(), signal.SIGKILL)

    iso.harmonize_volumes(
        folder + "/fa.zarr", people, preserve="age", output=output, resume=True,
        progress=progress,
    )
    """
)


@pytest.fixture
def folder(study, tmp_path):
    """Write a stack and who was scanned."""
    write_stack(tmp_path / "fa.zarr", study, (8, 4, 4, 3))
    study.people.to_csv(tmp_path / "people.csv")
    return tmp_path


def harmonize(folder, study, name="out.zarr", **options):
    return iso.harmonize_volumes(
        folder / "fa.zarr", study.people, preserve="age", output=folder / name, **options
    )


@pytest.mark.parametrize(("stage", "limit"), [("fit", 3), ("apply", 4)])
def test_a_killed_run_is_taken_up_with_the_same_bytes(preloaded, folder, stage, limit):
    def run(name, stage="never", limit=0):
        return preloaded.run([folder, folder / name, stage, limit], RUN)

    assert run("whole.zarr") == 0, preloaded.said
    for _ in range(2):
        assert run("killed.zarr", stage, limit) == -9
        assert not (folder / "killed.zarr").exists() and not (folder / "killed.isoscan").exists()
        stage = "apply"  # a run that was stopped while it applied a model does not fit again
    assert run("killed.zarr") == 0, preloaded.said
    assert hashes(folder / "killed.zarr") == hashes(folder / "whole.zarr")
    model = (folder / "whole.isoscan").read_bytes()
    assert (folder / "killed.isoscan").read_bytes() == model
    assert not [*folder.glob(".*")]


def test_what_is_finished_is_not_made_again(preloaded, folder, study, monkeypatch):
    assert preloaded.run([folder, folder / "out.zarr", "apply", 4], RUN) == -9
    store = folder / ".out.zarr.part" / "store"
    files = [path for path in (store / "maps" / "c").rglob("*") if path.is_file()]
    times = {path.relative_to(store): path.stat().st_mtime_ns for path in files}
    files[0].write_bytes(b"damaged")
    (store / "maps" / "c" / "0.partial").write_bytes(b"of a killed run")
    monkeypatch.setattr(stack_pieces, "BYTES_AT_A_TIME", 40_000)
    harmonize(folder, study, resume=True)
    now = {name: (folder / "out.zarr" / name).stat().st_mtime_ns for name in times}
    kept = [name for name, time in times.items() if now[name] == time]
    assert len(kept) > 5 and files[0].relative_to(store) not in kept
    assert not [*(folder / "out.zarr").rglob("*.partial")]
    harmonize(folder, study, "again.zarr")
    assert hashes(folder / "again.zarr") == hashes(folder / "out.zarr")


def test_stores_that_exist_are_not_replaced(folder, study):
    harmonize(folder, study)
    before = hashes(folder)
    with pytest.raises(OutputExistsError, match=r"out.zarr exists already.*--overwrite"):
        harmonize(folder, study)
    with pytest.raises(OutputExistsError, match=r"out.zarr exists already"):
        harmonize(folder, study, resume=True, reference="MUC")
    found, model = harmonize(folder, study, resume=True)  # it is finished
    assert found == folder / "out.zarr" and hashes(folder) == before
    _, changed = harmonize(folder, study, overwrite=True, reference="MUC")
    assert changed.hash_ != model.hash_
    assert iso.VolumeModel.load(folder / "out.isoscan").hash_ == changed.hash_
    (folder / "out.zarr").rename(folder / "moved.zarr")
    with pytest.raises(OutputExistsError, match=r"out.isoscan exists already"):
        harmonize(folder, study)
    (folder / "mine.zarr").mkdir()
    (folder / "mine.zarr" / "notes.txt").write_text("mine")
    with pytest.raises(OutputExistsError, match="is no Zarr store; it is not replaced"):
        harmonize(folder, study, "mine.zarr", overwrite=True)
    assert (folder / "mine.zarr" / "notes.txt").read_text() == "mine"


def test_a_run_that_was_stopped_is_not_mixed_with_another(preloaded, folder, study):
    assert preloaded.run([folder, folder / "out.zarr", "apply", 2], RUN) == -9
    with pytest.raises(OutputExistsError, match="--resume"):
        harmonize(folder, study)
    with pytest.raises(OutputExistsError, match="other maps, covariates, options"):
        harmonize(folder, study, resume=True, reference="MUC")
    harmonize(folder, study, overwrite=True)
    harmonize(folder, study, "again.zarr")
    assert hashes(folder / "again.zarr") == hashes(folder / "out.zarr")


def test_a_store_is_a_plain_zarr_group(folder, study):
    store, _ = harmonize(folder, study)
    root = zarr.open_group(store, mode="r")
    assert {name for name, _ in root.members()} == {"maps", "mask", "effects"}
    assert root["maps"].metadata.dimension_names == ("scan", "x", "y", "z")
    assert root.attrs["isoscan"]["harmonized"] is True
    assert np.isnan(root["maps"].fill_value)  # a chunk that gets lost is not taken for zeros


def test_too_small_a_disk_is_refused(folder, study, monkeypatch):
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(1, 1, 1000))
    with pytest.raises(iso.errors.OutOfSpaceError, match="43 maps need up to"):
        harmonize(folder, study)
    assert not (folder / "out.zarr").exists()


def test_dask_workers_give_the_same_store(folder, study):
    distributed = pytest.importorskip("distributed")
    from isoscan.volumes import harmonize_with_dask

    expected, one = harmonize(folder, study)
    mask = nib.Nifti1Image(study.mask, AFFINE)
    with distributed.Client(processes=False, dashboard_address=None) as client:
        found, model = harmonize_with_dask(
            folder / "fa.zarr", study.people, folder / "d.zarr", client=client, preserve="age"
        )
        assert hashes(found / "maps") == hashes(expected / "maps") and model.hash_ == one.hash_
        with pytest.raises(iso.errors.DataError, match="moments suffice"):
            harmonize_with_dask(
                folder / "fa.zarr", study.people, folder / "r.zarr", client=client, robust=True
            )
        paths = study.write(folder / "in")
        with pytest.raises(iso.errors.DataError, match="of a stack only"):
            harmonize_with_dask(paths, study.people, folder / "f.zarr", client=client, mask=mask)
