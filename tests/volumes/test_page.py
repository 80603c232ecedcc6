"""The page of maps shows what is in the files, and carries everything with it."""

import io
import re

import nibabel as nib
import numpy as np
import pytest
from many_sites import AFFINE, make_study
from PIL import Image

import isoscan as iso
from isoscan.cli.main import main
from isoscan.nifti.grids import make_grid
from isoscan.volumes import figures, pictures
from isoscan.volumes.masks import Mask
from isoscan.volumes.page import draw_all, render_page, write_page
from isoscan.volumes.pictures import Slices, gather_shown


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Maps of three sites, one of a name that is markup, and what became of them."""
    folder = tmp_path_factory.mktemp("done")
    study = make_study({"KCL": 16, "MUC": 13, "<b>OSL</b>": 14})
    study.arrays["sub-003"][4, 4, 4] = np.nan
    paths = study.write(folder / "in")
    mask = nib.Nifti1Image(study.mask, AFFINE)
    with pytest.warns(iso.errors.IsoscanWarning):
        after, model = iso.harmonize_volumes(
            paths, study.people, mask=mask, preserve="age", output=folder / "out"
        )
    return folder, study, [*paths.values()], after, model


def test_means_of_sites_are_those_of_their_maps(done, monkeypatch):
    _, study, before, after, model = done
    monkeypatch.setattr(pictures, "SCANS_SHOWN", 100)
    monkeypatch.setattr(pictures, "_VOXELS_COUNTED", 100)
    sites = study.people.site.to_numpy()
    shown = gather_shown(before, after, sites, model.mask)
    assert shown.sites == sorted(set(sites)) and shown.scans == [14, 16, 13]
    inside = study.mask > 0
    for when, paths in enumerate((before, after)):
        maps = np.array([nib.load(path).get_fdata() for path in paths])
        for number, site in enumerate(shown.sites):
            expected = np.nanmean(maps[sites == site], axis=0).ravel("F")[inside.ravel("F")]
            np.testing.assert_allclose(shown.means[when, number], expected, atol=1e-6)
    assert shown.values[1].shape == (2, 16 * 98)  # every fourth voxel
    np.testing.assert_allclose(shown.differences().sum(axis=1), 0, atol=1e-12)


def test_only_a_few_scans_of_the_largest_sites_are_read(done, monkeypatch):
    _, study, before, after, model = done
    monkeypatch.setattr(pictures, "MOST_SITES", 2)
    read = []
    monkeypatch.setattr(
        pictures,
        "read_flat",
        lambda path: read.append(path) or nib.load(path).get_fdata().ravel("F"),
    )
    shown = gather_shown(before, after, study.people.site, model.mask)
    assert shown.sites == ["<b>OSL</b>", "KCL"] and shown.n_sites == 3
    assert len(read) == 2 * 2 * 8 and shown.scans == [8, 8]
    page = render_page(shown, model, {}, study.people.site.tolist())
    assert "Only the 2 largest of 3 sites are shown" in page


def test_slices_show_left_on_the_left_and_front_on_top():
    grid = make_grid((6, 8, 5), np.diag([-2.0, 3, 2, 1]), "a map")
    mask = Mask(grid, np.arange(6 * 8 * 5))
    slices = Slices(mask)
    x, y, _ = (axis.ravel("F") for axis in np.indices(grid.shape))
    of_x, of_y = slices.of(-2.0 * x)[1], slices.of(3.0 * y)[1]
    assert of_x.shape == (8, 6) and slices.aspect == pytest.approx(1.5)
    assert (np.diff(of_x, axis=1) == 2).all() and (np.diff(of_y, axis=0) == 3).all()
    assert slices.height_to_width == pytest.approx(24 / 12)


def test_both_times_share_one_colour_scale(done):
    _, study, before, after, model = done
    shown = gather_shown(before, after, study.people.site, model.mask)
    drawn = figures.draw_slices(shown.means, shown.sites, Slices(model.mask), shown.range)
    images = [image for axes in drawn.axes for image in axes.images]
    assert len(images) == 3 * 6 and {image.get_clim() for image in images} == {shown.range}
    panels = figures.draw_histograms(shown).axes
    assert panels[0].get_xlim() == panels[1].get_xlim()
    assert panels[0].get_ylim() == panels[1].get_ylim()


def test_the_page_carries_everything_with_it(done, tmp_path):
    _, study, before, after, model = done
    page = write_page(tmp_path, model, before, after, study.people.site)
    text = page.read_text(encoding="utf-8")
    assert page.stat().st_size < 5 << 20
    assert "<b>OSL" not in text and text.count("&lt;b&gt;OSL&lt;/b&gt;") > 1
    assert not re.search(r"https?:|<script|<link(?! rel=\"icon\" href=\"data:,\")", text)
    found = re.findall(r'<img alt="([^"]+)" src="data:image/webp;base64,', text)
    names = ["differences", "histograms", "site_f", "slices"]
    assert len(found) == 4 == len(set(found))
    assert sorted(path.stem for path in (tmp_path / "figures").iterdir()) == names
    for path in (tmp_path / "figures").iterdir():
        image = Image.open(io.BytesIO(path.read_bytes()))
        assert image.format == "WEBP" and image.width > 1000
    with pytest.raises(iso.errors.OutputExistsError):
        write_page(tmp_path, model, before, after, study.people.site)
    assert draw_all(gather_shown(before, after, study.people.site, model.mask), model) == {
        path.stem: path.read_bytes() for path in (tmp_path / "figures").iterdir()
    }


def test_the_command_draws_unless_told_not_to(done, tmp_path, capsys):
    folder, study, before, _, _ = done
    table = study.people.assign(path=[f"in/{path.name}" for path in before])
    table.to_csv(folder / "maps.tsv", sep="\t", index_label="participant_id")
    nib.save(nib.Nifti1Image(study.mask, AFFINE), folder / "mask.nii.gz")
    words = ["volumes", "harmonize", str(folder / "maps.tsv"), "--preserve", "age"]
    words += ["--mask", str(folder / "mask.nii.gz")]
    main([*words, "-o", str(tmp_path / "one")])
    assert f"Open {tmp_path / 'one' / 'report.html'}" in capsys.readouterr().out
    main([*words, "-o", str(tmp_path / "one"), "--resume"])
    main([*words, "-o", str(tmp_path / "two"), "--no-figures"])
    assert not (tmp_path / "two" / "report.html").exists()
    assert (tmp_path / "one" / "report.html").exists()
    (tmp_path / "three").mkdir()
    (tmp_path / "three" / "report.html").write_text("mine")
    with pytest.raises(SystemExit):
        main([*words, "-o", str(tmp_path / "three")])
    assert (tmp_path / "three" / "report.html").read_text() == "mine"
    assert not [*(tmp_path / "three").glob("sub-*")]


def test_scans_that_were_left_out_are_not_drawn(done, tmp_path):
    folder, study, before, _, _ = done
    people = study.people.copy()
    people.loc["sub-000", "site"] = "LONE"
    table = people.assign(path=[str(path) for path in before])
    table.to_csv(folder / "lone.tsv", sep="\t", index_label="participant_id")
    words = ["volumes", "harmonize", str(folder / "lone.tsv"), "--small-sites", "drop"]
    main([*words, "-o", str(tmp_path)])
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "42 maps from 3 sites" in text and "LONE" not in text
