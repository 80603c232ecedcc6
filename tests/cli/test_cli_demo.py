"""`isoscan demo` runs a complete job on real and on simulated scans."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from cli.study import read_json
from isoscan.harmonizing import FILES

needs_scans = pytest.mark.skipif(
    importlib.util.find_spec("mriqc_learn") is None, reason="needs the package mriqc-learn"
)


def commands_in(page):
    """Commands of isoscan in a page, as words."""
    text = (Path(__file__).parents[2] / page).read_text(encoding="utf-8")
    return [shlex.split(line)[1:] for line in re.findall(r"^\$ (isoscan .*)$", text, re.MULTILINE)]


@needs_scans
@pytest.mark.usefixtures("without_figures")
def test_commands_of_the_first_pages_run_on_the_tables_of_the_demo(isoscan, tmp_path, monkeypatch):
    isoscan("demo", "-o", tmp_path / "demo")
    monkeypatch.chdir(tmp_path / "demo" / "input")
    quick = [words for words in commands_in("docs/quickstart.md") if words[0] != "demo"]
    assert [words[0] for words in quick] == ["describe", "harmonize", "apply", "evaluate"]
    readme = commands_in("README.md")
    assert [words[0] for words in readme] == ["harmonize", "apply"]
    for words in [*quick, *([*words, "--overwrite"] for words in readme)]:
        isoscan(*words)
    assert len(Path("new/harmonized.tsv").read_text().splitlines()) == 20


@needs_scans
def test_the_demo_writes_two_reports_and_finds_the_truth(isoscan, tmp_path):
    out = tmp_path / "demo"
    done = isoscan("demo", "-o", out)
    for name in ("real", "simulated"):
        assert sorted(file.name for file in (out / name).iterdir()) == sorted(FILES)
    assert read_json(out / "real" / "facts.json")["describe"]["scans"] == 1101
    assert "1101 real scans" in done.out
    assert "no covariates" in done.out
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
