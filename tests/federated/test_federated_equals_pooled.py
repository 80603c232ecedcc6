"""Sums instead of data give the model of the pooled data, whoever holds which scans."""

import json

import numpy as np
import pandas as pd
import pytest
from federated_cohort import Consortium, make_consortium
from hypothesis import given
from hypothesis import strategies as st
from known_truth import shared_folder

import isoscan as iso
from isoscan.errors import (
    ConfoundedDesignError,
    DataError,
    IsoscanWarning,
    MessageFileError,
    MissingValuesWarning,
    TooFewSitesError,
)
from isoscan.federated import (
    Coefficients,
    Study,
    Thresholds,
    add_up,
    combine,
    finish,
    merge,
    quality_table,
    read_coefficients,
    read_message,
    simulate,
    update,
)

pytestmark = pytest.mark.filterwarnings("ignore::isoscan.errors.IsoscanWarning")

OPTIONS = {
    "linear": {},
    "no covariates": {"preserve": None},
    "removed": {"preserve": "age", "remove": "C(diagnosis)"},
    "interaction": {"preserve": "age * C(sex) + I((age - 40) ** 2 / 100)"},
    "own knots": {"preserve": "bs(age, knots=[30, 60], lower_bound=5, upper_bound=90)"},
    "raw": {"prior": None},
    "nonparametric": {"prior": "nonparametric"},
    "mean only": {"mean_only": True},
    "reference": {"reference": "S2"},
    "fixed point": {"convergence": "full"},
    "curve": {"preserve": "C(sex)", "smooth": ["age"]},
    "curve per sex": {"preserve": "C(sex)", "smooth": ["age:sex"], "remove": "C(diagnosis)"},
}


def gap(first, second, measures) -> float:
    """Largest difference in SDs, beyond two steps of how the measure is stored."""
    steps = 2 * np.spacing(np.abs(measures).max())
    difference = (first - second).abs()
    assert (first.isna() == second.isna()).all(axis=None)
    return float((np.maximum(difference.max() - steps, 0) / measures.std()).max())


def with_large_means(people: Consortium) -> Consortium:
    """Means of 1e6 and 1e4 SD in two measures."""
    measures = people.measures.copy()
    measures["region1"] += 1e6 * measures["region1"].std()
    measures["region2"] = 1e-3 * (measures["region2"] - 1e4)
    return Consortium(measures, people.people)


@pytest.mark.parametrize("places", ["site", "hospital"])
@pytest.mark.parametrize("name", OPTIONS)
def test_one_round_gives_the_pooled_model(name, places) -> None:
    """Sites with their own scanner, and scanners whose scans lie in three hospitals."""
    people = with_large_means(make_consortium())
    study = people.study(**OPTIONS[name])
    federated, pooled = people.combined(study, places), people.pooled(study)
    assert gap(people.applied(federated), people.applied(pooled), people.measures) < 1e-10
    one, other = federated.site_effects_, pooled.site_effects_
    for column in ("shift", "scale", "n"):
        np.testing.assert_allclose(one[column], other[column], atol=1e-9, rtol=0)


def test_estimates_agree_to_1e_10_where_means_are_moderate() -> None:
    people = make_consortium()
    study = people.study()
    one, other = people.combined(study, "hospital"), people.pooled(study)
    np.testing.assert_allclose(one.model_.effects.shift, other.model_.effects.shift, atol=1e-12)
    np.testing.assert_allclose(one.model_.sd, other.model_.sd, rtol=1e-12)


@pytest.mark.parametrize("name", [key for key in OPTIONS if key != "reference"])
def test_sums_mode_gives_every_site_the_pooled_model(name, tmp_path) -> None:
    people = with_large_means(make_consortium())
    study = people.study(**OPTIONS[name])
    combine(study, people.messages(study, mode="sums")).save(tmp_path / "c.isoscan")
    common = read_coefficients(tmp_path / "c.isoscan", study)
    parts = []
    for place in people.people.site.unique():
        part = people.at(people.people.site == place)
        model = finish(common, part.measures, study, sites=part.people.site, covariates=part.people)
        model.save(tmp_path / f"{place}.isoscan")
        parts.append(part.applied(iso.load(tmp_path / f"{place}.isoscan")))
    expected = people.applied(people.pooled(study))
    assert gap(pd.concat(parts).loc[expected.index], expected, people.measures) < 1e-10


