"""Maps that do not lie over each other are refused; registered ones of any kind are not."""

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from known_truth import shared_folder
from scipy.ndimage import affine_transform, binary_erosion, gaussian_filter

import isoscan as iso
from isoscan.cli.main import main
from isoscan.errors import GridMismatchError
from isoscan.nifti.sources import as_source
from isoscan.volumes.overlap import Look, likeness, require_overlap

SHAPE, AFFINE = (48, 56, 48), np.diag([4.0, 4, 4, 1])
PLACES = np.indices(SHAPE).T - (np.array(SHAPE) - 1) / 2
BRAIN = np.linalg.norm(4 * PLACES / [65, 80, 60], axis=-1).T < 1
ANATOMY = 0.5 + gaussian_filter(np.random.default_rng(0).normal(size=SHAPE), 3) * 5


def smooth(random, width):
    noise = gaussian_filter(random.normal(size=SHAPE), width)
    return noise / noise.std()


def fa(random):
    return np.where(BRAIN, ANATOMY + 0.1 * smooth(random, 1), 0)


def thickness(random):
    cortex = BRAIN & ~binary_erosion(BRAIN, iterations=2 + random.integers(2))
    return np.where(cortex & (random.random(SHAPE) > 0.3), 2.5 + 0.5 * smooth(random, 1), 0)


def contrast(random):
    return np.where(BRAIN, smooth(random, 2), np.nan)


def lesions(random):
    return np.where(BRAIN & (smooth(random, 1.5) > 2), 1.0, 0)


def moved(make):
    def move(random):
        steps = random.integers(-7, 8, 3)
        return np.roll(np.nan_to_num(make(random)), steps, axis=(0, 1, 2))

    return move


def write(folder, make, n=12):
    random = np.random.default_rng(3)
    paths = {}
    for number in range(n):
        path = folder / f"sub-{number:02d}_map.nii.gz"
        nib.save(nib.Nifti1Image(make(random).astype("f4"), AFFINE), path)
        paths[f"sub-{number:02d}"] = path
    site = ["KCL", "OSL"] * (n // 2)
    return paths, pd.DataFrame({"site": site}, index=[*paths])


def check(paths):
    require_overlap([as_source(path, "map") for path in paths.values()], [*paths])


@pytest.mark.parametrize("make", [fa, thickness, contrast, lesions, moved(lesions)])
def test_registered_maps_of_any_kind_pass(tmp_path, make):
    check(write(tmp_path, make)[0])


@pytest.mark.parametrize("make", [fa, thickness], ids=["fa", "thickness"])
def test_maps_of_brains_that_lie_anywhere_are_refused(tmp_path, make):
    with pytest.raises(GridMismatchError, match=r"not over each other.*register all") as caught:
        check(write(tmp_path, moved(make))[0])
    assert caught.value.overlap < 0.8 and caught.value.correlation < 0.65
    assert len(caught.value.scans) == 8


def test_the_user_may_know_better(tmp_path, capsys):
    paths, people = write(tmp_path, moved(fa), n=20)
    mask = nib.Nifti1Image(BRAIN.astype("u1"), AFFINE)
    with pytest.raises(GridMismatchError, match="registered=True"):
        iso.fit_volumes(paths, people, mask=mask)
    with pytest.warns(iso.errors.CoverageWarning):
        iso.fit_volumes(paths, people, mask=mask, registered=True)
    nib.save(mask, tmp_path / "mask.nii.gz")
    table = people.assign(path=[path.name for path in paths.values()])
    table.to_csv(tmp_path / "maps.tsv", sep="\t", index_label="participant_id")
    words = ["volumes", "fit", str(tmp_path / "maps.tsv"), "--mask", str(tmp_path / "mask.nii.gz")]
    with pytest.raises(SystemExit):
        main([*words, "-o", str(tmp_path / "out")])
    assert "--registered" in capsys.readouterr().err
    main([*words, "--registered", "-o", str(tmp_path / "out")])


def test_few_maps_and_arrays_are_not_judged(tmp_path):
    paths, _ = write(tmp_path, moved(fa), n=6)
    check({scan: paths[scan] for scan in [*paths][:3]})
    sources = [as_source(nib.load(path).get_fdata(), "map") for path in paths.values()]
    require_overlap(sources, [*paths])


@pytest.mark.filterwarnings("ignore")
def test_real_brains_are_refused_where_the_scanner_left_them():
    """Brains of the IXI study: where they lay in the scanner, and after moving their centres."""
    folder = shared_folder("data/images/ixi_hh_2mm")
    grid = nib.Nifti1Image(np.zeros((61, 73, 61)), np.diag([3.0, 3, 3, 1]) + _corner(90, 125, 70))
    raw, centred = [], []
    for path in sorted((folder / "t1").glob("*.nii.gz"))[:48:6]:
        labels = nib.load(folder / "dlmuse" / path.name.replace(".nii", "_DLMUSE.nii"))
        inside = labels.get_fdata() > 0
        brain = nib.Nifti1Image(nib.load(path).get_fdata() * inside, labels.affine)
        centre = labels.affine @ [*np.argwhere(inside).mean(axis=0), 1]
        raw.append(Look.at(as_source(resampled(brain, grid, np.zeros(3)), "map")))
        centred.append(Look.at(as_source(resampled(brain, grid, centre[:3]), "map")))
    overlap, correlation = likeness(raw)
    assert overlap < 0.75 and correlation < 0.6
    overlap, correlation = likeness(centred)
    assert overlap > 0.85 and correlation > 0.85


def _corner(x, y, z):
    corner = np.zeros((4, 4))
    corner[:3, 3] = -x, -y, -z
    return corner


def resampled(image, grid, centre):
    shift = np.eye(4)
    shift[:3, 3] = centre
    turn = np.linalg.inv(image.affine) @ shift @ grid.affine
    values = affine_transform(image.get_fdata(), turn, output_shape=grid.shape, order=1)
    return nib.Nifti1Image(values.astype("f4"), grid.affine)
