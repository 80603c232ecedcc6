"""The 101 regions are found under the names of every FreeSurfer."""

import numpy as np
import pandas as pd
import pytest
from known_truth import shared_folder

from isoscan.errors import DataError, MissingColumnError, MissingValuesError, MissingValuesWarning
from isoscan.tables import read_freesurfer
from isoscan.unseen.relative import relative_volumes
from isoscan.unseen.rois import (
    GREY_MATTER,
    NEITHER,
    ROI_CLASS,
    ROIS,
    WHITE_MATTER,
    intracranial_volume,
    neuroharmony_rois,
    sum_tissues,
)


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    values = rng.uniform(2e3, 5e4, size=(4, 101))
    return pd.DataFrame(values, [f"sub-{k}" for k in range(4)], list(ROIS))


def total(table, value=1.4e6):
    return pd.Series(value, index=table.index)


def test_regions_are_7_white_86_grey_and_8_neither():
    assert (len(WHITE_MATTER), len(GREY_MATTER), len(NEITHER)) == (7, 86, 8)
    assert len(set(ROIS)) == 101 == len(ROI_CLASS)
    assert sum(name.startswith(("lh_", "rh_")) for name in ROIS) == 68


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: name.replace("Thalamus", "Thalamus-Proper"),
        lambda name: name.replace("_volume", ""),
        lambda name: ("X" if name[0].isdigit() else "") + name.replace("-", "."),
        lambda name: name.upper(),
    ],
)
def test_names_of_other_versions_are_the_same_regions(table, rename):
    other = table.rename(columns=rename).iloc[:, ::-1]
    pd.testing.assert_frame_equal(neuroharmony_rois(other), table)


def test_columns_of_a_join_must_be_copies(table):
    twice = table.assign(CSF_x=table.CSF, CSF_y=table.CSF).drop(columns="CSF")
    pd.testing.assert_frame_equal(neuroharmony_rois(twice), table)
    with pytest.raises(DataError, match=r"'CSF' occurs 2 times .* differs in 4 scans"):
        neuroharmony_rois(twice.assign(CSF_y=1.0))


def test_absent_regions_are_counted_and_named(table):
    with pytest.raises(MissingColumnError, match="lack 68 of the 101 regions"):
        neuroharmony_rois(table.rename(columns=lambda name: name.replace("volume", "thickness")))


def test_zero_is_no_volume(table):
    table.loc["sub-2", "Right-Inf-Lat-Vent"] = 0.0
    with pytest.raises(MissingValuesError, match=r"'Right-Inf-Lat-Vent' \(1\) in 1 scan \('sub-2'"):
        neuroharmony_rois(table)
    with pytest.warns(MissingValuesWarning, match="marked as missing"):
        marked = neuroharmony_rois(table, zeros="missing")
    assert marked.isna().sum().sum() == 1
    assert neuroharmony_rois(table, zeros="keep").loc["sub-2", "Right-Inf-Lat-Vent"] == 0
    with pytest.raises(DataError, match="zeros must be"):
        neuroharmony_rois(table, zeros="drop")


@pytest.mark.parametrize(
    "name", ["IntraCranialVol", "EstimatedTotalIntraCranialVol", "eTIV", "ICV", "sTIV"]
)
def test_total_is_found_under_any_name(table, name):
    assert intracranial_volume(table.assign(**{name: 1.5e6})).eq(1.5e6).all()


def test_totals_that_differ_are_refused(table):
    both = table.assign(eTIV=1.5e6, IntraCranialVol=1.4e6)
    with pytest.raises(DataError, match="occurs 2 times"):
        intracranial_volume(both)
    assert intracranial_volume(both, "eTIV").eq(1.5e6).all()
    assert intracranial_volume(table.assign(eTIV=1.5e6, sTIV=1.4e6)).eq(1.5e6).all()
    with pytest.raises(MissingColumnError, match="no intracranial volume"):
        intracranial_volume(table)


def test_tissues_are_sums_of_their_regions(table):
    sums = sum_tissues(table)
    assert np.allclose(sums["white matter"], table[list(WHITE_MATTER)].sum(axis=1))
    assert np.allclose(sums["whole brain"], table.sum(axis=1))


def test_relative_volumes_are_shares_of_the_own_total(table):
    totals = pd.Series([1e6, 1.1e6, 1.2e6, 1.3e6], table.index)
    shares = relative_volumes(table, totals.iloc[::-1])
    assert np.allclose(shares, table.to_numpy() / totals.to_numpy()[:, None])
    pd.testing.assert_frame_equal(relative_volumes(table.assign(eTIV=totals), "eTIV"), shares)
    in_cm3 = relative_volumes(table / 1000, totals / 1000)
    pd.testing.assert_frame_equal(in_cm3, shares)


def test_small_structures_in_cm3_are_no_shares(table):
    small = table[["Left-Accumbens-area"]] * 0 + 0.6
    assert relative_volumes(small, total(table, 1400.0)).max(axis=None) < 1e-3


@pytest.mark.parametrize(
    ("change", "value", "sentence"),
    [
        (lambda t: t / 1.4e6, 1.4e6, "relative already"),
        (lambda t: t / 1.4e6, 1400.0, "relative already"),
        (lambda t: t / 1000, 1.4e6, "different units"),
        (lambda t: t, 1400.0, "different units"),
        (lambda t: t, 1.4, "no head"),
    ],
)
def test_division_twice_and_mixed_units_are_refused(table, change, value, sentence):
    with pytest.raises(DataError, match=sentence):
        relative_volumes(change(table), total(table, value))


def test_totals_that_nobody_has_are_named(table):
    totals = pd.Series([1.4e6, 6.5e4, np.nan, 1.3e6], table.index)
    with pytest.raises(MissingValuesError, match=r"2 of 4 scans .* 'sub-1' \(6.5e\+04\)"):
        relative_volumes(table, totals)
    with pytest.warns(MissingValuesWarning, match="marked as missing"):
        shares = relative_volumes(table, totals, implausible="missing")
    assert shares.isna().all(axis=1).tolist() == [False, True, True, False]
    kept = relative_volumes(table, totals, implausible="keep")
    assert kept.loc["sub-1"].notna().all()
    with pytest.raises(DataError, match="implausible must be"):
        relative_volumes(table, totals, implausible="drop")
    with pytest.raises(MissingColumnError, match="intracranial_volume finds it"):
        relative_volumes(table, "eTIV")


def test_tables_of_abide_have_all_regions():
    folder = shared_folder("data/abide")
    names = ("aseg_volume.tsv", "lh_aparc_volume.tsv", "rh_aparc_volume.tsv")
    freesurfer = read_freesurfer([folder / name for name in names])
    with pytest.raises(MissingValuesError, match="in 9 scans"):
        neuroharmony_rois(freesurfer)
    rois = neuroharmony_rois(freesurfer, zeros="keep")
    with pytest.raises(MissingValuesError, match=r"7 of 799 scans .*'sub-0050276'"):
        relative_volumes(rois, intracranial_volume(freesurfer))