@given(seed=st.integers(0, 2**32 - 1), n_places=st.integers(1, 9))
def test_any_split_over_locations_gives_the_same(seed, n_places) -> None:
    people = make_consortium((14, 30, 9), n_features=4)
    random = np.random.default_rng(seed)
    where = random.integers(n_places, size=len(people.people)).astype(str)
    people = Consortium(people.measures, people.people.assign(where=where))
    study = people.study(preserve="age")
    federated, pooled = people.combined(study, "where"), people.pooled(study)
    assert gap(people.applied(federated), people.applied(pooled), people.measures) < 1e-10


def with_holes(people: Consortium) -> Consortium:
    """One scanner lacks a measure altogether, others in some scans."""
    measures, people = people.measures.copy(), people.people
    measures.loc[people.site == "S1", "region3"] = np.nan
    measures.loc[people.index[people.site == "S2"][:7], ["region2", "region4"]] = np.nan
    measures.loc[people.index[::9], "region5"] = np.nan
    return Consortium(measures, people)


@pytest.mark.parametrize("mode", ["full", "sums"])
@pytest.mark.parametrize("name", ["linear", "removed", "curve", "raw", "mean only"])
def test_missing_values_are_summed_up_by_pattern(name, mode) -> None:
    people = with_holes(make_consortium())
    options = OPTIONS[name] if name != "raw" else {"preserve": "C(sex)"}
    study = people.study(missing="pattern", **options)
    result = combine(study, people.messages(study, mode=mode))
    expected = people.applied(people.pooled(study))
    if isinstance(result, Coefficients):
        done = []
        for place in people.people.site.unique():
            part = people.at(people.people.site == place)
            own = {"sites": part.people.site, "covariates": part.people}
            done.append(part.applied(finish(result, part.measures, study, **own)))
        after = pd.concat(done).loc[expected.index]
    else:
        after = people.applied(result)
    assert gap(after, expected, people.measures) < 1e-10


@pytest.mark.parametrize("mode", ["full", "sums"])
def test_a_single_measure_and_constant_ones_are_no_exception(mode) -> None:
    single = make_consortium(n_features=1)
    single.measures.iloc[::9] = np.nan
    still = make_consortium()
    still.measures["region3"] = 7.0
    still.measures.loc[still.people.site == "S2", "region4"] = 3.0
    for people in (single, still):
        done = simulate(
            people.measures,
            people.study(missing="pattern"),
            sites=people.people.site,
            covariates=people.people,
            mode=mode,
        )
        assert done.largest < 1e-10


def test_scans_that_lack_a_measure_are_left_out_if_agreed() -> None:
    people = make_consortium()
    people.measures.iloc[::11, 2] = np.nan
    complete = people.at(people.measures.notna().all(axis=1).to_numpy())
    study = people.study(missing="drop")
    with pytest.warns(MissingValuesWarning, match=r"scans of 'S1' left out.*missing='pattern'"):
        model = people.combined(study)
    assert sum(model.scans_per_site_.values()) == len(complete.people)
    after = complete.applied(model)
    assert gap(after, complete.applied(complete.pooled(study)), complete.measures) < 1e-10
    with pytest.raises(DataError, match="missing measures"):
        people.messages(people.study(missing="error"))


def test_order_of_messages_makes_no_difference_at_all() -> None:
    people = make_consortium()
    study = people.study()
    messages = people.messages(study, "hospital")
    assert combine(study, messages).hash_ == combine(study, messages[::-1]).hash_


def test_a_late_site_joins_by_combining_again() -> None:
    people = make_consortium()
    study = people.study()
    messages = people.messages(study)
    early = combine(study, messages[:-1])
    late = combine(study, messages)
    assert len(late.sites_) == len(early.sites_) + 1
    pooled = people.applied(people.pooled(study))
    assert gap(people.applied(late), pooled, people.measures) < 1e-10


