"""Stacks and clusters from the command line."""

import pytest
from many_sites import AFFINE, make_study, write_image
from test_stacks import values_of, write_stack

import isoscan as iso
from isoscan.cli import volumes_dask
from isoscan.cli.main import main

zarr = pytest.importorskip("zarr")
pytestmark = pytest.mark.filterwarnings("ignore::isoscan.errors.IsoscanWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write maps as files and as a stack, and the tables that list them."""
    folder = tmp_path_factory.mktemp("study")
    study = make_study()
    paths = study.write(folder / "fa")
    write_stack(folder / "fa.zarr", study, dtype="f4")
    write_image(folder / "mask.nii.gz", study.mask, AFFINE)
    study.people.to_csv(folder / "people.tsv", sep="\t", index_label="participant_id")
    table = study.people.assign(path=[f"fa/{path.name}" for path in paths.values()])
    table.to_csv(folder / "maps.tsv", sep="\t", index_label="participant_id")
    return folder


def run(*words):
    try:
        main([str(word) for word in ("volumes", *words)])
    except SystemExit as stop:
        return stop.code
    return 0


def test_a_stack_is_harmonized_fitted_and_applied(folder, study, tmp_path, capsys):
    stack = folder / "people.tsv", "--zarr", folder / "fa.zarr"
    assert run("harmonize", *stack, "--preserve", "age", "-o", tmp_path / "out.zarr") == 0
    assert f"the model: {tmp_path / 'out.isoscan'}" in capsys.readouterr().out
    assert run("fit", *stack, "--preserve", "age", "-o", tmp_path / "fit") == 0
    model = tmp_path / "fit" / "model.isoscan"
    assert model.read_bytes() == (tmp_path / "out.isoscan").read_bytes()
    assert run("apply", model, *stack, "-o", tmp_path / "new.zarr") == 0
    arrays = {scan: array.astype("f4") for scan, array in study.arrays.items()}
    expected, _ = iso.harmonize_volumes(arrays, study.people, mask=study.mask, preserve="age")
    expected = values_of_list(expected, study)
    for name in ("out.zarr", "new.zarr"):
        assert abs(values_of(tmp_path / name, study) - expected).max() < 2e-7
    assert run("harmonize", *stack, "--preserve", "age", "-o", tmp_path / "out.zarr") == 1
    assert "--overwrite" in capsys.readouterr().err


def values_of_list(arrays, study):
    from many_sites import inside

    return inside(arrays, study.mask)


def test_files_are_written_into_a_store(folder, study, tmp_path):
    asked = folder / "maps.tsv", "--mask", folder / "mask.nii.gz", "-o"
    assert run("harmonize", *asked, tmp_path / "out.zarr") == 0
    assert run("harmonize", *asked, tmp_path / "out", "--no-figures") == 0
    store = zarr.open_group(tmp_path / "out.zarr", mode="r")
    assert store["maps"].shape == (43, *study.mask.shape)
    assert (tmp_path / "out.isoscan").read_bytes() == (
        tmp_path / "out" / "model.isoscan"
    ).read_bytes()


def test_maps_that_cannot_be_read_are_named_in_the_store(folder, tmp_path, capsys):
    (tmp_path / "broken.nii.gz").write_bytes(b"")
    text = (folder / "maps.tsv").read_text().replace("fa/sub-003_FA.nii.gz", "../broken.nii.gz")
    table = tmp_path / "study" / "maps.tsv"
    table.parent.mkdir()
    table.write_text(text.replace("fa/", f"{folder}/fa/"))
    asked = table, "--mask", folder / "mask.nii.gz", "--skip-bad", "-o", tmp_path / "out.zarr"
    assert run("harmonize", *asked) == 0
    assert "1 of 43 maps left out" in capsys.readouterr().err
    about = zarr.open_group(tmp_path / "out.zarr", mode="r").attrs
    assert about["skipped"][0]["scan"] == "sub-003" and len(about["ids"]) == 42


def test_workers_of_a_cluster_do_the_same(folder, tmp_path):
    distributed = pytest.importorskip("distributed")
    asked = folder / "maps.tsv", "--mask", folder / "mask.nii.gz", "--no-figures", "-o"
    assert run("harmonize", *asked, tmp_path / "one") == 0
    with distributed.LocalCluster(processes=False, dashboard_address=None) as cluster:
        words = "--dask", cluster.scheduler_address
        assert run("harmonize", *asked, tmp_path / "many", *words) == 0
    written = [*(tmp_path / "one").glob("sub-*.nii.gz")]
    assert len(written) == 43
    for path in written:
        assert path.read_bytes() == (tmp_path / "many" / path.name).read_bytes()


def test_wrong_use_is_refused(folder, tmp_path, capsys, monkeypatch):
    asked = "harmonize", folder / "maps.tsv", "-o", tmp_path / "out"
    for words, sentence in (
        (("--dask", "local:0"), "give the number of processes, such as local:4"),
        (("--dask", "local:2", "--method", "covbat"), "--dask needs --method combat"),
        (("--zarr", folder / "none.zarr"), "does not exist"),
    ):
        assert run(*asked, *words) == 2
        assert sentence in capsys.readouterr().err
    assert run("plan", *asked[1:], "--shards", 2, "--zarr", folder / "fa.zarr") == 2
    assert "shards are of files" in capsys.readouterr().err
    assert run(*asked, "--zarr", folder / "fa.zarr") == 1
    assert "ends in .zarr" in capsys.readouterr().err
    monkeypatch.setattr(volumes_dask, "SECONDS_TO_WAIT", 0.2)
    assert run(*asked, "--dask", "tcp://127.0.0.1:9") == 1
    assert "no scheduler of Dask answers at 'tcp://127.0.0.1:9'" in capsys.readouterr().err
