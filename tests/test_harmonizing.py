"""One call does the whole job on one table: it harmonizes measures and touches nothing else."""

import json

import numpy as np
import pandas as pd
import pytest

import isoscan as iso
from isoscan.errors import (
    ConstantFeatureWarning,
    DataError,
    MissingColumnError,
    MissingValuesError,
    OutputExistsError,
    SmallSiteWarning,
)
from isoscan.harmonizing import FILES, choose_features, require_complete
from isoscan.phantom import simulate_tables

PRESERVE = "age + C(sex)"


@pytest.fixture(scope="module")
def cohort():
    return simulate_tables(8, (24, 20, 16), random_state=3)


@pytest.fixture(scope="module")
def table(cohort):
    mixed = cohort.people.join(cohort.measures)
    mixed["IntraCranialVol"] = np.linspace(1.2e6, 1.7e6, len(mixed))
    mixed["education"] = np.arange(len(mixed)) % 9 + 9.0
    mixed["comment"] = "none"
    return mixed[[*mixed.columns[4:], *mixed.columns[:4]]]


@pytest.fixture(scope="module")
def done(table):
    return iso.harmonize(table, preserve=PRESERVE)


def sentences(facts):
    return " ".join(finding["sentence"] for finding in facts["verdict"]["findings"])


def test_measures_are_chosen_and_people_and_totals_are_left_alone(cohort, done):
    assert done.features == list(cohort.measures.columns)


def test_columns_named_by_the_user_are_the_features_and_totals_may_be(table):
    named = ["IntraCranialVol", "region002_thickness", "region001_thickness"]
    assert iso.harmonize(table, features=named, preserve="age").features == named


def test_a_numeric_covariate_of_a_formula_is_no_feature(table):
    renamed = table.rename(columns={"age": "years", "education": "score"})
    renamed["myelin"] = np.linspace(0, 1, len(renamed))
    assert "myelin" in choose_features(renamed, None, {"site", "years"}).features
    assert "myelin" not in choose_features(renamed, None, {"site", "years", "myelin"}).features


def test_totals_are_harmonized_if_there_is_nothing_else(table):
    totals = table[["IntraCranialVol", "site", "age"]]
    assert choose_features(totals, None, {"site", "age"}).features == ["IntraCranialVol"]


def test_rows_columns_and_what_is_no_feature_stay_bit_for_bit(table, done):
    assert list(done.table.columns) == list(table.columns)
    assert list(done.table.index) == list(table.index)
    untouched = table.columns.difference(done.features)
    pd.testing.assert_frame_equal(done.table[untouched], table[untouched], check_exact=True)


def test_the_given_table_is_not_changed(cohort, table):
    before = table.copy()
    iso.harmonize(table, preserve="age")
    pd.testing.assert_frame_equal(table, before, check_exact=True)


def test_harmonized_values_are_those_of_the_model(cohort, done):
    model = iso.ComBat(PRESERVE)
    expected = model.fit_transform(
        cohort.measures, sites=cohort.people.site, covariates=cohort.people
    )
    pd.testing.assert_frame_equal(done.table[done.features], expected, check_exact=True)


def test_rows_in_another_order_give_the_same_table(table, done):
    shuffled = iso.harmonize(table.iloc[::-1], preserve=PRESERVE)
    assert list(shuffled.table.index) == list(table.index[::-1])
    pd.testing.assert_frame_equal(shuffled.table.loc[table.index], done.table, rtol=1e-10)


def test_facts_survive_json(done):
    assert json.loads(json.dumps(done.facts, allow_nan=False)) == done.facts


def test_site_is_guessed_in_scans_the_model_has_not_seen(done):
    predicted = done.facts["evaluate"]["predictability"]
    assert predicted["after"]["balanced_accuracy"] < predicted["held_out"]["balanced_accuracy"]
    shown = next(item for item in done.facts["key_numbers"] if "guessed" in item["label"])
    assert shown["share_after"] == predicted["held_out"]["balanced_accuracy"]
    assert "in scans it had not seen" in sentences(done.facts)


def test_warnings_are_shown_and_noted_in_the_facts(table):
    constant = table.assign(region001_thickness=2.5)
    with pytest.warns(ConstantFeatureWarning, match="passed through"):
        done = iso.harmonize(constant, preserve=PRESERVE)
    [noted] = done.facts["model"]["warnings"]
    assert noted["code"] == "ConstantFeatureWarning"
    assert "'region001_thickness'" in noted["sentence"]


def test_a_constant_feature_is_one_finding_though_three_steps_saw_it(table):
    with pytest.warns(ConstantFeatureWarning):
        done = iso.harmonize(table.assign(region001_thickness=2.5), preserve=PRESERVE)
    named = [
        finding
        for finding in done.facts["verdict"]["findings"]
        if "'region001_thickness'" in finding["sentence"]
    ]
    assert len(named) == 1


