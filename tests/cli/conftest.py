import shutil
import warnings
from dataclasses import replace

import pytest

from cli.study import Outcome, write_study
from isoscan.cli.main import main


def run_main(words):
    with warnings.catch_warnings():
        try:
            main([str(word) for word in words])
        except SystemExit as stop:
            return stop.code
    return 0


@pytest.fixture
def isoscan(capsys):
    """Run the command line as a shell would: words in, exit code and text out."""

    def run(*words, code=0):
        capsys.readouterr()
        outcome = Outcome(run_main(words), *capsys.readouterr())
        assert outcome.code == code, outcome
        assert "Traceback" not in outcome.err
        return outcome

    return run


@pytest.fixture
def study(tmp_path):
    return write_study(tmp_path)


@pytest.fixture
def without_figures(monkeypatch):
    """Write reports without drawing, which takes most of the time."""
    monkeypatch.setattr("isoscan.report.page._draw", lambda facts: {})


@pytest.fixture(scope="session")
def harmonized_once(tmp_path_factory):
    """A study and its results, worked out once; not to be changed."""
    study = write_study(tmp_path_factory.mktemp("study"))
    words = ("--preserve", "age + C(sex)", "-o", study.folder / "harmonized")
    assert run_main(["harmonize", *study.words, *words]) == 0
    return study


@pytest.fixture
def harmonized(harmonized_once, tmp_path):
    """A copy of the study and the folder with its results."""
    once, folder = harmonized_once, tmp_path / "study"
    shutil.copytree(once.folder, folder)
    tables = {name: folder / getattr(once, name).name for name in ("aseg", "aparc", "people")}
    return replace(once, folder=folder, **tables), folder / "harmonized"
