"""Four commands harmonize without pooling; what goes wrong is said in a sentence."""

import shutil
import subprocess
import warnings

import numpy as np
import pandas as pd
import pytest
from federated_cohort import make_consortium

import isoscan as iso
from isoscan.cli.main import main

pytestmark = pytest.mark.filterwarnings("ignore::isoscan.errors.IsoscanWarning")


class Shell:
    """A folder with the tables of three sites, and the command line to work on them."""

    def __init__(self, folder, capsys) -> None:
        self.folder, self.capsys = folder, capsys
        self.people = make_consortium((60, 55, 70), 4)
        table = self.people.people.join(self.people.measures).rename_axis("participant_id")
        self.table = table
        table.to_csv(folder / "all.tsv", sep="\t")
        for site, part in table.groupby("site"):
            part.to_csv(folder / f"{site}.tsv", sep="\t")
        features = pd.DataFrame({"feature": self.people.measures.columns, "unit": "mm"})
        features.to_csv(folder / "features.tsv", sep="\t", index=False)

    def run(self, *words, code=0) -> str:
        self.capsys.readouterr()
        returned = 0
        with warnings.catch_warnings():
            try:
                main([*map(str, words)])
            except SystemExit as stop:
                returned = stop.code
        out = self.capsys.readouterr()
        assert returned == code, out
        return out.out + out.err

    def study(self, *words) -> str:
        where = self.folder / "study.json"
        agreed = ["--covariate", "age=0:100", "--covariate", "sex=F,M"]
        return self.run(
            "federated", "study", where, "--name", "demo", "--features",
            self.folder / "features.tsv", *agreed, "--preserve", "age + C(sex)", *words,
        )  # fmt: skip

    def summarize(self, site, *words, code=0) -> str:
        return self.run(
            "federated", "summarize", self.folder / "study.json", self.folder / f"{site}.tsv",
            "--location", site, "-o", self.folder / "out", "--ledger", self.folder / "led" / site,
            *words, code=code,
        )  # fmt: skip

    def messages(self):
        return sorted((self.folder / "out").glob("*.summary.isoscan"))

    def combine(self, *words, code=0) -> str:
        where = self.folder / "centre"
        return self.run(
            "federated", "combine", self.folder / "study.json", *self.messages(), "-o", where,
            *words, code=code,
        )  # fmt: skip


@pytest.fixture
def shell(tmp_path, capsys, monkeypatch):
    return Shell(tmp_path, capsys)


def test_study_summarize_combine_apply(shell) -> None:
    assert "2 design columns" in shell.study()
    for site in ("S1", "S2", "S3"):
        assert "no row of your table" in shell.summarize(site, "--yes")
    said = shell.combine()
    assert "185 scans of 3 batches" in said
    model = iso.load(shell.folder / "centre" / "model.isoscan")
    table = shell.table
    after = model.transform(
        table[list(model.feature_names_in_)], sites=table.site, covariates=table
    )
    pooled = iso.ComBat("age + C(sex)").fit_transform(
        shell.people.measures, sites=table.site, covariates=table
    )
    pd.testing.assert_frame_equal(after, pooled, rtol=1e-12, check_names=False)
    quality = pd.read_csv(shell.folder / "centre" / "quality.tsv", sep="\t")
    assert quality.scans.tolist() == [60, 55, 70]
    words = ["apply", shell.folder / "centre" / "model.isoscan", shell.folder / "S1.tsv"]
    assert "60 scans harmonized" in shell.run(*words, "-o", shell.folder / "applied")


def test_sums_mode_ends_with_a_model_at_each_site(shell) -> None:
    shell.study()
    for site in ("S1", "S2", "S3"):
        shell.summarize(site, "--yes", "--mode", "sums")
    assert "federated finish" in shell.combine()
    coefficients = shell.folder / "centre" / "coefficients.isoscan"
    said = shell.run(
        "federated", "finish", shell.folder / "study.json", coefficients,
        shell.folder / "S2.tsv", "-o", shell.folder / "mine",
    )  # fmt: skip
    assert "Model of 1 batch" in said
    assert iso.load(shell.folder / "mine" / "model.isoscan").sites_ == ["S2"]