def test_scans_alone_at_their_site_are_dropped_everywhere_and_named(table):
    lonely = table.assign(site=table.site.where(table.index != "sub-0005", "ALONE"))
    with pytest.warns(SmallSiteWarning, match="1 scan left out.*'sub-0005', of 'ALONE'"):
        done = iso.harmonize(lonely, preserve=PRESERVE, small_sites="drop")
    assert list(done.table.index) == list(table.index.drop("sub-0005"))
    assert "ALONE" not in done.facts["features"]["sites"]
    assert done.facts["describe"]["scans"] == done.facts["evaluate"]["scans"] == 59
    assert "'ALONE'" in sentences(done.facts)
    without = iso.harmonize(table.drop("sub-0005"), preserve=PRESERVE)
    pd.testing.assert_frame_equal(done.table, without.table, check_exact=True)


def test_what_was_decided_about_sites_of_one_scan_is_no_problem_any_more(table):
    lonely = table.assign(site=table.site.where(table.index != "sub-0005", "ALONE"))
    with pytest.warns(SmallSiteWarning, match="corrected in shift only: 'ALONE'"):
        done = iso.harmonize(lonely, preserve=PRESERVE, small_sites="mean-only")
    assert done.facts["verdict"]["level"] == "warning"
    assert sentences(done.facts).count("with 1 scan") == 1


def test_a_single_site_may_pass_without_evaluation(table):
    alone = table[table.site == "SITE01"]
    done = iso.harmonize(alone, preserve="age", single_site="pass")
    assert done.facts["evaluate"] is None
    pd.testing.assert_frame_equal(done.table, alone, check_exact=True)


def test_without_individuals_facts_name_no_scan(table):
    odd = table.copy()
    odd.loc["sub-0003", "region002_thickness"] = 40.0
    odd.loc["sub-0007", "IntraCranialVol"] = 9_999.0
    odd.loc[["sub-0010", "sub-0011", "sub-0012"], "region003_thickness"] = -999.0
    odd.loc["sub-0020"] = odd.loc["sub-0021"]
    odd = odd.rename_axis("scan").assign(participant_id=[f"P{n}" for n in range(len(odd))])
    named, unnamed = (
        json.dumps(iso.harmonize(odd, preserve=PRESERVE, individuals=shown).facts)
        for shown in (True, False)
    )
    for scan in ("sub-0003", "sub-0007", "sub-0010", "sub-0020"):
        assert f"'{scan}'" in named
    assert "sub-0" not in unnamed
    assert "3 scans" in unnamed


def test_the_folder_holds_table_sidecar_model_report_and_facts(done, tmp_path):
    folder = done.to_folder(tmp_path / "new" / "results")
    assert sorted(file.name for file in folder.iterdir()) == sorted(FILES)
    read = pd.read_csv(folder / "harmonized.tsv", sep="\t", index_col=0, na_values="n/a")
    pd.testing.assert_frame_equal(
        read[done.features], done.table[done.features], check_exact=True, check_names=False
    )
    assert json.loads((folder / "facts.json").read_text(encoding="utf-8")) == done.facts
    assert iso.load(folder / "model.isoscan").hash_ == done.model.hash_


def test_units_of_a_sidecar_are_kept_and_harmonized_columns_are_marked(done, tmp_path):
    known = {
        "region001_thickness": {"Units": "mm", "Description": "Insula"},
        "age": {"Units": "years"},
        "gone": {"Units": "mm"},
    }
    folder = done.to_folder(tmp_path, sidecar=known)
    sidecar = json.loads((folder / "harmonized.json").read_text(encoding="utf-8"))
    expected = {"Units": "mm", "Description": "Insula", "Harmonized": True}
    assert sidecar["region001_thickness"] == expected
    assert sidecar["age"] == {"Units": "years"}
    assert "gone" not in sidecar
    assert sidecar["region002_thickness"]["Harmonized"] is True
    assert sidecar["GeneratedBy"][0]["ModelSHA256"] == done.model.hash_
    assert known["region001_thickness"] == {"Units": "mm", "Description": "Insula"}


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_written_if_one_result_exists(done, tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(OutputExistsError, match=name):
        done.to_folder(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_results_are_replaced_if_asked(done, tmp_path):
    for name in FILES:
        (tmp_path / name).write_text("old")
    done.to_folder(tmp_path, overwrite=True)
    assert all((tmp_path / name).stat().st_size > 3 for name in FILES)


def test_a_table_without_site_says_which_columns_there_are(table):
    with pytest.raises(MissingColumnError, match=r"no site column 'scanner'.*--site"):
        iso.harmonize(table, site="scanner")


def test_absent_features_are_named(table):
    with pytest.raises(MissingColumnError, match="1 feature not in the table: 'insula'"):
        iso.harmonize(table, features=["insula"])


def test_a_table_without_measures_is_refused(table):
    with pytest.raises(DataError, match="no column to harmonize"):
        iso.harmonize(table[["site", "age", "sex"]])


def test_an_unknown_method_is_refused(table):
    with pytest.raises(DataError, match="method must be one of"):
        iso.harmonize(table, method="magic")


def test_missing_measures_are_counted_by_feature_where_none_are_expected(table):
    gaps = table.copy()
    gaps.iloc[:3, 0] = np.nan
    with pytest.raises(MissingValuesError, match=r"3 of 120 values missing.*--missing keep"):
        require_complete(gaps, list(gaps.columns[:2]))
    require_complete(table, list(table.columns[:2]))
