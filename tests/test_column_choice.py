"""Columns about people, clinics and codes are not harmonized, and their users are told."""

import numpy as np
import pandas as pd
import pytest

import isoscan as iso
from isoscan.errors import ColumnChoiceWarning, DataError, MissingColumnError, NotNumericError
from isoscan.harmonizing import choose_features
from isoscan.harmonizing.words import word_for_people
from isoscan.phantom import simulate_tables

PEOPLE = (
    "MMSE disease_duration APOE4 subject_nr age_bl years visit_number AgeAtScan time MoCA_total "
    "cdr_sb FSIQ BMI height_cm Weight household_income onset_age dose ID_number index MMSEscore "
    "days_since_scan UPDRS3 MagneticFieldStrength EchoTime row_index SITE_ID education_years"
).split()
MEASURES = (
    "lh_insula_volume brain_age brainage temporalpole Left-Hippocampus CSF 3rd-Ventricle "
    "CC_Anterior L_insula_thickavg LLatVent hippocampus_volume_time2 cjv summary_bg_n snr_total "
    "fd_num dummy_trs wm2max Cingulum FA_SLF timeseries_mean CGH Schaefer17_42 lh_G_cuneus "
    "lh_gyrification_index region001_thickness"
).split()


@pytest.fixture(scope="module")
def cohort():
    return simulate_tables(4, (24, 20, 16), random_state=3)


@pytest.fixture(scope="module")
def table(cohort):
    return cohort.people.join(cohort.measures)


@pytest.mark.parametrize("name", PEOPLE)
def test_names_about_people_and_clinics_are_known(name):
    assert word_for_people(name) is not None


@pytest.mark.parametrize("name", MEASURES)
def test_names_of_measures_are_not_taken_for_people(name):
    assert word_for_people(name) is None


def test_columns_about_people_are_left_as_they_are_and_named(cohort, table):
    random = np.random.default_rng(0)
    mixed = table.assign(MMSE=random.normal(27, 2, 60), disease_duration=random.uniform(0, 9, 60))
    with pytest.warns(ColumnChoiceWarning, match=r"2 numeric columns.*'MMSE' \(its name\)"):
        done = iso.harmonize(mixed, preserve="age")
    assert done.features == list(cohort.measures)
    assert (done.table.MMSE == mixed.MMSE).all()
    assert done.facts["columns"] == {
        "measures": list(cohort.measures),
        "left_out": {"MMSE": "its name", "disease_duration": "'disease' in its name"},
        "totals": [],
    }
    assert "'MMSE'" in done.facts["model"]["warnings"][0]["sentence"]


def test_columns_that_are_preserved_need_no_warning(table):
    mixed = table.assign(MMSE=np.random.default_rng(0).normal(27, 2, 60))
    assert "MMSE" not in iso.harmonize(mixed, preserve="age + MMSE").features


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.arange(60) % 4, "4 different whole numbers"),
        (np.where(np.arange(60) % 7, np.arange(60) % 2, np.nan), "2 different whole numbers"),
        (np.arange(60)[::-1] + 1000.0, "running numbers"),
        (np.arange(60) * 2, None),
        (np.arange(60) % 11, None),
        (np.zeros(60), None),
        ((np.arange(60) % 4) + 0.5, None),
    ],
)
def test_codes_and_running_numbers_are_known_by_their_values(table, values, reason):
    choice = choose_features(table.assign(marker=values), None, {"site", "age"})
    assert choice.left_out.get("marker") == reason
    assert ("marker" in choice.features) == (reason is None)


def test_whole_numbers_of_few_scans_are_no_codes(table):
    few = table.head(8).assign(marker=range(3000, 3800, 100))
    assert "marker" in choose_features(few, None, {"site", "age"}).features


def test_a_measure_by_name_may_have_few_whole_numbers(table):
    counted = table.assign(lh_insula_volume=np.arange(60) % 3, summary_bg_p05=np.arange(60) % 2)
    chosen = choose_features(counted, None, {"site", "age"}).features
    assert {"lh_insula_volume", "summary_bg_p05"} <= set(chosen)


def test_numbers_in_columns_of_objects_are_measures_too(cohort, table):
    objects = table.astype({"region002_thickness": object})
    done = iso.harmonize(objects, preserve="age")
    assert done.features == list(cohort.measures)
    pd.testing.assert_frame_equal(
        done.table[done.features], iso.harmonize(table, preserve="age").table[done.features]
    )


def test_a_measure_with_one_bad_cell_is_refused_by_column_value_and_scan(table):
    broken = table.astype({"region002_thickness": object})
    broken.loc["sub-0005", "region002_thickness"] = "bad"
    with pytest.raises(NotNumericError, match=r"region002_thickness: 1 value.*'bad'.*sub-0005"):
        iso.harmonize(broken, preserve="age")
    others = [f"region00{number}_thickness" for number in (1, 3, 4)]
    assert iso.harmonize(broken, features=others, preserve="age").features == others


def test_text_with_some_numbers_is_text(cohort, table):
    mixed = table.assign(comment=["7", "moved", "asleep"] * 20, postcode=["0151", "0254"] * 30)
    assert iso.harmonize(mixed, preserve="age").features == list(cohort.measures)


def test_if_nothing_is_left_the_reasons_are_given(table):
    with pytest.raises(DataError, match=r"'MMSE' \(its name\)"):
        iso.harmonize(table[["site", "age"]].assign(MMSE=27.5))


def test_the_site_column_that_is_likely_meant_is_named(table):
    renamed = table.rename(columns={"site": "Scanner"})
    with pytest.raises(MissingColumnError, match=r"site='Scanner' \(--site Scanner\)"):
        iso.harmonize(renamed)
