"""`isoscan demo` runs a complete job on real and on simulated scans."""

import importlib.util

import pytest

from cli.study import read_json
from isoscan.harmonizing import FILES

needs_scans = pytest.mark.skipif(
    importlib.util.find_spec("mriqc_learn") is None, reason="needs the package mriqc-learn"
)


@needs_scans
def test_the_demo_writes_two_reports_and_finds_the_truth(isoscan, tmp_path):
    out = tmp_path / "demo"
    done = isoscan("demo", "-o", out)
    for name in ("real", "simulated"):
        assert sorted(file.name for file in (out / name).iterdir()) == sorted(FILES)
    assert read_json(out / "real" / "facts.json")["describe"]["scans"] == 1101
    assert "1101 real scans" in done.out
    assert "effect of age: correlation with the truth 0.9" in done.out


def test_the_demo_overwrites_nothing(isoscan, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "report.html").write_text("mine")
    assert "--overwrite" in isoscan("demo", "-o", tmp_path, code=1).err
    assert (tmp_path / "real" / "report.html").read_text() == "mine"


def test_the_demo_says_what_to_install(isoscan, tmp_path, monkeypatch):
    def absent(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("importlib.resources.files", absent)
    assert "pip install 'isoscan[demo]'" in isoscan("demo", "-o", tmp_path, code=1).err
