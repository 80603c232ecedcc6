"""Options that bring measures and people together do what they say, and say what they did."""

import pytest

from cli.study import read, read_json, write_study
from isoscan.phantom import simulate_tables


@pytest.fixture(autouse=True)
def _plain_report(without_figures):
    """Reports are looked at elsewhere."""


def sites_in(folder):
    return set(read_json(folder / "facts.json")["describe"]["sites"])


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def harmonize(isoscan, study, out, *words, code=0):
    return isoscan("harmonize", *study.words, *words, "-o", out, code=code)


def test_merged_sites_are_one(study, out, isoscan):
    harmonize(isoscan, study, out, "--merge-site", "SITE03=SITE02")
    assert sites_in(out) == {"SITE01", "SITE02"}


def test_merging_an_unknown_site_is_wrong_usage(study, out, isoscan):
    wrong = harmonize(isoscan, study, out, "--merge-site", "OSLO=SITE02", code=2)
    assert "OLD=NEW" in wrong.err


def test_a_dropped_site_is_gone_and_said_so(study, out, isoscan):
    done = harmonize(isoscan, study, out, "--drop-site", "SITE03")
    assert "Left out: 16 scans of 'SITE03' (16)." in done.err
    assert sites_in(out) == {"SITE01", "SITE02"}
    assert len(read(out / "harmonized.tsv")) == 44


def test_dropping_an_unknown_site_is_wrong_usage(study, out, isoscan):
    wrong = harmonize(isoscan, study, out, "--drop-site", "OSLO", code=2)
    assert "there is no such site" in wrong.err


def test_spellings_of_a_site_are_merged_if_asked(tmp_path, out, isoscan):
    def spelled(measures, people):
        people["site"] = people.site.where(people.index < "sub-0005", people.site.str.lower())
        return measures, people

    study = write_study(tmp_path, spelled)
    kept = harmonize(isoscan, study, tmp_path / "kept")
    assert "differ only by case or space" in kept.err
    assert len(sites_in(tmp_path / "kept")) == 4
    harmonize(isoscan, study, out, "--normalize-labels")
    assert len(sites_in(out)) == 3


def test_scans_without_people_are_refused_by_name_or_dropped(tmp_path, out, isoscan):
    study = write_study(tmp_path, lambda measures, people: (measures, people.drop("sub-0002")))
    refused = harmonize(isoscan, study, out, code=1)
    assert "'sub-0002'" in refused.err
    assert not out.exists()
    done = harmonize(isoscan, study, out, "--unmatched", "drop")
    assert "'sub-0002'" in done.err
    assert "sub-0002" not in read(out / "harmonized.tsv").index


def test_scans_without_covariates_are_refused_or_left_out(tmp_path, out, isoscan):
    def ageless(measures, people):
        people.loc["sub-0007", "age"] = None
        return measures, people

    study = write_study(tmp_path, ageless)
    refused = harmonize(isoscan, study, out, "--preserve", "age", code=1)
    assert "'sub-0007'" in refused.err
    done = harmonize(isoscan, study, out, "--preserve", "age", "--drop-incomplete")
    assert "Left out: 1 scan with missing covariates: 'sub-0007'." in done.err
    assert "sub-0007" not in read(out / "harmonized.tsv").index


def test_a_missing_covariate_that_is_not_used_drops_nobody(tmp_path, out, isoscan):
    def ageless(measures, people):
        people.loc["sub-0007", "age"] = None
        return measures, people

    study = write_study(tmp_path, ageless)
    harmonize(isoscan, study, out, "--preserve", "C(sex)", "--drop-incomplete")
    assert len(read(out / "harmonized.tsv")) == 60


def test_decimal_commas_give_the_same_numbers(study, out, isoscan):
    one = read(study.aseg).join(read(study.people)).rename_axis("participant_id")
    texts = []
    for decimal in (".", ","):
        one.to_csv(study.folder / "one.tsv", sep="\t", decimal=decimal)
        isoscan("harmonize", study.folder / "one.tsv", "--decimal", decimal, "-o", out / decimal)
        texts.append((out / decimal / "harmonized.tsv").read_text())
    assert texts[0] == texts[1]


def test_one_table_may_hold_measures_and_people(study, out, isoscan):
    one = read(study.aseg).join(read(study.aparc)).join(read(study.people))
    one.rename_axis("participant_id").to_csv(study.folder / "all.csv")
    isoscan("harmonize", study.folder / "all.csv", "--preserve", "age + C(sex)", "-o", out)
    after = read(out / "harmonized.tsv")
    assert list(after.columns) == list(one.columns)
    assert after.site.tolist() == one.site.tolist()