def test_nothing_is_written_without_consent(shell, monkeypatch) -> None:
    shell.study()
    monkeypatch.setattr("click.confirm", lambda *words, **options: (_ for _ in ()).throw(_abort()))
    shell.summarize("S1", code=130)
    assert not shell.messages()
    assert not (shell.folder / "led" / "S1" / "ledger.json").exists()


def _abort():
    import click

    return click.Abort()


def test_single_woman_and_lax_study_are_refused(shell) -> None:
    shell.study()
    table = shell.table[shell.table.site == "S1"].assign(sex=["F", *["M"] * 59])
    table.to_csv(shell.folder / "S1.tsv", sep="\t")
    said = shell.summarize("S1", "--yes", code=1)
    assert "'S1' has 1 person with sex = F (at least 5, or none)" in said
    assert not shell.messages()
    shell.study("--cell", "0", "--difference", "0", "--overwrite")
    assert "fewer people than this site does" in shell.summarize("S1", "--yes", code=1)
    shell.summarize("S1", "--yes", "--accept-thresholds")


def test_second_release_with_one_more_person_is_refused(shell) -> None:
    shell.study()
    shell.summarize("S1", "--yes")
    table = shell.table[shell.table.site == "S1"].iloc[1:]
    table.to_csv(shell.folder / "S1.tsv", sep="\t")
    said = shell.summarize("S1", "--yes", "--overwrite", code=1)
    assert "would differ by 1 person" in said


def test_people_with_several_scans_count_once(shell) -> None:
    shell.study()
    table = shell.table[shell.table.site == "S1"].iloc[:8]
    table = pd.concat([table.assign(session=str(number)) for number in range(3)])
    table.to_csv(shell.folder / "S1.tsv", sep="\t")
    assert "'S1' has 8 people (at least 10)" in shell.summarize("S1", "--yes", code=1)


def test_damaged_message_is_named(shell) -> None:
    shell.study()
    for site in ("S1", "S2"):
        shell.summarize(site, "--yes")
    path = shell.messages()[0]
    path.write_bytes(path.read_bytes()[:300])
    assert "S1.summary.isoscan: not a summary file, or cut off" in shell.combine(code=1)


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_signatures_are_asked_for_and_verified(shell) -> None:
    shell.study()
    for site in ("S1", "S2"):
        shell.summarize(site, "--yes")
    key, signers = shell.folder / "key", shell.folder / "signers"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    public = key.with_suffix(".pub").read_text()
    signers.write_text(f"S1 {public}S2 {public}")
    options = ("--allowed-signers", signers)
    assert "S1.summary.isoscan: not signed" in shell.combine(*options, code=1)
    for path in shell.messages():
        words = ["ssh-keygen", "-q", "-Y", "sign", "-n", "isoscan", "-f", key, path]
        subprocess.run(words, check=True, capture_output=True)
    shell.combine(*options)
    signers.write_text(f"S1 {public}")
    said = shell.combine(*options, "--overwrite", code=1)
    assert "not one of 'S2'" in said


def test_simulate_says_how_large_the_difference_is(shell) -> None:
    said = shell.run(
        "federated", "simulate", shell.folder / "all.tsv", "--preserve", "C(sex)",
        "--smooth", "age", "--cell", "0", "--location", "hospital", "--share", 0.9, "--degrees", 1,
    )  # fmt: skip
    largest = float(said.split("pooled values: ")[1].split(" SD")[0])
    assert largest < 1e-10
    assert "east: sent" in said
    assert np.isfinite(largest)


def test_wrong_words_are_wrong_usage(shell) -> None:
    where = shell.folder / "study.json"
    words = ["federated", "study", where, "--name", "x", "--feature", "a=mm"]
    assert "give NAME=LOW:HIGH" in shell.run(*words, "--covariate", "age", code=2)
    assert "as numbers" in shell.run(*words, "--covariate", "age=a:b", code=2)
    assert "learned from" in shell.run(
        *words, "--covariate", "age=5:90", "--preserve", "poly(age, 2)", code=1
    )