def test_messages_and_models_are_the_same_after_a_trip_through_files(tmp_path) -> None:
    people = with_holes(make_consortium())
    study = people.study(missing="pattern")
    files = []
    for number, message in enumerate(people.messages(study)):
        files.append(tmp_path / f"{number}.isoscan")
        message.save(files[-1])
        assert read_message(files[-1], study).pack() == message.pack()
    model = combine(study, files)
    model.save(tmp_path / "model.isoscan")
    after = people.applied(iso.load(tmp_path / "model.isoscan"))
    pd.testing.assert_frame_equal(after, people.applied(people.combined(study)))


def test_curves_and_bands_are_those_of_the_pooled_fit() -> None:
    people = make_consortium()
    study = people.study(preserve="C(sex)", smooth=["age:sex"])
    one, other = people.combined(study, "hospital"), people.pooled(study)
    pd.testing.assert_frame_equal(
        one.curve("age", "region1"), other.curve("age", "region1"), rtol=1e-7
    )


def test_last_month_and_new_scans_give_the_fit_of_all(tmp_path) -> None:
    people = make_consortium()
    study = people.study(preserve="age", missing="pattern")
    holes = people.measures.copy()
    holes.iloc[::13, 1] = np.nan
    people = Consortium(holes, people.people)
    month = np.arange(len(people.people)) % 3
    saved = None
    for number in range(3):
        part = people.at(month == number)
        own = {"sites": part.people.site, "covariates": part.people}
        model, moments = update(saved, part.measures, study, **own)
        saved = tmp_path / f"{number}.isoscan"
        moments.save(saved)
    pooled = people.applied(people.pooled(study))
    assert gap(people.applied(model), pooled, people.measures) < 1e-10


def test_moments_of_each_month_are_merged_into_one_model(tmp_path) -> None:
    """Three people a month are enough: nothing is sent."""
    people = make_consortium()
    study = people.study(smooth=["age"], preserve="C(sex)", thresholds=Thresholds())
    few, *months = (people.at(rows) for rows in (slice(3), slice(3, 120), slice(120, None)))
    files = [tmp_path / "january.isoscan", tmp_path / "february.isoscan"]
    for part, file in zip(months, files, strict=True):
        own = {"sites": part.people.site, "covariates": part.people}
        iso.update(None, part.measures, study, **own)[1].save(file)
    _, both = iso.merge_models(files, study)
    own = {"sites": few.people.site, "covariates": few.people}
    model, moments = iso.update(both, few.measures, study, **own)
    pooled = people.applied(people.pooled(study))
    assert gap(people.applied(model), pooled, people.measures) < 1e-10
    assert moments.scans.sum() == len(people.people)
    with pytest.raises(MessageFileError, match="hash"):
        combine(study, [moments])
    with pytest.raises(MessageFileError, match="would count twice"):
        iso.merge_models([files[0], files[0]], study)


def test_parts_of_a_site_are_added_and_repeats_are_refused() -> None:
    people = make_consortium()
    study = people.study()
    first, second = people.at(slice(0, 100)), people.at(slice(100, None))
    parts = [first.message(study, "a", part="1"), second.message(study, "a", part="2")]
    pooled = people.applied(people.pooled(study))
    for messages in (parts, [merge(parts)]):
        assert gap(people.applied(combine(study, messages)), pooled, people.measures) < 1e-10
    with pytest.raises(MessageFileError, match="same part '1'"):
        combine(study, [parts[0], parts[0]])
    with pytest.raises(MessageFileError, match="would count twice"):
        combine(study, [parts[0], first.message(study, "b")])
    with pytest.raises(MessageFileError, match="different sites"):
        merge([parts[0], second.message(study, "b")])


def test_sums_are_all_that_secure_summation_needs() -> None:
    people = make_consortium()
    study = people.study()
    messages = people.messages(study, mode="sums")
    total = add_up(messages)
    for name, array in total.arrays.items():
        parts = [message.arrays[name] for message in messages]
        np.testing.assert_allclose(array, np.sum(parts, axis=0), rtol=1e-15)
    one, other = combine(study, [total]), combine(study, messages)
    np.testing.assert_array_equal(one.slopes, other.slopes)


