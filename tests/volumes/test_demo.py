"""The demo of maps is near the truth it was simulated with."""

import re
import sys

import nibabel as nib
import numpy as np
import pytest

from isoscan.cli import demo_volumes
from isoscan.cli.main import main
from isoscan.volumes.simulated import SD, simulate_maps, values_in


@pytest.fixture(scope="module")
def template():
    distance = np.linalg.norm(np.indices((24, 26, 22)).T - [11.5, 12.5, 10.5], axis=-1).T
    return nib.Nifti1Image(np.clip(1.2 - distance / 12, 0, 1), np.diag([4.0, 4, 4, 1]))


def test_simulated_maps_have_the_effects_they_claim(template, tmp_path):
    truth = simulate_maps(template, tmp_path, scans_per_site=(150, 50), random_state=1)
    people, weights = truth.people, [0.75, 0.25]
    for effects, power, mean in ((truth.shift, 1, 0.0), (truth.scale, 2, 1.0)):
        together = np.average([effects[site] ** power for site in ("S1", "S2")], 0, weights)
        np.testing.assert_allclose(together, mean, atol=1e-12)
    measured = np.array([values_in(tmp_path / path, truth.mask) for path in people.path])
    expected = truth.base + np.outer(people.age - 50, truth.slope)
    noise = (measured - expected) / SD
    for site, rows in people.groupby("site").indices.items():
        residual = noise[rows] - truth.shift[site]
        assert residual.mean() == pytest.approx(0, abs=0.05)
        assert (residual / truth.scale[site]).std() == pytest.approx(1, abs=0.05)
        clean = truth.without_site(people.index[rows[0]], measured[rows[0]])
        np.testing.assert_allclose(
            (clean - expected[rows[0]]) * truth.scale[site], SD * residual[0], atol=1e-6
        )


def test_the_demo_gets_nearer_to_the_truth(template, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo_volumes, "read_template", lambda resolution: template)
    small = {"resolution": 4, "scans_per_site": (20, 16, 14)}
    monkeypatch.setattr(demo_volumes.run, "__kwdefaults__", small)
    main(["demo", "volumes", "-o", str(tmp_path)])
    said = capsys.readouterr().out
    before, after = map(float, re.search(r"all: before ([\d.]+), after ([\d.]+)", said).groups())
    assert after < before / 2 and before > 0.3
    assert float(re.search(r"shift of sites: .* ([\d.]+)", said)[1]) > 0.85
    assert f"Open {tmp_path / 'harmonized' / 'report.html'}" in said
    assert len([*(tmp_path / "harmonized").glob("sub-*_GM.nii.gz")]) == 50
    command = said.split("isoscan volumes harmonize")[1].replace("\\\n", " ").split()
    main(["volumes", "harmonize", *command[:-1], str(tmp_path / "again"), "--no-figures"])
    for path in (tmp_path / "again").glob("sub-*.nii.gz"):
        assert path.read_bytes() == (tmp_path / "harmonized" / path.name).read_bytes()
    with pytest.raises(SystemExit):
        main(["demo", "volumes", "-o", str(tmp_path)])
    assert "--overwrite" in capsys.readouterr().err


def test_the_template_is_that_of_a_package():
    pytest.importorskip("nilearn")
    image = demo_volumes.read_template(8)
    assert image.get_fdata().max() == pytest.approx(1, abs=0.3) and image.ndim == 3


def test_the_demo_says_what_to_install(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "nilearn.datasets", None)
    with pytest.raises(SystemExit):
        main(["demo", "volumes", "-o", str(tmp_path)])
    assert "pip install 'isoscan[images]'" in capsys.readouterr().err