def test_the_site_column_can_have_another_name(tmp_path, out, isoscan):
    study = write_study(
        tmp_path, lambda measures, people: (measures, people.rename(columns={"site": "scanner"}))
    )
    refused = harmonize(isoscan, study, out, code=1)
    assert "no column 'site' in participants.tsv" in refused.err
    harmonize(isoscan, study, out, "--site", "scanner")
    assert len(sites_in(out)) == 3


def test_people_who_were_not_scanned_are_ignored(tmp_path, out, isoscan):
    study = write_study(tmp_path, lambda measures, people: (measures.drop("sub-0002"), people))
    harmonize(isoscan, study, out)
    assert len(read(out / "harmonized.tsv")) == 59


def test_a_pattern_that_matches_nothing_is_an_error_that_lists_columns(study, out, isoscan):
    refused = harmonize(isoscan, study, out, "--feature", "*_area", code=1)
    assert "no column matches '*_area'" in refused.err
    assert "'Left-Hippocampus'" in refused.err


def test_visits_are_told_apart_by_the_column_named_session(tmp_path, isoscan):
    table = simulate_tables(4, (20, 20), random_state=3)
    scans = table.people.join(table.measures).reset_index(drop=True)
    scans.insert(0, "participant_id", [f"sub-{row // 2:02d}" for row in scans.index])
    scans.insert(1, "visit", [str(row % 2 + 1) for row in scans.index])
    path = tmp_path / "scans.tsv"
    scans.to_csv(path, sep="\t", index=False)
    refused = isoscan("harmonize", path, "-o", tmp_path / "out", code=1)
    assert "--session" in refused.err
    isoscan("harmonize", path, "--session", "visit", "-o", tmp_path / "out")
    assert read(tmp_path / "out" / "harmonized.tsv").index[1] == "sub-00_ses-2"


def test_what_was_taken_for_measures_is_said_and_noted(study, out, isoscan):
    aseg = read(study.aseg)
    aseg["MMSE"] = [27.5 + row % 3 for row in range(len(aseg))]
    aseg["stratum"] = [row % 4 for row in range(len(aseg))]
    both = aseg.join(read(study.aparc)).rename_axis("participant_id")
    both.to_csv(study.folder / "all.tsv", sep="\t")
    people = ("--participants", study.people)
    done = isoscan("harmonize", study.folder / "all.tsv", *people, "-o", out)
    assert "Taken for measures: 8 columns ('Left-Hippocampus'," in done.err
    assert "'MMSE' (its name), 'stratum' (4 different whole numbers)" in done.err
    assert "--feature" in done.err
    columns = read_json(out / "facts.json")["columns"]
    assert columns["measures"] == study.features
    assert set(columns["left_out"]) == {"MMSE", "stratum"}
    assert (read(out / "harmonized.tsv").MMSE == both.MMSE).all()


def test_numbers_of_the_people_are_no_measures(tmp_path, out, isoscan):
    study = write_study(tmp_path, lambda measures, people: (measures, people.assign(bold=1.5)))
    harmonize(isoscan, study, out)
    assert read_json(out / "facts.json")["columns"]["measures"] == study.features


def test_a_measure_with_a_bad_cell_is_refused_by_name(study, out, isoscan):
    one = read(study.people).join(read(study.aparc)).rename_axis("participant_id").astype(str)
    one.loc["sub-0004", "lh_insula_thickness"] = "bad"
    one.to_csv(study.folder / "one.tsv", sep="\t")
    refused = isoscan("harmonize", study.folder / "one.tsv", "-o", out, code=1)
    assert "lh_insula_thickness: 1 value is not a number, e.g. 'bad' (row sub-0004)" in refused.err


def test_the_column_that_is_likely_the_site_is_named(tmp_path, out, isoscan):
    study = write_study(
        tmp_path, lambda measures, people: (measures, people.rename(columns={"site": "scanner"}))
    )
    assert "(--site scanner)" in harmonize(isoscan, study, out, code=1).err


def test_copies_of_rows_are_refused_as_such_or_left_out(study, out, isoscan):
    for path in (study.aseg, study.people):
        lines = path.read_text().splitlines()
        path.write_text("\n".join([*lines, lines[3]]) + "\n")
    refused = harmonize(isoscan, study, out, code=1)
    assert "1 row of aseg.tsv" in refused.err
    assert "identical in every cell" in refused.err
    done = harmonize(isoscan, study, out, "--drop-duplicates")
    assert "1 copy of rows left out" in done.err
    assert len(read(out / "harmonized.tsv")) == 60