def test_simulated_exchange_goes_through_files_and_checks() -> None:
    people = make_consortium((80, 90, 85))
    study = people.study(thresholds=Thresholds())
    for mode in ("full", "sums"):
        done = simulate(
            people.measures, study, sites=people.people.site, covariates=people.people, mode=mode
        )
        assert done.largest < 1e-10
        assert set(done.messages) == {"S1", "S2", "S3"}


def test_quality_table_shows_the_site_with_another_unit() -> None:
    people = make_consortium()
    people.measures.loc[people.people.site == "S3", "region4"] += 500.0
    study = people.study()
    table = quality_table(study, people.messages(study)).set_index("batch")
    assert table.odd["S3"] == "mean of region4: other unit?"
    assert (table.odd.drop("S3") == "").all()
    assert table.scans.sum() == len(people.people)


def test_covariates_that_all_sites_together_cannot_tell_apart_are_refused() -> None:
    people = make_consortium()
    people.people["diagnosis"] = np.where(people.people.site == "S1", "control", "patient")
    for mode in ("full", "sums"):
        with pytest.raises(ConfoundedDesignError, match=r"diagnosis.*does not vary within any"):
            people.combined(people.study(preserve="C(diagnosis)"), mode=mode)
    people.people["diagnosis"] = np.where(people.people.sex == "F", "control", "patient")
    with pytest.raises(ConfoundedDesignError, match=r"diagnosis.*cannot be told apart"):
        people.combined(people.study(preserve="C(sex) + C(diagnosis)"))


def test_one_batch_alone_and_mixed_modes_are_refused() -> None:
    people = make_consortium()
    study = people.study()
    full, sums = people.messages(study), people.messages(study, mode="sums")
    with pytest.raises(TooFewSitesError):
        combine(study, full[:1])
    with pytest.raises(MessageFileError, match="same mode"):
        combine(study, [full[0], sums[1]])
    with pytest.raises(MessageFileError, match="S1: made for study 'demo' with hash"):
        combine(people.study(prior=None), full)
    with pytest.raises(DataError, match="no message"):
        combine(study, [])
    with pytest.raises(DataError, match="no reference"):
        people.messages(people.study(reference="S1"), mode="sums")


@pytest.mark.parametrize("mode", ["full", "sums"])
def test_numbers_are_those_of_neurocombat(mode) -> None:
    """Reference values of neuroCombat for R, with a measure of mean 1e6."""
    folder = shared_folder("golden/pooling")
    people = pd.read_csv(folder / "raw_6sites.csv", index_col="id")
    measures = pd.read_csv(folder / "fed_features.csv").set_axis(people.index, axis=0)
    expected = pd.read_csv(folder / "g11_dat_combat.csv").set_axis(people.index, axis=0)
    study = Study(
        "g11",
        dict.fromkeys(measures.columns, "mm"),
        {"dx": (0, 1), "age": (0, 120), "sex": (0, 1)},
        preserve="dx + age + sex",
        thresholds=Thresholds.none(),
    )
    done = simulate(measures, study, sites=people.site, covariates=people, mode=mode)
    assert done.largest < 1e-10
    if done.model is None:
        return
    after = done.model.transform(measures, sites=people.site, covariates=people)
    assert ((after - expected).abs().max() / measures.std()).max() < 1e-9
    golden = json.loads((folder / "g11_combat_pooled.json").read_text())
    effects = done.model.model_.effects
    np.testing.assert_allclose(effects.raw_shift, golden["gamma_hat"], atol=1e-9)
    np.testing.assert_allclose(effects.shift, golden["gamma_star"], atol=1e-9)
    np.testing.assert_allclose(effects.variance, golden["delta_star"], rtol=1e-9)


def test_coarse_storage_at_one_site_is_said_so() -> None:
    people = with_large_means(make_consortium())
    study = people.study()
    messages = people.messages(study)
    part = people.at(people.people.site == "S1")
    single = Consortium(part.measures.astype(np.float32), part.people).message(study, "S1")
    mixed = [m for m in messages if m.sender.location != "S1"]
    with pytest.warns(IsoscanWarning, match="float32"):
        combine(study, [*mixed, single])
