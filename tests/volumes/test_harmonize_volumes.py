"""The volume path gives the numbers of the table path, whatever the maps come from."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from known_truth import shared_folder
from many_sites import AFFINE, inside, write_image

import isoscan as iso
from isoscan.combat.moments import Scans
from isoscan.evaluation import site_tests
from isoscan.nifti.sources import as_source
from isoscan.volumes import harmonizing, stream, voxel_moments

OPTIONS = {
    "linear": {"preserve": "age + C(sex)"},
    "nothing preserved": {},
    "removed": {"preserve": "age", "remove": "C(sex)"},
    "spline": {"preserve": "C(sex)", "smooth": ["age"]},
    "reference": {"preserve": "age", "reference": "MUC"},
    "mean only": {"preserve": "age", "mean_only": True},
    "raw": {"preserve": "age", "prior": None},
    "non-parametric": {"preserve": "age", "prior": "nonparametric"},
    "full": {"preserve": "age", "convergence": "full"},
    "some scans": {"preserve": "C(sex)", "fit_on": "age > 30"},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_volume_path_equals_table_path(study, name):
    options = OPTIONS[name]
    table = iso.ComBat(**options)
    expected = table.fit_transform(
        study.table, sites=study.people.site.to_numpy(), covariates=study.people
    )
    found, model = iso.harmonize_volumes(study.arrays, study.people, mask=study.mask, **options)
    assert np.abs(inside(found, study.mask) - expected).max() < 1e-10
    noise = model.estimator.model_.shared_noise
    assert noise == pytest.approx(table.model_.shared_noise, abs=1e-10)


@pytest.mark.parametrize(
    ("method", "kind", "options"),
    [
        ("combat", iso.ComBat, {"preserve": "age", "robust": True}),
        ("covbat", iso.CovBat, {"preserve": "age"}),
        ("combat-ls", iso.ComBatLS, {"preserve": "age", "scale": "age"}),
        ("longitudinal", iso.LongitudinalComBat, {"preserve": "age", "subject": "person"}),
    ],
)
@pytest.mark.filterwarnings("ignore::isoscan.errors.ConvergenceWarning")  # nobody is alike
def test_methods_that_need_all_subjects_work_in_memory(study, method, kind, options):
    people = study.people.assign(person=[f"p{n // 2}" for n in range(len(study.people))])
    table = kind(**options)
    expected = table.fit_transform(study.table, sites=people.site.to_numpy(), covariates=people)
    found, _ = iso.harmonize_volumes(
        study.arrays, people, mask=study.mask, method=method, **options
    )
    assert np.abs(inside(found, study.mask) - expected).max() < 1e-10


@pytest.mark.parametrize(("scans", "voxels"), [(1, 7), (3, 64), (1000, 1 << 20)])
def test_size_of_the_blocks_does_not_matter(study, monkeypatch, scans, voxels):
    expected, one = iso.harmonize_volumes(study.arrays, study.people, mask=study.mask)
    monkeypatch.setattr(stream, "SCANS_AT_A_TIME", scans)
    monkeypatch.setattr(voxel_moments, "VOXELS_AT_A_TIME", voxels)
    found, many = iso.harmonize_volumes(study.arrays, study.people, mask=study.mask)
    assert np.abs(np.array(found) - np.array(expected)).max() < 1e-10
    assert np.abs(one.site_f - many.site_f).max() < 1e-8


def test_merged_parts_equal_the_whole(study):
    table = study.table
    table[3, 5:9] = np.nan
    codes = np.unique(study.people.site, return_inverse=True)[1]
    design = study.people[["age"]].to_numpy()

    def gather(rows):
        arrays = [as_source(row.reshape(-1, 1, 1), "map") for row in table[rows]]
        scans = Scans.group(codes[rows], 3, design[rows])
        voxels = np.arange(table.shape[1])
        return stream.gather_moments(arrays, scans, voxels, np.dtype("f8")).moments

    everyone = np.arange(len(table))
    whole = gather(everyone)
    first = gather(everyone[codes != 2][:9])
    for rows in (everyone[codes == 2], everyone[codes != 2][9:]):
        first.merge(gather(rows))
    expected, found = whole.at(everyone), first.at(everyone)
    for name, value in vars(expected).items():
        np.testing.assert_allclose(getattr(found, name), value, rtol=1e-10, atol=1e-10)
    np.testing.assert_array_equal(first.scans, whole.scans)


def test_the_only_scan_of_a_site_can_be_left_out(study):
    people = study.people.copy()
    people.loc["sub-000", "site"] = "LONE"
    with pytest.warns(iso.errors.SmallSiteWarning, match="1 map left out.*'sub-000', of 'LONE'"):
        found, model = iso.harmonize_volumes(
            study.arrays, people, mask=study.mask, small_sites="drop"
        )
    assert len(found) == 42 and model.estimator.sites_ == ["KCL", "MUC", "OSL"]


def test_several_batch_variables_and_steps_work_in_memory(study):
    people = study.people.assign(coil=["eight", "twelve", "twenty"] * 14 + ["eight"])
    expected = iso.ComBat("age").fit_transform(
        study.table, sites=people[["site", "coil"]].reset_index(drop=True), covariates=people
    )
    found, _ = iso.harmonize_volumes(
        study.arrays, people, site=["site", "coil"], mask=study.mask, preserve="age"
    )
    assert np.abs(inside(found, study.mask) - expected).max() < 1e-10
    steps = {"steps": ["coil", "site"]}
    expected = iso.StepwiseComBat(**steps).fit_transform(
        study.table, sites=people.site.to_numpy(), covariates=people
    )
    found, _ = iso.harmonize_volumes(
        study.arrays, people, mask=study.mask, method="stepwise", **steps
    )
    assert np.abs(inside(found, study.mask) - expected).max() < 1e-10


def test_missing_voxels_follow_the_rule_of_tables(study):
    arrays = {scan: array.copy() for scan, array in study.arrays.items()}
    arrays["sub-003"][4:6, 4, 4] = np.nan
    arrays["sub-010"][5, 4, 4] = np.inf
    with (
        pytest.warns(iso.errors.CoverageWarning, match=r"2 of 392 voxels .* no finite value"),
        pytest.warns(iso.errors.MissingValuesWarning, match=r"voxel \(4, 4, 4\)"),
    ):
        found, _ = iso.harmonize_volumes(arrays, study.people, mask=study.mask, preserve="age")
    table = inside(arrays.values(), study.mask)
    table[np.isinf(table)] = np.nan
    with pytest.warns(iso.errors.MissingValuesWarning):
        expected = iso.ComBat("age").fit_transform(
            table, sites=study.people.site.to_numpy(), covariates=study.people
        )
    np.testing.assert_allclose(inside(found, study.mask), expected, rtol=0, atol=1e-10)


def test_incomplete_voxels_can_be_left_out(study):
    arrays = {scan: array.copy() for scan, array in study.arrays.items()}
    arrays["sub-003"][4, 4, 4] = np.nan
    with pytest.warns(iso.errors.CoverageWarning, match=r"1 of 392 .* not harmonized.*'"):
        found, model = iso.harmonize_volumes(
            arrays, study.people, mask=study.mask, missing="exclude"
        )
    assert all(np.isnan(array[4, 4, 4]) for array in found)
    assert model.left_out.size == 1 and len(model.mask.voxels) == 391
    with pytest.raises(iso.errors.MissingValuesError, match="1 of 392 voxels"):
        iso.harmonize_volumes(arrays, study.people, mask=study.mask, missing="error")


def test_zeros_of_a_whole_site_are_not_taken_for_values(study):
    arrays = {scan: array.copy() for scan, array in study.arrays.items()}
    for scan in study.people.index[study.people.site == "OSL"]:
        arrays[scan][4, 4, 2:5] = 0.0
    with pytest.warns(iso.errors.CoverageWarning) as caught:
        found, model = iso.harmonize_volumes(arrays, study.people, mask=study.mask)
    said = " ".join(str(warning.message) for warning in caught)
    assert "% at 'OSL'" in said and "no value at 'OSL' (3)" in said
    assert np.isnan(found[0][4, 4, 2:5]).all()
    whole, _ = iso.harmonize_volumes(
        arrays, study.people, mask=study.mask * (np.arange(9) > 4)
    )  # the other voxels do not notice, but for the prior
    assert np.isfinite(whole[0]).all() and np.isfinite(model.estimator.model_.effects.shift).all()


def test_background_in_the_mask_passes_through_and_leaves_the_priors_alone(study):
    arrays = {scan: array.copy() for scan, array in study.arrays.items()}
    for array in arrays.values():
        array[:2] = 0.0
    wide = study.mask.copy()
    wide[:2] = 1
    expected, _ = iso.harmonize_volumes(arrays, study.people, mask=study.mask, preserve="age")
    with pytest.warns(iso.errors.IsoscanWarning) as caught:
        found, _ = iso.harmonize_volumes(arrays, study.people, mask=wide, preserve="age")
    assert {warning.category.__name__ for warning in caught} == {
        "CoverageWarning",
        "ConstantFeatureWarning",
    }
    difference = inside(found, study.mask) - inside(expected, study.mask)
    assert np.abs(difference).max() < 1e-12


def test_files_images_and_arrays_give_the_same_numbers(study, tmp_path):
    arrays = {scan: array.astype("f4") for scan, array in study.arrays.items()}
    images = {scan: nib.Nifti1Image(array, AFFINE) for scan, array in arrays.items()}
    mask = nib.Nifti1Image(study.mask, AFFINE)
    from_arrays, _ = iso.harmonize_volumes(arrays, study.people, mask=study.mask)
    from_images, _ = iso.harmonize_volumes(images, study.people, mask=mask)
    from_files, _ = iso.harmonize_volumes(study.write(tmp_path / "in"), study.people, mask=mask)
    written, _ = iso.harmonize_volumes(
        tmp_path_of(tmp_path / "in"), study.people, mask=mask, output=tmp_path / "out"
    )
    for array, *others in zip(from_arrays, from_images, from_files, written, strict=True):
        for other in others:
            image = nib.load(other) if isinstance(other, Path) else other
            assert image.get_data_dtype() == np.float32
            np.testing.assert_array_equal(image.get_fdata(dtype=np.float32), array)


def tmp_path_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.nii.gz"))


def test_maps_are_matched_to_people_by_id(study):
    shuffled = study.people.sample(frac=1, random_state=1)
    expected, _ = iso.harmonize_volumes(study.arrays, study.people, mask=study.mask)
    found, _ = iso.harmonize_volumes(study.arrays, shuffled, mask=study.mask)
    by_series, _ = iso.harmonize_volumes(pd.Series(study.arrays), shuffled, mask=study.mask)
    for one, two, three in zip(expected, found, by_series, strict=True):
        np.testing.assert_allclose(two, one, atol=1e-12)
        np.testing.assert_array_equal(three, two)
    with pytest.raises(iso.errors.UnmatchedRowsError, match="sub-000"):
        iso.harmonize_volumes(study.arrays, study.people.iloc[1:], mask=study.mask)
    with pytest.raises(iso.errors.UnmatchedRowsError, match="43 maps for 42 rows"):
        iso.harmonize_volumes([*study.arrays.values()], study.people.iloc[1:], mask=study.mask)


def test_without_a_mask_voxels_that_all_maps_have_are_harmonized(study):
    arrays = {scan: array * study.mask for scan, array in study.arrays.items()}
    arrays["sub-001"][3, 3, 3] = np.nan
    _, model = iso.harmonize_volumes(arrays, study.people)
    assert len(model.mask.voxels) == 391


def test_voxels_outside_become_zero_or_stay_or_vanish(study):
    outside = study.mask == 0
    zero, keep, vanish = (
        iso.harmonize_volumes(study.arrays, study.people, mask=study.mask, outside=how)[0][0]
        for how in ("zero", "keep", "nan")
    )
    assert (zero[outside] == 0).all() and np.isnan(vanish[outside]).all()
    np.testing.assert_array_equal(keep[outside], study.arrays["sub-000"][outside])
    np.testing.assert_array_equal(zero[~outside], keep[~outside])


def test_inputs_are_not_modified(study):
    before = {scan: array.copy() for scan, array in study.arrays.items()}
    iso.harmonize_volumes(study.arrays, study.people, mask=study.mask, outside="keep")
    assert all((before[scan] == array).all() for scan, array in study.arrays.items())


@pytest.mark.parametrize(
    "options",
    [
        {"preserve": "age + C(sex)"},
        {"preserve": "age", "remove": "C(sex)"},
        {"preserve": "age + C(sex)", "reference": "MUC"},
    ],
)
def test_site_f_before_and_after_equals_the_table_tests(study, options):
    after, model = iso.harmonize_volumes(study.arrays, study.people, mask=study.mask, **options)
    for values, mine in zip((study.table, inside(after, study.mask)), model.site_f, strict=True):
        expected = site_tests(values, study.people.site.to_numpy(), study.people, "age + C(sex)")
        np.testing.assert_allclose(mine, expected.f, rtol=1e-6, atol=1e-9)


def test_effect_maps_hold_the_fitted_numbers(study):
    _, model = iso.harmonize_volumes(study.arrays, study.people, mask=study.mask, preserve="age")
    images = model.effect_maps()
    effects = model.estimator.site_effects_
    assert len(images) == 3 * 4 + 3
    for kind in ("shift", "scale", "shift_se", "scale_se"):
        values = images[f"site-MUC_{kind}"].get_fdata()
        assert np.isnan(values[study.mask == 0]).all()
        expected = effects[effects.site == "MUC"][kind]
        np.testing.assert_allclose(values.ravel("F")[model.mask.voxels], expected, rtol=1e-5)


def test_sites_whose_names_differ_only_in_signs_have_maps_of_their_own(study):
    people = study.people.replace({"site": {"KCL": "MRI 1", "MUC": "MRI_1"}})
    _, model = iso.harmonize_volumes(study.arrays, people, mask=study.mask)
    names = set(model.effect_maps())
    assert {"site-MRI-1-1_shift", "site-MRI-1-2_shift", "site-OSL_shift"} <= names


def test_masks_may_be_files_images_or_arrays(study, tmp_path):
    path = write_image(tmp_path / "mask.nii.gz", study.mask)
    images = {scan: nib.Nifti1Image(array, AFFINE) for scan, array in study.arrays.items()}
    expected = harmonizing.fit_volumes(images, study.people, mask=study.mask).hash_
    assert harmonizing.fit_volumes(images, study.people, mask=str(path)).hash_ == expected
    assert harmonizing.fit_volumes(images, study.people, mask=nib.load(path)).hash_ == expected


SITES = {"Scanner_A": (0.0, 1.0), "Scanner_B": (0.15, 1.4), "Scanner_C": (-0.1, 0.7)}
"""Shift and scale of the sites of the notebook."""


def golden(name):
    """What the reference gives for the data of the notebook."""
    path = shared_folder("golden/unseen") / "kwneuro" / f"golden_{name}.json"
    return json.loads(path.read_text())


def notebook():
    """Make the data of the notebook, number by number."""
    random = np.random.default_rng(123)
    shape = (30, 36, 20)
    base = (
        np.linspace(0.2, 0.8, 30)[:, None, None]
        * np.linspace(0.3, 0.6, 36)[None, :, None]
        * np.ones(shape)
    )
    mask = np.zeros(shape, dtype=np.int8)
    mask[4:26, 4:32, 3:17] = 1
    maps, rows = [], []
    for site, (shift, scale) in SITES.items():
        for _ in range(8):
            age = random.uniform(25, 75)
            noise = random.normal(0, 0.015, shape)
            maps.append((base + age * 0.002 + noise) * scale + shift)
            rows.append({"site": site, "age": age})
    return maps, pd.DataFrame(rows), mask


def test_the_notebook_gives_its_numbers():
    reference = golden("kwneuro")
    maps, people, mask = notebook()
    with pytest.warns(iso.errors.SmallSiteWarning):
        after, model = iso.harmonize_volumes(maps, people, preserve="age", mask=mask)
    assert len(model.mask.voxels) == reference["n_voxels_in_mask"]
    means = np.array([array[mask > 0].mean() for array in after])
    assert np.abs(means - reference["subject_mean_after"]).max() < 1e-6
    for when, values in (("before", inside(maps, mask).mean(axis=1)), ("after", means)):
        for site, expected in reference[f"site_mean_{when}"].items():
            assert values[people.site == site].mean() == pytest.approx(expected, abs=1e-6)
        r = np.corrcoef(people.age, values)[0, 1]
        assert r == pytest.approx(reference[f"r_age_{when}"], abs=1e-6)
    for probe in reference["probe_voxels"]:
        values = [array[tuple(probe["ijk"])] for array in after]
        assert np.abs(np.array(values) - probe["after"]).max() < 1e-6


@pytest.mark.parametrize(
    ("case", "options"),
    [
        ("no_covariates", {}),
        ("eb_false", {"preserve": "age", "prior": None}),
        ("mean_only", {"preserve": "age", "mean_only": True}),
        ("ref_batch_A (needs np.int patched back)", {"preserve": "age", "reference": "Scanner_A"}),
    ],
)
def test_the_options_of_the_notebook_give_their_numbers(case, options):
    reference = golden("options")
    expected = reference["cases"][case]["probe_first_subject_of_each_site"]
    maps, people, mask = notebook()
    with pytest.warns(iso.errors.SmallSiteWarning):
        after, _ = iso.harmonize_volumes(maps, people, mask=mask, **options)
    for site, values in expected.items():
        first = after[people.index[people.site == site][0]]
        found = [first[tuple(voxel)] for voxel in reference["probe_ijk"]]
        assert np.abs(np.array(found) - values).max() < 1e-6
